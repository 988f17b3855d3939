//! `serf agent`

use std::ffi::OsString;

use super::{Command, Environment, Failure, Outcome, Terminal, texts};
use crate::agent;
use crate::config::{Config, Draft, DraftError, FlagsError};
use crate::log::output;

pub(super) const COMMAND: Command = Command { name: "agent", synopsis: "Runs an agent", usage: USAGE, run };

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
    if agent::run(config, args) { Ok(()) } else { Err(Failure::Told) }
}

const USAGE: &str = "
Usage: serf agent [options]

  Runs an agent, one member of a cluster, until it is interrupted. Flags
  win over files; lists are joined.

Options:

  -advertise=addr           Address to tell other members, if they cannot reach
                            the one in -bind. Port 7946 unless given.
  -bind=0.0.0.0:7946        Address for gossip, TCP and UDP. IPv6 is written
                            as [::1] or [::1]:7946.
  -broadcast-timeout=5s     How long a leave or another announcement may take;
                            at least 1s.
  -check                    Only checks the settings, and says whether an agent
                            can start with them.
  -config-dir=path          Reads all files of this directory whose names end
                            in .json, in the order of their names. Can be given
                            several times.
  -config-file=path         Reads this JSON file. Can be given several times.
  -disable-compression      Does not compress gossip.
  -discover=cluster         Finds members of the cluster of this name by mDNS
                            and joins them. Needs multicast.
  -encrypt=key              Encrypts gossip with this key of 16, 24 or 32 bytes
                            in base64, see 'serf keygen'.
  -event-handler=spec       Runs a script when something happens, see below. Can
                            be given several times.
  -handler-timeout=0s       Ends a handler and all that it has started after so
                            long; 0 for never.
  -iface=name               Network interface to bind to, instead of -bind or to
                            check it. Also the interface for -discover.
  -join=addr                Joins the member at this address, or does not start.
                            Can be given several times; one that answers is
                            enough.
  -keyring-file=path        Keeps the keys of encrypted gossip in this file. It
                            must exist and hold a JSON list of keys.
  -log-format=text          How to log: text, or json for an object a line.
  -log-level=info           What to log: trace, debug, info, warn or err.
  -mdns-disable-ipv4        Does not discover over IPv4.
  -mdns-disable-ipv6        Does not discover over IPv6.
  -mdns-iface=name          Network interface for -discover.
  -metrics-addr=addr        Serves /metrics for Prometheus and /healthz there
                            over HTTP; off unless given.
  -node=name                Name of this member, the host's unless given. No two
                            members may share one.
  -parallel-handlers        Gives each script a queue of its own: scripts for
                            different events, and those for one event, then run
                            side by side. Each still sees its events in order.
  -profile=lan              Timing: lan, wan or local.
  -protocol=5               Version of Serf's protocol to speak, 2 to 5.
  -rejoin                   Joins the members of the snapshot even after a leave.
  -replay                   Also delivers user events from before a join.
  -retry-interval=30s       How long to wait between tries of -retry-join; at
                            least 1s.
  -retry-join=addr          Joins the member at this address, trying again until
                            it answers. Can be given several times.
  -retry-max=0              After how many failed tries to give up; 0 for never.
  -role=name                Write '-tag role=name' instead.
  -rpc-addr=127.0.0.1:7373  Address for the other commands of serf and for other
                            clients; also unix:// and a path, or none.
  -snapshot=path            Remembers members and events in this file, to find
                            the cluster again after a restart.
  -syslog                   Also logs to syslog.
  -tag key=value            Attaches a tag to this member. Can be given several
                            times.
  -tags-file=path           Keeps tags that are set while the agent runs in this
                            file. Excludes -tag.

Event handlers:

  A handler is a script, or events, '=' and a script. The events are a list
  with commas of: member-join, member-leave, member-failed, member-update,
  member-reap, user, user:NAME, query, query:NAME, or * for all.

  The script runs in a shell. It learns what happened from the environment
  (SERF_EVENT, SERF_USER_EVENT, SERF_QUERY_NAME, and of this member
  SERF_SELF_NAME, SERF_SELF_ROLE and SERF_TAG_...) and from its input: a line
  for each member with name, address, role and tags between tabs, or the
  payload of a user event or query. What it prints is the answer to a query.

  The scripts for an event run one after the other, in the order in which
  they are configured, and are over before those for the next event begin.
  Queries do not wait for other events, nor these for queries.

Environment:

  Each setting of a file can come from a variable: SERF_ and its name in
  capitals, such as SERF_ENCRYPT_KEY or SERF_RPC_AUTH, but for rpc_addr,
  event_handlers, role and mdns. Flags win over variables, and variables over
  files; what a flag gives is not read from a variable. The agent says at its
  start which variables it took.
";
