//! The agent's side of RPC: listening, connections, what is queued for them.

mod connection;
mod listener;
mod outbox;

pub(crate) use self::listener::{Listener, serve};
pub(crate) use self::outbox::{Outbox, Streams};
