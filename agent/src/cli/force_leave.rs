//! `serf force-leave`

use std::ffi::OsString;

use super::{Command, Environment, Failure, Outcome, Rpc, Terminal, because};
use crate::flags::Slot;

pub(super) const COMMAND: Command =
    Command { name: "force-leave", synopsis: "Turns a failed member into one that left", usage: USAGE, run };

fn run(args: &[OsString], env: &Environment, _terminal: &mut Terminal<'_>) -> Outcome {
    let (mut rpc, mut prune) = (Rpc::new(env), false);
    let args = rpc.parse(vec![("prune", Slot::Bool(&mut prune))], args)?;
    let [node] = args else { return Err(Failure::Misuse("A node name must be specified to force leave.")) };
    rpc.connect()?.force_leave(&node.to_string_lossy(), prune).map_err(because("Error force leaving: "))
}

const USAGE: &str = "
Usage: serf force-leave [options] name

  Declares that a failed member will not come back, so that nobody tries
  to reach it any more. A member that is alive after all stays a member.

Options:

  -prune                    Also removes the member from the list.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";
