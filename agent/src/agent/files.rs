//! How many files may be open.

/// The limit of open files, raised to what the system allows, as Go's runtime does it. A connection is a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileLimit {
    before: Option<u64>,
}

impl FileLimit {
    /// Raises the limit. If that is not allowed it stays.
    #[cfg(unix)]
    pub(super) fn raise() -> Self {
        use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
        let limits = getrlimit(RLIMIT_NOFILE).ok().filter(|(soft, hard)| soft < hard);
        let raised = limits.filter(|(_, hard)| setrlimit(RLIMIT_NOFILE, *hard, *hard).is_ok());
        Self { before: raised.map(|(soft, _)| soft) }
    }

    /// There is none here.
    #[cfg(not(unix))]
    pub(super) const fn raise() -> Self {
        Self { before: None }
    }

    /// The limit that scripts get, if it was raised: programs that close or watch every file that they might have take long with a
    /// high one.
    pub(super) const fn before(self) -> Option<u64> {
        self.before
    }
}
