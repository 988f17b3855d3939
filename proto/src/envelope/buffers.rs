//! The buffers that packets are composed in and taken apart in.

use alloc::vec;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::limits::PACKET_BYTES_MAX;

/// Buffers for composing packets and taking them apart, one set per thread. Their contents mean nothing to the next packet.
#[derive(Debug)]
pub struct PacketBuffers {
    /// The frames of a packet, one after the other.
    pub(super) packet: Vec<u8>,
    /// The length of each of them.
    pub(super) lengths: Vec<u16>,
    /// A packet decrypted.
    pub(super) opened: Vec<u8>,
    /// A packet inflated, or deflated.
    pub(super) inflated: Vec<u8>,
    /// The string table of the compression.
    pub(super) table: Vec<u32>,
    /// The block that datagrams are sliced from.
    arena: BytesMut,
}

impl PacketBuffers {
    /// Empty buffers.
    pub fn new() -> Self {
        Self {
            packet: vec![0; PACKET_BYTES_MAX],
            lengths: Vec::new(),
            opened: Vec::new(),
            inflated: Vec::new(),
            table: Vec::new(),
            arena: BytesMut::new(),
        }
    }

    /// A datagram of what `write` appends, which may read the other buffers and should append at most `room` bytes.
    pub(super) fn datagram(&mut self, room: usize, write: impl FnOnce(&mut BytesMut, &Self)) -> Bytes {
        let mut arena = core::mem::take(&mut self.arena);
        if arena.capacity() < room {
            arena = BytesMut::with_capacity(ARENA_BYTES.max(room));
        }
        write(&mut arena, self);
        let datagram = arena.split().freeze();
        self.arena = arena;
        datagram
    }
}

impl Default for PacketBuffers {
    fn default() -> Self {
        Self::new()
    }
}

/// Datagrams are slices of blocks of this size, so that a packet costs a fraction of an allocation.
const ARENA_BYTES: usize = 64 * 1024;
