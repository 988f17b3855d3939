//! `serf agent`

use std::ffi::OsString;
use std::sync::LazyLock;

use super::{Command, Environment, Failure, Outcome, Terminal, texts};
use crate::agent;
use crate::config::{self, Config, Draft, DraftError, FlagsError};
use crate::log::output;

pub(super) const COMMAND: Command = Command { name: "agent", synopsis: "Runs an agent", usage: || &USAGE, run };

fn run(args: &[OsString], _env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let draft = Draft::read(args).map_err(|error| match error {
        DraftError::Flags(FlagsError::Syntax(why)) => Failure::Flag(why),
        error => Failure::Said(output(&error.to_string())),
    })?;
    for warning in &draft.warnings {
        terminal.line(output(warning));
    }
    if !draft.ignored.is_empty() {
        terminal.line(output(&format!("Warning: ignored arguments: {}", texts(&draft.ignored).join(" "))));
    }
    let check = draft.check;
    if !draft.variables.is_empty() {
        terminal.line(output(&format!("Settings from the environment: {}", draft.variables.join(", "))));
    }
    let (config, notices) = Config::resolve(draft).map_err(|error| Failure::Said(output(&error.to_string())))?;
    for notice in &notices {
        terminal.line(output(notice));
    }
    if check {
        terminal.line(output("The settings can be used"));
        return Ok(());
    }
    if agent::run(config, args) { Ok(()) } else { Err(Failure::Reported(1)) }
}

static USAGE: LazyLock<String> = LazyLock::new(|| [DESCRIPTION, &config::usage(), MORE].concat());

const DESCRIPTION: &str = "
Usage: serf agent [options]

  Runs an agent, one member of a cluster, until it is interrupted. Flags
  win over files; lists are joined.

Options:

";

const MORE: &str = "
Event handlers:

  A handler is a script, or events, '=' and a script. The events are a list
  with commas of: member-join, member-leave, member-failed, member-update,
  member-reap, user, user:NAME, query, query:NAME, partition, or * for all.

  The script runs in a shell. It learns what happened from the environment
  (SERF_EVENT, SERF_USER_EVENT, SERF_QUERY_NAME, SERF_PARTITION_..., and of
  this member SERF_SELF_NAME, SERF_SELF_ROLE and SERF_TAG_...) and from its
  input: a line for each member with name, address, role and tags between
  tabs, or the payload of a user event or query. What it prints is the answer
  to a query. A partition comes only with -partition-signal.

  The scripts for an event run one after the other, in the order in which
  they are configured, and are over before those for the next event begin.
  Queries do not wait for other events, nor these for queries.

Sources of addresses to join:

  Besides addresses, -join and -retry-join take srv:NAME or srv:NAME@SERVER
  for the SRV records of a name, file:PATH for the addresses in a file,
  exec:COMMAND for those that a command prints, and 'provider=...' in the
  grammar of HashiCorp's go-discover, whose program discover must be there.
  -retry-join asks them at each try, and new addresses in a file are joined
  while the agent runs. What a source gives is separated by blanks and line
  ends.

Addresses of this host:

  -bind and -advertise also take names and the templates of go-sockaddr
  {{ GetPrivateIP }}, {{ GetPublicIP }}, {{ GetInterfaceIP \"eth0\" }} and
  {{ GetPrivateInterfaces | include \"network\" \"10.0.0.0/8\" | attr \"address\" }}.
  docs/operate.md has all forms.

Environment:

  Each setting of a file can come from a variable: SERF_ and its name in
  capitals, such as SERF_ENCRYPT_KEY, SERF_RPC_AUTH or SERF_MDNS_INTERFACE,
  but for rpc_addr, event_handlers and role. Flags win over variables, and
  variables over files; what a flag gives is not read from a variable. The
  agent says at its start which variables it took.
";
