//! Text quoted as Go's `%q` does, for messages that scripts know.

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

fn push(letter: char, out: &mut String) {
    match letter {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        '\0'..='\x1f' | '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(letter))),
        _ if is_printed(letter) => out.push(letter),
        _ if u32::from(letter) <= 0xffff => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
        _ => out.push_str(&format!("\\U{:08x}", u32::from(letter))),
    }
}

/// Whether Go prints the letter as it is: not controls, blanks but the plain one, invisible marks and private letters.
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
}
