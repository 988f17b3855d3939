//! Why a regular expression is refused.

use thiserror::Error;

/// Why an expression was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Longer than [`limits::PATTERN_BYTES_MAX`](crate::limits::PATTERN_BYTES_MAX).
    #[error("the expression takes {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// Its length, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Invalid in Go's dialect.
    #[error("not a regular expression in Go's dialect")]
    Syntax,
    /// Its compiled program is too large.
    #[error("the compiled expression takes more than {limit} bytes")]
    TooComplex {
        /// The limit of the program, in bytes.
        limit: usize,
    },
    /// The program is built without the feature `filters` of `serf-proto`.
    #[error("this program is built without regular expressions")]
    Unsupported,
}
