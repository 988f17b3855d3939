//! Tags, and the filter expressions on them.

use serf_proto::{Filter, Pattern, Tags};

/// Longest text that is also searched for as a quoted literal.
const LITERAL_BYTES_MAX: usize = 200;

/// Even first byte: metadata. Odd first byte: an expression, a zero byte, and the text to match.
pub fn filters(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    if how & 1 == 0 { metadata(data) } else { expression(data) }
}

fn metadata(meta: &[u8]) {
    let tags = Tags::decode(meta);
    assert_eq!(Tags::decode(&tags.encode()), tags, "what was read is read the same when it is written again");
    for (key, value) in tags.iter() {
        assert_eq!(tags.get(key), Some(value));
    }
}

fn expression(data: &[u8]) {
    let Ok(data) = std::str::from_utf8(data) else { return };
    let (expression, text) = data.split_once('\0').unwrap_or((data, "web"));
    let tags: Tags = [("role", text)].into_iter().collect();
    match (Pattern::new(expression), Filter::tag("role", expression)) {
        (Ok(pattern), Ok(filter)) => assert_eq!(pattern.is_match(text), filter.passes("a", &tags)),
        (Err(one), Err(other)) => assert_eq!(one, other),
        (one, other) => panic!("{one:?} but {other:?}"),
    }
    if text.len() <= LITERAL_BYTES_MAX && !text.contains("\\E") && !text.ends_with('\\') {
        let quoted = Pattern::new(&format!(r"\A\Q{text}\E\z")).expect("any text can be quoted");
        assert!(quoted.is_match(text) && !quoted.is_match(&format!("{text}x")), "{text:?}");
    }
}
