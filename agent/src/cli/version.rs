//! `serf version`

use std::ffi::OsString;

use super::{Command, Environment, Format, Outcome, Terminal};
use crate::json::Json;

pub(super) const COMMAND: Command =
    Command { name: "version", synopsis: "Shows the version of this program", usage: || "", run };

fn run(args: &[OsString], _env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    print(Format::parse_lenient(args), terminal);
    Ok(())
}

/// Prints the version. Scripts read the second line.
pub(super) fn print(format: Format, terminal: &mut Terminal<'_>) {
    let text = format!("{VERSION}\nAgent Protocol: {PROTOCOL} (Understands back to: {PROTOCOL_MIN})");
    format.print(terminal, text, || {
        let protocol = Json::object([("version", Json::Number(PROTOCOL)), ("min", Json::Number(PROTOCOL_MIN))]);
        Json::object([("version", Json::text(VERSION)), ("protocol", protocol)])
    });
}

/// As a usage text. HashiCorp's command prints an empty one.
pub(super) const DESCRIPTION: &str = "
Usage: serf version [options]

  Shows the version of this program, and of the protocol that its agents
  speak.

Options:

  -format=text              How to show it: 'text' or 'json'.
";

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The Serf protocol version that agents speak.
const PROTOCOL: i64 = 5;
/// The oldest version that they understand.
const PROTOCOL_MIN: i64 = 2;
