//! Datagrams to frames and back: the only code that knows in which order the layers of a packet lie.
//!
//! From the outside in: checksum, compound, frame. Nothing here knows a message.

mod checksum;
mod compound;

use alloc::vec::Vec;

pub use self::compound::Parts;
use crate::outbox::Outbox;
use crate::stats::DropReason;
use crate::wire::{Full, Writer};

/// What to put around the frames for one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Whether the destination checks checksums.
    pub checksum: bool,
}

/// Takes the outer layers off a datagram and returns what they protect: one frame, or a compound of frames.
pub fn open(datagram: &[u8]) -> Result<&[u8], DropReason> {
    checksum::open(datagram).ok_or(DropReason::Checksum)
}

/// The frames in `message`: itself, or if it is a compound its parts.
pub fn split(message: &[u8]) -> Result<Parts<'_>, DropReason> {
    compound::split(message).ok_or(DropReason::Compound)
}

/// Puts the layers around `frames`, which lie in the outbox's scratch buffer, and queues the datagram.
pub fn seal(frames: Packed, to: core::net::SocketAddr, caps: Caps, out: &mut Outbox) -> usize {
    let mut header = [0; HEADER_BYTES_MAX];
    let (scratch, lengths) = out.scratch();
    let inner = compound::header(lengths, &mut header[checksum::BYTES..]);
    let mut start = checksum::BYTES;
    let end = start + inner;
    if caps.checksum {
        let sum = checksum::compute(&[&header[start..end], &scratch[..frames.bytes]]);
        start = 0;
        header[..checksum::BYTES].copy_from_slice(&sum);
    }
    out.push_datagram(to, &header[start..end], frames.bytes);
    end - start + frames.bytes
}

/// Frames that [`Packer`] has gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    bytes: usize,
}

/// Gathers frames for one packet, as long as they fit.
#[derive(Debug)]
pub struct Packer<'a> {
    buf: &'a mut [u8],
    lengths: &'a mut Vec<u16>,
    used: usize,
    /// How much room the frames may take, each with its two bytes of length.
    budget: usize,
}

impl<'a> Packer<'a> {
    /// Packs up to `packet_bytes` in all, layers included.
    pub fn new(out: &'a mut Outbox, packet_bytes: u32) -> Self {
        let (buf, lengths) = out.scratch();
        lengths.clear();
        let layers = checksum::BYTES + compound::HEADER_BYTES;
        Self { buf, lengths, used: 0, budget: (packet_bytes as usize).saturating_sub(layers) }
    }

    /// Adds the frame that `write` writes, or nothing when it does not fit.
    pub fn frame(&mut self, write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Result<(), Full> {
        let room = self.room();
        let mut writer = Writer::new(&mut self.buf[self.used..self.used + room]);
        write(&mut writer)?;
        let len = writer.len();
        debug_assert!(len > 0, "HashiCorp's older nodes crash on an empty part");
        self.lengths.push(u16::try_from(len).map_err(|_| Full)?);
        self.used += len;
        Ok(())
    }

    /// Adds a frame, or nothing when it does not fit.
    #[inline]
    pub fn copy(&mut self, frame: &[u8]) -> Result<(), Full> {
        debug_assert!(!frame.is_empty(), "HashiCorp's older nodes crash on an empty part");
        if frame.len() > self.room() {
            return Err(Full);
        }
        self.buf[self.used..self.used + frame.len()].copy_from_slice(frame);
        self.lengths.push(u16::try_from(frame.len()).map_err(|_| Full)?);
        self.used += frame.len();
        Ok(())
    }

    /// Adds the frame that is `head` and then `tail`, or nothing when it does not fit.
    pub fn join(&mut self, head: &[u8], tail: &[u8]) -> Result<(), Full> {
        let len = head.len() + tail.len();
        if len > self.room() {
            return Err(Full);
        }
        debug_assert!(len > 0, "HashiCorp's older nodes crash on an empty part");
        let (first, second) = self.buf[self.used..self.used + len].split_at_mut(head.len());
        first.copy_from_slice(head);
        second.copy_from_slice(tail);
        self.lengths.push(u16::try_from(len).map_err(|_| Full)?);
        self.used += len;
        Ok(())
    }

    /// How long the next frame may be.
    pub fn room(&self) -> usize {
        if self.lengths.len() == crate::limits::COMPOUND_PARTS_MAX {
            return 0;
        }
        let overhead = (self.lengths.len() + 1) * compound::LENGTH_BYTES;
        self.budget.saturating_sub(self.used + overhead)
    }

    /// Whether no frame has been added.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The frames, to be sealed.
    pub fn finish(self) -> Packed {
        Packed { bytes: self.used }
    }
}

/// Room for a checksum and for the table of the largest compound.
const HEADER_BYTES_MAX: usize =
    checksum::BYTES + compound::HEADER_BYTES + compound::LENGTH_BYTES * crate::limits::COMPOUND_PARTS_MAX;

#[cfg(test)]
mod tests;
