//! Tags: key-value pairs that a member announces about itself.
//!
//! Sent as the member's metadata: byte 0xff, then a msgpack map of strings, in either codec (`encodeTags` in serf).
//! Metadata without that byte is the plain `role` of members that predate tags.

use alloc::collections::{BTreeMap, btree_map};
use alloc::string::String;
use alloc::vec::Vec;
use core::iter::Map;

use serde::{Deserialize, Serialize};

use crate::wire::hashicorp;

/// A member's tags, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
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

    /// Removes a tag.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Number of tags.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no tags.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tags, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.into_iter()
    }

    /// Encodes the tags as metadata. At most 512 bytes can be announced.
    pub fn encode(&self) -> Vec<u8> {
        let mut meta = Vec::new();
        hashicorp::push_tags(&mut meta, self.0.iter().map(|(key, value)| (&**key, &**value)));
        meta
    }

    /// Decodes metadata. Without tags it is a `role`; of damaged metadata the tags before the damage are used, as in
    /// serf.
    pub fn decode(meta: &[u8]) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        raw(meta).map(|(key, value)| (text(key), text(value))).collect()
    }
}

/// The value of a tag in metadata: of several with this key the last, as [`Tags::decode`] has it. `None` also when it is not UTF-8.
pub(crate) fn tag<'m>(meta: &'m [u8], key: &str) -> Option<&'m str> {
    let (_, value) = raw(meta).filter(|(name, _)| *name == key.as_bytes()).last()?;
    core::str::from_utf8(value).ok()
}

/// The tags in metadata whose key and value are UTF-8, in the order in which they are announced.
pub(crate) fn tags(meta: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    raw(meta).filter_map(|(key, value)| Some((core::str::from_utf8(key).ok()?, core::str::from_utf8(value).ok()?)))
}

/// Metadata that holds no tags is a role.
fn raw(meta: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let tags = hashicorp::tags(meta);
    let role = tags.is_none().then_some((&b"role"[..], meta));
    tags.into_iter().flatten().chain(role)
}

impl<'a> IntoIterator for &'a Tags {
    type Item = (&'a str, &'a str);
    type IntoIter = Map<btree_map::Iter<'a, String, String>, fn((&'a String, &'a String)) -> (&'a str, &'a str)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

impl IntoIterator for Tags {
    type Item = (String, String);
    type IntoIter = btree_map::IntoIter<String, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<BTreeMap<String, String>> for Tags {
    fn from(tags: BTreeMap<String, String>) -> Self {
        Self(tags)
    }
}

impl From<Tags> for BTreeMap<String, String> {
    fn from(tags: Tags) -> Self {
        tags.0
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for Tags {
    fn from(tags: [(K, V); N]) -> Self {
        tags.into_iter().collect()
    }
}

impl<K: Into<String>, V: Into<String>> Extend<(K, V)> for Tags {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, tags: I) {
        self.0.extend(tags.into_iter().map(|(key, value)| (key.into(), value.into())));
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Tags {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        Self(iter.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
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
    fn tags_convert_from_and_to_maps() {
        let map: BTreeMap<String, String> = [("role".into(), "web".into()), ("dc".into(), "eu".into())].into();
        let mut tags = Tags::from([("dc", "eu"), ("role", "web")]);
        assert_eq!(tags, Tags::from(map.clone()));
        tags.extend([("dc", "us")]);
        assert_eq!((tags.get("dc"), BTreeMap::from(tags.clone()).len()), (Some("us"), map.len()));
    }

    #[test]
    fn tags_are_iterated_in_the_order_of_their_keys() {
        let tags = Tags::from([("role", "web"), ("dc", "eu")]);
        let mut seen = Vec::new();
        for (key, value) in &tags {
            seen.push(alloc::format!("{key}={value}"));
        }
        assert_eq!(seen, ["dc=eu", "role=web"]);
    }

    #[test]
    fn tags_are_a_map_in_json() {
        let tags = Tags::from([("dc", "eu"), ("role", "web")]);
        let json = serde_json::to_string(&tags).unwrap();
        assert_eq!(json, r#"{"dc":"eu","role":"web"}"#);
        assert_eq!(serde_json::from_str::<Tags>(&json).unwrap(), tags);
    }

    #[test]
    fn metadata_without_tags_is_a_role() {
        assert_eq!(Tags::decode(b"web").get("role"), Some("web"));
        assert_eq!(Tags::decode(b"").get("role"), Some(""));
        assert_eq!((tag(b"web", "role"), tag(b"web", "dc")), (Some("web"), None));
    }

    #[test]
    fn a_borrowed_tag_is_the_last_of_its_key_and_utf8_or_none() {
        let meta = b"\xff\x83\xa1a\xa1b\xa1a\xa1c\xa1d\xa1\xfe";
        assert_eq!((tag(meta, "a"), Tags::decode(meta).get("a")), (Some("c"), Some("c")));
        assert_eq!((tag(meta, "d"), Tags::decode(meta).get("d")), (None, Some("\u{fffd}")));
        assert_eq!(tags(meta).collect::<Vec<_>>(), [("a", "b"), ("a", "c")]);
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
            let meta = tags.encode();
            prop_assert_eq!(super::tags(&meta).collect::<Tags>(), tags.clone());
            prop_assert!(tags.iter().all(|(key, value)| tag(&meta, key) == Some(value)));
            prop_assert_eq!(Tags::decode(&meta), tags);
        }

        #[test]
        fn any_metadata_decodes_without_a_panic(meta in prop::collection::vec(any::<u8>(), 0..600)) {
            Tags::decode(&meta);
        }
    }
}
