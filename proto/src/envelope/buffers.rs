//! Buffers for packing and opening packets.

use alloc::vec;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::limits::PACKET_BYTES_MAX;

/// Scratch buffers for packing and opening packets, reused for every packet of a thread.
#[derive(Debug)]
pub struct PacketBuffers {
    /// Concatenated frames of the packet.
    pub(super) packet: Vec<u8>,
    /// Length of each frame.
    pub(super) lengths: Vec<u16>,
    /// Decrypted packet.
    pub(super) opened: Vec<u8>,
    /// Inflated or compressed packet.
    pub(super) inflated: Vec<u8>,
    /// String table of the LZW codec.
    pub(super) table: Vec<u32>,
    /// Block that datagrams are sliced from.
    arena: BytesMut,
}

impl PacketBuffers {
    /// New buffers.
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

    /// Builds a datagram from what `write` appends. `write` may read the other buffers, and should append at most
    /// `room` bytes.
    pub(super) fn datagram(&mut self, room: usize, write: impl FnOnce(&mut BytesMut, &Self)) -> Bytes {
        // Taken out, so that `write` can borrow the other buffers.
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

/// Size of a block, in bytes. Many datagrams share one allocation.
const ARENA_BYTES: usize = 64 * 1024;
