//! Head of a msgpack value: its kind and lengths.

/// Kind of a value, with what the first byte contains besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nil.
    Nil,
    /// A boolean; no body.
    Bool(bool),
    /// An integer within the first byte; no body.
    Fixed(i8),
    /// An unsigned integer of 1, 2, 4 or 8 bytes.
    Uint,
    /// A signed integer of 1, 2, 4 or 8 bytes.
    Int,
    /// A float of 4 or 8 bytes.
    Float,
    /// A string. Arbitrary bytes in the dialect without binary strings.
    Str,
    /// A binary string.
    Bin,
    /// An extension: a type number and bytes.
    Ext,
    /// An array.
    Array,
    /// A map.
    Map,
}

/// The head of a value: everything except its body and nested values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Kind of the value.
    pub kind: Kind,
    /// Length of the head, in bytes.
    pub len: usize,
    /// Length of the body that follows, in bytes; 0 for arrays and maps.
    pub body: usize,
    /// Elements of an array, or pairs of a map; otherwise 0.
    pub count: u32,
}

/// A byte that no value starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadByte(pub u8);

impl Head {
    /// Decodes the head at the start of `bytes`; `Ok(None)` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// If no value starts with the first byte.
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, BadByte> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let fixed = |kind, body| Ok(Some(Self { kind, len: 1, body, count: 0 }));
        let values = |kind, count: u8| Ok(Some(Self { kind, len: 1, body: 0, count: count.into() }));
        // The length is in the next `width` bytes; an extension has a type number as well.
        let sized = |kind, width: usize, besides: usize| {
            Ok(length(bytes, width).map(|len| {
                // On 32-bit targets a longer body cannot be in any buffer.
                let body = usize::try_from(len).unwrap_or(usize::MAX).saturating_add(besides);
                Self { kind, len: 1 + width, body, count: 0 }
            }))
        };
        let counted =
            |kind, width: usize| Ok(length(bytes, width).map(|count| Self { kind, len: 1 + width, body: 0, count }));
        match first {
            0x00..=0x7f | 0xe0..=0xff => fixed(Kind::Fixed(first.cast_signed()), 0),
            0x80..=0x8f => values(Kind::Map, first & 0x0f),
            0x90..=0x9f => values(Kind::Array, first & 0x0f),
            0xa0..=0xbf => fixed(Kind::Str, usize::from(first & 0x1f)),
            0xc0 => fixed(Kind::Nil, 0),
            0xc1 => Err(BadByte(first)),
            0xc2 => fixed(Kind::Bool(false), 0),
            0xc3 => fixed(Kind::Bool(true), 0),
            0xc4 => sized(Kind::Bin, 1, 0),
            0xc5 => sized(Kind::Bin, 2, 0),
            0xc6 => sized(Kind::Bin, 4, 0),
            0xc7 => sized(Kind::Ext, 1, 1),
            0xc8 => sized(Kind::Ext, 2, 1),
            0xc9 => sized(Kind::Ext, 4, 1),
            0xca => fixed(Kind::Float, 4),
            0xcb => fixed(Kind::Float, 8),
            0xcc => fixed(Kind::Uint, 1),
            0xcd => fixed(Kind::Uint, 2),
            0xce => fixed(Kind::Uint, 4),
            0xcf => fixed(Kind::Uint, 8),
            0xd0 => fixed(Kind::Int, 1),
            0xd1 => fixed(Kind::Int, 2),
            0xd2 => fixed(Kind::Int, 4),
            0xd3 => fixed(Kind::Int, 8),
            0xd4..=0xd8 => fixed(Kind::Ext, 1 + (1 << (first - 0xd4))),
            0xd9 => sized(Kind::Str, 1, 0),
            0xda => sized(Kind::Str, 2, 0),
            0xdb => sized(Kind::Str, 4, 0),
            0xdc => counted(Kind::Array, 2),
            0xdd => counted(Kind::Array, 4),
            0xde => counted(Kind::Map, 2),
            0xdf => counted(Kind::Map, 4),
        }
    }

    /// Size of the value without nested values, in bytes.
    pub const fn bytes(&self) -> usize {
        self.len.saturating_add(self.body)
    }

    /// Number of nested values.
    #[inline]
    pub fn values(&self) -> u64 {
        u64::from(self.count) * if self.kind == Kind::Map { 2 } else { 1 }
    }
}

/// Decodes the length in the `width` bytes after the first.
fn length(bytes: &[u8], width: usize) -> Option<u32> {
    let digits = bytes.get(1..=width)?;
    Some(digits.iter().fold(0, |len, &byte| len << 8 | u32::from(byte)))
}

/// Decodes an unsigned integer of up to 8 bytes.
#[inline]
pub fn unsigned(body: &[u8]) -> u64 {
    body.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// Decodes a signed integer of 1, 2, 4 or 8 bytes.
#[inline]
pub fn signed(body: &[u8]) -> i64 {
    debug_assert!((1..=8).contains(&body.len()), "a number has between one byte and eight");
    // Shifts the sign bit to the top, and back with sign extension.
    let unused = 64 - 8 * body.len();
    (unsigned(body) << unused).cast_signed() >> unused
}

/// Decodes a float of 4 or 8 bytes.
#[inline]
pub fn float(body: &[u8]) -> f64 {
    match <[u8; 4]>::try_from(body) {
        Ok(single) => f32::from_be_bytes(single).into(),
        Err(_) => f64::from_bits(unsigned(body)),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn a_head_whose_length_is_cut_short_is_awaited_and_the_longest_does_not_overflow() {
        for (first, width) in [(0xc4, 1), (0xda, 2), (0xc9, 4), (0xdc, 2), (0xdf, 4)] {
            let whole = [&[first][..], &[0xff; 4][..width]].concat();
            for cut in 0..whole.len() {
                assert_eq!(Head::read(&whole[..cut]), Ok(None), "{first:#x}");
            }
            let head = Head::read(&whole).unwrap().unwrap();
            assert_eq!(head.len, 1 + width);
            assert!(head.bytes() >= head.body);
        }
        assert_eq!(Head::read(&[0xc1]), Err(BadByte(0xc1)));
    }

    #[test]
    fn an_extension_of_fixed_length_has_a_type_and_a_power_of_two_bytes() {
        let bytes = [0xd4, 0xd5, 0xd6, 0xd7, 0xd8].map(|first| Head::read(&[first]).unwrap().unwrap().bytes());
        assert_eq!(vec![3, 4, 6, 10, 18], bytes);
    }

    #[test]
    fn numbers_are_read_from_bodies_of_every_width() {
        assert_eq!((unsigned(&[0xff; 8]), unsigned(&[1, 0])), (u64::MAX, 256));
        assert_eq!((signed(&[0xff]), signed(&[0x80, 0]), signed(&[0xff; 8])), (-1, -32768, -1));
        assert_eq!((float(&1.5_f32.to_be_bytes()), float(&2.5_f64.to_be_bytes())), (1.5, 2.5));
    }
}
