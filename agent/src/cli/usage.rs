//! Parses the usage texts. Completions and manual pages are generated from them, so that a flag is described in one
//! place.
//!
//! A usage text is a line `Usage: serf name arguments`, paragraphs indented by two blanks, and sections with a heading.
//! In the section `Options:` a line begins with a flag, and its help begins in the column of [`HELP_COLUMN`], there or
//! on the next lines.

/// A parsed usage text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// The line after `Usage: `.
    pub(super) synopsis: String,
    pub(super) paragraphs: Vec<String>,
    pub(super) options: Vec<OptionHelp>,
    /// Further sections: heading and paragraphs.
    pub(super) sections: Vec<(String, Vec<String>)>,
}

/// A flag and its help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OptionHelp {
    /// The name without the dash.
    pub(super) name: String,
    /// The placeholder of its value, `None` for a flag that takes none.
    pub(super) value: Option<Placeholder>,
    pub(super) help: String,
}

/// The placeholder of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placeholder {
    pub(super) text: String,
    /// `=` or a blank, as it is printed; both are accepted.
    pub(super) separator: char,
}

impl Usage {
    /// Parses a usage text.
    pub(super) fn parse(text: &str) -> Self {
        let mut blocks = text.trim().split("\n\n");
        let synopsis = blocks.next().unwrap_or_default();
        let synopsis = synopsis.strip_prefix("Usage: ").unwrap_or(synopsis).to_owned();
        let mut usage = Self { synopsis, paragraphs: Vec::new(), options: Vec::new(), sections: Vec::new() };
        let mut heading: Option<&str> = None;
        for block in blocks {
            if !block.starts_with(' ') {
                let (first, rest) = block.split_once('\n').unwrap_or((block, ""));
                heading = Some(first.trim_end_matches(':'));
                if rest.is_empty() {
                    if heading != Some("Options") {
                        usage.sections.push((first.trim_end_matches(':').into(), Vec::new()));
                    }
                    continue;
                }
            }
            match (heading, usage.sections.last_mut()) {
                (Some("Options"), _) => usage.options.extend(options(block)),
                (Some(_), Some((_, paragraphs))) => paragraphs.push(flow(block)),
                _ => usage.paragraphs.push(flow(block)),
            }
        }
        usage
    }
}

/// Joins the lines of a paragraph.
fn flow(block: &str) -> String {
    block.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn options(block: &str) -> Vec<OptionHelp> {
    let mut options: Vec<OptionHelp> = Vec::new();
    for line in block.lines() {
        if !line.starts_with("  -") {
            if let Some(last) = options.last_mut() {
                last.help = flow(&format!("{} {line}", last.help));
            }
            continue;
        }
        let (flag, help) = line.split_at_checked(HELP_COLUMN).unwrap_or((line, ""));
        // A long flag moves its help to the right.
        let (flag, help) = match help.strip_prefix(|c: char| c != ' ') {
            Some(_) if !flag.ends_with(' ') => {
                line.trim_start().split_once("  ").unwrap_or_else(|| (line.trim_start(), ""))
            }
            _ => (flag, help),
        };
        options.push(option(flag.trim(), help));
    }
    options
}

fn option(flag: &str, help: &str) -> OptionHelp {
    let flag = flag.trim_start_matches('-');
    let (name, value) = match flag.find(['=', ' ']) {
        Some(at) => {
            let separator = if flag[at..].starts_with('=') { '=' } else { ' ' };
            (&flag[..at], Some(Placeholder { text: flag[at + 1..].trim().into(), separator }))
        }
        None => (flag, None),
    };
    OptionHelp { name: name.into(), value, help: flow(help) }
}

/// The column in which the help of a flag begins.
const HELP_COLUMN: usize = 28;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ffi::OsString;

    use super::*;
    use crate::cli::{COMMANDS, Environment, Terminal, run};
    use crate::flags;

    #[test]
    fn a_usage_text_comes_apart() {
        let usage = Usage::parse(
            "
Usage: serf x [options] name

  One and
  two.

  Three.

Options:

  -a=v                      First
                            line.
  -b k=v                    Second.
  -rpc-addr=127.0.0.1:7373  Third.
  -d                        Fourth.

More:

  Five.
",
        );
        assert_eq!(usage.synopsis, "serf x [options] name");
        assert_eq!(usage.paragraphs, ["One and two.", "Three."]);
        let shown: Vec<_> = usage
            .options
            .iter()
            .map(|it| {
                (it.name.as_str(), it.value.as_ref().map(|it| (it.text.as_str(), it.separator)), it.help.as_str())
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("a", Some(("v", '=')), "First line."),
                ("b", Some(("k=v", ' ')), "Second."),
                ("rpc-addr", Some(("127.0.0.1:7373", '=')), "Third."),
                ("d", None, "Fourth."),
            ]
        );
        assert_eq!(usage.sections, [("More".to_owned(), vec!["Five.".to_owned()])]);
    }

    #[test]
    fn usage_texts_name_exactly_the_flags_that_commands_understand() {
        for command in COMMANDS {
            let args = [command.name, "-surely-no-flag"].map(OsString::from);
            let (mut out, mut err) = (Vec::new(), Vec::new());
            flags::tests::NAMES.with_borrow_mut(Vec::clear);
            run(&args, &Environment::default(), &mut Terminal::new(&mut out, &mut err));
            let understood: BTreeSet<_> =
                flags::tests::NAMES.with_borrow(|names| names.iter().map(|name| (*name).to_owned()).collect());
            let named: BTreeSet<_> = command.described().options.into_iter().map(|it| it.name).collect();
            assert_eq!(named, understood, "serf {}", command.name);
        }
    }
}
