//! Lists within messages, borrowed from the packet.

use core::fmt;
use core::iter::FusedIterator;

use super::serf::Filter;
use super::{Codec, hashicorp, native};

/// A list in a message: decoded values, or encoded values that are decoded while iterating.
///
/// The decoder has validated encoded values. Lists are equal if their values are.
#[derive(Clone, Copy)]
pub struct List<'a, T>(Repr<'a, T>);

#[derive(Clone, Copy)]
enum Repr<'a, T> {
    Values(&'a [T]),
    Encoded { codec: Codec, count: usize, bytes: &'a [u8] },
}

/// A type that can be an element of a [`List`].
pub trait Item<'a>: Copy {
    /// Decodes a value and advances `rest`; `None` if there is no valid value.
    fn take(codec: Codec, rest: &mut &'a [u8]) -> Option<Self>;
}

impl<T> List<'_, T> {
    /// The empty list.
    pub const EMPTY: Self = Self(Repr::Values(&[]));

    /// Number of values.
    pub const fn len(&self) -> usize {
        match self.0 {
            Repr::Values(values) => values.len(),
            Repr::Encoded { count, .. } => count,
        }
    }

    /// Whether the list is empty.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: Item<'a>> List<'a, T> {
    /// A list of decoded values.
    pub const fn new(values: &'a [T]) -> Self {
        Self(Repr::Values(values))
    }

    /// Decodes and validates `count` values, and advances `rest`.
    pub(super) fn take(codec: Codec, count: usize, rest: &mut &'a [u8]) -> Option<Self> {
        // Decoded once to find the end and to validate; iterating decodes again, without allocating.
        let whole = *rest;
        for _ in 0..count {
            T::take(codec, rest)?;
        }
        let bytes = &whole[..whole.len() - rest.len()];
        Some(Self(Repr::Encoded { codec, count, bytes }))
    }

    /// The values in order.
    pub fn iter(&self) -> Iter<'a, T> {
        Iter(self.0)
    }
}

/// Iterator over a [`List`].
#[derive(Clone)]
pub struct Iter<'a, T>(Repr<'a, T>);

impl<'a, T: Item<'a>> Iterator for Iter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Repr::Values(values) => {
                let (first, rest) = values.split_first()?;
                *values = rest;
                Some(*first)
            }
            Repr::Encoded { codec, count, bytes } => {
                *count = count.checked_sub(1)?;
                T::take(*codec, bytes)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = List(self.0).len();
        (len, Some(len))
    }
}

impl<'a, T: Item<'a>> ExactSizeIterator for Iter<'a, T> {}
impl<'a, T: Item<'a>> FusedIterator for Iter<'a, T> {}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'a, T: Item<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Item<'a> + Eq> Eq for List<'a, T> {}

impl<'a, T: Item<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Item<'a> for &'a str {
    fn take(codec: Codec, rest: &mut &'a [u8]) -> Option<Self> {
        match codec {
            Codec::Native => native::take_text(rest),
            Codec::HashiCorp => hashicorp::take_text(rest),
        }
    }
}

impl<'a> Item<'a> for (&'a str, &'a str) {
    fn take(codec: Codec, rest: &mut &'a [u8]) -> Option<Self> {
        Some((Item::take(codec, rest)?, Item::take(codec, rest)?))
    }
}

impl<'a> Item<'a> for f64 {
    fn take(codec: Codec, rest: &mut &'a [u8]) -> Option<Self> {
        match codec {
            Codec::Native => native::take_float(rest),
            Codec::HashiCorp => hashicorp::take_float(rest),
        }
    }
}

impl<'a> Item<'a> for Filter<'a> {
    fn take(codec: Codec, rest: &mut &'a [u8]) -> Option<Self> {
        match codec {
            Codec::Native => native::take_filter(rest),
            Codec::HashiCorp => hashicorp::take_filter(rest),
        }
    }
}
