//! Packet and stream layers: seals frames into datagrams, opens datagrams into frames. The only module that knows the
//! order of the layers.
//!
//! ```text
//! datagram = label? ( encryption? ( checksum? ( compression? ( compound | frame ))))
//! request  = label? unit        reply = unit
//! unit     = message | compressed message | encryption ( message | compressed message )
//! ```
//!
//! Does not decode messages, except the wrapper of compressed data.

mod buffers;
mod checksum;
mod compound;
mod compress;
mod crypt;
mod keyring;
mod label;
#[cfg(feature = "compression")]
mod lzw;
mod record;

use alloc::vec::Vec;

use bytes::Bytes;

pub use self::buffers::PacketBuffers;
pub use self::compound::Parts;
pub use self::keyring::{Keyring, KeyringError};
pub use self::label::Label;
pub(crate) use self::record::{Direction, Progress, Record};
use crate::fingerprint::Fingerprint;
use crate::limits::PACKET_INFLATED_BYTES_MAX;
use crate::rng::{Rng, Seed};
use crate::sink::{Full, Writer};
use crate::stats::DropReason;

/// Optional layers that a destination supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Whether the destination verifies checksums.
    pub checksum: bool,
}

/// Layers that a node adds and requires.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvelopeConfig {
    /// The cluster's label. Packets and streams with another label are dropped.
    pub label: Label,
    /// A proxy removes the label of inbound data; a label that is still present is an error.
    pub skip_inbound_label_check: bool,
    /// The initial keyring. Empty: no encryption.
    pub keyring: Keyring,
    /// Drop inbound plaintext. Disable only while encryption is rolled out to a running cluster.
    pub verify_incoming: bool,
    /// Encrypt outbound data. Disable only while encryption is rolled out to a running cluster.
    pub verify_outgoing: bool,
    /// Compress outbound data if that makes it shorter.
    pub compression: bool,
}

impl EnvelopeConfig {
    /// Bytes of a packet used by label and encryption.
    pub fn overhead_bytes(&self) -> usize {
        let encrypts = self.verify_outgoing && !self.keyring.is_empty();
        self.label.header().len() + if encrypts { crypt::OVERHEAD_BYTES } else { 0 }
    }
}

impl Default for EnvelopeConfig {
    /// All layers off, except the checksum.
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

/// The layers of a node, with the state of its nonces.
#[derive(Clone, Debug)]
pub struct Envelope {
    config: EnvelopeConfig,
    /// An RNG stream of its own, so that encryption does not shift the draws of others.
    nonces: Rng,
}

impl Envelope {
    /// Draws nonces from `seed`. A seed must not be used twice with the same keys: a repeated nonce breaks AES-GCM.
    pub fn new(config: EnvelopeConfig, seed: &Seed) -> Self {
        Self { config, nonces: Rng::stream(seed, NONCE_STREAM) }
    }

    /// Layers whose nonces continue a stream.
    pub(crate) const fn resume(config: EnvelopeConfig, nonces: Rng) -> Self {
        Self { config, nonces }
    }

    /// The stream of the nonces.
    pub(crate) fn into_nonces(self) -> Rng {
        self.nonces
    }

    /// Opens a datagram: removes the outer layers and returns one frame or a compound of frames. Decrypted or inflated
    /// bytes are in one of the `buffers`; without these layers nothing is copied.
    ///
    /// # Errors
    ///
    /// The layer that failed. Before authentication only the label, the version and the length of a packet are read.
    pub fn open<'a>(&self, datagram: &'a [u8], buffers: &'a mut PacketBuffers) -> Result<&'a [u8], DropReason> {
        let EnvelopeConfig { label, skip_inbound_label_check: skip, keyring, verify_incoming, .. } = &self.config;
        // The label first: it is the associated data of the encryption, and the cheapest check.
        let sealed = label.open(datagram, *skip).ok_or(DropReason::Label)?;
        let opened = if keyring.is_empty() {
            sealed
        } else if crypt::open(keyring, label.name(), sealed, &mut buffers.opened) {
            &buffers.opened
        } else if *verify_incoming {
            return Err(refusal(sealed));
        } else {
            // Plaintext is accepted while encryption is rolled out (`verify_incoming` off).
            sealed
        };
        // The checksum is inside the encryption, as in memberlist's `rawSendMsgPacket`.
        let message = checksum::open(opened).ok_or(DropReason::Checksum)?;
        if message.first() != Some(&compress::TYPE) {
            return Ok(message);
        }
        inflate(message, &mut buffers.inflated, &mut buffers.table)
    }

    /// Whether an unreadable datagram looks encrypted while this node has no key. The version bytes 0 and 1 are also
    /// HashiCorp's ping types, hence the check of the length.
    pub(crate) fn may_be_encrypted(&self, datagram: &[u8]) -> bool {
        let EnvelopeConfig { label, skip_inbound_label_check: skip, keyring, .. } = &self.config;
        let sealed = label.open(datagram, *skip).unwrap_or(datagram);
        keyring.is_empty() && sealed.len() > crypt::OVERHEAD_BYTES && sealed.first().is_some_and(|first| *first <= 1)
    }

    /// Seals frames, which are in the buffers, into a datagram. The result is at most as long as the [`Packer`]'s
    /// limit.
    pub fn seal(&mut self, frames: Packed, caps: Caps, buffers: &mut PacketBuffers) -> Bytes {
        let mut table = [0; compound::TABLE_BYTES_MAX];
        let table_len = compound::header(&buffers.lengths, &mut table);
        let table = &table[..table_len];
        // Compress before encrypting: ciphertext does not compress.
        let compressed = if self.config.compression { pack(table, frames.bytes, buffers) } else { None };
        let inner = table_len + frames.bytes;
        let len = self.config.overhead_bytes() + checksum::BYTES + inner;
        let Self { config, nonces } = self;
        buffers.datagram(len, |datagram, buffers| {
            let parts = match compressed {
                // Compressed data replaces the table and the frames; otherwise both are copied.
                Some(start) => [&buffers.inflated[start..], &[][..]],
                None => [table, &buffers.packet[..frames.bytes]],
            };
            datagram.extend_from_slice(config.label.header());
            let cipher = if config.verify_outgoing { config.keyring.primary() } else { None };
            let nonce = cipher.map(|_| nonces.bytes());
            let header = nonce.map(|nonce| crypt::header(&nonce));
            datagram.extend_from_slice(header.as_ref().map_or(&[], |header| &header[..]));
            // The checksum is computed over what follows it, and is encrypted with it.
            let text = datagram.len();
            if caps.checksum {
                datagram.extend_from_slice(&checksum::compute(&parts));
            }
            datagram.extend_from_slice(parts[0]);
            datagram.extend_from_slice(parts[1]);
            // In place, over everything after the header. The label is authenticated, not encrypted.
            if let (Some(cipher), Some(nonce)) = (cipher, nonce) {
                let tag = cipher.encrypt(&nonce, config.label.name(), &mut datagram[text..]);
                datagram.extend_from_slice(&tag);
            }
        })
    }

    /// A packer for datagrams of up to `packet_bytes`, including all layers.
    pub fn packer<'a>(&self, buffers: &'a mut PacketBuffers, packet_bytes: u32) -> Packer<'a> {
        let overhead = u32::try_from(self.config.overhead_bytes()).unwrap_or(u32::MAX);
        Packer::new(buffers, packet_bytes.saturating_sub(overhead))
    }

    /// Maximum overhead of the layers around a packet's frames, in bytes, without the checksum.
    pub fn overhead_bytes(&self) -> usize {
        self.config.overhead_bytes()
    }

    /// The keyring, for changes.
    pub const fn keyring_mut(&mut self) -> &mut Keyring {
        &mut self.config.keyring
    }

    /// The keyring.
    pub const fn keyring(&self) -> &Keyring {
        &self.config.keyring
    }

    /// Feeds the keys, which change while a node runs. The other layers are configuration.
    pub(crate) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        self.config.keyring.keys().for_each(|key| to.put(key.as_bytes()));
    }
}

/// Why a datagram that no key opens is dropped: plaintext, or another key. Its first byte decides. HashiCorp's pings
/// start with the bytes of the encryption versions, so they count as encrypted with another key.
fn refusal(sealed: &[u8]) -> DropReason {
    if sealed.first().is_some_and(|first| *first > 1) { DropReason::Unencrypted } else { DropReason::Key }
}

/// Compresses a compound's table and frames. Returns the start of the result in its buffer; `None` if it is not
/// shorter.
fn pack(table: &[u8], frames: usize, buffers: &mut PacketBuffers) -> Option<usize> {
    let PacketBuffers { packet, inflated, table: strings, .. } = buffers;
    compress::pack([table, &packet[..frames]], strings, inflated)
}

/// Inflates a message to at most the size of an uncompressed packet. Nested compression is an error. HashiCorp's nodes
/// accept it, but never send it.
fn inflate<'a>(message: &[u8], out: &'a mut Vec<u8>, table: &mut Vec<u32>) -> Result<&'a [u8], DropReason> {
    out.clear();
    compress::unpack(message, PACKET_INFLATED_BYTES_MAX, table, out).map_err(|_| DropReason::Inflate)?;
    if out[0] == compress::TYPE { Err(DropReason::Inflate) } else { Ok(out) }
}

/// Removes the checksum of a datagram that has no other layer.
///
/// # Errors
///
/// If the checksum does not match.
pub fn open(datagram: &[u8]) -> Result<&[u8], DropReason> {
    checksum::open(datagram).ok_or(DropReason::Checksum)
}

/// Splits a message into its frames: itself, or the parts of a compound.
///
/// # Errors
///
/// If it is empty, or a compound with a truncated table.
pub fn split(message: &[u8]) -> Result<Parts<'_>, DropReason> {
    compound::split(message).ok_or(DropReason::Compound)
}

/// Whether a frame is a compound, which is not allowed within a compound. HashiCorp's nodes accept nesting but never
/// send it; each level would multiply the work that one packet can cause.
pub(crate) fn is_compound(frame: &[u8]) -> bool {
    compound::is_compound(frame)
}

/// Seals frames, which are in the buffers, into a datagram with at most a checksum.
pub fn seal(frames: Packed, caps: Caps, buffers: &mut PacketBuffers) -> Bytes {
    Envelope::new(EnvelopeConfig::default(), &Seed::from_u64(0)).seal(frames, caps, buffers)
}

/// The frames of a finished [`Packer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    bytes: usize,
}

impl Packed {
    /// Total size of the frames, in bytes.
    pub(crate) const fn bytes(self) -> usize {
        self.bytes
    }

    /// The frames, read from the buffers.
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

/// Collects frames for one packet, up to its size limit.
#[derive(Debug)]
pub struct Packer<'a> {
    buf: &'a mut [u8],
    lengths: &'a mut Vec<u16>,
    used: usize,
    /// Remaining budget of the packet, for frames and two bytes of length each.
    budget: usize,
}

impl<'a> Packer<'a> {
    /// A packer for `packet_bytes` in total, including checksum and compound header.
    pub fn new(buffers: &'a mut PacketBuffers, packet_bytes: u32) -> Self {
        let PacketBuffers { packet, lengths, .. } = buffers;
        lengths.clear();
        let layers = checksum::BYTES + compound::HEADER_BYTES;
        Self { buf: packet, lengths, used: 0, budget: (packet_bytes as usize).saturating_sub(layers) }
    }

    /// Encodes a frame into the packet; no effect if it does not fit.
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

    /// Copies a frame into the packet; no effect if it does not fit.
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

    /// Adds a frame that consists of `head` and `tail`; no effect if it does not fit.
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

    /// Maximum size of the next frame, in bytes.
    pub fn room(&self) -> usize {
        if self.lengths.len() == crate::limits::COMPOUND_PARTS_MAX {
            return 0;
        }
        // The length field of the next frame counts too.
        let overhead = (self.lengths.len() + 1) * compound::LENGTH_BYTES;
        self.budget.saturating_sub(self.used + overhead)
    }

    /// Whether the packet has no frame.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Ends packing.
    pub fn finish(self) -> Packed {
        Packed { bytes: self.used }
    }
}

/// RNG stream of the nonces. The other stream numbers are in `core::Rngs`.
const NONCE_STREAM: u64 = 7;

#[cfg(test)]
mod tests;
