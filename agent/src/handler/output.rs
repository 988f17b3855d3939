//! What a script says.

use std::collections::VecDeque;

/// The last 8192 bytes of a script's output, standard output and error mixed (`circbuf` in `invoke.go`).
#[derive(Clone, Debug, Default)]
pub struct OutputTail {
    kept: VecDeque<u8>,
    bytes: u64,
}

impl OutputTail {
    /// Nothing was said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds output and forgets what lies too far back.
    pub fn push(&mut self, output: &[u8]) {
        self.bytes += output.len() as u64;
        let output = &output[output.len().saturating_sub(OUTPUT_BYTES_MAX)..];
        let surplus = (self.kept.len() + output.len()).saturating_sub(OUTPUT_BYTES_MAX);
        self.kept.drain(..surplus);
        self.kept.extend(output);
    }

    /// How many bytes were said in all.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the start was forgotten.
    pub fn is_truncated(&self) -> bool {
        self.bytes > self.kept.len() as u64
    }

    /// The end of what was said.
    pub fn into_bytes(self) -> Vec<u8> {
        self.kept.into()
    }
}

/// The answer to a query that a script gave: all that it said, if it succeeded and said something.
pub const fn answer(succeeded: bool, output: &[u8]) -> Option<&[u8]> {
    if succeeded && !output.is_empty() { Some(output) } else { None }
}

/// Kept of a script's output.
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
