//! `serf tags`

use std::ffi::OsString;

use super::{Command, Environment, Failure, Format, Outcome, Rpc, TEXT, Terminal, because};
use crate::flags::Slot;
use crate::json::Json;

pub(super) const COMMAND: Command =
    Command { name: "tags", synopsis: "Changes the tags of the agent", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let (mut rpc, mut format) = (Rpc::new(env), TEXT.to_owned());
    let (mut set, mut delete) = (Vec::new(), Vec::new());
    rpc.parse_all(
        vec![("set", Slot::Texts(&mut set)), ("delete", Slot::Texts(&mut delete)), ("format", Slot::Text(&mut format))],
        args,
        terminal,
    )?;
    let format = Format::choose(&format, terminal)?;
    if set.is_empty() && delete.is_empty() {
        return Err(Failure::Usage);
    }
    let mut client = rpc.connect()?;
    let set = crate::tags::parse(&set).map_err(|error| Failure::Said(format!("Error: {error}")))?;
    let json = Json::object([("set", Json::texts(&set)), ("deleted", Json::names(&delete))]);
    client.update_tags(set, delete).map_err(because("Error setting tags: "))?;
    format.print(terminal, "Successfully updated agent tags", || json);
    Ok(())
}

const USAGE: &str = "
Usage: serf tags [options] ...

  Changes the tags of the running agent; all members learn of it. The
  agent keeps the change over a restart only if it has a tags file.

Options:

  -set key=value            Sets a tag. Can be given several times.
  -delete key               Drops a tag. Can be given several times.
  -format=text              How to show the result: 'text' or 'json'.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";
