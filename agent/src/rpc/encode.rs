//! Writes msgpack as HashiCorp's agent and clients do: the smallest form of everything, `bin` for bytes, 64-bit floats.

use std::collections::BTreeMap;

use serf_tokio::serf_proto::internals::msgpack::{Full, write};

/// Appends msgpack objects to a buffer.
///
/// `rmp` would do, but every call of it is fallible, although a vector accepts all writes. Floats are always 64 bits
/// and lengths take their smallest header, which is what `go-msgpack` 0.5 sends.
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
        let written = write::map(self.out, fields);
        self.after(written)
    }

    /// Starts a list of `items`; they must follow.
    pub fn list(&mut self, items: usize) -> &mut Self {
        let written = write::array(self.out, items);
        self.after(written)
    }

    /// Writes a string.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let written = write::text(self.out, text);
        self.after(written)
    }

    /// Writes bytes, nil for `None`.
    pub fn bytes(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        let Some(bytes) = bytes else { return self.nil() };
        let written = write::bin(self.out, bytes);
        self.after(written)
    }

    /// Writes nil.
    pub fn nil(&mut self) -> &mut Self {
        let written = write::nil(self.out);
        self.after(written)
    }

    /// Writes a boolean.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        let written = write::boolean(self.out, value);
        self.after(written)
    }

    /// Writes an unsigned number.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        let written = write::uint(self.out, value);
        self.after(written)
    }

    /// Writes a signed number; from 0 on as an unsigned one.
    pub fn int(&mut self, value: i64) -> &mut Self {
        let written = match u64::try_from(value) {
            Ok(value) => write::uint(self.out, value),
            Err(_) => write::negative(self.out, value),
        };
        self.after(written)
    }

    /// Writes a 64-bit float.
    pub fn float(&mut self, value: f64) -> &mut Self {
        let written = write::float(self.out, value);
        self.after(written)
    }

    /// Writes a map of strings.
    pub fn texts(&mut self, map: &BTreeMap<String, String>) -> &mut Self {
        self.map(map.len());
        for (key, value) in map {
            self.text(key).text(value);
        }
        self
    }

    fn after(&mut self, written: Result<(), Full>) -> &mut Self {
        written.expect("a vector has room, and no length here is beyond 32 bits");
        self
    }
}
