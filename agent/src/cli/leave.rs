//! `serf leave`

use std::ffi::OsString;

use super::{Command, Environment, Format, Outcome, Rpc, TEXT, Terminal, because};
use crate::flags::Slot;
use crate::json::Json;

pub(super) const COMMAND: Command =
    Command { name: "leave", synopsis: "Makes the agent leave its cluster and end", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let (mut rpc, mut format) = (Rpc::new(env), TEXT.to_owned());
    rpc.parse_all(vec![("format", Slot::Text(&mut format))], args, terminal)?;
    let format = Format::choose(&format, terminal)?;
    rpc.connect()?.leave().map_err(because("Error leaving: "))?;
    format.print(terminal, "Graceful leave complete", || Json::object([("left", Json::Bool(true))]));
    Ok(())
}

const USAGE: &str = "
Usage: serf leave

  Makes the agent tell the others that it leaves, and then end.

Options:

  -format=text              How to show the result: 'text' or 'json'.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";
