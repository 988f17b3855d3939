//! `serf rtt`

use std::ffi::OsString;

use super::{Command, Environment, Failure, Format, Outcome, Rpc, TEXT, Terminal, because, texts};
use crate::flags::Slot;
use crate::json::Json;
use crate::quote::{quote, shown};
use crate::rpc::{Client, Coordinate};

pub(super) const COMMAND: Command =
    Command { name: "rtt", synopsis: "Estimates the round trip time between two members", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let (mut rpc, mut format) = (Rpc::new(env), TEXT.to_owned());
    let args = texts(rpc.parse(vec![("format", Slot::Text(&mut format))], args)?);
    let format = Format::choose(&format, terminal)?;
    let mut client = rpc.connect()?;
    let (from, to) = match args.as_slice() {
        [node] => (node.clone(), own_name(&mut client)?),
        [from, to] => (from.clone(), to.clone()),
        _ => return Err(Failure::Misuse("One or two node names must be specified")),
    };
    let distance = coordinate(&mut client, &from)?.seconds_to(&coordinate(&mut client, &to)?);
    // Go's durations are whole nanoseconds.
    let millis = (distance * 1e9).trunc() / 1e6;
    let text = format!("Estimated {} <-> {} rtt: {millis:.3} ms", shown(&from), shown(&to));
    format.print(terminal, text, || {
        Json::object([("from", Json::text(&from)), ("to", Json::text(&to)), ("rtt_ms", Json::Float(millis))])
    });
    Ok(())
}

fn own_name(client: &mut Client) -> Result<String, Failure> {
    let stats = client.stats().map_err(because("Error querying agent: "))?;
    Ok(stats.get("agent").and_then(|agent| agent.get("name")).cloned().unwrap_or_default())
}

fn coordinate(client: &mut Client, node: &str) -> Result<Coordinate, Failure> {
    let found = client.coordinate(node).map_err(because("Error getting coordinates: "))?;
    found.ok_or_else(|| Failure::Said(format!("Could not find a coordinate for node {}", quote(node.as_bytes()))))
}

const USAGE: &str = "
Usage: serf rtt [options] node1 [node2]

  Estimates how long a packet takes between two members and back, from
  the network coordinates that members learn while they gossip. Members
  are named as in 'serf members'; the second one is the agent itself
  unless given.

Options:

  -format=text              How to show the result: 'text' or 'json'.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";
