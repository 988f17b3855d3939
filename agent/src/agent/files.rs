//! The limit of open files.

use crate::platform::raise_file_limit;

/// The limit of open files, raised to the system's maximum, as Go's runtime does. Every connection uses a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileLimit {
    before: Option<u64>,
}

impl FileLimit {
    /// Raises the limit. If the system refuses, the limit stays.
    pub(super) fn raise() -> Self {
        Self { before: raise_file_limit() }
    }

    /// The original limit, for scripts, if the limit was raised. Programs that close or watch every possible descriptor
    /// are slow with a high limit.
    pub(super) const fn before(self) -> Option<u64> {
        self.before
    }
}
