//! The agent's side of RPC: listening, connections, what is queued for them.

mod connection;
mod listener;
mod outbox;

pub(crate) use self::listener::{ListenError, Listener, listen, serve};
pub(crate) use self::outbox::{ASKED_MAX, Outbox, REPLY_BYTES_MAX, STREAMS_MAX, StreamError, Streams};
