//! `serf event`

use std::ffi::OsString;

use super::{Command, Environment, Failure, Format, Outcome, Rpc, TEXT, Terminal, because};
use crate::flags::Slot;
use crate::json::Json;
use crate::platform::bytes_of;
use crate::rpc::UserEvent;

pub(super) const COMMAND: Command =
    Command { name: "event", synopsis: "Sends a user event to the cluster", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let (mut rpc, mut coalesce, mut format) = (Rpc::new(env), true, TEXT.to_owned());
    let args = rpc.parse(vec![("coalesce", Slot::Bool(&mut coalesce)), ("format", Slot::Text(&mut format))], args)?;
    let format = Format::choose(&format, terminal)?;
    let (name, payload) = match args {
        [] => return Err(Failure::Misuse("An event name must be specified.")),
        [name] => (name, None),
        [name, payload] => (name, Some(bytes_of(payload))),
        _ => return Err(Failure::Misuse(super::TOO_MANY_ARGUMENTS)),
    };
    let name = name.to_string_lossy().into_owned();
    let event = UserEvent { name: name.clone(), payload, coalesce };
    rpc.connect()?.event(event).map_err(because("Error sending event: "))?;
    format.print(terminal, format_args!("Event '{name}' dispatched! Coalescing enabled: {coalesce}"), || {
        Json::object([("event", Json::text(&name)), ("coalesce", Json::Bool(coalesce))])
    });
    Ok(())
}

const USAGE: &str = "
Usage: serf event [options] name payload

  Sends a user event, with a payload if given, to every member.

Options:

  -coalesce=true            Whether members may drop all but the newest of several
                            events of this name that arrive within seconds.
  -format=text              How to show the result: 'text' or 'json'.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";
