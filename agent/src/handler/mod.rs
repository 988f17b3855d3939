//! Event handlers: scripts that the agent runs for events.
//!
//! Everything here is a pure function of the event; `agent/scripts.rs` decides when a script runs.

mod event;
mod filter;
mod input;
mod output;
mod script;

pub(crate) use self::event::AgentEvent;
pub use self::event::{Event, MemberChange};
pub use self::filter::{EventFilter, FilterError};
pub use self::input::{environment, stdin};
pub use self::output::{OutputTail, answer};
pub use self::script::{EventHandler, HandlerError};
