//! The command line: one file per command.

mod agent;
mod columns;
mod completions;
mod config;
mod doctor;
mod event;
mod force_leave;
mod info;
mod join;
mod keygen;
mod keys;
mod leave;
mod man;
mod members;
mod monitor;
mod query;
mod reachability;
mod rtt;
mod tags;
#[cfg(feature = "top")]
mod top;
mod usage;
mod version;
mod why;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};

use self::usage::Usage;
use crate::endpoint::go_words;
use crate::flags::{self, Flag, FlagError, Slot};
use crate::json::Json;
use crate::quote::shown_lines;
use crate::rpc::{Client, ClientError, ClientOptions, DEFAULT_ADDRESS};

/// Defaults from environment variables; flags win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `SERF_RPC_ADDR`: the agent's address.
    pub rpc_addr: Option<String>,
    /// `SERF_RPC_AUTH`: the agent's token.
    pub rpc_auth: Option<String>,
}

impl Environment {
    /// Reads the variables of this process.
    pub fn of_process() -> Self {
        let text = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Self { rpc_addr: text("SERF_RPC_ADDR"), rpc_auth: text("SERF_RPC_AUTH") }
    }
}

/// The output of a command. All output goes to `out`, errors as well, because scripts depend on it; only help and
/// errors about flags go to `err`.
pub struct Terminal<'t> {
    out: &'t mut dyn Write,
    err: &'t mut dyn Write,
    /// A write failed, so the reader is gone. A command that writes without end then stops.
    deserted: bool,
    /// Why the output could not be written, unless the reader closed the pipe.
    failure: Option<io::Error>,
    /// Whether a failure must be printed as JSON, too.
    prints_failures_in_json: bool,
}

impl<'t> Terminal<'t> {
    /// Writes to `out` and `err`.
    pub fn new(out: &'t mut dyn Write, err: &'t mut dyn Write) -> Self {
        Self { out, err, deserted: false, failure: None, prints_failures_in_json: false }
    }

    /// Writes one or more lines at once. Characters that act on a terminal are always escaped. The caller must ensure
    /// that remote text cannot forge a line ([`shown`](crate::quote::shown)).
    fn line(&mut self, line: impl fmt::Display) {
        let text = format!("{line}\n");
        self.bytes(shown_lines(&text).as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if let Err(error) = self.out.write_all(bytes).and_then(|()| self.out.flush()) {
            // A reader that closes the pipe has read enough. The first other failure is reported.
            if error.kind() != io::ErrorKind::BrokenPipe && self.failure.is_none() {
                self.failure = Some(error);
            }
            self.deserted = true;
        }
    }

    fn json(&mut self, document: &Json) {
        self.line(document.render());
    }

    fn error_line(&mut self, line: impl fmt::Display) {
        _ = self.err.write_all(format!("{line}\n").as_bytes());
    }
}

impl fmt::Debug for Terminal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Terminal")
    }
}

/// Runs `serf` with the arguments after its name. Returns the exit code: 0, 1 for any failure, 127 for an unknown
/// command.
pub fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> u8 {
    if args.iter().any(|arg| arg == "-v" || arg == "--version") {
        version::print(Format::Text, terminal);
        return 0;
    }
    let invocation = Invocation::read(args);
    let Some(command) = invocation.command.and_then(|name| COMMANDS.iter().find(|command| command.name == name)) else {
        print_commands(terminal);
        if let Some(name) = invocation.command {
            terminal.error_line(format_args!("Unknown command: {}", crate::quote::quote(name.as_bytes())));
        }
        return if invocation.help && invocation.command.is_none() { 0 } else { 127 };
    };
    if invocation.help {
        terminal.error_line((command.usage)().trim());
        return 0;
    }
    if invocation.flags_before {
        terminal.error_line("Invalid flags before the subcommand. If these flags are for");
        terminal.error_line("the subcommand, please put them after the subcommand.\n");
        terminal.error_line((command.usage)().trim());
        return 1;
    }
    let outcome = (command.run)(invocation.args, env, terminal);
    let code = match &outcome {
        Ok(()) => 0,
        Err(Failure::Reported(code)) => *code,
        Err(_) => 1,
    };
    if let Err(failure) = outcome {
        command.report(failure, terminal);
    }
    match terminal.failure.take() {
        None => code,
        Some(error) => {
            terminal.error_line(format_args!("Error writing output: {}", go_words(&error)));
            1
        }
    }
}

/// The arguments, split as HashiCorp's `cli` package does.
struct Invocation<'a> {
    command: Option<&'a str>,
    args: &'a [OsString],
    flags_before: bool,
    help: bool,
}

impl<'a> Invocation<'a> {
    fn read(args: &'a [OsString]) -> Self {
        let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
        let is_flag = |arg: &OsString| arg.as_encoded_bytes().starts_with(b"-");
        let at = args[..end].iter().position(|arg| !is_flag(arg));
        let is_help = |arg: &OsString| arg == "-h" || arg == "-help" || arg == "--help";
        Self {
            // An argument that is not UTF-8 is not a command.
            command: at.map(|at| args[at].to_str().unwrap_or("")),
            args: at.map_or(&[], |at| &args[at + 1..]),
            flags_before: args[..at.unwrap_or(0)].iter().any(|arg| is_flag(arg) && !is_help(arg)),
            help: args[..end].iter().any(is_help),
        }
    }
}

/// A command of `serf`.
struct Command {
    name: &'static str,
    synopsis: &'static str,
    usage: fn() -> &'static str,
    run: fn(&[OsString], &Environment, &mut Terminal<'_>) -> Outcome,
}

impl Command {
    /// The usage of a command, for completions and manual pages.
    fn described(&self) -> Usage {
        let usage = (self.usage)();
        Usage::parse(if usage.is_empty() { version::DESCRIPTION } else { usage })
    }

    fn report(&self, failure: Failure, terminal: &mut Terminal<'_>) {
        let usage = (self.usage)().trim();
        match failure {
            Failure::Flag(error) => {
                if !error.is_empty() {
                    terminal.error_line(error);
                }
                // The agent marks all of its output.
                let mark = if self.name == "agent" { "==> " } else { "" };
                terminal.line(format_args!("{mark}{usage}"));
            }
            Failure::Misuse(why) if terminal.prints_failures_in_json => terminal.json(&failure_json(why)),
            Failure::Said(what) if terminal.prints_failures_in_json => terminal.json(&failure_json(&what)),
            Failure::Usage => terminal.line(usage),
            Failure::Misuse(why) => terminal.line(format_args!("{why}\n\n{usage}")),
            Failure::Said(what) => terminal.line(what),
            Failure::Reported(_) => {}
        }
    }
}

/// A failure in JSON.
fn failure_json(why: &str) -> Json {
    Json::object([("error", Json::text(why.trim_end()))])
}

/// The result of a command.
type Outcome = Result<(), Failure>;

/// Why a command failed.
enum Failure {
    /// Invalid flags, or a request for help, which has no message.
    Flag(String),
    /// An argument is missing; the usage is printed.
    Usage,
    /// Invalid arguments.
    Misuse(&'static str),
    /// A message to print.
    Said(String),
    /// The message was printed already. Has the exit code.
    Reported(u8),
}

impl From<FlagError> for Failure {
    fn from(error: FlagError) -> Self {
        Self::Flag(error.to_string())
    }
}

/// Prepends `prefix` to the agent's message.
fn because(prefix: &'static str) -> impl Fn(ClientError) -> Failure {
    move |error| {
        let prefix = if matches!(error, ClientError::Greeting(_)) { CONNECTING } else { prefix };
        Failure::Said(format!("{prefix}{error}"))
    }
}

/// The flags that locate the agent.
struct Rpc {
    options: ClientOptions,
}

impl Rpc {
    fn new(env: &Environment) -> Self {
        let address = env.rpc_addr.clone().filter(|address| !address.is_empty());
        let address = address.unwrap_or_else(|| DEFAULT_ADDRESS.into());
        let auth_key = env.rpc_auth.clone().unwrap_or_default();
        Self { options: ClientOptions { address, auth_key, ..ClientOptions::default() } }
    }

    fn flags(&mut self) -> [Flag<'_>; 2] {
        let options = &mut self.options;
        [("rpc-addr", Slot::Text(&mut options.address)), ("rpc-auth", Slot::Text(&mut options.auth_key))]
    }

    /// The same for commands without arguments. HashiCorp's program ignores arguments silently; ours warns.
    fn parse_all(
        &mut self,
        more: Vec<Flag<'_>>,
        args: &[OsString],
        terminal: &mut Terminal<'_>,
    ) -> Result<(), FlagError> {
        ignore(self.parse(more, args)?, terminal);
        Ok(())
    }

    /// Parses these flags and those of `more`.
    fn parse<'a>(&mut self, more: Vec<Flag<'_>>, args: &'a [OsString]) -> Result<&'a [OsString], FlagError> {
        let mut flags: Vec<Flag<'_>> = self.flags().into();
        flags.extend(more);
        flags::parse(&mut flags, args)
    }

    fn connect(&self) -> Result<Client, Failure> {
        Client::connect(&self.options).map_err(because(CONNECTING))
    }

    /// Connects without waiting for the handshake, for a command that changes nothing and checks nothing in between.
    fn connect_eagerly(&self) -> Result<Client, Failure> {
        Client::connect_eagerly(&self.options).map_err(because(CONNECTING))
    }
}

/// The output format of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

impl Format {
    /// Parses the flag of commands that have it only here. With 'json' all further output is JSON, failures as
    /// `{"error": "..."}`.
    fn choose(text: &str, terminal: &mut Terminal<'_>) -> Result<Self, Failure> {
        match text {
            "text" => Ok(Self::Text),
            "json" => {
                terminal.prints_failures_in_json = true;
                Ok(Self::Json)
            }
            _ => Err(Failure::Said(format!("Invalid format: {text}"))),
        }
    }

    /// The same for commands that ignore their arguments, also invalid ones.
    fn parse_lenient(args: &[OsString]) -> Self {
        let mut format = String::new();
        _ = flags::parse(&mut [("format", Slot::Text(&mut format))], args);
        if format == "json" { Self::Json } else { Self::Text }
    }

    /// Prints the result.
    fn print(self, terminal: &mut Terminal<'_>, text: impl fmt::Display, json: impl FnOnce() -> Json) {
        match self {
            Self::Text => terminal.line(text),
            Self::Json => terminal.json(&json()),
        }
    }

    /// Parses the flag of `members` and `info`, whose failures are text, as HashiCorp's are.
    fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => {
                let text = crate::quote::quote(text.as_bytes());
                Err(Failure::Said(format!("Encoding error: Invalid output format {text}")))
            }
        }
    }

    /// Prints the result; text is trimmed.
    fn print_trimmed(self, terminal: &mut Terminal<'_>, text: impl FnOnce() -> String, json: impl FnOnce() -> Json) {
        match self {
            Self::Text => terminal.line(text().trim()),
            Self::Json => terminal.line(json().render()),
        }
    }
}

/// Warns about ignored arguments, on standard error because scripts read the output.
fn ignore(rest: &[OsString], terminal: &mut Terminal<'_>) {
    if !rest.is_empty() {
        terminal.error_line(format_args!("Ignored arguments: {}", texts(rest).join(" ")));
    }
}

/// Breaks advice into lines, indented by `indent` blanks.
fn wrapped(advice: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in advice.split_whitespace() {
        match lines.last_mut() {
            Some(line) if !line.is_empty() && line.len() + word.len() >= ADVICE_COLUMNS => lines.push(word.into()),
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => {}
        }
    }
    lines.iter().map(|line| format!("{:indent$}{line}\n", "")).collect()
}

fn texts(args: &[OsString]) -> Vec<String> {
    args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
}

fn print_commands(terminal: &mut Terminal<'_>) {
    terminal.error_line("Usage: serf [--version] [--help] <command> [<args>]\n\nAvailable commands are:");
    for command in COMMANDS {
        terminal.error_line(format_args!("    {:<12}    {}", command.name, command.synopsis));
    }
    terminal.error_line("");
}

const ADVICE_COLUMNS: usize = 78;

/// The default of commands that can print JSON.
const TEXT: &str = "text";

const CONNECTING: &str = "Error connecting to Serf agent: ";

const TOO_MANY_ARGUMENTS: &str = "Too many command line arguments. Only a name and payload must be specified.";

const COMMANDS: &[Command] = &[
    agent::COMMAND,
    completions::COMMAND,
    config::COMMAND,
    doctor::COMMAND,
    event::COMMAND,
    force_leave::COMMAND,
    info::COMMAND,
    join::COMMAND,
    keygen::COMMAND,
    keys::COMMAND,
    leave::COMMAND,
    man::COMMAND,
    members::COMMAND,
    monitor::COMMAND,
    query::COMMAND,
    reachability::COMMAND,
    rtt::COMMAND,
    tags::COMMAND,
    #[cfg(feature = "top")]
    top::COMMAND,
    version::COMMAND,
    why::COMMAND,
];
