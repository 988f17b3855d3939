//! The RPC server: listening, connections and queues of replies. The [`Service`] executes the requests.

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

/// The service behind the RPC server: the agent.
pub(crate) trait Service: Send + Sync + 'static {
    fn log(&self) -> &Arc<Log>;

    fn tally(&self) -> &Arc<Tally>;

    /// Counts an event of the server under this name in the metrics.
    fn count(&self, name: &str);

    /// The clients that stream events.
    fn streams(&self) -> &Streams;

    /// The token required of clients; empty for none.
    fn token(&self) -> &str;

    /// Executes a request, and queues the reply. Returns when it is done: the next request waits for it. The connection
    /// itself handles the handshake and the token.
    fn serve(
        self: &Arc<Self>,
        replies: &Arc<ReplyQueue>,
        seq: u64,
        request: Request,
    ) -> impl Future<Output = Result<(), CloseConnection>> + Send;
}

/// The connection must be closed.
pub(crate) struct CloseConnection;
