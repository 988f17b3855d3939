//! Tags: small facts that a member announces about itself.
//!
//! They travel as a member's metadata: byte 0xff, then a msgpack map of strings, in whatever codec the rest is (`encodeTags`
//! in serf). Metadata without that byte is the bare `role` of members from before there were tags.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// A member's tags, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// The value of a tag.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Sets a tag.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    /// Takes a tag away.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// How many tags there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tags in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The tags as metadata. At most 512 bytes of it can be announced.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.push(MAGIC);
        put_head(&mut out, self.0.len(), MAP);
        for text in self.0.iter().flat_map(|(key, value)| [key, value]) {
            put_head(&mut out, text.len(), STRING);
            out.extend_from_slice(text.as_bytes());
        }
        out
    }

    /// The tags in metadata. Metadata without tags is a `role`; damaged metadata gives the tags before the damage, as it
    /// does in serf.
    pub fn decode(meta: &[u8]) -> Self {
        let Some(body) = meta.strip_prefix(&[MAGIC]) else {
            return [("role", String::from_utf8_lossy(meta).into_owned())].into_iter().collect();
        };
        let mut rest = body;
        let mut tags = Self::default();
        let count = take_head(&mut rest, MAP).unwrap_or_default();
        for _ in 0..count {
            let (Some(key), Some(value)) = (take_string(&mut rest), take_string(&mut rest)) else { break };
            tags.set(key, value);
        }
        tags
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Tags {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        Self(iter.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

const MAGIC: u8 = 0xff;

/// The heads of one kind of msgpack value: short form with its limit, then 16-bit and 32-bit lengths.
struct Kind {
    short: u8,
    short_limit: usize,
    long: u8,
}

const MAP: Kind = Kind { short: 0x80, short_limit: 16, long: 0xde };
const STRING: Kind = Kind { short: 0xa0, short_limit: 32, long: 0xda };

/// A string with an 8-bit length: newer msgpack, accepted but not written.
const STRING_8: u8 = 0xd9;

fn put_head(out: &mut Vec<u8>, len: usize, kind: Kind) {
    if len < kind.short_limit {
        out.push(kind.short | u8::try_from(len).unwrap_or_default());
    } else if let Ok(len) = u16::try_from(len) {
        out.push(kind.long);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(kind.long + 1);
        out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    }
}

fn take_head(rest: &mut &[u8], kind: Kind) -> Option<usize> {
    let (&head, tail) = rest.split_first()?;
    let short_mask = u8::try_from(kind.short_limit - 1).ok()?;
    let width = match head {
        _ if head & !short_mask == kind.short => {
            *rest = tail;
            return Some(usize::from(head & short_mask));
        }
        STRING_8 if kind.long == STRING.long => 1,
        _ if head == kind.long => 2,
        _ if head == kind.long + 1 => 4,
        _ => return None,
    };
    let (bytes, tail) = tail.split_at_checked(width)?;
    *rest = tail;
    Some(bytes.iter().fold(0, |len, &byte| (len << 8) | usize::from(byte)))
}

fn take_string(rest: &mut &[u8]) -> Option<String> {
    let len = take_head(rest, STRING)?;
    let (bytes, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_are_written_as_serf_writes_them() {
        let tags: Tags = [("role", "web")].into_iter().collect();
        assert_eq!(tags.encode(), b"\xff\x81\xa4role\xa3web");
        assert_eq!(Tags::default().encode(), b"\xff\x80");
    }

    #[test]
    fn metadata_without_tags_is_a_role() {
        assert_eq!(Tags::decode(b"web").get("role"), Some("web"));
        assert_eq!(Tags::decode(b"").get("role"), Some(""));
    }

    #[test]
    fn damaged_metadata_keeps_the_tags_before_the_damage() {
        let tags = Tags::decode(b"\xff\x82\xa1a\xa1b\xa1c\xa9");
        assert_eq!(tags.iter().collect::<Vec<_>>(), [("a", "b")]);
        assert!(Tags::decode(b"\xff\xc0").is_empty(), "a nil map");
    }

    proptest! {
        #[test]
        fn tags_come_back_as_they_were(tags in prop::collection::btree_map(".{0,40}", ".{0,300}", 0..20)) {
            let tags: Tags = tags.into_iter().collect();
            prop_assert_eq!(Tags::decode(&tags.encode()), tags);
        }

        #[test]
        fn any_metadata_decodes_without_a_panic(meta in prop::collection::vec(any::<u8>(), 0..600)) {
            Tags::decode(&meta);
        }
    }
}
