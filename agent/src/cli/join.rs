//! `serf join`

use std::ffi::OsString;

use super::{Command, Environment, Failure, Format, Outcome, Rpc, TEXT, Terminal, because, texts};
use crate::flags::Slot;
use crate::json::Json;

pub(super) const COMMAND: Command =
    Command { name: "join", synopsis: "Makes the agent join a cluster", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let (mut rpc, mut replay, mut format) = (Rpc::new(env), false, TEXT.to_owned());
    let args = rpc.parse(vec![("replay", Slot::Bool(&mut replay)), ("format", Slot::Text(&mut format))], args)?;
    let format = Format::choose(&format, terminal)?;
    if args.is_empty() {
        return Err(Failure::Misuse("At least one address to join must be specified."));
    }
    let joined = rpc.connect()?.join(&texts(args), replay).map_err(because("Error joining the cluster: "))?;
    let text = format_args!("Successfully joined cluster by contacting {joined} nodes.");
    format.print(terminal, text, || Json::object([("joined", Json::Number(joined))]));
    Ok(())
}

const USAGE: &str = "
Usage: serf join [options] address ...

  Makes the agent join the cluster that the members at these addresses
  belong to. One that answers is enough.

Options:

  -replay                   Also delivers user events from before the join.
  -format=text              How to show the result: 'text' or 'json'.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";
