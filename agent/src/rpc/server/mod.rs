//! The agent's side of RPC: listening, connections, what is queued for them. What requests do is up to the [`Service`].

mod connection;
mod listener;
mod replies;

use core::future::Future;
use std::sync::Arc;

pub(crate) use self::listener::{ListenError, Listener, listen, serve};
pub(crate) use self::replies::{ASKED_MAX, REPLY_BYTES_MAX, ReplyQueue, STREAMS_MAX, StreamError, Streams};
use super::Request;
use crate::log::Log;
use crate::tally::Tally;

/// What clients connect to: the agent.
pub(crate) trait Service: Send + Sync + 'static {
    fn log(&self) -> &Arc<Log>;

    fn tally(&self) -> &Arc<Tally>;

    /// Counts an event of the server under this name in the metrics.
    fn count(&self, name: &str);

    /// The clients that stream events.
    fn streams(&self) -> &Streams;

    /// The token that clients must show; empty for none.
    fn token(&self) -> &str;

    /// Does what a client asks, and queues the answer. Returns when it is done: the next request waits for it. The connection itself
    /// answers the handshake and the token.
    fn serve(
        self: &Arc<Self>,
        replies: &Arc<ReplyQueue>,
        seq: u64,
        request: Request,
    ) -> impl Future<Output = Result<(), Hangup>> + Send;
}

/// The connection is to be closed.
pub(crate) struct Hangup;
