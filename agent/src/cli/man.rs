//! `serf man`
//!
//! Generates the pages from the usage texts, as the completions are, and for the same reason without `clap_mangen`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use super::usage::{OptionHelp, Usage};
use super::{COMMANDS, Command, Environment, Failure, Outcome, Terminal};
use crate::endpoint::go_words;
use crate::flags;

pub(super) const COMMAND: Command =
    Command { name: "man", synopsis: "Prints or writes the manual pages", usage: || USAGE, run };

fn run(args: &[OsString], _env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    match flags::parse(&mut [], args)? {
        [] => {
            terminal.bytes(overview().as_bytes());
            Ok(())
        }
        [directory] => write_all(Path::new(directory), terminal),
        _ => Err(Failure::Misuse("One directory at most can be specified.")),
    }
}

fn write_all(directory: &Path, terminal: &mut Terminal<'_>) -> Outcome {
    let failed = |path: &Path, error: &io::Error| {
        Failure::Said(format!("Error writing '{}': {}", path.display(), go_words(error)))
    };
    fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
    let mut write = |name: String, page: String| {
        let path = directory.join(name);
        fs::write(&path, page).map_err(|error| failed(&path, &error))?;
        terminal.line(path.display());
        Ok(())
    };
    write("serf.1".into(), overview())?;
    COMMANDS.iter().try_for_each(|command| write(format!("serf-{}.1", command.name), page(command)))
}

/// The page of all commands, with a summary of their flags.
fn overview() -> String {
    let mut out = heading("serf", "clusters without a master");
    out.push_str(
        ".SH SYNOPSIS\n.B serf\n[\\-\\-version] [\\-\\-help] \\fIcommand\\fR [\\fIarguments\\fR]\n.SH DESCRIPTION\n",
    );
    out.push_str(&escaped(
        "Agents on many hosts form a cluster: they know who is there, who failed and who left, and spread small messages to all. \
         'serf agent' runs one; the other commands talk to a running agent.",
    ));
    out.push_str("\n.SH COMMANDS\n");
    for command in COMMANDS {
        let Usage { synopsis, options, .. } = command.described();
        let flags: Vec<_> = options.iter().map(flag).collect();
        let (synopsis, what) = (escaped(&synopsis), escaped(command.synopsis));
        out.push_str(&format!(".TP\n.B {synopsis}\n{what}. See\n.BR serf\\-{} (1).\n", escaped(command.name)));
        if !flags.is_empty() {
            out.push_str(&format!(".br\n{}\n", flags.join(", ")));
        }
    }
    out.push_str(".SH ENVIRONMENT\n");
    for (name, what) in [
        ("SERF_RPC_ADDR", "Address of the agent's RPC, in place of -rpc-addr."),
        ("SERF_RPC_AUTH", "Token of the agent's RPC, in place of -rpc-auth."),
    ] {
        out.push_str(&format!(".TP\n.B {name}\n{}\n", escaped(what)));
    }
    out.push_str(EXIT_STATUS);
    out
}

/// The page of one command.
fn page(command: &Command) -> String {
    let Usage { synopsis, paragraphs, options, sections } = command.described();
    let mut out = heading(&format!("serf-{}", command.name), command.synopsis);
    out.push_str(&format!(".SH SYNOPSIS\n.B {}\n.SH DESCRIPTION\n", escaped(&synopsis)));
    out.push_str(&flowing(&paragraphs));
    if !options.is_empty() {
        out.push_str(".SH OPTIONS\n");
        for option in &options {
            out.push_str(&format!(".TP\n{}\n{}\n", flag(option), escaped(&option.help)));
        }
    }
    for (title, paragraphs) in &sections {
        out.push_str(&format!(".SH {}\n{}", escaped(&title.to_uppercase()), flowing(paragraphs)));
    }
    out.push_str(EXIT_STATUS);
    out.push_str(".SH SEE ALSO\n.BR serf (1)\n");
    out
}

fn heading(name: &str, what: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let (title, name) = (escaped(&name.to_uppercase()), escaped(name));
    format!(".TH \"{title}\" 1 \"\" \"serf {version}\" \"Serf\"\n.SH NAME\n{name} \\- {}\n", escaped(what))
}

fn flag(option: &OptionHelp) -> String {
    let name = escaped(&option.name);
    match &option.value {
        None => format!("\\fB\\-{name}\\fR"),
        Some(value) => format!("\\fB\\-{name}\\fR{}\\fI{}\\fR", value.separator, escaped(&value.text)),
    }
}

fn flowing(paragraphs: &[String]) -> String {
    paragraphs.iter().map(|text| escaped(text)).collect::<Vec<_>>().join("\n.PP\n") + "\n"
}

/// Escapes text for roff.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    // At the start of a line, these would be requests.
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

const EXIT_STATUS: &str = ".SH EXIT STATUS\n0 when all went well, 1 when not, 127 when there is no such command.\n";

const USAGE: &str = "
Usage: serf man [directory]

  Prints the manual page of serf, or writes that and a page for each
  command into a directory, which is made if need be. To read it at once:

  serf man | man -l -
";
