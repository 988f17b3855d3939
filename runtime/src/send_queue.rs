//! Queue of datagrams that the socket had no room for.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;

use crate::lock;
use crate::signal::Signal;

/// Bounded queue from the callers of a node to the send loop. When it is full, new datagrams are dropped, as by a full
/// socket buffer.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    queue: Mutex<VecDeque<(SocketAddr, Bytes)>>,
    pub(crate) ready: Signal,
    lost: AtomicU64,
}

impl SendQueue {
    /// Whether datagrams are queued: then the next one is queued behind them.
    pub(crate) fn is_waiting(&self) -> bool {
        !lock(&self.queue).is_empty()
    }

    /// Queues a copy of a datagram. A copy, because the datagram is a slice of a block that many datagrams share.
    pub(crate) fn push(&self, to: SocketAddr, datagram: &[u8]) {
        let mut queue = lock(&self.queue);
        if queue.len() >= DATAGRAMS_MAX {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.push_back((to, Bytes::copy_from_slice(datagram)));
        drop(queue);
        self.ready.raise();
    }

    /// Returns the oldest datagram.
    pub(crate) fn oldest(&self) -> Option<(SocketAddr, Bytes)> {
        lock(&self.queue).front().cloned()
    }

    /// Removes the oldest datagram, after it was sent or failed.
    pub(crate) fn forget_oldest(&self) {
        lock(&self.queue).pop_front();
    }

    /// Number of datagrams dropped because the queue was full.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Queue length. With packets of 1400 bytes less than half a megabyte.
const DATAGRAMS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_beyond_the_bound_is_dropped_and_counted() {
        let queue = SendQueue::default();
        let to = "10.0.0.1:1".parse().unwrap();
        for n in 0..DATAGRAMS_MAX + 2 {
            queue.push(to, &n.to_be_bytes());
        }
        assert_eq!(queue.lost(), 2);
        assert_eq!(queue.oldest().unwrap().1, 0_usize.to_be_bytes()[..]);
        queue.forget_oldest();
        assert_eq!(queue.oldest().unwrap().1, 1_usize.to_be_bytes()[..]);
        assert!(queue.is_waiting());
    }
}
