//! Writes JSON as Go's `json.MarshalIndent` does with two blanks; scripts compare it.

use std::collections::BTreeMap;

use crate::quote::{acts, push_json_escape};

/// A JSON document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(i64),
    /// A float; `NaN` and infinities are written as null.
    Float(f64),
    /// Text; bytes that are not UTF-8 are replaced.
    Text(Vec<u8>),
    /// A list.
    List(Vec<Self>),
    /// An object, its keys in this order.
    Object(Vec<(String, Self)>),
}

impl Json {
    /// A valid string.
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }

    /// A map of strings, sorted by key as Go does.
    pub(crate) fn texts(map: &BTreeMap<String, String>) -> Self {
        Self::Object(map.iter().map(|(key, value)| (key.clone(), Self::text(value))).collect())
    }

    /// An object with these fields, in this order.
    pub(crate) fn object<'k>(fields: impl IntoIterator<Item = (&'k str, Self)>) -> Self {
        Self::Object(fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// A list of strings.
    pub(crate) fn names<'n>(names: impl IntoIterator<Item = &'n String>) -> Self {
        Self::List(names.into_iter().map(|name| Self::text(name)).collect())
    }

    /// The document on one line, without blanks.
    pub(crate) fn render_line(&self) -> String {
        let mut out = String::new();
        self.write_line(&mut out);
        out
    }

    fn write_line(&self, out: &mut String) {
        match self {
            Self::List(items) => {
                out.push('[');
                for (idx, item) in items.iter().enumerate() {
                    out.push_str(if idx > 0 { "," } else { "" });
                    item.write_line(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (idx, (key, value)) in fields.iter().enumerate() {
                    out.push_str(if idx > 0 { "," } else { "" });
                    quote(key.as_bytes(), out);
                    out.push(':');
                    value.write_line(out);
                }
                out.push('}');
            }
            single => single.write(out, 0),
        }
    }

    /// The document, indented, without a newline at its end.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Float(number) if number.is_finite() => out.push_str(&number.to_string()),
            Self::Float(_) => out.push_str("null"),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::Text(bytes) => quote(bytes, out),
            Self::List(items) => {
                block(out, depth, ['[', ']'], items, |item, out, depth| item.write(out, depth));
            }
            Self::Object(fields) => block(out, depth, ['{', '}'], fields, |(key, value), out, depth| {
                quote(key.as_bytes(), out);
                out.push_str(": ");
                value.write(out, depth);
            }),
        }
    }
}

fn block<T>(out: &mut String, depth: usize, [open, close]: [char; 2], items: &[T], write: fn(&T, &mut String, usize)) {
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str("  "));
    };
    out.push(open);
    for (idx, item) in items.iter().enumerate() {
        if idx > 0 {
            out.push(',');
        }
        line(out, depth + 1);
        write(item, out, depth + 1);
    }
    if !items.is_empty() {
        line(out, depth);
    }
    out.push(close);
}

fn quote(bytes: &[u8], out: &mut String) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => push_json_escape(letter, out),
                // Ours: escaped, where Go leaves these as they are. Parsers get the same text; on a terminal it has no
                // effect.
                _ if acts(letter) => push_json_escape(letter, out),
                _ => out.push(letter),
            }
        }
        chunk.invalid().iter().for_each(|_| out.push_str("\\ufffd"));
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_look_like_gos() {
        let map = BTreeMap::from([("z".into(), "1".into()), ("a".into(), "<&>\u{8}\u{2028}\"\\".into())]);
        assert_eq!(
            Json::texts(&map).render(),
            "{\n  \"a\": \"\\u003c\\u0026\\u003e\\u0008\\u2028\\\"\\\\\",\n  \"z\": \"1\"\n}"
        );
        let hostile = Json::text("\x7f\u{9b}\u{202e}\u{e0041}").render();
        assert_eq!(hostile, r#""\u007f\u009b\u202e\udb40\udc41""#, "as pairs beyond 16 bits");
        let values = Json::object([
            ("yes", Json::Bool(true)),
            ("half", Json::Float(0.5)),
            ("nan", Json::Float(f64::NAN)),
            ("list", Json::List(vec![Json::Number(1), Json::Null])),
        ]);
        assert_eq!(values.render_line(), "{\"yes\":true,\"half\":0.5,\"nan\":null,\"list\":[1,null]}");
        let nested = Json::Object(vec![
            ("none".into(), Json::Null),
            ("empty".into(), Json::List(vec![])),
            ("list".into(), Json::List(vec![Json::Number(-1), Json::Text(b"\xff\xc3\xe9z".to_vec())])),
        ]);
        assert_eq!(
            nested.render(),
            "{\n  \"none\": null,\n  \"empty\": [],\n  \"list\": [\n    -1,\n    \"\\ufffd\\ufffd\\ufffdz\"\n  ]\n}"
        );
    }
}
