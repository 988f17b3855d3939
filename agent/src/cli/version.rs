//! `serf version`

use std::ffi::OsString;

use super::{Command, Environment, Outcome, Terminal};

pub(super) const COMMAND: Command =
    Command { name: "version", synopsis: "Shows the version of this program", usage: "", run };

fn run(_args: &[OsString], _env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    print(terminal);
    Ok(())
}

/// The second line is read by scripts.
pub(super) fn print(terminal: &mut Terminal<'_>) {
    terminal.line(env!("CARGO_PKG_VERSION"));
    terminal.line("Agent Protocol: 5 (Understands back to: 2)");
}
