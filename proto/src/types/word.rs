//! Error of parsing a value that is one of a few words.

use alloc::string::ToString as _;
use core::fmt;

use thiserror::Error;

/// A word that matches no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be {expected}")]
pub struct UnknownWord {
    expected: &'static str,
}

impl UnknownWord {
    /// Parses `text` as one of the values `all`.
    pub(crate) fn or<T: fmt::Display>(
        text: &str,
        all: impl IntoIterator<Item = T>,
        expected: &'static str,
    ) -> Result<T, Self> {
        all.into_iter().find(|value| value.to_string() == text).ok_or(Self { expected })
    }
}
