//! Where a call puts what it wants done. Knows nothing of the protocol.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use crate::envelope::PacketBuffers;
use crate::event::Event;
use crate::types::{Key, KeyringChange, Record, StreamId};

/// One thing that a node wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Send a datagram.
    Datagram {
        /// Where to.
        to: SocketAddr,
        /// The whole payload.
        bytes: Bytes,
    },
    /// Open a stream and report [`StreamInput::Opened`](crate::StreamInput::Opened) or `Failed`.
    Connect {
        /// The stream's name from now on.
        stream: StreamId,
        /// Where to.
        to: SocketAddr,
    },
    /// Write to a stream, after everything written to it before.
    Write {
        /// Which stream.
        stream: StreamId,
        /// What to write.
        bytes: Bytes,
    },
    /// Close a stream once everything before is written. Nothing more will be said of it.
    Close {
        /// Which stream.
        stream: StreamId,
    },
    /// Tell the application.
    Event(Event),
    /// Append to the snapshot, before the application is told of what comes after. Only with
    /// [`Options::snapshot`](crate::Options::snapshot).
    Persist(Record),
    /// Members have changed our keys. Write them to where they are kept, and say with
    /// [`Node::keyring_written`](crate::Node::keyring_written) how it went: only then they are told that it is done. Only with
    /// [`Options::keyring_kept`](crate::Options::keyring_kept).
    Keyring {
        /// Which change. A later one has a greater number.
        change: KeyringChange,
        /// All keys after it, the primary first.
        keys: Vec<Key>,
    },
}

/// What calls to a [`Node`](crate::Node) want done, in order. One outbox can serve any number of nodes, as long as it is
/// drained between them.
#[derive(Debug)]
pub struct Outbox {
    queue: VecDeque<Output>,
    buffers: PacketBuffers,
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self { queue: VecDeque::new(), buffers: PacketBuffers::new() }
    }

    /// Takes everything out, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = Output> + '_ {
        self.queue.drain(..)
    }

    /// Takes the oldest output out.
    pub fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    /// Whether nothing waits to be done.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    /// The buffers to compose packets in, and to take them apart.
    pub(crate) const fn buffers(&mut self) -> &mut PacketBuffers {
        &mut self.buffers
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}
