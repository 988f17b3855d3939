//! Message reader: finds the end of a message in a byte stream of arbitrary chunks.
//!
//! A message that arrives in one chunk without layers is borrowed. Otherwise chunks are buffered, and each byte is
//! examined once. The buffer is limited, and a record with layers is not parsed before it is complete.

use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;
use core::mem;

use serde::{Deserialize, Serialize};

use super::framing::Framing;
use crate::envelope::{Direction, Envelope, Progress, Record};
use crate::limits::{STREAM_MESSAGE_BYTES_MAX, STREAMS_UNFINISHED_BYTES_MAX};
use crate::stats::DropReason;
use crate::wire::Codec;
use crate::wire::native::{NATIVE, STREAM_HEADER_BYTES};

/// A complete message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit<'a> {
    pub(crate) kind: u8,
    /// Borrowed if the message arrived in one chunk without layers.
    message: Cow<'a, [u8]>,
    start: usize,
    /// Range of the body within `message`.
    body: (usize, usize),
}

impl<'a> Unit<'a> {
    pub(crate) const fn codec(&self) -> Codec {
        Codec::of(self.kind)
    }

    /// Whether the message is of this type, in either codec.
    pub(crate) fn is(&self, kind: u8) -> bool {
        self.kind & !NATIVE == kind
    }

    /// The message in `bytes[start..end]`, whose header has `header` bytes.
    pub(super) fn new(bytes: Cow<'a, [u8]>, start: usize, header: usize, end: usize) -> Self {
        Self { kind: bytes[start], message: bytes, start, body: (start + header, end) }
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.message[self.body.0..self.body.1]
    }

    /// The whole message, with its header.
    pub(crate) fn message(&self) -> &[u8] {
        &self.message[self.start..self.body.1]
    }
}

/// The reader's buffer and parse state.
///
/// A checkpoint has only the number of buffered bytes: replayed input is [opened](Reader::push_opened).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(into = "usize", from = "usize")]
pub(crate) struct Reader {
    buf: Vec<u8>,
    progress: Progress,
    framing: Framing,
}

impl From<Reader> for usize {
    fn from(reader: Reader) -> Self {
        reader.held_bytes()
    }
}

impl From<usize> for Reader {
    fn from(held_bytes: usize) -> Self {
        // A damaged number must not cost more memory than a peer can.
        let held_bytes = held_bytes.min(STREAMS_UNFINISHED_BYTES_MAX);
        Self { buf: vec![0; held_bytes], ..Self::default() }
    }
}

/// A complete message or record in the received bytes.
enum Found {
    Message { start: usize, end: usize },
    Layered { start: usize, end: usize },
}

impl Reader {
    /// Bytes buffered for an incomplete message.
    pub(crate) const fn held_bytes(&self) -> usize {
        self.buf.len()
    }

    /// Consumes a chunk. Bytes after the first complete message are ignored: each direction carries one.
    pub(crate) fn push<'a>(
        &mut self,
        data: &'a [u8],
        direction: Direction,
        envelope: &Envelope,
    ) -> Result<Option<Unit<'a>>, DropReason> {
        // A first chunk is not copied before it is known to be incomplete.
        if !self.buf.is_empty() {
            self.buf.extend_from_slice(data);
        }
        let bytes = if self.buf.is_empty() { data } else { &self.buf };
        let Some(found) = find(&mut self.progress, &mut self.framing, bytes, direction, envelope)? else {
            if self.buf.is_empty() {
                self.buf.extend_from_slice(data);
            }
            return Ok(None);
        };
        match found {
            Found::Message { start, end } if self.buf.is_empty() => {
                Ok(Some(self.framing.unit(Cow::Borrowed(data), start, end)))
            }
            Found::Message { start, end } => {
                Ok(Some(self.framing.unit(Cow::Owned(mem::take(&mut self.buf)), start, end)))
            }
            Found::Layered { start, end } => {
                let message = envelope.open_record(&bytes[start..end])?;
                // Free the record's buffer now; the message may be much larger.
                self.buf = Vec::new();
                whole(Cow::Owned(message)).map(Some)
            }
        }
    }

    /// Consumes a chunk of `bytes` bytes of which only the result of [`push`](Self::push) is known.
    pub(crate) fn push_opened<'a>(
        &mut self,
        bytes: usize,
        opened: Result<Option<&'a [u8]>, DropReason>,
    ) -> Result<Option<Unit<'a>>, DropReason> {
        match opened {
            Ok(Some(message)) => {
                self.buf = Vec::new();
                whole(Cow::Borrowed(message)).map(Some)
            }
            Ok(None) => {
                self.buf.resize(self.buf.len() + bytes, 0);
                Ok(None)
            }
            Err(reason) => Err(reason),
        }
    }
}

/// The message that fills `message`.
fn whole(message: Cow<'_, [u8]>) -> Result<Unit<'_>, DropReason> {
    let mut framing = Framing::default();
    let end = framing.end(&message)?.filter(|end| *end <= message.len()).ok_or(DropReason::Malformed)?;
    Ok(framing.unit(message, 0, end))
}

/// Finds a complete message in `bytes`; `Ok(None)` if more bytes are needed.
fn find(
    progress: &mut Progress,
    framing: &mut Framing,
    bytes: &[u8],
    direction: Direction,
    envelope: &Envelope,
) -> Result<Option<Found>, DropReason> {
    match envelope.record(progress, bytes, direction)? {
        None => Ok(None),
        Some(Record::Layered { start, end }) => Ok(Some(Found::Layered { start, end })),
        Some(Record::Message(start)) => {
            let end = framing.end(&bytes[start..])?.map(|end| start + end).filter(|end| *end <= bytes.len());
            Ok(end.map(|end| Found::Message { start, end }))
        }
    }
}

/// Encodes a message of type `kind`, whose body `write` appends. `None` if it exceeds what a peer accepts.
pub(crate) fn frame(kind: u8, room: usize, write: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(STREAM_HEADER_BYTES + room);
    // A placeholder for the length, which is known only after `write`.
    message.extend_from_slice(&[kind, 0, 0, 0, 0]);
    write(&mut message);
    let len = message.len() - STREAM_HEADER_BYTES;
    if len > STREAM_MESSAGE_BYTES_MAX {
        return None;
    }
    let len = u32::try_from(len).ok()?;
    message[1..STREAM_HEADER_BYTES].copy_from_slice(&len.to_be_bytes());
    Some(message)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::envelope::{EnvelopeConfig, Keyring, Label};
    use crate::limits::STREAM_INFLATED_FREE_BYTES;
    use crate::rng::Seed;
    use crate::types::Key;

    impl Reader {
        pub(in crate::stream) fn capacity_bytes(&self) -> usize {
            self.buf.capacity()
        }
    }

    fn envelope(key: Option<u8>, label: &str, compression: bool) -> Envelope {
        let keyring = Keyring::new(key.map(|byte| Key::new(&[byte; 16]).unwrap())).unwrap();
        let label = Label::parse(label).unwrap();
        Envelope::new(EnvelopeConfig { label, keyring, compression, ..EnvelopeConfig::default() }, &Seed::from_u64(1))
    }

    fn plain() -> Envelope {
        envelope(None, "", false)
    }

    fn message(body: &[u8]) -> Vec<u8> {
        frame(0x46, 0, |out| out.extend_from_slice(body)).unwrap()
    }

    fn read(bytes: &[u8], direction: Direction, envelope: &Envelope) -> Result<Option<Vec<u8>>, DropReason> {
        let unit = Reader::default().push(bytes, direction, envelope)?;
        Ok(unit.map(|unit| unit.body().to_vec()))
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_anything_is_kept() {
        for bytes in [&[0x46, 0xff, 0xff, 0xff, 0xff][..], &[10, 0x01, 0x40, 0, 1], &[10, 0, 0, 0, 29]] {
            let mut reader = Reader::default();
            assert_eq!(reader.push(bytes, Direction::Request, &plain()), Err(DropReason::Malformed));
            assert_eq!(reader.buf.capacity(), 0);
        }
        let compressed = b"\x09\x82\xa4Algo\x00\xa3Buf\xdb\x7f\xff\xff\xff";
        assert_eq!(read(compressed, Direction::Request, &plain()), Err(DropReason::Inflate));
    }

    #[test]
    fn a_first_byte_that_begins_no_message_is_refused_at_once() {
        assert_eq!(read(b"\x16\x03\x01", Direction::Request, &plain()), Err(DropReason::Malformed), "TLS");
        assert_eq!(read(b"GET / HTTP/1.1", Direction::Reply, &plain()), Err(DropReason::Malformed));
    }

    #[test]
    fn the_label_is_demanded_of_requests_and_refused_in_replies() {
        let mut ours = envelope(None, "dc1", false);
        let request = ours.seal_record(message(b"hello"), Direction::Request).unwrap();
        assert!(request.starts_with(b"\xf4\x03dc1"));
        assert_eq!(read(&request, Direction::Request, &ours), Ok(Some(b"hello".to_vec())));
        assert_eq!(read(&request, Direction::Reply, &ours), Err(DropReason::Malformed));
        for other in [plain(), envelope(None, "dc2", false)] {
            assert_eq!(read(&request, Direction::Request, &other), Err(DropReason::Label));
        }
        let reply = ours.seal_record(message(b"hello"), Direction::Reply).unwrap();
        assert_eq!(reply, message(b"hello"));
        assert_eq!(read(&reply, Direction::Request, &ours), Err(DropReason::Label));
        assert_eq!(read(&reply, Direction::Reply, &ours), Ok(Some(b"hello".to_vec())));
    }

    #[test]
    fn a_label_is_authenticated_in_both_directions() {
        for direction in [Direction::Request, Direction::Reply] {
            let mut ours = envelope(Some(1), "dc1", false);
            let sealed = ours.seal_record(message(b"hello"), direction).unwrap();
            assert_eq!(read(&sealed, direction, &ours), Ok(Some(b"hello".to_vec())));
            let relabelled = match direction {
                Direction::Request => [b"\xf4\x03dc2", &sealed[5..]].concat(),
                Direction::Reply => sealed,
            };
            assert_eq!(read(&relabelled, direction, &envelope(Some(1), "dc2", false)), Err(DropReason::Key));
        }
    }

    #[test]
    fn what_is_not_encrypted_is_refused_at_its_first_byte_when_encryption_is_demanded() {
        let ours = envelope(Some(1), "", false);
        for first in [0x46, 9, 0, 6] {
            assert_eq!(read(&[first], Direction::Request, &ours), Err(DropReason::Unencrypted));
        }
        let lenient =
            EnvelopeConfig { keyring: ours.keyring().clone(), verify_incoming: false, ..EnvelopeConfig::default() };
        let lenient = Envelope::new(lenient, &Seed::from_u64(1));
        assert_eq!(read(&message(b"hello"), Direction::Request, &lenient), Ok(Some(b"hello".to_vec())));
    }

    #[test]
    fn an_encrypted_record_for_a_node_without_keys_or_with_others_is_refused() {
        let sealed = envelope(Some(1), "", false).seal_record(message(b"hello"), Direction::Request).unwrap();
        assert_eq!(read(&sealed, Direction::Request, &plain()), Err(DropReason::Key));
        assert_eq!(read(&sealed, Direction::Request, &envelope(Some(2), "", false)), Err(DropReason::Key));
    }

    #[test]
    fn layers_of_one_kind_lie_not_inside_each_other() {
        let mut ours = envelope(Some(1), "", true);
        let once = ours.seal_record(message(&[7; 500]), Direction::Request).unwrap();
        let twice = ours.seal_record(once, Direction::Request).unwrap();
        assert_eq!(read(&twice, Direction::Request, &ours), Err(DropReason::Malformed));
        let mut squeezing = envelope(None, "", true);
        let mut once = squeezing.seal_record(message(&[7; 500]), Direction::Request).unwrap();
        // Bytes after the record are ignored; they make it compressible again.
        once.resize(1_000, 0);
        let twice = squeezing.seal_record(once.clone(), Direction::Request).unwrap();
        assert!(once[0] == 9 && twice[0] == 9 && twice.len() < once.len(), "{} {}", once.len(), twice.len());
        assert_eq!(read(&twice, Direction::Request, &squeezing), Err(DropReason::Malformed));
    }

    #[test]
    fn a_record_that_holds_less_than_a_message_is_refused() {
        let mut ours = envelope(Some(1), "", false);
        let sealed = ours.seal_record(vec![0x46, 0, 0, 0, 9, 1], Direction::Request).unwrap();
        assert_eq!(read(&sealed, Direction::Request, &ours), Err(DropReason::Malformed));
    }

    #[test]
    fn a_bomb_on_a_stream_is_refused() {
        let mut squeezing = envelope(None, "", true);
        let largest = message(&vec![0; STREAM_INFLATED_FREE_BYTES - 16]);
        let sealed = squeezing.seal_record(largest, Direction::Request).unwrap();
        assert!(sealed.len() < 10_000, "{}", sealed.len());
        assert!(read(&sealed, Direction::Request, &plain()).is_ok(), "as much as a short record may stand for");
        let bomb = message(&vec![0; STREAM_MESSAGE_BYTES_MAX - 16]);
        let sealed = squeezing.seal_record(bomb, Direction::Request).unwrap();
        assert!(sealed.len() < 30_000, "{}", sealed.len());
        assert_eq!(
            read(&sealed, Direction::Request, &plain()),
            Err(DropReason::Inflate),
            "though as much may come plain"
        );
    }

    proptest! {
        #[test]
        fn a_message_is_found_however_it_is_cut_and_whatever_is_around_it(
            body in prop::collection::vec(0_u8..4, 0..200),
            cuts in prop::collection::vec(1_usize..40, 1..50),
            key in prop::option::of(1_u8..3),
            label in prop_oneof![Just(""), Just("dc1")],
            compression: bool,
            is_request: bool,
        ) {
            let direction = if is_request { Direction::Request } else { Direction::Reply };
            let mut envelope = envelope(key, label, compression);
            let mut sealed = envelope.seal_record(message(&body), direction).unwrap();
            sealed.extend_from_slice(b"ignored");
            let mut reader = Reader::default();
            let mut rest = &sealed[..];
            let mut found = None;
            for cut in cuts.iter().cycle() {
                let (piece, tail) = rest.split_at((*cut).min(rest.len()));
                if let Some(unit) = reader.push(piece, direction, &envelope).unwrap() {
                    found = Some((unit.kind, unit.body().to_vec()));
                    break;
                }
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, Some((0x46, body)));
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error_or_the_beginning_of_one(
            bytes in prop::collection::vec(prop_oneof![Just(9_u8), Just(10), Just(0x46), Just(0xf4), any::<u8>()], 0..80),
            key in prop::option::of(1_u8..3),
        ) {
            for direction in [Direction::Request, Direction::Reply] {
                let _any = read(&bytes, direction, &envelope(key, "", false));
            }
        }
    }
}
