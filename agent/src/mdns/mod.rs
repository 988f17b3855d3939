//! Discovery by mDNS: agents of one cluster find each other on a network without a configured address (RFC 6762 and
//! 6763, as far as `hashicorp/mdns` uses them).
//!
//! An agent is a service `_serf_CLUSTER._tcp.local`; it answers questions, and asks for other agents. Questions are
//! sent from a port of their own, so that the answers arrive there only.

mod message;
mod network;

pub use self::message::{Service, ServiceError};
pub(crate) use self::network::{Network, Scope};
