//! Tags as member metadata: byte 0xff and a map of strings (`encodeTags` in serf).

use alloc::vec::Vec;

use crate::msgpack::write::{map, raw};
use crate::msgpack::{Full, Reader, Sink};

/// The first byte of metadata that contains tags.
const MAGIC: u8 = 0xff;

/// Appends tags as metadata, in the given order.
pub(crate) fn push_tags<'t>(out: &mut Vec<u8>, tags: impl ExactSizeIterator<Item = (&'t str, &'t str)>) {
    let written = put_tags(out, tags);
    debug_assert_eq!(written, Ok(()), "a vector has room");
}

fn put_tags<'t>(out: &mut impl Sink, tags: impl ExactSizeIterator<Item = (&'t str, &'t str)>) -> Result<(), Full> {
    out.put(&[MAGIC])?;
    map(out, tags.len())?;
    for text in tags.flat_map(|(key, value)| [key, value]) {
        raw(out, text.as_bytes())?;
    }
    Ok(())
}

/// The tags in metadata, up to the first damaged one, as in serf. `None` if the metadata has no tags, but is a role.
pub fn tags(meta: &[u8]) -> Option<impl Iterator<Item = (&[u8], &[u8])>> {
    let mut r = Reader::new(meta.strip_prefix(&[MAGIC])?);
    let count = r.map().unwrap_or_default();
    Some((0..count).map_while(move |_| Some((r.bytes()?, r.bytes()?))))
}
