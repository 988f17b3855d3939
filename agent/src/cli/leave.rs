//! `serf leave`

use std::ffi::OsString;

use super::{Command, Environment, Outcome, Rpc, Terminal, because};

pub(super) const COMMAND: Command =
    Command { name: "leave", synopsis: "Makes the agent leave its cluster and end", usage: USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let mut rpc = Rpc::new(env);
    rpc.parse(Vec::new(), args)?;
    rpc.connect()?.leave().map_err(because("Error leaving: "))?;
    terminal.line("Graceful leave complete");
    Ok(())
}

const USAGE: &str = "
Usage: serf leave

  Makes the agent tell the others that it leaves, and then end.

Options:

  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";
