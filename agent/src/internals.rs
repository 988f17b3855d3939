//! What other crates of this repository reach of the agent for fuzzing.
//!
//! **Exempt from semantic versioning**: any release may change or remove what is here.

pub use crate::agent::{exposition, recorded};
pub use crate::mdns::{Service, ServiceError};
