//! Text for display: quoted as Go's `%q` does, and remote text escaped for terminals and logs.

use std::borrow::Cow;

/// `bytes` in quotes, with Go's escapes (`strconv.Quote`).
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|letter| push(letter, &mut out));
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out.push('"');
    out
}

/// Escapes `text` for one line of a log or one cell of a table: characters that act on a terminal are written as Go's
/// escapes.
///
/// Names, tags and payloads come from any node that can send a packet. A line end forges a line, an escape sequence
/// repaints the screen, a bidirectional override reorders text. HashiCorp's agent prints all of them raw. All other
/// characters, backslashes and quotes too, stay, so that ordinary names look the same.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

/// The same for text of several lines: line ends and tabs stay.
pub(crate) fn shown_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |letter| acts(letter) && !matches!(letter, '\n' | '\t'))
}

/// Escapes `bytes` of several lines, such as the answer to a query, after a label on the same line: further lines are
/// indented, so that none can be mistaken for the program's own. Bytes that are not UTF-8 stay.
pub(crate) fn shown_payload(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(shown_lines(chunk.valid()).replace('\n', "\n\t").as_bytes());
        out.extend_from_slice(chunk.invalid());
    }
    out
}

/// A string of a JSON document, with JSON's escapes for every character that [`acts`], also where JSON does not require
/// them.
pub(crate) fn json_escaped(string: &str) -> String {
    let mut out = String::with_capacity(string.len());
    for letter in string.chars() {
        if acts(letter) { push_json_escape(letter, &mut out) } else { out.push(letter) }
    }
    out
}

/// Writes `letter` as `\uXXXX`, beyond 16 bits as a pair of surrogates.
pub(crate) fn push_json_escape(letter: char, out: &mut String) {
    letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
}

/// The longest prefix of `text` within `bytes_max` that does not cut a character.
pub(crate) fn start_of(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    let Some(first) = text.find(&is_escaped) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for letter in text[first..].chars() {
        if is_escaped(letter) { push_escape(letter, &mut out) } else { out.push(letter) }
    }
    Cow::Owned(out)
}

/// Whether `letter` acts on a terminal or a pager instead of being printed: C0, DEL and C1 controls, line and paragraph
/// separators, bidirectional marks and overrides, invisible marks, tags. Joiners stay, because some scripts need them
/// within words.
pub(crate) const fn acts(letter: char) -> bool {
    matches!(letter,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn push(letter: char, out: &mut String) {
    match letter {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        _ if is_printed(letter) => out.push(letter),
        _ => push_escape(letter, out),
    }
}

fn push_escape(letter: char, out: &mut String) {
    match letter {
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        '\0'..='\x1f' | '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(letter))),
        _ if u32::from(letter) <= 0xffff => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
        _ => out.push_str(&format!("\\U{:08x}", u32::from(letter))),
    }
}

/// Whether Go prints the character as it is. Go escapes controls, blanks except the plain one, invisible marks and
/// private characters.
fn is_printed(letter: char) -> bool {
    let invisible = matches!(letter,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{fffb}'
        | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{10ffff}');
    !(invisible || letter.is_control() || (letter.is_whitespace() && letter != ' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_as_in_go() {
        assert_eq!(quote(b"v\x01\"1"), "\"v\\x01\\\"1\"");
        assert_eq!(quote("a\u{7}\t\u{a0}\u{e9}\u{7f}".as_bytes()), "\"a\\a\\t\\u00a0\u{e9}\\x7f\"");
        assert_eq!(quote(b"\xff"), "\"\\xff\"");
    }

    #[test]
    fn characters_that_act_on_a_terminal_are_escaped_and_no_others() {
        let hostile = "a\nb\r\x1b[2J\x07\0\x7f\u{9b}31m\u{85}\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}\u{feff}\u{e0041}";
        assert_eq!(
            shown(hostile),
            "a\\nb\\r\\x1b[2J\\a\\x00\\x7f\\u009b31m\\u0085\\u2028\\u2029\\u202e\\u2066\\u200f\\ufeff\\U000e0041"
        );
        let ordinary = "Zo\u{eb} \u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{4f60}\u{597d} \u{1f468}\u{200d}\u{1f469} \u{a0} 'a\\b\" \u{627}\u{200c}\u{628}";
        assert!(matches!(shown(ordinary), Cow::Borrowed(text) if text == ordinary));
        assert_eq!(shown_lines("a\n\t* b\x1b\r"), "a\n\t* b\\x1b\\r");
        // A byte of C1 alone is not UTF-8, and no control to a terminal that reads UTF-8.
        assert_eq!(shown_payload(b"up\n\nTotal Acks: 9\x1b\xff\x9b"), b"up\n\t\n\tTotal Acks: 9\\x1b\xff\x9b");
    }

    #[test]
    fn both_ends_of_every_escaped_range_are_escaped_and_their_neighbours_are_not() {
        for (first, last) in [
            (0x7f, 0x9f),
            (0x61c, 0x61c),
            (0x200b, 0x200b),
            (0x200e, 0x200f),
            (0x2028, 0x202e),
            (0x2060, 0x206f),
            (0xfeff, 0xfeff),
            (0xfff9, 0xfffb),
            (0xe0000, 0xe007f),
        ] {
            let letter = |code| char::from_u32(code).expect("is a letter");
            assert!(acts(letter(first)) && acts(letter(last)), "{first:x} to {last:x}");
            assert!(!acts(letter(first - 1)) && !acts(letter(last + 1)), "around {first:x} to {last:x}");
        }
        assert!(acts('\0') && acts('\x1f') && !acts(' '));
    }
}
