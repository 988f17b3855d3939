//! `serf top`
//!
//! The core is pure: [`State`] takes answers of the agent and keys, each with the time, and
//! [`view`](mod@view) draws it into a buffer. The shell around it has the terminal ([`screen`]) and the connections
//! ([`feed`]).

mod events;
mod feed;
mod header;
mod keys;
mod rows;
mod screen;
mod state;
#[cfg(test)]
mod tests;
mod view;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use self::feed::Poller;
use self::state::{News, Now, State};
use super::{CONNECTING, Command, Environment, Failure, Outcome, Rpc, Terminal};
use crate::flags::Slot;
use crate::rpc::ClientError;

pub(super) const COMMAND: Command =
    Command { name: "top", synopsis: "Shows the cluster in the terminal as it changes", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let (mut rpc, mut nanos, mut zone_tag, mut once) = (Rpc::new(env), 1_000_000_000, "zone".to_owned(), false);
    rpc.parse_all(
        vec![
            ("interval", Slot::Nanos(&mut nanos)),
            ("once", Slot::Bool(&mut once)),
            ("zone-tag", Slot::Text(&mut zone_tag)),
        ],
        args,
        terminal,
    )?;
    let interval = u64::try_from(nanos).map(Duration::from_nanos).unwrap_or_default();
    if interval < INTERVAL_MIN {
        let (shown, min) = (crate::duration::shown(nanos), INTERVAL_MIN.as_millis());
        return Err(Failure::Said(format!("Invalid interval: {shown} is below {min}ms")));
    }
    if !once && !std::io::stdout().is_terminal() {
        return Err(Failure::Said(NO_TERMINAL.into()));
    }
    rpc.options.dial_timeout = RPC_TIMEOUT;
    rpc.options.write_timeout = RPC_TIMEOUT;
    rpc.options.reply_timeout = RPC_TIMEOUT;
    let mut poller = Poller::connect(rpc.options).map_err(failure)?;
    let mut state = State::new(&zone_tag, Now::read());
    if once {
        let poll = poller.poll(&[], ONCE_LOOKUPS_MAX, Instant::now() + ONCE_LOOKUPS_TIMEOUT).map_err(failure)?;
        state.apply(News::Polled(Box::new(poll)), Now::read());
        terminal.line(view::whole(&state, columns()));
        return Ok(());
    }
    screen::run(state, poller, interval)
}

/// Words a failure of the connection as other commands do.
fn failure(error: ClientError) -> Failure {
    let prefix = match error {
        ClientError::Dial(_) | ClientError::Greeting(_) | ClientError::Refused(_) => CONNECTING,
        _ => "Error asking the agent: ",
    };
    Failure::Said(format!("{prefix}{error}"))
}

/// The width of the output of `-once`.
fn columns() -> u16 {
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.trim().parse().ok());
    columns.unwrap_or(COLUMNS).clamp(COLUMNS_MIN, COLUMNS_MAX)
}

const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Timeout of dialing, writing and reading. Shorter than that of other commands, so that a lost agent is noticed soon.
const RPC_TIMEOUT: Duration = Duration::from_secs(5);

/// Members whose coordinate and evidence `-once` requests, and for how long. The others have no round-trip time.
const ONCE_LOOKUPS_MAX: usize = 10_000;
const ONCE_LOOKUPS_TIMEOUT: Duration = Duration::from_secs(2);

const COLUMNS: u16 = 80;
const COLUMNS_MIN: u16 = 20;
const COLUMNS_MAX: u16 = 400;

const NO_TERMINAL: &str = "The output is not a terminal. Use -once to print the cluster as text";

const USAGE: &str = "
Usage: serf top [options]

  Shows the members of the cluster and what happens to them, as the agent
  sees it, until 'q' is pressed. An agent of HashiCorp's does not offer the
  evidence of 'serf why'; suspicions then come from its log only.

  Keys: arrows, page up and down, home and end select a member; enter shows
  'serf why' for it. 's' sorts by the next column, 'r' reverses the order,
  '/' filters by name, address or tag, 'f' by status, 'p' pauses.

Options:

  -interval=1s              Time between two requests for the members.
  -once                     Prints all members and the header once as text,
                            $COLUMNS or 80 columns wide, and ends.
  -zone-tag=zone            Tag whose value is a member's zone.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";
