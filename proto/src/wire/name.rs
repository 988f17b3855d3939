//! Length check of node names. A longer name fits no packet and would block the broadcasts queued behind it.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::limits::NAME_BYTES_MAX;

/// Whether `name` is a valid member name.
pub(super) const fn is_member_name(name: &str) -> bool {
    !name.is_empty() && is_short_name(name)
}

/// Whether `name` is a valid member name or empty, which stands for no node.
pub(super) const fn is_short_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
}

/// Deserializes a member name in a native body.
pub(super) fn member_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'de str, D::Error> {
    name(deserializer, is_member_name)
}

/// Deserializes a member name, or an empty one, in a native body.
pub(super) fn short_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'de str, D::Error> {
    name(deserializer, is_short_name)
}

fn name<'de, D: Deserializer<'de>>(deserializer: D, is_sound: fn(&str) -> bool) -> Result<&'de str, D::Error> {
    let name = <&str>::deserialize(deserializer)?;
    if is_sound(name) { Ok(name) } else { Err(D::Error::custom("a name beyond its limits")) }
}
