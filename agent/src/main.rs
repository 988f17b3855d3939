//! The `serf` binary.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use serf_agent::cli::{Environment, Terminal, run};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (mut out, mut err) = (io::stdout(), io::stderr());
    ExitCode::from(run(&args, &Environment::of_process(), &mut Terminal::new(&mut out, &mut err)))
}
