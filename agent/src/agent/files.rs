//! How many files may be open.

use crate::platform::raise_file_limit;

/// The limit of open files, raised to what the system allows, as Go's runtime does it. A connection is a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileLimit {
    before: Option<u64>,
}

impl FileLimit {
    /// Raises the limit. If that is not allowed it stays.
    pub(super) fn raise() -> Self {
        Self { before: raise_file_limit() }
    }

    /// The limit that scripts get, if it was raised: programs that close or watch every file that they might have take long with a
    /// high one.
    pub(super) const fn before(self) -> Option<u64> {
        self.before
    }
}
