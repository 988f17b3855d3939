//! The layers on streams (`rawSendMsgStream`, `readStream` in memberlist's net.go): the side that opened the stream writes its
//! label first; then each side writes one unit. An encrypted unit is type byte 10, the length of what follows in four bytes, and
//! then the same as in a packet; those five bytes and the label are authenticated with it.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::compress::{self, Scan};
use super::{Envelope, crypt};
use crate::limits::{LABEL_BYTES_MAX, STREAM_INFLATED_BYTES_MAX, STREAM_MESSAGE_BYTES_MAX};
use crate::stats::DropReason;

/// Which way a unit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the side that opened the stream: it begins with the label.
    Request,
    /// Back.
    Reply,
}

/// What is known of a unit that comes in pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Where the unit begins, when the label has come.
    start: Option<usize>,
    /// How far a compressed message has been looked through.
    scan: Option<Scan>,
}

/// What begins a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A message without layers begins here; who knows messages knows where it ends.
    Message(usize),
    /// A whole record lies here, encrypted, compressed or both: see [`Envelope::open_record`].
    Layered {
        /// Its type byte.
        start: usize,
        /// Behind its last byte.
        end: usize,
    },
}

impl Envelope {
    /// What `bytes`, all that has come so far, begin with; `Ok(None)` while too little has come to tell. `progress` is where it
    /// looked last, so that every byte is looked at once.
    pub(crate) fn record(
        &self,
        progress: &mut Progress,
        bytes: &[u8],
        direction: Direction,
    ) -> Result<Option<Record>, DropReason> {
        let start = match (progress.start, direction) {
            (Some(start), _) => start,
            (None, Direction::Reply) => 0,
            (None, Direction::Request) => {
                let label = self.config.label.stream(bytes, self.config.skip_inbound_label_check);
                let Some(start) = label.map_err(|()| DropReason::Label)? else { return Ok(None) };
                start
            }
        };
        progress.start = Some(start);
        let unit = &bytes[start..];
        match unit.first() {
            None => Ok(None),
            Some(&ENCRYPTED) => {
                let end = encrypted_end(unit)?.filter(|end| unit.len() >= *end);
                Ok(end.map(|end| Record::Layered { start, end: start + end }))
            }
            Some(_) if !self.config.keyring.is_empty() && self.config.verify_incoming => Err(DropReason::Unencrypted),
            Some(&compress::TYPE) => {
                let end = compress::end(&mut progress.scan, bytes, start, STREAM_MESSAGE_BYTES_MAX);
                let end = end.map_err(|_| DropReason::Inflate)?;
                Ok(end.map(|end| Record::Layered { start, end }))
            }
            Some(_) => Ok(Some(Record::Message(start))),
        }
    }

    /// Takes the layers off a whole record and returns the message in it. There is at most one of each kind.
    pub(crate) fn open_record(&self, record: &[u8]) -> Result<Vec<u8>, DropReason> {
        let mut message = Cow::Borrowed(record);
        if let Some((header, sealed)) = record.split_first_chunk::<HEADER_BYTES>()
            && header[0] == ENCRYPTED
        {
            if self.config.keyring.is_empty() {
                return Err(DropReason::Key);
            }
            let mut text = Vec::new();
            let (associated, len) = associated(*header, self.config.label.name());
            if !crypt::open(&self.config.keyring, &associated[..len], sealed, &mut text) {
                return Err(DropReason::Key);
            }
            message = Cow::Owned(text);
        }
        if message.first() == Some(&compress::TYPE) {
            let mut inflated = Vec::new();
            compress::unpack(&message, STREAM_INFLATED_BYTES_MAX, &mut Vec::new(), &mut inflated)
                .map_err(|_| DropReason::Inflate)?;
            message = Cow::Owned(inflated);
        }
        match message.first() {
            None | Some(&(ENCRYPTED | compress::TYPE)) => Err(DropReason::Malformed),
            Some(_) => Ok(message.into_owned()),
        }
    }

    /// Puts the layers around a message; `None` when it would be too long for a peer to accept.
    pub(crate) fn seal_record(&mut self, message: Vec<u8>, direction: Direction) -> Option<Vec<u8>> {
        let label = match direction {
            Direction::Request => self.config.label.header(),
            Direction::Reply => &[],
        };
        let cipher = if self.config.verify_outgoing { self.config.keyring.primary() } else { None };
        if label.is_empty() && cipher.is_none() && !self.config.compression {
            return Some(message);
        }
        let mut packed = Vec::new();
        let parts = [&message[..], &[]];
        let compressed =
            if self.config.compression { compress::pack(parts, &mut Vec::new(), &mut packed) } else { None };
        let text = compressed.map_or(&message[..], |start| &packed[start..]);
        let mut out = Vec::with_capacity(label.len() + HEADER_BYTES + crypt::OVERHEAD_BYTES + text.len());
        out.extend_from_slice(label);
        let Some(cipher) = cipher else {
            out.extend_from_slice(text);
            return Some(out);
        };
        let sealed_len = crypt::OVERHEAD_BYTES + text.len();
        if sealed_len > STREAM_MESSAGE_BYTES_MAX {
            return None;
        }
        let [a, b, c, d] = u32::try_from(sealed_len).ok()?.to_be_bytes();
        let header = [ENCRYPTED, a, b, c, d];
        let nonce = self.nonces.bytes();
        out.extend_from_slice(&header);
        out.extend_from_slice(&crypt::header(&nonce));
        let start = out.len();
        out.extend_from_slice(text);
        let (associated, len) = associated(header, self.config.label.name());
        let tag = cipher.encrypt(&nonce, &associated[..len], &mut out[start..]);
        out.extend_from_slice(&tag);
        Some(out)
    }
}

/// How long an encrypted record is; `Ok(None)` while its header has not come.
fn encrypted_end(unit: &[u8]) -> Result<Option<usize>, DropReason> {
    let Some([_, len @ ..]) = unit.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let len = u32::from_be_bytes(*len) as usize;
    // An empty plaintext crashes HashiCorp's nodes, and nobody sends one.
    let is_possible = (crypt::OVERHEAD_BYTES + 1..=STREAM_MESSAGE_BYTES_MAX).contains(&len);
    if is_possible { Ok(Some(HEADER_BYTES + len)) } else { Err(DropReason::Malformed) }
}

/// What is authenticated besides the message: the record's header and the label.
fn associated(header: [u8; HEADER_BYTES], label: &[u8]) -> ([u8; HEADER_BYTES + LABEL_BYTES_MAX], usize) {
    let mut bytes = [0; HEADER_BYTES + LABEL_BYTES_MAX];
    let len = HEADER_BYTES + label.len();
    bytes[..HEADER_BYTES].copy_from_slice(&header);
    bytes[HEADER_BYTES..len].copy_from_slice(label);
    (bytes, len)
}

/// The type byte of an encrypted record.
const ENCRYPTED: u8 = 10;

/// Type byte and length.
const HEADER_BYTES: usize = 5;
