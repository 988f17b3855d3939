//! `serf info`

use std::ffi::OsString;

use super::{Command, Environment, Format, Outcome, Rpc, Terminal, because};
use crate::flags::Slot;
use crate::json::Json;
use crate::quote::shown;
use crate::rpc::Stats;

pub(super) const COMMAND: Command =
    Command { name: "info", synopsis: "Shows figures of the agent", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let (mut rpc, mut format) = (Rpc::new(env), "text".to_owned());
    rpc.parse_all(vec![("format", Slot::Text(&mut format))], args, terminal)?;
    let stats = rpc.connect_eagerly()?.stats().map_err(because("Error querying agent: "))?;
    Format::parse(&format)?.print_trimmed(terminal, || text(&stats), || json(&stats));
    Ok(())
}

fn text(stats: &Stats) -> String {
    let mut out = String::new();
    for (group, values) in stats {
        out.push_str(&format!("{group}:\n"));
        for (key, value) in values {
            out.push_str(&format!("\t{} = {}\n", shown(key), shown(value)));
        }
    }
    out
}

fn json(stats: &Stats) -> Json {
    Json::Object(stats.iter().map(|(group, values)| (group.clone(), Json::texts(values))).collect())
}

const USAGE: &str = "
Usage: serf info [options]

  Shows what the agent counts and how it is set up.

Options:

  -format=text              How to show it: 'text' or 'json'.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";
