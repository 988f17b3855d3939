//! The connection of one client.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use super::replies::{REPLY_BYTES_MAX, ReplyQueue};
use super::{CloseConnection, Service};
use crate::places::Place;
use crate::rpc::{
    AUTHENTICATION_REQUIRED, DecodeError, Decoder, Framer, IPC_VERSION, Request, RequestHeader, UNSUPPORTED_COMMAND,
};

/// Serves a client in a task of its own. `wrong_tokens` is locked by the client whose wrong token is answered next.
pub(super) fn spawn<S: Service>(
    service: &Arc<S>,
    wrong_tokens: &Arc<Mutex<()>>,
    peer: String,
    place: Place,
    reader: impl AsyncRead + Unpin + Send + 'static,
    writer: impl AsyncWrite + Unpin + Send + 'static,
) {
    service.log().info("agent.ipc", format_args!("Accepted client: {peer}"));
    service.count("agent.ipc.accept");
    service.tally().clients_accepted.bump();
    let replies = ReplyQueue::new(peer, service.log(), service.tally(), service.streams());
    let (service, wrong_tokens) = (Arc::clone(service), Arc::clone(wrong_tokens));
    tokio::spawn(async move {
        let _open = service.tally().clients_open.during();
        let reading = async {
            let mut connection = Connection {
                service: &service,
                replies: &replies,
                place: &place,
                wrong_tokens: &wrong_tokens,
                wrong_tokens_shown: 0,
                input: Input { reader, buffer: Vec::new(), taken: 0, framer: Framer::new(GREETING_BYTES_MAX) },
                is_greeted: false,
                is_known: service.token().is_empty(),
            };
            connection.run().await;
            replies.close();
            // Do not wait any longer for a client that does not read its last replies.
            sleep(LAST_WORDS_TIMEOUT).await;
        };
        tokio::select! {
            () = reading => {}
            _ = write(&replies, writer) => {}
            () = place.displaced() => service.tally().clients_refused.bump(),
        }
        // Its subscriptions end with it.
        replies.close();
    });
}

/// Writes queued replies, until the queue is closed and empty.
async fn write(replies: &ReplyQueue, mut writer: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        replies.take(&mut bytes, WRITE_BYTES);
        if bytes.is_empty() {
            if replies.is_closing() {
                return writer.shutdown().await;
            }
            // Releases the buffer: there may be many idle connections.
            bytes = Vec::new();
            replies.filled.notified().await;
            continue;
        }
        writer.write_all(&bytes).await?;
        bytes.clear();
    }
}

struct Connection<'a, S, R> {
    service: &'a Arc<S>,
    replies: &'a Arc<ReplyQueue>,
    place: &'a Place,
    /// Locked by the client whose wrong token is answered next.
    wrong_tokens: &'a Mutex<()>,
    /// Number of wrong tokens sent by this client.
    wrong_tokens_shown: u32,
    input: Input<R>,
    /// The handshake was received.
    is_greeted: bool,
    /// The token was right, or none is required.
    is_known: bool,
}

/// Why a connection ends.
enum End {
    /// The client closed it, or has received the error.
    Quiet,
    /// The handshake or the right token was late.
    Late,
    /// The header could not be decoded.
    Header(String),
    /// The body could not be decoded.
    Body(String),
}

impl<S: Service, R: AsyncRead + Unpin> Connection<'_, S, R> {
    /// Serves requests strictly one after the other.
    async fn run(&mut self) {
        let begun = Instant::now();
        let greeting_end = begun + GREETING_TIMEOUT;
        // Clients send their handshake at once. A silent connection only occupies a place.
        if timeout_at(begun + FIRST_BYTE_TIMEOUT, self.input.fill()).await.is_err() {
            return;
        }
        loop {
            let is_admitted = self.is_greeted && self.is_known;
            let next = async {
                // A client that does not read its replies is not served any further.
                self.replies.below(REPLY_BYTES_MAX).await;
                self.serve().await
            };
            let served = if is_admitted { Ok(next.await) } else { timeout_at(greeting_end, next).await };
            let end = match served.unwrap_or(Err(End::Late)) {
                Ok(()) => {
                    // Yields, so that a client with many requests shares the thread with others.
                    tokio::task::yield_now().await;
                    continue;
                }
                Err(end) => end,
            };
            let log = self.service.log();
            match end {
                End::Quiet => {}
                End::Late => {
                    let text = format_args!("Client {} sent no handshake in time", self.replies.peer);
                    log.warn("agent.ipc", text);
                }
                End::Header(why) => log.error("agent.ipc", format_args!("failed to decode request header: {why}")),
                End::Body(why) => {
                    log.error("agent.ipc", format_args!("Failed to evaluate request: decode failed: {why}"));
                }
            }
            return;
        }
    }

    async fn serve(&mut self) -> Result<(), End> {
        let Some(object) = self.input.next().await.map_err(End::Header)? else { return Err(End::Quiet) };
        let header =
            RequestHeader::decode(&mut Decoder::new(object)).map_err(|error| End::Header(error.to_string()))?;
        self.service.count("agent.ipc.command");
        self.service.tally().requests.bump();
        // An old client sends a blank before one of its commands.
        let (command, seq) = (header.command.trim(), header.seq);
        let refuse = |why: &str| self.replies.reply(seq, why, |_| {});
        if !self.is_greeted && command != "handshake" {
            refuse("Handshake required");
            return Err(End::Quiet);
        }
        let has_body = Request::has_body(command);
        if !self.is_known && has_body.is_none() {
            refuse(AUTHENTICATION_REQUIRED);
            return Ok(());
        }
        let Some(has_body) = has_body else {
            refuse(UNSUPPORTED_COMMAND);
            return Err(End::Quiet);
        };
        let body = if has_body {
            self.input.next().await.map_err(End::Body)?.ok_or_else(|| End::Body("EOF".into()))?
        } else {
            &[]
        };
        let request = match Request::decode(command, &mut Decoder::new(body)) {
            Ok(request) => request,
            Err(error @ DecodeError::TooMany { .. }) if self.is_known => {
                self.replies.refuse(seq, command, &error.to_string());
                return Ok(());
            }
            Err(error) => return Err(End::Body(error.to_string())),
        };
        match request {
            Request::Handshake { version } => self.greet(seq, version),
            Request::Auth { key } => self.authenticate(seq, &key).await,
            _ if !self.is_known => self.replies.reply(seq, AUTHENTICATION_REQUIRED, |_| {}),
            request => self.service.serve(self.replies, seq, request).await.map_err(|CloseConnection| End::Quiet)?,
        }
        if self.is_greeted && self.is_known {
            self.place.settle();
            self.input.framer = Framer::new(REQUEST_BYTES_MAX);
        }
        Ok(())
    }

    fn greet(&mut self, seq: u64, version: i64) {
        let error = if version != IPC_VERSION {
            "Unsupported IPC version"
        } else if self.is_greeted {
            "Handshake already performed"
        } else {
            self.is_greeted = true;
            ""
        };
        self.replies.reply(seq, error, |_| {});
    }

    /// Checks a token. A wrong token after a right one changes nothing. A client's wrong tokens are answered later and
    /// later, and those of all clients one at a time; a right one is answered at once.
    async fn authenticate(&mut self, seq: u64, key: &str) {
        let is_right = is_same(key.as_bytes(), self.service.token().as_bytes());
        self.is_known |= is_right;
        if !is_right {
            self.service.tally().wrong_tokens.bump();
            sleep(wrong_token_pause(self.wrong_tokens_shown)).await;
            let one_by_one = self.wrong_tokens.lock().await;
            sleep(WRONG_TOKEN_INTERVAL).await;
            drop(one_by_one);
            if self.wrong_tokens_shown == 0 && !self.service.token().is_empty() {
                let text = format_args!("Client {} sent a wrong token", self.replies.peer);
                self.service.log().warn("agent.ipc", text);
            }
            self.wrong_tokens_shown += 1;
        }
        self.replies.reply(seq, if is_right { "" } else { "Invalid authentication token" }, |_| {});
    }
}

/// The delay of the reply after `before` wrong tokens.
fn wrong_token_pause(before: u32) -> Duration {
    WRONG_TOKEN_PAUSE.saturating_mul(1 << before.min(4))
}

/// Compares in constant time.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b));
    core::hint::black_box(differing) == 0 && a.len() == b.len()
}

/// The client's input, split into objects.
struct Input<R> {
    reader: R,
    buffer: Vec<u8>,
    /// The number of consumed bytes of the buffer.
    taken: usize,
    framer: Framer,
}

impl<R: AsyncRead + Unpin> Input<R> {
    /// The next object, `None` at the end.
    async fn next(&mut self) -> Result<Option<&[u8]>, String> {
        loop {
            let found = self.framer.next(&self.buffer[self.taken..]).map_err(|error| error.to_string())?;
            if let Some(length) = found {
                let start = self.taken;
                self.taken += length;
                return Ok(Some(&self.buffer[start..start + length]));
            }
            self.buffer.drain(..self.taken);
            self.taken = 0;
            if self.buffer.is_empty() {
                self.buffer = Vec::new();
            }
            match self.fill().await {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => return Err("unexpected EOF".into()),
                Ok(_) => {}
                Err(_) => return Ok(None),
            }
        }
    }

    /// Reads the available bytes; 0 at the end.
    async fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; READ_BYTES];
        let read = self.reader.read(&mut chunk).await?;
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(read)
    }
}

/// How long a new client may be silent before it is closed.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client may take for its handshake and its token. A silent client occupies a place.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// Limit on an object before handshake and token, in bytes; a client that exceeds it is closed. Some thousand clients
/// may do so at once.
const GREETING_BYTES_MAX: usize = 8 * 1024;

/// Limit on an object of a request, in bytes; a client that exceeds it is closed. Messages for gossip are far shorter;
/// the longest list of addresses to join fits.
const REQUEST_BYTES_MAX: usize = 512 * 1024;

/// Delay of the reply to a client's first wrong token; doubled for each further one, up to sixteen times.
const WRONG_TOKEN_PAUSE: Duration = Duration::from_millis(250);

/// Interval between replies to wrong tokens, over all clients.
const WRONG_TOKEN_INTERVAL: Duration = Duration::from_millis(100);

const READ_BYTES: usize = 2048;

const WRITE_BYTES: usize = 64 * 1024;

const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_token_is_answered_later_than_the_one_before() {
        let millis = [0, 1, 2, 3, 4, 5, u32::MAX].map(|before| wrong_token_pause(before).as_millis());
        assert_eq!(millis, [250, 500, 1000, 2000, 4000, 4000, 4000]);
    }

    #[test]
    fn tokens_are_the_same_only_when_all_of_them_is() {
        assert!(is_same(b"", b"") && is_same(b"s3cret", b"s3cret"));
        assert!(!is_same(b"s3cret", b"s3creT") && !is_same(b"s3cret", b"s3cre") && !is_same(b"", b"s"));
    }
}
