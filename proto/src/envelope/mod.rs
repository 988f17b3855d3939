//! Datagrams to frames and back, and the same layers on streams: the only code that knows in which order they lie.
//!
//! ```text
//! datagram = label? ( encryption? ( checksum? ( compression? ( compound | frame ))))
//! request  = label? unit        reply = unit
//! unit     = message | compressed message | encryption ( message | compressed message )
//! ```
//!
//! Nothing here knows a message, but the one that wraps compressed bytes.

mod buffers;
mod checksum;
mod compound;
mod compress;
mod crypt;
mod keyring;
mod label;
mod lzw;
mod record;

use alloc::vec::Vec;

use bytes::Bytes;

pub use self::buffers::PacketBuffers;
pub use self::compound::Parts;
pub use self::keyring::{Keyring, KeyringError};
pub use self::label::Label;
pub(crate) use self::record::{Direction, Progress, Record};
use crate::limits::PACKET_INFLATED_BYTES_MAX;
use crate::rng::{Rng, Seed};
use crate::sink::{Full, Writer};
use crate::stats::DropReason;
#[cfg(feature = "generate")]
pub use crate::types::EntropyError;
pub use crate::types::{Key, KeyError};

/// What to put around the frames for one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Whether the destination checks checksums.
    pub checksum: bool,
}

/// Which layers a node puts on and demands.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvelopeConfig {
    /// The cluster's name; other clusters' packets and streams are dropped.
    pub label: Label,
    /// Something outside takes the label off what comes in; one that is still there is wrong.
    pub skip_inbound_label_check: bool,
    /// The keys that the node starts with. Empty: no encryption.
    pub keyring: Keyring,
    /// Drop what comes in unencrypted. Off only while encryption is introduced to a running cluster.
    pub verify_incoming: bool,
    /// Encrypt what goes out. Off only while encryption is introduced to a running cluster.
    pub verify_outgoing: bool,
    /// Compress what goes out, where that makes it shorter.
    pub compression: bool,
}

impl EnvelopeConfig {
    /// How much of a packet the label and the encryption take.
    pub fn overhead_bytes(&self) -> usize {
        let encrypts = self.verify_outgoing && !self.keyring.is_empty();
        self.label.header().len() + if encrypts { crypt::OVERHEAD_BYTES } else { 0 }
    }
}

impl Default for EnvelopeConfig {
    /// No layer but the checksum.
    fn default() -> Self {
        Self {
            label: Label::default(),
            skip_inbound_label_check: false,
            keyring: Keyring::default(),
            verify_incoming: true,
            verify_outgoing: true,
            compression: false,
        }
    }
}

/// The layers around everything that a node sends and receives.
#[derive(Clone, Debug)]
pub struct Envelope {
    config: EnvelopeConfig,
    /// A stream of its own, so that turning encryption on changes no other draw.
    nonces: Rng,
}

impl Envelope {
    /// Draws its nonces from `seed`, which therefore must never come again with the same keys.
    pub fn new(config: EnvelopeConfig, seed: &Seed) -> Self {
        Self { config, nonces: Rng::stream(seed, NONCE_STREAM) }
    }

    /// Takes the outer layers off a datagram and returns what they protect: one frame, or a compound of frames. What had to
    /// be decrypted or inflated lies in one of the `buffers`; nothing is copied where there is nothing to do.
    ///
    /// # Errors
    ///
    /// Says which layer was wrong. Before a packet has been authenticated nothing in it is looked at but label, version and
    /// length.
    pub fn open<'a>(&self, datagram: &'a [u8], buffers: &'a mut PacketBuffers) -> Result<&'a [u8], DropReason> {
        let EnvelopeConfig { label, skip_inbound_label_check: skip, keyring, verify_incoming, .. } = &self.config;
        let sealed = label.open(datagram, *skip).ok_or(DropReason::Label)?;
        let opened = if keyring.is_empty() {
            sealed
        } else if crypt::open(keyring, label.name(), sealed, &mut buffers.opened) {
            &buffers.opened
        } else if *verify_incoming {
            return Err(refusal(sealed));
        } else {
            sealed
        };
        let message = checksum::open(opened).ok_or(DropReason::Checksum)?;
        if message.first() != Some(&compress::TYPE) {
            return Ok(message);
        }
        inflate(message, &mut buffers.inflated, &mut buffers.table)
    }

    /// Whether a datagram that could not be read looks as if it were encrypted, while we have no key. The bytes of the two
    /// encryption versions are also those of HashiCorp's pings, which are shorter.
    pub(crate) fn may_be_encrypted(&self, datagram: &[u8]) -> bool {
        let EnvelopeConfig { label, skip_inbound_label_check: skip, keyring, .. } = &self.config;
        let sealed = label.open(datagram, *skip).unwrap_or(datagram);
        keyring.is_empty() && sealed.len() > crypt::OVERHEAD_BYTES && sealed.first().is_some_and(|first| *first <= 1)
    }

    /// The datagram of `frames`, which lie in the buffers, with the layers around them. It is never longer than what the
    /// [`Packer`] was made for.
    pub fn seal(&mut self, frames: Packed, caps: Caps, buffers: &mut PacketBuffers) -> Bytes {
        let mut table = [0; compound::TABLE_BYTES_MAX];
        let table_len = compound::header(&buffers.lengths, &mut table);
        let table = &table[..table_len];
        let compressed = if self.config.compression { pack(table, frames.bytes, buffers) } else { None };
        let inner = table_len + frames.bytes;
        let len = self.config.overhead_bytes() + checksum::BYTES + inner;
        let Self { config, nonces } = self;
        buffers.datagram(len, |datagram, buffers| {
            let parts = match compressed {
                Some(start) => [&buffers.inflated[start..], &[][..]],
                None => [table, &buffers.packet[..frames.bytes]],
            };
            datagram.extend_from_slice(config.label.header());
            let cipher = if config.verify_outgoing { config.keyring.primary() } else { None };
            let nonce = cipher.map(|_| nonces.bytes());
            let header = nonce.map(|nonce| crypt::header(&nonce));
            datagram.extend_from_slice(header.as_ref().map_or(&[], |header| &header[..]));
            let text = datagram.len();
            if caps.checksum {
                datagram.extend_from_slice(&checksum::compute(&parts));
            }
            datagram.extend_from_slice(parts[0]);
            datagram.extend_from_slice(parts[1]);
            if let (Some(cipher), Some(nonce)) = (cipher, nonce) {
                let tag = cipher.encrypt(&nonce, config.label.name(), &mut datagram[text..]);
                datagram.extend_from_slice(&tag);
            }
        })
    }

    /// A packer for datagrams of up to `packet_bytes`, all layers included.
    pub fn packer<'a>(&self, buffers: &'a mut PacketBuffers, packet_bytes: u32) -> Packer<'a> {
        let overhead = u32::try_from(self.config.overhead_bytes()).unwrap_or(u32::MAX);
        Packer::new(buffers, packet_bytes.saturating_sub(overhead))
    }

    /// How many bytes the layers around the frames of a packet take at the most, the checksum apart.
    pub fn overhead_bytes(&self) -> usize {
        self.config.overhead_bytes()
    }

    /// The keys in use, to change them.
    pub const fn keyring_mut(&mut self) -> &mut Keyring {
        &mut self.config.keyring
    }

    /// The keys in use.
    pub const fn keyring(&self) -> &Keyring {
        &self.config.keyring
    }
}

/// Why something is refused that no key opens: it can be told from its first byte whether it was meant to be encrypted. The bytes
/// of the two encryption versions are also those of HashiCorp's pings, which count as encrypted with another key.
fn refusal(sealed: &[u8]) -> DropReason {
    if sealed.first().is_some_and(|first| *first > 1) { DropReason::Unencrypted } else { DropReason::Key }
}

/// Compresses a compound's table and the frames, and says where the result begins in the buffer for it; `None` if it is not shorter.
fn pack(table: &[u8], frames: usize, buffers: &mut PacketBuffers) -> Option<usize> {
    let PacketBuffers { packet, inflated, table: strings, .. } = buffers;
    compress::pack([table, &packet[..frames]], strings, inflated)
}

/// Inflates a message, which may have no more bytes than a packet that was never compressed. HashiCorp's nodes inflate what comes
/// of it again, but send nothing that is compressed twice.
fn inflate<'a>(message: &[u8], out: &'a mut Vec<u8>, table: &mut Vec<u32>) -> Result<&'a [u8], DropReason> {
    out.clear();
    compress::unpack(message, PACKET_INFLATED_BYTES_MAX, table, out).map_err(|_| DropReason::Inflate)?;
    if out[0] == compress::TYPE { Err(DropReason::Inflate) } else { Ok(out) }
}

/// Takes the checksum off a datagram that has no other layer around its frames.
///
/// # Errors
///
/// When the checksum does not match.
pub fn open(datagram: &[u8]) -> Result<&[u8], DropReason> {
    checksum::open(datagram).ok_or(DropReason::Checksum)
}

/// The frames in `message`: itself, or if it is a compound its parts.
///
/// # Errors
///
/// When it is empty, or a compound whose table is cut short.
pub fn split(message: &[u8]) -> Result<Parts<'_>, DropReason> {
    compound::split(message).ok_or(DropReason::Compound)
}

/// Whether a frame is a compound. None in a compound is: HashiCorp's nodes take such stacks apart, but make none, and each layer
/// would multiply what one packet asks of us.
pub(crate) fn is_compound(frame: &[u8]) -> bool {
    compound::is_compound(frame)
}

/// The datagram of `frames`, which lie in the buffers, with a checksum around them at the most.
pub fn seal(frames: Packed, caps: Caps, buffers: &mut PacketBuffers) -> Bytes {
    Envelope::new(EnvelopeConfig::default(), &Seed::from_u64(0)).seal(frames, caps, buffers)
}

/// Frames that [`Packer`] has gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    bytes: usize,
}

impl Packed {
    /// How many bytes the frames have.
    pub(crate) const fn bytes(self) -> usize {
        self.bytes
    }

    /// The frames, which lie in the buffers.
    pub(crate) fn frames<'a>(&self, buffers: &'a PacketBuffers) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let PacketBuffers { packet, lengths, .. } = buffers;
        let mut rest = &packet[..self.bytes];
        lengths.iter().map_while(move |&length| {
            let (frame, tail) = rest.split_at_checked(usize::from(length))?;
            rest = tail;
            Some(frame)
        })
    }
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
    /// Packs up to `packet_bytes` in all, checksum and compound included.
    pub fn new(buffers: &'a mut PacketBuffers, packet_bytes: u32) -> Self {
        let PacketBuffers { packet, lengths, .. } = buffers;
        lengths.clear();
        let layers = checksum::BYTES + compound::HEADER_BYTES;
        Self { buf: packet, lengths, used: 0, budget: (packet_bytes as usize).saturating_sub(layers) }
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

/// The RNG stream that nonces are drawn from; the others are named in `core::Rngs`.
const NONCE_STREAM: u64 = 7;

#[cfg(test)]
mod tests;
