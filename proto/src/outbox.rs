//! Where a call puts what it wants done. Knows nothing of the protocol.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::{Bytes, BytesMut};

use crate::envelope::Key;
use crate::event::Event;
use crate::limits::PACKET_BYTES_MAX;
use crate::serf::Record;

/// Names one stream between its opening and its end. `proto` hands them out, for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct StreamId(pub(crate) u64);

impl StreamId {
    /// The number behind the name, for logs and traces.
    pub const fn number(self) -> u64 {
        self.0
    }
}

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

/// Names one change of our keys, in the order in which they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct KeyringChange(pub(crate) u64);

impl KeyringChange {
    /// The number behind the name; a later change has a greater one.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What calls to a [`Node`](crate::Node) want done, in order. One outbox can serve any number of nodes, as long as it is
/// drained between them.
#[derive(Debug)]
pub struct Outbox {
    queue: VecDeque<Output>,
    arena: BytesMut,
    scratch: Scratch,
}

/// Buffers for whoever composes a packet or takes one apart. What is in them means nothing to the next.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// The parts of a packet, one after the other.
    pub(crate) packet: Vec<u8>,
    /// How long each of them is.
    pub(crate) lengths: Vec<u16>,
    /// A packet decrypted.
    pub(crate) opened: Vec<u8>,
    /// A packet inflated, or deflated.
    pub(crate) inflated: Vec<u8>,
    /// What compression remembers.
    pub(crate) table: Vec<u32>,
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        let scratch = Scratch {
            packet: vec![0; PACKET_BYTES_MAX],
            lengths: Vec::new(),
            opened: Vec::new(),
            inflated: Vec::new(),
            table: Vec::new(),
        };
        Self { queue: VecDeque::new(), arena: BytesMut::new(), scratch }
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
    pub(crate) const fn scratch(&mut self) -> &mut Scratch {
        &mut self.scratch
    }

    /// Queues a datagram whose payload is what `write` appends, which may be read from the scratch buffers and should not be
    /// longer than `room`. Returns how long it is.
    pub(crate) fn push_datagram(
        &mut self,
        to: SocketAddr,
        room: usize,
        write: impl FnOnce(&mut BytesMut, &Scratch),
    ) -> usize {
        if self.arena.capacity() < room {
            self.arena = BytesMut::with_capacity(ARENA_BYTES.max(room));
        }
        write(&mut self.arena, &self.scratch);
        let bytes = self.arena.split().freeze();
        let len = bytes.len();
        self.queue.push_back(Output::Datagram { to, bytes });
        len
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

/// Datagrams are slices of blocks of this size, so that a packet costs a fraction of an allocation.
const ARENA_BYTES: usize = 64 * 1024;
