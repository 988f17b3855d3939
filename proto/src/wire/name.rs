//! The names of nodes, within their limit: no packet has room for a longer one, and it would block the broadcasts behind it.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::limits::NAME_BYTES_MAX;

/// Whether this can be the name of a member.
pub(super) const fn is_member_name(name: &str) -> bool {
    !name.is_empty() && is_short_name(name)
}

/// Whether this can be the name of a member, or the empty one that stands for no node.
pub(super) const fn is_short_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
}

/// Reads the name of a member in a native body.
pub(super) fn member_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'de str, D::Error> {
    name(deserializer, is_member_name)
}

/// Reads the name of a member, or an empty one, in a native body.
pub(super) fn short_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'de str, D::Error> {
    name(deserializer, is_short_name)
}

fn name<'de, D: Deserializer<'de>>(deserializer: D, is_sound: fn(&str) -> bool) -> Result<&'de str, D::Error> {
    let name = <&str>::deserialize(deserializer)?;
    if is_sound(name) { Ok(name) } else { Err(D::Error::custom("a name beyond its limits")) }
}
