//! The output of a script.

use std::collections::VecDeque;

/// The last 8192 bytes of a script's output, standard output and error mixed (`circbuf` in `invoke.go`).
#[derive(Clone, Debug, Default)]
pub struct OutputTail {
    kept: VecDeque<u8>,
    bytes: u64,
}

impl OutputTail {
    /// An empty tail.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends output and drops the oldest bytes beyond the limit.
    pub fn push(&mut self, output: &[u8]) {
        self.bytes += output.len() as u64;
        let output = &output[output.len().saturating_sub(OUTPUT_BYTES_MAX)..];
        let surplus = (self.kept.len() + output.len()).saturating_sub(OUTPUT_BYTES_MAX);
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
        let mut tail = OutputTail::new();
        tail.push(b"start");
        tail.push(&[b'x'; 8190]);
        assert!(tail.is_truncated());
        tail.push(b"end");
        assert_eq!(tail.bytes(), 8198);
        let kept = tail.into_bytes();
        assert_eq!((kept.len(), &kept[8188..]), (8192, b"xend".as_slice()));

        let mut tail = OutputTail::new();
        tail.push(&[b'y'; 100_000]);
        assert_eq!(tail.into_bytes().len(), 8192);
    }

    #[test]
    fn only_a_successful_script_that_says_something_answers() {
        assert_eq!(answer(true, b"hi\n"), Some(b"hi\n".as_slice()));
        assert_eq!(answer(true, b""), None);
        assert_eq!(answer(false, b"half"), None);
    }
}
