//! What a thread needs while it calls a node: shared by all nodes of the thread, so that an idle node holds none of it.

use core::cell::Cell;
use core::net::SocketAddr;

use bytes::Bytes;
use serf_proto::Outbox;

/// Where a node puts what it wants done, and the datagrams among it, to be sent when the node is unlocked.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) out: Outbox,
    pub(crate) mail: Vec<(SocketAddr, Bytes)>,
}

thread_local! {
    static DESK: Cell<Option<Box<Desk>>> = const { Cell::new(None) };
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Lends the thread's desk. Whoever asks for it while it is lent gets a new one.
pub(crate) fn with_desk<R>(work: impl FnOnce(&mut Desk) -> R) -> R {
    let mut desk = DESK.take().unwrap_or_default();
    let result = work(&mut desk);
    let is_done = desk.out.is_empty() && desk.mail.is_empty();
    debug_assert!(is_done, "what a call wants done is done before it returns");
    DESK.set(Some(desk));
    result
}

/// Lends the thread's buffer for whatever is read, large enough for any datagram.
pub(crate) fn with_buffer<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = BUFFER.take().unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
    let result = work(&mut buffer);
    BUFFER.set(Some(buffer));
    result
}

const BUFFER_BYTES: usize = 64 * 1024;
