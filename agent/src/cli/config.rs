//! `serf config`

use std::ffi::OsString;

use super::columns::columnize;
use super::{Command, Environment, Failure, Format, Outcome, TEXT, Terminal, texts, wrapped};
use crate::config::{Draft, DraftError, Effective, Finding, Flags, FlagsError, Severity, inspect};
use crate::flags::{self, Slot};
use crate::json::Json;

pub(super) const COMMAND: Command =
    Command { name: "config", synopsis: "Checks or shows the settings of an agent", usage: || USAGE, run };

fn run(args: &[OsString], _env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    match args.split_first() {
        Some((what, args)) if what == "check" => check(args, terminal),
        Some((what, args)) if what == "show" => show(args, terminal),
        _ => {
            flags::parse(&mut [("format", Slot::Text(&mut String::new()))], args)?;
            Err(Failure::Misuse("Either check or show must be specified."))
        }
    }
}

fn check(args: &[OsString], terminal: &mut Terminal<'_>) -> Outcome {
    let mut format = TEXT.to_owned();
    let paths = flags::parse(&mut [("format", Slot::Text(&mut format))], args)?;
    let format = Format::choose(&format, terminal)?;
    if paths.is_empty() {
        return Err(Failure::Misuse("At least one file or directory must be specified."));
    }
    let findings = inspect(&texts(paths), std::env::vars_os());
    let worst = findings.iter().map(|finding| finding.severity).max();
    match format {
        Format::Text => terminal.line(report(&findings)),
        Format::Json => terminal.json(&Json::List(findings.iter().map(finding_json).collect())),
    }
    match worst {
        Some(Severity::Error) => Err(Failure::Reported(1)),
        Some(Severity::Warning) => Err(Failure::Reported(WARNED)),
        Some(Severity::Note) | None => Ok(()),
    }
}

/// A line for each finding; what to do about it below.
fn report(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let file = finding.file.as_ref().map(|file| format!("{file}: ")).unwrap_or_default();
        out.push_str(&format!(
            "{:<8} {file}{}\n{}",
            finding.severity.word(),
            finding.what,
            wrapped(&finding.advice, 9)
        ));
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    out.push_str(&match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => "An agent can start with these settings.".to_owned(),
        (0, 1) => "An agent can start with these settings. There is 1 warning.".to_owned(),
        (0, warnings) => format!("An agent can start with these settings. There are {warnings} warnings."),
        (1, _) => "An agent does not start with these settings: there is 1 error.".to_owned(),
        (errors, _) => format!("An agent does not start with these settings: there are {errors} errors."),
    });
    out
}

fn finding_json(finding: &Finding) -> Json {
    Json::object([
        ("severity", Json::text(finding.severity.word())),
        ("file", finding.file.as_deref().map_or(Json::Null, Json::text)),
        ("what", Json::text(&finding.what)),
        ("advice", Json::text(&finding.advice)),
    ])
}

fn show(args: &[OsString], terminal: &mut Terminal<'_>) -> Outcome {
    let mut format = TEXT.to_owned();
    let flags = Flags::parse_with(vec![("format", Slot::Text(&mut format))], args).map_err(|error| match error {
        FlagsError::Syntax(why) => Failure::Flag(why),
        error => Failure::Said(error.to_string()),
    })?;
    let format = Format::choose(&format, terminal)?;
    super::ignore(&flags.ignored, terminal);
    let (draft, origins) =
        Draft::trace(flags, std::env::vars_os()).map_err(|error: DraftError| Failure::Said(error.to_string()))?;
    let rows = origins.effective(&draft.settings);
    match format {
        Format::Text => terminal.line(columnize(&rows.iter().map(row).collect::<Vec<_>>())),
        Format::Json => terminal.json(&Json::List(rows.iter().map(row_json).collect())),
    }
    Ok(())
}

/// The sources of a setting, each as its kind and its name.
fn sources(row: &Effective) -> impl Iterator<Item = (&'static str, Option<String>)> {
    row.origins.iter().map(|origin| (origin.kind(), origin.name(row.setting).map(Into::into)))
}

fn row(row: &Effective) -> Vec<String> {
    let sources =
        sources(row).map(|(kind, name)| name.map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}")));
    let sources = sources.collect::<Vec<_>>().join(", ");
    vec![row.key.clone(), row.value.render_line(), sources]
}

fn row_json(row: &Effective) -> Json {
    let sources = sources(row).map(|(kind, name)| {
        Json::object([("kind", Json::text(kind)), ("name", name.as_deref().map_or(Json::Null, Json::text))])
    });
    let sources = Json::List(sources.collect());
    Json::object([("key", Json::text(&row.key)), ("value", row.value.clone()), ("sources", sources)])
}

/// The exit code of a check with warnings and no errors.
const WARNED: u8 = 2;

const USAGE: &str = "
Usage: serf config [check|show] [options] [path ...]

  'serf config check path ...' inspects configuration files and directories,
  in this order, with the environment: what is unknown, has no effect, is
  replaced by a later source, deprecated or dangerous, and what an agent does
  not start with. Exits with 0 when nothing is wrong, with 1 when an agent does
  not start, with 2 when there are warnings.

  'serf config show' takes the flags of 'serf agent', and shows each setting as
  the agent would run with it, and where it comes from: default, profile, host,
  file, environment or flag. Secrets are not shown. It starts nothing.

Options:

  -format=text              How to show the result: 'text' or 'json'.
";
