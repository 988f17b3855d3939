//! One task per stream. It moves bytes and knows no message; how long a stream may take is the node's business, except for
//! the last bytes after it closed.

use core::convert::Infallible;
use core::net::SocketAddr;
use std::io;
use std::sync::Arc;

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use futures_lite::future::or;
use serf_proto::{StreamId, StreamInput};

use super::Shared;
use crate::call_buffers::with_buffer;
use crate::error::system_words;
use crate::net::{Net, Stream};
use crate::signal::Signal;

/// How a stream begins.
pub(crate) enum Origin<N: Net> {
    Dial(SocketAddr),
    Accepted(N::Stream),
}

impl<N: Net> Origin<N> {
    pub(crate) const fn is_inbound(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }
}

/// The node's end of a stream: what it says is done by the task, in order.
pub(crate) struct StreamHandle<N: Net> {
    commands: Sender<StreamCommand>,
    /// Raised together with the last command, for a task that is busy with an earlier one.
    closing: Arc<Signal>,
    is_inbound: bool,
    /// How much was given it to write.
    written_bytes: usize,
    /// Cancelled when the handle is dropped.
    _task: N::Task,
}

enum StreamCommand {
    Write(Bytes),
    Close,
}

impl<N: Net> StreamHandle<N> {
    pub(crate) fn spawn(shared: &Arc<Shared<N>>, id: StreamId, origin: Origin<N>, alive: Sender<Infallible>) -> Self {
        let (commands, todo) = async_channel::unbounded();
        let (closing, is_inbound) = (Arc::new(Signal::default()), origin.is_inbound());
        let work = StreamTask { shared: Arc::clone(shared), id, todo, closing: Arc::clone(&closing) };
        let supervisor = Arc::clone(shared);
        let task = shared.net.spawn(async move {
            let _alive = alive;
            supervisor.supervise("stream", work.run(origin)).await;
        });
        Self { commands, closing, is_inbound, written_bytes: 0, _task: task }
    }

    pub(crate) const fn is_inbound(&self) -> bool {
        self.is_inbound
    }

    pub(crate) const fn written_bytes(&self) -> usize {
        self.written_bytes
    }

    /// Writes after everything before. The node writes one message a stream, so that the commands cannot pile up.
    pub(crate) fn write(&mut self, bytes: Bytes) {
        self.written_bytes += bytes.len();
        _ = self.commands.try_send(StreamCommand::Write(bytes));
    }

    /// Closes after everything before.
    pub(crate) fn close(&self) {
        _ = self.commands.try_send(StreamCommand::Close);
        self.closing.raise();
    }
}

/// The task's side.
struct StreamTask<N: Net> {
    shared: Arc<Shared<N>>,
    id: StreamId,
    todo: Receiver<StreamCommand>,
    closing: Arc<Signal>,
}

/// What a task waited for.
enum Next {
    Commanded(StreamCommand),
    Readable(io::Result<()>),
    Abandoned,
}

impl<N: Net> StreamTask<N> {
    async fn run(self, origin: Origin<N>) {
        if let Some(stream) = self.begin(origin).await {
            let give_up = async {
                self.closing.wait().await;
                self.shared.net.sleep(self.shared.linger).await;
                Ok(())
            };
            if let Err(error) = or(self.carry(&stream), give_up).await {
                let error = system_words(&error);
                tracing::debug!(stream = self.id.number(), %error, "a stream failed");
                self.tell_failed(&error);
            }
        }
        self.shared.stream_over(self.id);
    }

    /// The open stream; none when it could not be opened, or is not wanted any more.
    async fn begin(&self, origin: Origin<N>) -> Option<N::Stream> {
        let to = match origin {
            Origin::Accepted(stream) => return Some(stream),
            Origin::Dial(to) => to,
        };
        let unwanted = async {
            self.closing.wait().await;
            None
        };
        self.shared.lock().dials.begin(to);
        match or(async { Some(self.shared.net.connect(to).await) }, unwanted).await? {
            Ok(stream) => {
                self.shared.lock().dials.opened(to);
                self.tell(StreamInput::Opened);
                Some(stream)
            }
            Err(error) => {
                let words = system_words(&error);
                tracing::debug!(%to, error = words, "cannot open a stream");
                self.shared.lock().dials.failed(to, error);
                self.tell_failed(&words);
                None
            }
        }
    }

    /// Carries out commands and reads, until it is to close.
    async fn carry(&self, stream: &N::Stream) -> io::Result<()> {
        let mut is_open = true;
        loop {
            let command = async { self.todo.recv().await.map_or(Next::Abandoned, Next::Commanded) };
            let readable =
                async { if is_open { Next::Readable(stream.readable().await) } else { core::future::pending().await } };
            match or(command, readable).await {
                Next::Commanded(StreamCommand::Write(bytes)) => write_all(stream, &bytes).await?,
                Next::Commanded(StreamCommand::Close) => return stream.shutdown_write(),
                Next::Readable(ready) => {
                    ready?;
                    is_open = self.read(stream)?;
                }
                Next::Abandoned => return Ok(()),
            }
        }
    }

    /// Reads what has come. False when nothing more will.
    fn read(&self, stream: &N::Stream) -> io::Result<bool> {
        with_buffer(|buffer| match stream.try_read(buffer) {
            Ok(0) => {
                self.tell(StreamInput::Closed);
                Ok(false)
            }
            Ok(len) => {
                self.tell(StreamInput::Data(&buffer[..len]));
                Ok(true)
            }
            Err(error) if is_temporary(&error) => Ok(true),
            Err(error) => Err(error),
        })
    }

    /// The system's words go along, for the log.
    fn tell_failed(&self, words: &str) {
        self.shared.call(|engine, now, out| {
            engine.node.stream_failing(words);
            engine.node.handle_stream(now, self.id, StreamInput::Failed, out);
        });
    }

    fn tell(&self, input: StreamInput<'_>) {
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
