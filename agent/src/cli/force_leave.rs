//! `serf force-leave`

use std::ffi::OsString;

use super::{Command, Environment, Failure, Format, Outcome, Rpc, TEXT, Terminal, because};
use crate::flags::Slot;
use crate::json::Json;

pub(super) const COMMAND: Command =
    Command { name: "force-leave", synopsis: "Turns a failed member into one that left", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let (mut rpc, mut prune, mut format) = (Rpc::new(env), false, TEXT.to_owned());
    let args = rpc.parse(vec![("prune", Slot::Bool(&mut prune)), ("format", Slot::Text(&mut format))], args)?;
    let format = Format::choose(&format, terminal)?;
    let [node] = args else { return Err(Failure::Misuse("A node name must be specified to force leave.")) };
    let node = node.to_string_lossy();
    rpc.connect()?.force_leave(&node, prune).map_err(because("Error force leaving: "))?;
    if format == Format::Json {
        terminal.json(&Json::object([("node", Json::text(&node)), ("prune", Json::Bool(prune))]));
    }
    Ok(())
}

const USAGE: &str = "
Usage: serf force-leave [options] name

  Declares that a failed member will not come back, so that nobody tries
  to reach it any more. A member that is alive after all stays a member.

Options:

  -prune                    Also removes the member from the list.
  -format=text              How to show the result: 'text' or 'json'.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";
