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

use crate::desk::with_buffer;
use crate::driver::Shared;
use crate::error::system_words;
use crate::net::{Net, Stream};
use crate::signal::Signal;

/// How a stream begins.
pub(crate) enum Start<N: Net> {
    Dial(SocketAddr),
    Accepted(N::Stream),
}

impl<N: Net> Start<N> {
    pub(crate) const fn is_inbound(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }
}

/// The node's end of a stream: what it says is done by the task, in order.
pub(crate) struct Carrier<N: Net> {
    orders: Sender<Order>,
    /// Raised together with the last order, for a task that is busy with an earlier one.
    closing: Arc<Signal>,
    is_inbound: bool,
    /// How much was given it to write.
    written_bytes: usize,
    /// Cancelled when the carrier is dropped.
    _task: N::Task,
}

enum Order {
    Write(Bytes),
    Close,
}

impl<N: Net> Carrier<N> {
    pub(crate) fn spawn(shared: &Arc<Shared<N>>, id: StreamId, start: Start<N>, alive: Sender<Infallible>) -> Self {
        let (orders, todo) = async_channel::unbounded();
        let (closing, is_inbound) = (Arc::new(Signal::default()), start.is_inbound());
        let work = Work { shared: Arc::clone(shared), id, todo, closing: Arc::clone(&closing) };
        let supervisor = Arc::clone(shared);
        let task = shared.net.spawn(async move {
            let _alive = alive;
            supervisor.supervise("stream", work.run(start)).await;
        });
        Self { orders, closing, is_inbound, written_bytes: 0, _task: task }
    }

    pub(crate) const fn is_inbound(&self) -> bool {
        self.is_inbound
    }

    pub(crate) const fn written_bytes(&self) -> usize {
        self.written_bytes
    }

    /// Writes after everything before. The node writes one message a stream, so that the orders cannot pile up.
    pub(crate) fn write(&mut self, bytes: Bytes) {
        self.written_bytes += bytes.len();
        _ = self.orders.try_send(Order::Write(bytes));
    }

    /// Closes after everything before.
    pub(crate) fn close(&self) {
        _ = self.orders.try_send(Order::Close);
        self.closing.raise();
    }
}

/// The task's side.
struct Work<N: Net> {
    shared: Arc<Shared<N>>,
    id: StreamId,
    todo: Receiver<Order>,
    closing: Arc<Signal>,
}

/// What a task waited for.
enum Next {
    Order(Order),
    Readable(io::Result<()>),
    Abandoned,
}

impl<N: Net> Work<N> {
    async fn run(self, start: Start<N>) {
        if let Some(stream) = self.begin(start).await {
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
    async fn begin(&self, start: Start<N>) -> Option<N::Stream> {
        let to = match start {
            Start::Accepted(stream) => return Some(stream),
            Start::Dial(to) => to,
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

    /// Carries out orders and reads, until it is told to close.
    async fn carry(&self, stream: &N::Stream) -> io::Result<()> {
        let mut is_open = true;
        loop {
            let order = async { self.todo.recv().await.map_or(Next::Abandoned, Next::Order) };
            let readable =
                async { if is_open { Next::Readable(stream.readable().await) } else { core::future::pending().await } };
            match or(order, readable).await {
                Next::Order(Order::Write(bytes)) => write_all(stream, &bytes).await?,
                Next::Order(Order::Close) => return stream.shutdown_write(),
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
