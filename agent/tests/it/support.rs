//! Helpers shared by the tests.

use serde_json::Value;

/// Decodes hexadecimal text.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("is hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}

/// Recorded bytes or transcripts of HashiCorp's programs.
pub(crate) fn vectors(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read(&path).expect(&path);
    serde_json::from_slice(&text).expect(&path)
}

/// A string among recorded values.
pub(crate) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or("")
}
