//! Regular expressions of a program that is built without the feature `filters`: none compiles.
//!
//! A query with such a filter is then not for this node. It is counted as one that exceeds a limit.

use super::pattern_error::PatternError;

/// A compiled regular expression. No value exists without the feature `filters`.
#[derive(Clone, Debug)]
pub enum Pattern {}

impl Pattern {
    /// Refuses every expression.
    ///
    /// # Errors
    ///
    /// Always [`PatternError::Unsupported`].
    pub const fn new(_expression: &str) -> Result<Self, PatternError> {
        Err(PatternError::Unsupported)
    }

    pub(super) const fn units(&self) -> u32 {
        match *self {}
    }

    pub(super) const fn is_large(&self) -> bool {
        match *self {}
    }

    pub(super) const fn wide_chars(&self) -> usize {
        match *self {}
    }

    /// Whether it matches `text`.
    pub const fn is_match(&self, _text: &str) -> bool {
        match *self {}
    }
}
