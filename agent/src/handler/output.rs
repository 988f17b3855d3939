//! The output of a script.

use std::collections::VecDeque;

/// The last 8192 bytes of a script's output, standard output and error mixed (`circbuf` in `invoke.go`). Ours: for a query
/// whose requester fetches large answers, as many bytes as the answer may have, if that is more.
#[derive(Clone, Debug)]
pub struct OutputTail {
    kept: VecDeque<u8>,
    bytes_max: usize,
    bytes: u64,
}

impl OutputTail {
    /// An empty tail. `fetched_bytes_max` is the largest answer that the requester fetches, in bytes; `None` if it fetches
    /// none. Keeps one byte more than that, so that `respond` refuses an oversized output instead of sending its end.
    pub fn new(fetched_bytes_max: Option<usize>) -> Self {
        let fetched = fetched_bytes_max.filter(|bytes| *bytes > OUTPUT_BYTES_MAX);
        let bytes_max = fetched.map_or(OUTPUT_BYTES_MAX, |bytes| bytes + 1);
        Self { kept: VecDeque::new(), bytes_max, bytes: 0 }
    }

    /// Appends output and drops the oldest bytes beyond the limit.
    pub fn push(&mut self, output: &[u8]) {
        self.bytes += output.len() as u64;
        let output = &output[output.len().saturating_sub(self.bytes_max)..];
        let surplus = (self.kept.len() + output.len()).saturating_sub(self.bytes_max);
        self.kept.drain(..surplus);
        self.kept.extend(output);
    }

    /// The total length of the output, in bytes.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the start was dropped.
    pub fn is_truncated(&self) -> bool {
        self.bytes > self.kept.len() as u64
    }

    /// The number of bytes that are kept at most.
    pub const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The kept end of the output.
    pub fn into_bytes(self) -> Vec<u8> {
        self.kept.into()
    }
}

/// The script's response to a query: all of its output, if it succeeded and the output is not empty.
pub const fn answer(succeeded: bool, output: &[u8]) -> Option<&[u8]> {
    if succeeded && !output.is_empty() { Some(output) } else { None }
}

/// Bytes kept of a script's output.
const OUTPUT_BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_8_kib_are_kept() {
        let mut tail = OutputTail::new(None);
        tail.push(b"start");
        tail.push(&[b'x'; 8190]);
        assert!(tail.is_truncated());
        tail.push(b"end");
        assert_eq!(tail.bytes(), 8198);
        let kept = tail.into_bytes();
        assert_eq!((kept.len(), &kept[8188..]), (8192, b"xend".as_slice()));

        let mut tail = OutputTail::new(Some(1000));
        tail.push(&[b'y'; 100_000]);
        assert_eq!(tail.into_bytes().len(), 8192);
    }

    #[test]
    fn of_an_output_above_a_large_limit_too_much_for_an_answer_is_kept() {
        let mut tail = OutputTail::new(Some(9000));
        tail.push(&[b'x'; 9000]);
        assert!(!tail.is_truncated());
        tail.push(b"yz");
        assert!(tail.is_truncated());
        let kept = tail.into_bytes();
        assert_eq!((kept.len(), &kept[8998..]), (9001, b"xyz".as_slice()));
    }

    #[test]
    fn only_a_successful_script_that_says_something_answers() {
        assert_eq!(answer(true, b"hi\n"), Some(b"hi\n".as_slice()));
        assert_eq!(answer(true, b""), None);
        assert_eq!(answer(false, b"half"), None);
    }
}
