//! Captures: all inputs of a node, in files from which its behaviour can be replayed.
//!
//! A capture is a directory with a ring of files. Each file begins with a [`Head`] that contains the whole state of the
//! node, so that it can be replayed without the files before it; after it come the inputs, each with a digest of the
//! outputs that it caused. `docs/capture.md` describes the format; `sim replay` explains and checks a capture.

mod format;
mod recorder;
mod writer;

use std::path::PathBuf;

use serde::Serialize;

pub use self::format::{CaptureError, Head, Reader, Record, Recorded, Tail, Trigger, VERSION, is_capture_file};
pub(crate) use self::recorder::Recorder;

/// Where and how much to record. See [`Options::capture`](crate::Options::capture).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Capture {
    /// The directory, of this node alone. Created if it does not exist, readable by its owner only.
    pub dir: PathBuf,
    /// Bytes of inputs after which a new file begins, 4096 to 2³⁰. A file also has the state of the node,
    /// some hundred bytes per member, and is that much longer. Default 16 MiB.
    pub file_bytes: u64,
    /// Number of files, 2 to 10 000; the oldest is removed when another one begins. Default 8.
    pub files: u32,
    /// Whether payloads of user events, queries and answers are recorded. If not, they are replaced by random bytes of the
    /// same length, equal ones by equal bytes. Default true.
    pub payloads: bool,
}

impl Capture {
    /// A capture in `dir` with the default bounds.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), file_bytes: 16 << 20, files: 8, payloads: true }
    }

    /// These settings with a change: the way to write one in an expression.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// These settings within their bounds.
    pub(crate) fn bounded(mut self) -> Self {
        self.file_bytes = self.file_bytes.clamp(FILE_BYTES_MIN, FILE_BYTES_MAX);
        self.files = self.files.clamp(FILES_MIN, FILES_MAX);
        self
    }
}

/// Below it most of a file would be the state at its beginning.
const FILE_BYTES_MIN: u64 = 4096;

/// A reader holds a file in memory.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// One that is complete, and one that is written.
const FILES_MIN: u32 = 2;

/// Each new file lists the directory.
const FILES_MAX: u32 = 10_000;
