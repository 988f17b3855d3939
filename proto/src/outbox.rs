//! The queue of a call's effects. Independent of the protocol.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use crate::envelope::PacketBuffers;
use crate::event::Event;
use crate::types::{Key, KeyringChange, Record, StreamId};

/// An effect that the driver must carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Send a datagram.
    Datagram {
        /// The destination.
        to: SocketAddr,
        /// The payload.
        bytes: Bytes,
    },
    /// Open a stream. Report [`StreamInput::Opened`](crate::StreamInput::Opened) or `Failed`.
    Connect {
        /// Identifies the stream from now on.
        stream: StreamId,
        /// The destination.
        to: SocketAddr,
    },
    /// Write to a stream, after all earlier writes.
    Write {
        /// The stream.
        stream: StreamId,
        /// The bytes to write.
        bytes: Bytes,
    },
    /// Close a stream after all earlier writes. No output for it follows.
    Close {
        /// The stream.
        stream: StreamId,
    },
    /// Deliver an event to the application.
    Event(Event),
    /// Append a record to the snapshot, before any later event is delivered. Only with
    /// [`Options::snapshot`](crate::SerfOptions::snapshot).
    Persist(Record),
    /// Write the keyring to disk: a member changed it. Report the result with
    /// [`Node::keyring_written`](crate::Node::keyring_written); the member is answered only then. Only with
    /// [`Options::keyring_kept`](crate::TransportOptions::keyring_kept).
    Keyring {
        /// Number of the change; later changes have greater numbers.
        change: KeyringChange,
        /// All keys after the change, the primary first.
        keys: Vec<Key>,
    },
}

/// FIFO queue of the effects of calls to a [`Node`](crate::Node). Can be reused for any number of nodes, if it is
/// drained after each call. Holds the packet buffers too, so that nodes of one process share them.
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

    /// Removes all outputs, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = Output> + '_ {
        self.queue.drain(..)
    }

    /// Removes the oldest output.
    pub fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    /// Whether there is no output.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The outputs from `first` on, oldest first.
    pub(crate) fn since(&self, first: usize) -> impl Iterator<Item = &Output> {
        self.queue.range(first.min(self.queue.len())..)
    }

    /// Number of outputs.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    /// The buffers for packing and opening packets.
    pub(crate) const fn buffers(&mut self) -> &mut PacketBuffers {
        &mut self.buffers
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}
