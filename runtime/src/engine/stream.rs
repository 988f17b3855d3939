//! One task per stream. It moves bytes and knows no messages. The node sets the deadlines of a stream, except for
//! flushing the last bytes after it was closed.

use core::convert::Infallible;
use core::net::SocketAddr;
use std::io;
use std::sync::Arc;

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use futures_lite::future::or;
use serf_proto::{StreamId, StreamInput};
use tracing::{Instrument as _, Span};

use super::Shared;
use crate::call_buffers::with_buffer;
use crate::error::system_words;
use crate::net::{Net, Stream};
use crate::signal::Signal;
use crate::span;

/// How a stream starts: by connecting or by being accepted.
pub(crate) enum Origin<N: Net> {
    Dial(SocketAddr),
    Accepted(N::Stream, SocketAddr),
}

impl<N: Net> Origin<N> {
    pub(crate) const fn is_inbound(&self) -> bool {
        matches!(self, Self::Accepted(..))
    }

    pub(crate) const fn peer(&self) -> SocketAddr {
        match self {
            Self::Dial(peer) | Self::Accepted(_, peer) => *peer,
        }
    }
}

/// The node's handle to a stream. The task executes its commands in order.
pub(crate) struct StreamHandle<N: Net> {
    commands: Sender<StreamCommand>,
    /// Raised with the last command, to interrupt a task that still executes an earlier one.
    closing: Arc<Signal>,
    is_inbound: bool,
    /// Total bytes queued for writing.
    written_bytes: usize,
    /// Cancelled when the handle is dropped.
    _task: N::Task,
}

enum StreamCommand {
    Write(Bytes),
    Close,
}

impl<N: Net> StreamHandle<N> {
    pub(crate) fn spawn(
        shared: &Arc<Shared<N>>,
        id: StreamId,
        origin: Origin<N>,
        alive: Sender<Infallible>,
        span: Span,
    ) -> Self {
        let (commands, todo) = async_channel::unbounded();
        let (closing, is_inbound) = (Arc::new(Signal::default()), origin.is_inbound());
        let work =
            StreamTask { shared: Arc::clone(shared), id, todo, closing: Arc::clone(&closing), span: span.clone() };
        let supervisor = Arc::clone(shared);
        let exchange = async move {
            let _alive = alive;
            supervisor.supervise("stream", work.run(origin)).await;
        };
        let task = shared.net.spawn(exchange.instrument(span));
        Self { commands, closing, is_inbound, written_bytes: 0, _task: task }
    }

    pub(crate) const fn is_inbound(&self) -> bool {
        self.is_inbound
    }

    pub(crate) const fn written_bytes(&self) -> usize {
        self.written_bytes
    }

    /// Queues a write after all earlier commands. The node writes one message per stream, so the queue stays short.
    pub(crate) fn write(&mut self, bytes: Bytes) {
        self.written_bytes += bytes.len();
        _ = self.commands.try_send(StreamCommand::Write(bytes));
    }

    /// Closes the stream after all earlier commands.
    pub(crate) fn close(&self) {
        _ = self.commands.try_send(StreamCommand::Close);
        self.closing.raise();
    }
}

/// The task's side of a stream.
struct StreamTask<N: Net> {
    shared: Arc<Shared<N>>,
    id: StreamId,
    todo: Receiver<StreamCommand>,
    closing: Arc<Signal>,
    span: Span,
}

/// Bytes read and written.
#[derive(Debug, Default)]
struct Moved {
    read: u64,
    written: u64,
}

/// What woke the task.
enum Next {
    Commanded(StreamCommand),
    Readable(io::Result<()>),
    Abandoned,
}

impl<N: Net> StreamTask<N> {
    async fn run(self, origin: Origin<N>) {
        let mut moved = Moved::default();
        let failure = self.exchange(origin, &mut moved).await.err();
        span::exchange_ended(&self.span, moved.read, moved.written, failure.as_deref());
        self.shared.stream_over(self.id);
    }

    /// Opens the stream and carries it to its end. Returns the failure in the words of the log.
    async fn exchange(&self, origin: Origin<N>, moved: &mut Moved) -> Result<(), String> {
        let stream = self.begin(origin).await?;
        let give_up = async {
            self.closing.wait().await;
            self.shared.net.sleep(self.shared.linger).await;
            Ok(())
        };
        or(self.carry(&stream, moved), give_up).await.map_err(|error| {
            let error = system_words(&error);
            tracing::debug!(stream = self.id.number(), %error, "stream failed");
            self.stream_failed(&error);
            error
        })
    }

    /// Returns the open stream.
    async fn begin(&self, origin: Origin<N>) -> Result<N::Stream, String> {
        let to = match origin {
            Origin::Accepted(stream, _) => return Ok(stream),
            Origin::Dial(to) => to,
        };
        let unwanted = async {
            self.closing.wait().await;
            None
        };
        self.shared.lock().dials.begin(to);
        match or(async { Some(self.shared.net.connect(self.shared.bound, to).await) }, unwanted).await {
            None => Err("given up before it was connected".into()),
            Some(Ok(stream)) => {
                self.shared.lock().dials.opened(to);
                self.handle_input(StreamInput::Opened);
                Ok(stream)
            }
            Some(Err(error)) => {
                let words = system_words(&error);
                tracing::debug!(%to, error = words, "cannot open stream");
                self.shared.lock().dials.failed(to, error);
                self.stream_failed(&words);
                Err(words)
            }
        }
    }

    /// Executes commands and reads bytes, until the stream is to be closed.
    async fn carry(&self, stream: &N::Stream, moved: &mut Moved) -> io::Result<()> {
        let mut is_open = true;
        loop {
            let command = async { self.todo.recv().await.map_or(Next::Abandoned, Next::Commanded) };
            let readable =
                async { if is_open { Next::Readable(stream.readable().await) } else { core::future::pending().await } };
            match or(command, readable).await {
                Next::Commanded(StreamCommand::Write(bytes)) => {
                    write_all(stream, &bytes).await?;
                    moved.written += bytes.len() as u64;
                }
                Next::Commanded(StreamCommand::Close) => return stream.shutdown_write(),
                Next::Readable(ready) => {
                    ready?;
                    is_open = self.read(stream, moved)?;
                }
                Next::Abandoned => return Ok(()),
            }
        }
    }

    /// Reads the available bytes. Returns false at the end of the stream.
    fn read(&self, stream: &N::Stream, moved: &mut Moved) -> io::Result<bool> {
        with_buffer(|buffer| match stream.try_read(buffer) {
            Ok(0) => {
                self.handle_input(StreamInput::Closed);
                Ok(false)
            }
            Ok(len) => {
                moved.read += len as u64;
                self.handle_input(StreamInput::Data(&buffer[..len]));
                Ok(true)
            }
            Err(error) if is_temporary(&error) => Ok(true),
            Err(error) => Err(error),
        })
    }

    /// Reports the failure to the node, with the operating system's error text for the log.
    fn stream_failed(&self, words: &str) {
        self.shared.call(|engine, now, out| {
            engine.node.stream_failing(words);
            engine.node.handle_stream(now, self.id, StreamInput::Failed, out);
        });
    }

    fn handle_input(&self, input: StreamInput<'_>) {
        self.shared.call(|engine, now, out| engine.node.handle_stream(now, self.id, input, out));
    }
}

async fn write_all<S: Stream>(stream: &S, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => bytes = &bytes[len..],
            Err(error) if is_temporary(&error) => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
