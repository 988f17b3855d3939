//! Writes msgpack as HashiCorp's agent and clients do: the smallest form of everything, `bin` for bytes, 64-bit floats.

use std::collections::BTreeMap;

/// Appends msgpack objects to a buffer.
///
/// `rmp` would do, were its every call not fallible although a vector takes all. Floats are always 64 bits and lengths
/// take their smallest header, which is what `go-msgpack` 0.5 sends.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// Appends to `out`.
    pub const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Starts a map of `fields` pairs; the pairs must follow.
    pub fn map(&mut self, fields: usize) -> &mut Self {
        self.length(fields, Some((0x80, 16)), [None, Some(0xde), Some(0xdf)])
    }

    /// Starts a list of `items`; they must follow.
    pub fn list(&mut self, items: usize) -> &mut Self {
        self.length(items, Some((0x90, 16)), [None, Some(0xdc), Some(0xdd)])
    }

    /// Writes a string.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.length(text.len(), Some((0xa0, 32)), [Some(0xd9), Some(0xda), Some(0xdb)]);
        self.out.extend_from_slice(text.as_bytes());
        self
    }

    /// Writes bytes, nil for `None`.
    pub fn bytes(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        let Some(bytes) = bytes else { return self.nil() };
        self.length(bytes.len(), None, [Some(0xc4), Some(0xc5), Some(0xc6)]);
        self.out.extend_from_slice(bytes);
        self
    }

    /// Writes nothing, in the sense of Go's nil.
    pub fn nil(&mut self) -> &mut Self {
        self.out.push(0xc0);
        self
    }

    /// Writes a truth value.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.out.push(if value { 0xc3 } else { 0xc2 });
        self
    }

    /// Writes an unsigned number.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        let bytes = value.to_be_bytes();
        match value {
            0..=0x7f => self.out.push(bytes[7]),
            0x80..=0xff => self.tagged(0xcc, &bytes[7..]),
            0x100..=0xffff => self.tagged(0xcd, &bytes[6..]),
            0x1_0000..=0xffff_ffff => self.tagged(0xce, &bytes[4..]),
            _ => self.tagged(0xcf, &bytes),
        }
        self
    }

    /// Writes a signed number; from 0 on as an unsigned one.
    pub fn int(&mut self, value: i64) -> &mut Self {
        if let Ok(value) = u64::try_from(value) {
            return self.uint(value);
        }
        let bytes = value.to_be_bytes();
        match value {
            -32.. => self.out.push(bytes[7]),
            -0x80..-32 => self.tagged(0xd0, &bytes[7..]),
            -0x8000..-0x80 => self.tagged(0xd1, &bytes[6..]),
            -0x8000_0000..-0x8000 => self.tagged(0xd2, &bytes[4..]),
            _ => self.tagged(0xd3, &bytes),
        }
        self
    }

    /// Writes a 64-bit float.
    pub fn float(&mut self, value: f64) -> &mut Self {
        self.tagged(0xcb, &value.to_be_bytes());
        self
    }

    /// Writes a map of strings.
    pub fn texts(&mut self, map: &BTreeMap<String, String>) -> &mut Self {
        self.map(map.len());
        for (key, value) in map {
            self.text(key).text(value);
        }
        self
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.out.push(tag);
        self.out.extend_from_slice(bytes);
    }

    /// Writes the header of something `length` long: `fixed` is the tag that holds lengths below its second number,
    /// `tags` are those followed by one, two and four bytes.
    fn length(&mut self, length: usize, fixed: Option<(u8, usize)>, tags: [Option<u8>; 3]) -> &mut Self {
        let length = u32::try_from(length).expect("nobody sends 4 GiB");
        let bytes = length.to_be_bytes();
        match (fixed, tags) {
            (Some((tag, below)), _) if (length as usize) < below => self.out.push(tag | bytes[3]),
            (_, [Some(tag), ..]) if length <= 0xff => self.tagged(tag, &bytes[3..]),
            (_, [_, Some(tag), _]) if length <= 0xffff => self.tagged(tag, &bytes[2..]),
            (_, [_, _, tag]) => self.tagged(tag.expect("every kind has a long form"), &bytes),
        }
        self
    }
}
