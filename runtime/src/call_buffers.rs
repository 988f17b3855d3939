//! Thread-local buffers for the duration of one call. All nodes of a thread share them, so an idle node holds no
//! buffer.

use core::cell::Cell;
use core::net::SocketAddr;

use bytes::Bytes;
use serf_proto::Outbox;

/// Outputs of one call, and the datagrams among them, which are sent after the node is unlocked.
#[derive(Debug, Default)]
pub(crate) struct CallBuffers {
    pub(crate) out: Outbox,
    pub(crate) datagrams: Vec<(SocketAddr, Bytes)>,
}

thread_local! {
    static CALL_BUFFERS: Cell<Option<Box<CallBuffers>>> = const { Cell::new(None) };
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Lends the thread's call buffers to `work`. A nested call gets new ones.
pub(crate) fn with_call_buffers<R>(work: impl FnOnce(&mut CallBuffers) -> R) -> R {
    let mut buffers = CALL_BUFFERS.take().unwrap_or_default();
    let result = work(&mut buffers);
    let is_done = buffers.out.is_empty() && buffers.datagrams.is_empty();
    debug_assert!(is_done, "all outputs of a call are done before it returns");
    CALL_BUFFERS.set(Some(buffers));
    result
}

/// Lends the thread's receive buffer to `work`. It fits any datagram.
pub(crate) fn with_buffer<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = BUFFER.take().unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
    let result = work(&mut buffer);
    BUFFER.set(Some(buffer));
    result
}

const BUFFER_BYTES: usize = 64 * 1024;
