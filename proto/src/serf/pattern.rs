//! Regular expressions in Go's dialect (RE2), translated for the crate `regex`.
//!
//! The crate has the same kind of engine and nearly the same language. The translation covers the differences: Go's
//! `\d`, `\w`, `\s` and `\b` are ASCII only; `\Q…\E`, octal escapes and escaped punctuation are unknown to the crate or
//! mean something else there; nested sets and stacked repetitions do not exist in Go.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::iter::Peekable;
use core::str::Chars;

use super::pattern_error::PatternError;
use crate::limits::{
    PATTERN_BYTES_MAX, PATTERN_OPERATORS_MAX, PATTERN_PROGRAM_BYTES_MAX, PATTERN_PROGRAM_BYTES_SMALL,
    PATTERN_WIDE_CHARS_MAX, PATTERN_WIDE_SETS_MAX,
};

/// A compiled regular expression in Go's dialect (RE2). Matches at any position of a text, in time linear in the text's
/// length.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: regex::Regex,
    is_large: bool,
    wide_chars: usize,
    units: u32,
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// If the expression is invalid in Go's dialect, or it or its compiled program is too large.
    pub fn new(expression: &str) -> Result<Self, PatternError> {
        if expression.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong { bytes: expression.len(), limit: PATTERN_BYTES_MAX });
        }
        let Translated { expression, ignores_case, operators, wide_sets, wide_chars } = translate(expression)?;
        // Case folding expands sets; without it their size costs nothing.
        let wide_chars = if ignores_case { wide_chars } else { 0 };
        let too_complex = PatternError::TooComplex { limit: PATTERN_PROGRAM_BYTES_MAX };
        // Checked before compiling: the crate limits the size of a program, not the time to build it.
        if operators > PATTERN_OPERATORS_MAX || wide_sets > PATTERN_WIDE_SETS_MAX || wide_chars > PATTERN_WIDE_CHARS_MAX
        {
            return Err(too_complex);
        }
        let units = u32::try_from(1 + operators / 16 + wide_sets / 2).unwrap_or(u32::MAX);
        let mut builder = regex::RegexBuilder::new(&expression);
        builder.nest_limit(NEST_MAX).dfa_size_limit(CACHE_BYTES_MAX);
        // Two limits only to classify the program: most are small, and large ones are budgeted separately.
        for (limit, is_large) in [(PATTERN_PROGRAM_BYTES_SMALL, false), (PATTERN_PROGRAM_BYTES_MAX, true)] {
            match builder.size_limit(limit).build() {
                Ok(regex) => return Ok(Self { regex, is_large, wide_chars, units }),
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(_) => return Err(PatternError::Syntax),
            }
        }
        Err(too_complex)
    }

    /// The cost of compiling it, in tokens of the compilation budget; for programs that are not large.
    pub(super) const fn units(&self) -> u32 {
        self.units
    }

    /// Whether its program is large.
    pub(super) const fn is_large(&self) -> bool {
        self.is_large
    }

    /// Number of characters in the sets that case folding expanded.
    pub(super) const fn wide_chars(&self) -> usize {
        self.wide_chars
    }

    /// Whether it matches at any position of `text`. `^` and `$` anchor it.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// A translated expression, and the factors of its compilation cost.
struct Translated {
    expression: String,
    ignores_case: bool,
    operators: usize,
    wide_sets: usize,
    wide_chars: usize,
}

/// Translates an expression into the crate's dialect.
fn translate(expression: &str) -> Result<Translated, PatternError> {
    let mut translator = Translator {
        rest: expression.chars().peekable(),
        out: String::new(),
        names: Vec::new(),
        ignores_case: false,
        operators: 0,
        wide_sets: 0,
        wide_chars: 0,
        has_complement: false,
        has_plain: false,
    };
    translator.expression()?;
    let Translator { out: expression, ignores_case, operators, wide_sets, wide_chars, .. } = translator;
    Ok(Translated { expression, ignores_case, operators, wide_sets, wide_chars })
}

struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
    /// Names of the groups so far. Go rejects duplicates.
    names: Vec<String>,
    /// Whether any part of the expression ignores case.
    ignores_case: bool,
    /// Number of repetitions and alternatives.
    operators: usize,
    /// Number of Unicode sets, and of ranges beyond ASCII.
    wide_sets: usize,
    /// Approximate number of characters in those.
    wide_chars: usize,
    /// Whether the current bracket set contains complements of other sets, and characters of its own.
    has_complement: bool,
    has_plain: bool,
}

impl Translator<'_> {
    fn expression(&mut self) -> Result<(), PatternError> {
        let mut repeated = false;
        while let Some(c) = self.rest.next() {
            let repeats = matches!(c, '*' | '+' | '?') || (c == '{' && self.is_count());
            // Go rejects `a**`; the crate would accept it.
            if repeats && repeated {
                return Err(PatternError::Syntax);
            }
            self.operators += usize::from(repeats || c == '|');
            match c {
                _ if repeats => self.repetition(c),
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                ')' | '|' | '.' | '^' | '$' => self.out.push(c),
                _ => self.literal(c),
            }
            repeated = repeats;
        }
        Ok(())
    }

    /// Whether a brace starts a count: `{2}`, `{2,}` or `{2,3}`. If not, it is a literal, as in Go.
    fn is_count(&self) -> bool {
        let mut rest = self.rest.clone();
        let digits = |rest: &mut Peekable<Chars<'_>>| {
            let mut any = false;
            while rest.next_if(char::is_ascii_digit).is_some() {
                any = true;
            }
            any
        };
        // `{,3}` is literal text in Go.
        if !digits(&mut rest) {
            return false;
        }
        if rest.next_if_eq(&',').is_some() {
            digits(&mut rest);
        }
        rest.next() == Some('}')
    }

    fn repetition(&mut self, c: char) {
        self.out.push(c);
        if c == '{' {
            for c in self.rest.by_ref() {
                self.out.push(c);
                if c == '}' {
                    break;
                }
            }
        }
        // Makes the repetition lazy; not a second repetition.
        if self.rest.next_if_eq(&'?').is_some() {
            self.out.push('?');
        }
    }

    /// Translates a group, after its opening parenthesis. All groups become non-capturing: only whether it matches
    /// matters.
    fn group(&mut self) -> Result<(), PatternError> {
        if self.rest.next_if_eq(&'?').is_none() {
            self.out.push_str("(?:");
            return Ok(());
        }
        let is_named = self.rest.next_if_eq(&'P').is_some();
        if is_named || self.rest.peek() == Some(&'<') {
            return self.group_name();
        }
        // Flags, up to `:` or `)`. The crate has more flags than Go; those are rejected.
        self.out.push_str("(?");
        for c in self.rest.by_ref() {
            self.out.push(c);
            self.ignores_case |= c == 'i';
            match c {
                ':' | ')' => return Ok(()),
                'i' | 'm' | 's' | 'U' | '-' => {}
                _ => break,
            }
        }
        Err(PatternError::Syntax)
    }

    fn group_name(&mut self) -> Result<(), PatternError> {
        self.rest.next_if_eq(&'<').ok_or(PatternError::Syntax)?;
        let name: String = self.rest.by_ref().take_while(|&c| c != '>').collect();
        // Checked as in Go, then dropped with the capture.
        let is_valid = !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
        if !is_valid || self.names.contains(&name) {
            return Err(PatternError::Syntax);
        }
        self.names.push(name);
        self.out.push_str("(?:");
        Ok(())
    }

    /// Translates an escape outside of a set, after its backslash.
    fn escape(&mut self) -> Result<(), PatternError> {
        match self.rest.next_if(|&c| matches!(c, 'Q' | 'A' | 'z' | 'b' | 'B')) {
            Some('Q') => self.quoted(),
            Some('A') => self.out.push_str("\\A"),
            Some('z') => self.out.push_str("\\z"),
            // ASCII word boundaries, as in Go; the crate's are Unicode.
            Some('b') => self.out.push_str("(?-u:\\b)"),
            Some('B') => self.out.push_str("(?-u:\\B)"),
            _ if self.set_escape()? => {}
            _ => {
                let c = self.char_escape()?;
                self.literal(c);
            }
        }
        Ok(())
    }

    /// Translates literal text, up to `\E` or the end.
    fn quoted(&mut self) {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.literal(c);
        }
    }

    /// Translates the escape of a character set, inside or outside of brackets. Returns false if it is another escape.
    fn set_escape(&mut self) -> Result<bool, PatternError> {
        let Some(c) = self.rest.next_if(|&c| matches!(c, 'd' | 'D' | 's' | 'S' | 'w' | 'W' | 'p' | 'P')) else {
            return Ok(false);
        };
        self.has_complement |= matches!(c, 'D' | 'S' | 'W');
        self.out.push_str(match c {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            's' => "[\\t\\n\\x0C\\r ]",
            'S' => "[^\\t\\n\\x0C\\r ]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            _ => return self.unicode_set(c == 'P').map(|()| true),
        });
        Ok(true)
    }

    /// Translates a Unicode set, after `\p` or `\P`: a letter, or a name in braces.
    fn unicode_set(&mut self, mut negated: bool) -> Result<(), PatternError> {
        let mut name = String::new();
        match self.rest.next() {
            Some('{') => loop {
                match self.rest.next() {
                    Some('}') => break,
                    Some('^') if name.is_empty() => negated = !negated,
                    Some(c) if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
                    _ => return Err(PatternError::Syntax),
                }
            },
            Some(c) if c.is_ascii_alphabetic() => name.push(c),
            _ => return Err(PatternError::Syntax),
        }
        // Counted before the crate compiles it: a few letters in braces can stand for 100 000 characters.
        self.wide_sets += 1;
        self.wide_chars += set_chars(&name);
        self.has_complement |= negated;
        let kind = if negated { 'P' } else { 'p' };
        write!(self.out, "\\{kind}{{{name}}}").map_err(|_| PatternError::Syntax)
    }

    /// Parses the escape of a single character, after its backslash.
    fn char_escape(&mut self) -> Result<char, PatternError> {
        let c = self.rest.next().ok_or(PatternError::Syntax)?;
        let is_octal = |c: &char| ('0'..='7').contains(c);
        match c {
            'a' => Ok('\x07'),
            'f' => Ok('\x0c'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\x0b'),
            'x' => self.hex(),
            // A single digit would be a backreference, which a linear-time engine does not support.
            '1'..='7' if !self.rest.peek().is_some_and(is_octal) => Err(PatternError::Syntax),
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    let Some(digit) = self.rest.next_if(is_octal) else { break };
                    code = code * 8 + digit.to_digit(8).unwrap_or_default();
                }
                char::from_u32(code).ok_or(PatternError::Syntax)
            }
            _ if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(c),
            _ => Err(PatternError::Syntax),
        }
    }

    /// Parses a hexadecimal escape, after `\x`: two digits, or any number of digits in braces.
    fn hex(&mut self) -> Result<char, PatternError> {
        let digit = |c: Option<char>| c.and_then(|c| c.to_digit(16)).ok_or(PatternError::Syntax);
        let mut code = 0;
        if self.rest.next_if_eq(&'{').is_some() {
            loop {
                code = code * 16 + digit(self.rest.next())?;
                // In the loop, so that `code` cannot overflow however many digits follow.
                if code > u32::from(char::MAX) {
                    return Err(PatternError::Syntax);
                }
                if self.rest.next_if_eq(&'}').is_some() {
                    break;
                }
            }
        } else {
            code = digit(self.rest.next())? * 16 + digit(self.rest.next())?;
        }
        char::from_u32(code).ok_or(PatternError::Syntax)
    }

    /// Translates a bracket set, after its opening bracket. A bracket inside is a literal, unless it starts a named
    /// set.
    fn class(&mut self) -> Result<(), PatternError> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        (self.has_complement, self.has_plain) = (false, false);
        let mut first = true;
        loop {
            match self.rest.next().ok_or(PatternError::Syntax)? {
                // A `]` in first position is a literal.
                ']' if !first => break,
                '[' if self.rest.peek() == Some(&':') && self.named_set()? => {}
                '\\' if self.set_escape()? => {}
                c => self.range(c)?,
            }
            first = false;
        }
        self.out.push(']');
        if self.has_complement && self.has_plain {
            // Case folding expands such a set as a whole.
            self.wide_chars += u32::from(char::MAX) as usize;
        }
        Ok(())
    }

    /// Translates a named set such as `[:alpha:]`. Returns false if it is none, for example without `:]`.
    fn named_set(&mut self) -> Result<bool, PatternError> {
        // Looks ahead only: without `:]`, the bracket is a literal and nothing may be consumed.
        let rest: String = self.rest.clone().skip(1).collect();
        let Some((name, _)) = rest.split_once(":]") else { return Ok(false) };
        if !NAMED_SETS.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(PatternError::Syntax);
        }
        self.has_complement |= name.starts_with('^');
        write!(self.out, "[:{name}:]").map_err(|_| PatternError::Syntax)?;
        self.rest.by_ref().take(name.len() + 3).for_each(drop);
        Ok(true)
    }

    /// Translates a character or a range of a bracket set.
    fn range(&mut self, first: char) -> Result<(), PatternError> {
        self.has_plain = true;
        let low = self.class_char(first)?;
        // A hyphen before the closing bracket is a literal.
        let mut ahead = self.rest.clone();
        let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']');
        self.literal(low);
        if is_range {
            self.rest.next();
            let last = self.rest.next().ok_or(PatternError::Syntax)?;
            let high = self.class_char(last)?;
            if high < low {
                return Err(PatternError::Syntax);
            }
            if !high.is_ascii() {
                self.wide_sets += 1;
                self.wide_chars += (u32::from(high) - u32::from(low)) as usize;
            }
            self.out.push('-');
            self.literal(high);
        }
        Ok(())
    }

    fn class_char(&mut self, c: char) -> Result<char, PatternError> {
        if c == '\\' { self.char_escape() } else { Ok(c) }
    }

    /// Writes a literal character. Escapes ASCII punctuation, which may have a meaning in the crate's dialect.
    fn literal(&mut self, c: char) {
        if c.is_ascii_alphanumeric() || !c.is_ascii() {
            self.out.push(c);
        } else {
            let written = write!(self.out, "\\x{:02X}", u32::from(c));
            debug_assert!(written.is_ok(), "a string takes everything");
        }
    }
}

/// The named sets (POSIX).
const NAMED_SETS: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// Upper bound of the number of characters in a Unicode set.
fn set_chars(name: &str) -> usize {
    let small = matches!(name.as_bytes(), [b'N' | b'M' | b'P' | b'S' | b'Z'] | [b'N' | b'M' | b'P' | b'S' | b'Z', _])
        || matches!(name, "Lu" | "Ll" | "Lt" | "Lm");
    let name: String = name.chars().filter(|&c| c != '_').map(|c| c.to_ascii_lowercase()).collect();
    match &*name {
        _ if small => 12_000,
        "any" | "assigned" | "unassigned" | "other" => u32::from(char::MAX) as usize,
        _ if name.starts_with('c') && name.len() <= 2 => u32::from(char::MAX) as usize,
        // At most all letters.
        _ => 145_000,
    }
}

/// The memory limit of the lazy DFA's cache, in bytes. Ours: the crate's default is 2 MiB.
const CACHE_BYTES_MAX: usize = 64 * 1024;

/// The maximum nesting depth of groups; above that of the longest expression.
const NEST_MAX: u32 = 1000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(expression: &str, text: &str) -> bool {
        Pattern::new(expression).unwrap_or_else(|error| panic!("{expression}: {error}")).is_match(text)
    }

    #[test]
    fn an_expression_matches_anywhere_unless_it_is_tied_to_the_ends() {
        assert!(matches("d", "db"));
        assert!(matches("", ""));
        assert!(!matches("^d$", "db"));
        assert!(matches("^web[0-9]+$", "web12"));
        assert!(matches("^a|b$", "ax"), "as an agent wraps a pattern: without a group");
    }

    #[test]
    fn a_set_of_almost_all_characters_is_counted_as_all() {
        for name in ["Any", "assigned", "Un_assigned", "other", "C", "cn"] {
            assert_eq!(set_chars(name), u32::from(char::MAX) as usize, "{name}");
        }
        assert_eq!((set_chars("Lu"), set_chars("N"), set_chars("Greek")), (12_000, 12_000, 145_000));
    }

    #[test]
    fn classes_and_boundaries_are_ascii() {
        for (expression, text) in [("\\d", "٣"), ("\\w", "é"), ("\\s", "\u{a0}"), ("[\\w]", "é"), ("\\s", "\x0b")] {
            assert!(!matches(expression, text), "{expression} {text}");
        }
        assert!(matches("é\\b", "éa"), "é is no word character, so that a begins a word");
        assert!(!matches("\\bé", "é"));
        assert!(matches("a\\B", "ab") && !matches("a\\B", "aé"));
        assert!(matches("^\\D\\W\\S$", "éé\u{a0}"));
        assert!(matches("^.$", "é"), "but a character is a character");
        assert!(matches("(?i)^É$", "é"));
        assert!(matches("^[\\D]$", "x") && !matches("^[\\D]$", "3"));
        assert!(matches("^\\pL\\p{Greek}\\PL\\p{^Greek}$", "xλ1x"));
        assert!(matches("^\\p{Old_Italic}$", "\u{10300}"));
    }

    #[test]
    fn expressions_that_only_go_has_are_compiled() {
        assert!(matches("^\\Qa.b*\\E+$", "a.b***") && !matches("^\\Qa.b\\E$", "axb"));
        assert!(matches("^\\Q[(", "[("), "a quotation may last to the end");
        assert!(matches("^\\101\\x42\\x{43}\\07$", "ABC\x07"));
        assert!(matches("^\\<\\_\\-\\>$", "<_->"), "escaped punctuation stands for itself");
        assert!(matches("^\\a\\f\\n\\r[\\t][\\v]$", "\x07\x0c\n\r\t\x0b"));
        assert!(matches("\\Aa\\z", "a") && !matches("\\Aa", "ba") && !matches("(?m)a\\z", "a\nb"));
        assert!(matches("^\\x{10FFFF}$", "\u{10ffff}"));
        assert!(matches("^a{,2}$", "a{,2}") && matches("^a{$", "a{") && matches("^x{2,3}$", "xx"));
        assert!(matches("^[[a]$", "[") && matches("^[a&&b]+$", "&ab") && matches("^[]a]+$", "]a"));
        assert!(matches("^[+--]$", ","), "a range from plus to minus");
        assert!(matches("^[[:alpha:][:^ascii:]_-]+$", "aé_-"));
        assert!(matches("^[a-a]$", "a"), "a range of one");
        assert!(matches("(?P<n>a)(?<_m_1>b)(?i:C)(?U)d+", "abcd"));
        assert!(matches("(?s)a.b", "a\nb") && !matches("a.b", "a\nb") && matches("(?m)^b$", "a\nb\nc"));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for expression in [
            "a**",
            "a+*",
            "a*??",
            "a{2}{3}",
            "*a",
            "(",
            ")",
            "[a",
            "\\1",
            "\\8",
            "\\C",
            "\\Z",
            "\\E",
            "\\y",
            "\\é",
            "a\\",
            "(?x)a",
            "(?=a)",
            "(?<n>a)(?<n>b)",
            "(?P<>a)",
            "(?P<n-m>a)",
            "(?P=n)",
            "[z-a]",
            "[a-\\d]",
            "[[:foo:]]",
            "\\pX",
            "\\p{Nope}",
            "\\p{L^u}",
            "\\p{L u}",
            "\\p{script=Greek}",
            "\\x{110000}",
            "\\xg0",
            "(?i",
            "a{3,2}",
        ] {
            assert_eq!(Pattern::new(expression).err(), Some(PatternError::Syntax), "{expression}");
        }
        let and_complex = r"\p{Zl}".repeat(PATTERN_WIDE_SETS_MAX) + r"\p1";
        assert_eq!(Pattern::new(&and_complex).err(), Some(PatternError::Syntax));
    }

    #[test]
    fn expressions_of_real_clusters_are_small_and_the_classes_of_unicode_fit() {
        for (expression, is_large) in [
            ("^web[0-9]+$", false),
            ("^(?:web|db|cache)-(?:eu|us|ap)-[0-9]{1,4}$", false),
            ("(?i)mode=s3|full", false),
            (r"^(?:[0-9]{1,3}\.){3}[0-9]{1,3}$", false),
            (r"^v?[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?$", false),
            ("^.{1,64}$", true),
            (r"^\pL+\pN{1,3}$", true),
            (r"(?i)^[\pL\pN_-]+$", true),
            (r"(?i)^\p{Greek}+$", false),
            ("(?i)[а-яё]+", false),
        ] {
            let pattern = Pattern::new(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
            assert_eq!(pattern.is_large(), is_large, "{expression}");
        }
    }

    #[test]
    fn expressions_that_take_long_to_compile_are_refused() {
        for (below, above) in [
            ("a?".repeat(128), "a?".repeat(129)),
            ("[а-б]".repeat(16), "[а-б]".repeat(17)),
            (r"\p{Zl}".repeat(16), r"\p{Zl}".repeat(17)),
            (r"(?s:\p{C})".into(), r"(?si:\p{C})".into()),
            (r"(?i)\pL\pN".into(), r"(?i)\pL\p{Lo}\p{Han}".into()),
            (r"(?i)[b-\x{4e262}]".into(), r"(?i)[b-\x{10fff0}]".into()),
            (r"(?i)\p{Greek}\p{Cyrillic}\p{Lu}".into(), r"(?i)\p{Greek}\p{Cyrillic}\p{Lu}\p{Han}".into()),
            (r"\p{C}".into(), r"(?i)\p{C}".into()),
            (r"(?i)[\s\S]".into(), r"(?i)[\Sa]".into()),
            (r"(?i)[^\wa]".into(), r"(?i)[\Wa]".into()),
            (r"(?i)[[:^alpha:]]".into(), r"(?i)[[:^alpha:]x]".into()),
            (r"(?i)[^\pLa]".into(), r"(?i)[\PLa]".into()),
        ] {
            assert!(Pattern::new(&below).is_ok(), "{below}");
            let error = PatternError::TooComplex { limit: PATTERN_PROGRAM_BYTES_MAX };
            assert_eq!(Pattern::new(&above).err(), Some(error), "{above}");
        }
    }

    #[test]
    fn long_and_costly_expressions_are_refused() {
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        let error = PatternError::TooLong { bytes: PATTERN_BYTES_MAX + 1, limit: PATTERN_BYTES_MAX };
        assert_eq!(Pattern::new(&long).err(), Some(error));
        assert!(matches!(Pattern::new("((a{100}){100}){100}"), Err(PatternError::TooComplex { .. })));
        assert!(matches!(Pattern::new("(\\pL{1000}){1000}"), Err(PatternError::TooComplex { .. })));
        let nested = "(".repeat(PATTERN_BYTES_MAX / 2) + &")".repeat(PATTERN_BYTES_MAX / 2);
        assert!(matches(&nested, ""));
        assert!(matches("^\\pL+\\pN{1,3}$", "aé123"));
    }

    proptest! {
        #[test]
        fn any_expression_is_compiled_or_refused_without_a_panic(expression in "[a-c\\\\\\[\\](){}*+?^$.|:<>PQEdbpx0-9,&~-]{0,24}|.{0,24}", text in "[a-c]{0,5}") {
            if let Ok(pattern) = Pattern::new(&expression) {
                pattern.is_match(&text);
            }
        }

        #[test]
        fn a_text_in_quotes_matches_itself_and_nothing_else(text in "[ -\\[\\]-~é]{1,20}", other in "[ -\\[\\]-~é]{1,20}") {
            let pattern = Pattern::new(&alloc::format!("^\\Q{text}\\E$")).unwrap();
            prop_assert!(pattern.is_match(&text));
            prop_assert_eq!(pattern.is_match(&other), text == other);
        }
    }
}
