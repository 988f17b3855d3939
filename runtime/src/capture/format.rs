//! The format of a capture file: a line with its version, then records.

use core::time::Duration;

use serde::{Deserialize, Serialize};
use serf_proto::{Concealed, Input, Instant, Outputs};
use thiserror::Error;

/// Version of the format. The inputs and the state are those of one version of `serf-proto`, which [`Head::proto`] names.
pub const VERSION: u32 = 1;

/// The first line of a file.
const MAGIC: &[u8] = b"serf capture 1\n";

/// Bytes before the body of a record: its length and its CRC-32, both little-endian.
const FRAME_BYTES: usize = 8;

/// One record of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// The first record of every file, and of no other place.
    Head(Box<Head>),
    /// An input, recorded before the node handled it.
    Input {
        /// Time since the record before it, in nanoseconds.
        after_ns: u64,
        /// Whether a key was replaced in it.
        keys_concealed: bool,
        /// Whether a payload was replaced in it.
        payloads_concealed: bool,
        /// The input.
        input: Input,
    },
    /// Digest of the outputs of the input before it. Missing if there were none.
    Outputs(Outputs),
}

/// The beginning of a file: who recorded, when, and the state from which the inputs are replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Version of `serf-proto` that recorded.
    pub proto: String,
    /// The node's name.
    pub node: String,
    /// Random number of the node's process: files with another one are of another run.
    pub run: u64,
    /// Number of the file within its run, from 0.
    pub file: u32,
    /// Why the file was begun.
    pub trigger: Trigger,
    /// The node's time at the beginning.
    pub at: Instant,
    /// The host's clock at that time, in nanoseconds since 1970.
    pub unix_ns: u64,
    /// Whether payloads are recorded.
    pub payloads: bool,
    /// Whether the application has a policy, whose answers are not recorded.
    pub has_policy: bool,
    /// Whether a key was replaced in a message of the state.
    pub keys_concealed: bool,
    /// Whether a payload was replaced in the state.
    pub payloads_concealed: bool,
    /// The state, for [`Node::restore`](serf_proto::Node::restore).
    pub checkpoint: Vec<u8>,
}

/// Why a file was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// The node has started.
    Start,
    /// The capture was switched on while the node ran.
    SwitchedOn,
    /// The file before it was full. It continues that file without a gap.
    Full,
    /// Inputs were lost: the disk failed, or was slower than the inputs.
    Gap,
}

/// What follows a file's last complete record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Complete,
    /// An incomplete or damaged record: the process or the host stopped while it was written.
    Torn {
        /// Number of bytes that are not used.
        bytes: usize,
    },
}

/// Why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// It is no capture, or one of another format.
    #[error("not a capture of format {VERSION}")]
    NotACapture,
    /// The head is missing or damaged, so that nothing can be replayed.
    #[error("the head of the capture is missing or damaged")]
    NoHead,
}

/// An input with its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The node's time.
    pub at: Instant,
    /// What was replaced in it.
    pub concealed: Concealed,
    /// The input.
    pub input: Input,
    /// Digest of its outputs; `None` if there were none, or if the file ends before it.
    pub outputs: Option<Outputs>,
}

/// Reads a file. Iterates over its inputs; a damaged record ends the iteration.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    head: Head,
    rest: &'a [u8],
    now: Instant,
    /// A record that was read ahead.
    ahead: Option<Record>,
}

impl<'a> Reader<'a> {
    /// Reads the head of a file.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn new(bytes: &'a [u8]) -> Result<Self, CaptureError> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(CaptureError::NotACapture)?;
        let Some(Record::Head(head)) = take_record(&mut rest) else { return Err(CaptureError::NoHead) };
        Ok(Self { now: head.at, head: *head, rest, ahead: None })
    }

    /// The head.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// What follows the last input that was read. Meaningful when the iteration has ended.
    pub const fn tail(&self) -> Tail {
        if self.rest.is_empty() { Tail::Complete } else { Tail::Torn { bytes: self.rest.len() } }
    }

    fn take(&mut self) -> Option<Record> {
        self.ahead.take().or_else(|| take_record(&mut self.rest))
    }
}

impl Iterator for Reader<'_> {
    type Item = Recorded;

    fn next(&mut self) -> Option<Recorded> {
        // Terminates: each turn takes a record.
        loop {
            let Record::Input { after_ns, keys_concealed, payloads_concealed, input } = self.take()? else { continue };
            self.now = self.now + Duration::from_nanos(after_ns);
            let mut concealed = Concealed::default();
            (concealed.keys, concealed.payloads) = (keys_concealed, payloads_concealed);
            let outputs = match self.take() {
                Some(Record::Outputs(outputs)) => Some(outputs),
                other => {
                    self.ahead = other;
                    None
                }
            };
            return Some(Recorded { at: self.now, concealed, input, outputs });
        }
    }
}

/// Takes a complete record; `None` at the end, or if it is torn.
fn take_record(rest: &mut &[u8]) -> Option<Record> {
    let (frame, after) = rest.split_first_chunk::<FRAME_BYTES>()?;
    let [a, b, c, d, crc @ ..] = *frame;
    let (body, after) = after.split_at_checked(u32::from_le_bytes([a, b, c, d]) as usize)?;
    if crc32fast::hash(body) != u32::from_le_bytes(crc) {
        return None;
    }
    let record = postcard::from_bytes(body).ok()?;
    *rest = after;
    Some(record)
}

/// Appends a record. The first of a file follows [`begin_file`].
pub(super) fn put_record(out: &mut Vec<u8>, record: &Record) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_BYTES]);
    // Appended in place: most records are small, and there are thousands a second.
    match postcard::to_extend(record, core::mem::take(out)) {
        Ok(written) => *out = written,
        Err(error) => debug_assert!(false, "every record has a known length: {error}"),
    }
    let body = &out[start + FRAME_BYTES..];
    let crc = crc32fast::hash(body);
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 4..start + FRAME_BYTES].copy_from_slice(&crc.to_le_bytes());
}

/// Begins a file with its head.
pub(super) fn begin_file(out: &mut Vec<u8>, head: Head) {
    out.extend_from_slice(MAGIC);
    put_record(out, &Record::Head(Box::new(head)));
}

/// The name of the file of this number in the directory.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:08}.{EXTENSION}")
}

/// The number of a file in the directory.
pub(super) fn file_number(name: &str) -> Option<u64> {
    name.strip_suffix(EXTENSION)?.strip_suffix('.')?.parse().ok()
}

/// Whether a file in a directory belongs to a capture, by its name. The names of later files are greater.
pub fn is_capture_file(name: &str) -> bool {
    file_number(name).is_some()
}

const EXTENSION: &str = "capture";

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            proto: "0".into(),
            node: "a".into(),
            run: 7,
            file: 0,
            trigger: Trigger::Start,
            at: Instant::from_nanos(10),
            unix_ns: 1,
            payloads: true,
            has_policy: false,
            keys_concealed: false,
            payloads_concealed: false,
            checkpoint: vec![1, 2, 3],
        }
    }

    fn input(after_ns: u64) -> Record {
        Record::Input { after_ns, keys_concealed: false, payloads_concealed: false, input: Input::Timeout }
    }

    fn file() -> Vec<u8> {
        let mut bytes = Vec::new();
        begin_file(&mut bytes, head());
        put_record(&mut bytes, &input(5));
        put_record(&mut bytes, &Record::Outputs(Outputs::default()));
        put_record(&mut bytes, &input(6));
        bytes
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let bytes = file();
        let mut reader = Reader::new(&bytes).unwrap();
        assert_eq!(reader.head(), &head());
        let times: Vec<_> = reader.by_ref().map(|it| (it.at.as_nanos(), it.outputs.is_some())).collect();
        assert_eq!(times, [(15, true), (21, false)]);
        assert_eq!(reader.tail(), Tail::Complete);
    }

    #[test]
    fn a_torn_tail_costs_its_record_only_wherever_it_is_cut() {
        let whole = file();
        let mut first = Vec::new();
        begin_file(&mut first, head());
        let head_len = first.len();
        let mut counts = Vec::new();
        for len in 0..whole.len() {
            match Reader::new(&whole[..len]) {
                Err(error) if len < MAGIC.len() => assert_eq!(error, CaptureError::NotACapture),
                Err(error) => assert!(len < head_len && error == CaptureError::NoHead, "{len}: {error}"),
                Ok(mut reader) => counts.push(reader.by_ref().count()),
            }
        }
        assert_eq!((counts.first(), counts.last()), (Some(&0), Some(&1)));
        assert!(counts.is_sorted(), "a longer file has no fewer inputs");
    }

    #[test]
    fn a_changed_byte_ends_the_file_before_its_record() {
        let mut bytes = file();
        *bytes.last_mut().unwrap() ^= 1;
        let mut reader = Reader::new(&bytes).unwrap();
        assert_eq!(reader.by_ref().count(), 1);
        assert!(matches!(reader.tail(), Tail::Torn { bytes: 1.. }));
    }

    #[test]
    fn files_are_named_so_that_later_ones_sort_last() {
        assert_eq!((file_name(7).as_str(), file_number("00000007.capture")), ("00000007.capture", Some(7)));
        assert!(is_capture_file("123456789.capture") && !is_capture_file("lock") && !is_capture_file("x.capture"));
    }
}
