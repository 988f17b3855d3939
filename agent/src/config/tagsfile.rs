//! The file of tags that were set while the agent ran.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;
use thiserror::Error;

use super::keyring::replace;
use crate::endpoint::read_failure;
use crate::json::Json;

/// Why a tags file is invalid.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TagsFileError {
    /// The file cannot be read: the operation that failed, and the system's error.
    #[error("Failed to read tags file: {0}")]
    Read(String),
    /// The content is not a JSON object of strings.
    #[error("Failed to decode tags file: {0}")]
    Decode(String),
}

/// Reads tags; `None` when the file does not exist yet (`loadTagsFile` in `agent.go`).
///
/// # Errors
///
/// See [`TagsFileError`].
pub fn read_tags_file(path: &Path) -> Result<Option<BTreeMap<String, String>>, TagsFileError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TagsFileError::Read(read_failure(path, &error))),
    };
    let value = super::keyring::parse_json(&text).map_err(TagsFileError::Decode)?;
    let object = match value {
        Value::Null => return Ok(Some(BTreeMap::new())),
        Value::Object(object) => object,
        _ => return Err(TagsFileError::Decode("expected an object of texts".into())),
    };
    let tags = object.into_iter().map(|(key, value)| match value {
        Value::String(value) => Ok((key, value)),
        Value::Null => Ok((key, String::new())),
        _ => Err(TagsFileError::Decode(format!("the value of tag '{key}' is not a string"))),
    });
    tags.collect::<Result<_, _>>().map(Some)
}

/// Replaces the file atomically, so that a crash leaves the old or the new tags. HashiCorp's: `writeTagsFile` in
/// `agent.go` writes in place. A new file is readable by its owner only.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_tags_file(path: &Path, tags: &BTreeMap<String, String>) -> io::Result<()> {
    replace(path, Json::texts(tags).render().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_survive_a_file_which_looks_like_hashicorps() {
        let dir = crate::config::keyring::tests::Directory::new();
        let path = dir.file("tags.json");
        assert_eq!(read_tags_file(&path).expect("may be missing"), None);
        let tags = BTreeMap::from([("z".into(), "1".into()), ("a".into(), "<&>".into())]);
        write_tags_file(&path, &tags).expect("can be written");
        let text = fs::read_to_string(&path).expect("was written");
        assert_eq!(text, "{\n  \"a\": \"\\u003c\\u0026\\u003e\",\n  \"z\": \"1\"\n}");
        assert_eq!(read_tags_file(&path).expect("is valid"), Some(tags));
    }

    #[test]
    fn other_contents_are_refused() {
        let dir = crate::config::keyring::tests::Directory::new();
        for (text, why) in [
            ("", "unexpected end of JSON input"),
            ("{\"a\"", "unexpected end of JSON input"),
            ("{\"a\": 1}", "the value of tag 'a' is not a string"),
            ("[]", "expected an object of texts"),
        ] {
            let path = dir.file("tags.json");
            fs::write(&path, text).expect("can be written");
            let error = read_tags_file(&path).expect_err(text).to_string();
            assert_eq!(error, format!("Failed to decode tags file: {why}"));
        }
    }
}
