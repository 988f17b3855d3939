//! Parses tags in the form `key=value`.

use std::collections::BTreeMap;

use thiserror::Error;

/// A text that is not `key=value`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("Invalid tag: '{0}'")]
pub struct TagError(pub String);

/// Parses tags. The value may contain `=` and may be empty, the key may not; of equal keys the last wins.
///
/// # Errors
///
/// Names the first invalid text.
pub fn parse(texts: &[String]) -> Result<BTreeMap<String, String>, TagError> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
            _ => Err(TagError(text.clone())),
        })
        .collect()
}

/// The tags of a node.
pub(crate) fn of_node(tags: &serf_tokio::Tags) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The tags as `k=v,k=v`, sorted.
pub fn join(tags: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}
