//! Discovery by mDNS: agents of one cluster find each other on a network without knowing an address (RFC 6762 and 6763, as far as
//! `hashicorp/mdns` uses them).
//!
//! An agent is a service `_serf_CLUSTER._tcp.local` that answers questions, and asks for others. Who asks does so from a port of
//! its own, so that every answer comes to it alone.

mod message;
mod network;

pub(crate) use self::message::Service;
pub(crate) use self::network::{Network, Scope};
