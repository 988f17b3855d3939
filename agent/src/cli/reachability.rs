//! `serf reachability`

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use super::query::collect;
use super::{Command, Environment, Failure, Format, Outcome, Rpc, TEXT, Terminal, because};
use crate::flags::Slot;
use crate::json::Json;
use crate::quote::shown;
use crate::rpc::{Query, QueryRecord};

pub(super) const COMMAND: Command =
    Command { name: "reachability", synopsis: "Tests whether all members can be reached", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let (mut rpc, mut verbose, mut format) = (Rpc::new(env), false, TEXT.to_owned());
    rpc.parse_all(vec![("verbose", Slot::Bool(&mut verbose)), ("format", Slot::Text(&mut format))], args, terminal)?;
    let says = Format::choose(&format, terminal)? == Format::Text;
    let mut client = rpc.connect()?;
    let members = client.members().map_err(because("Error getting members: "))?;
    let mut live: BTreeSet<String> = BTreeSet::new();
    live.extend(members.iter().filter(|member| member.status == "alive").map(|member| member.name.clone()));
    if says {
        terminal.line(format_args!("Total members: {}, live members: {}", members.len(), live.len()));
    }
    let interrupted = if says { "Test interrupted".into() } else { super::failure_json("Test interrupted").render() };
    _ = ctrlc::set_handler(move || {
        println!("{interrupted}");
        std::process::exit(1);
    });
    let started = Instant::now();
    let ping = Query { name: "_serf_ping".into(), request_ack: true, ..Query::default() };
    client.query(ping).map_err(because("Error sending query: "))?;
    if says {
        terminal.line("Starting reachability test...");
    }
    let mut acks = Acks::default();
    let collected = collect(&mut client, |record| {
        if let QueryRecord::Ack { from } = record {
            if verbose && says {
                terminal.line(format_args!("\tAck from '{}'", shown(&from)));
            }
            acks.add(from, started.elapsed());
        }
    });
    collected.map_err(because("Error collecting answers: "))?;
    if !says {
        return acks.show(members.len(), &live, started.elapsed(), terminal);
    }
    if verbose {
        let (whole, last) = (started.elapsed().as_secs_f64(), acks.last.as_secs_f64());
        terminal.line(format_args!("Query time: {whole:.2} sec, time to last response: {last:.2} sec"));
    }
    acks.judge(&live, terminal)
}

/// The members that acknowledged the query.
#[derive(Default)]
struct Acks {
    from: BTreeSet<String>,
    twice: Vec<String>,
    /// When the last ack arrived, after the start.
    last: Duration,
}

impl Acks {
    fn add(&mut self, from: String, at: Duration) {
        self.last = at;
        if let Some(known) = self.from.replace(from) {
            self.twice.push(known);
        }
    }

    /// The same as [`judge`](Self::judge), in JSON.
    fn show(&self, members: usize, live: &BTreeSet<String>, whole: Duration, terminal: &mut Terminal<'_>) -> Outcome {
        let seconds = |it: Duration| Json::Float((it.as_secs_f64() * 1e3).round() / 1e3);
        let count = |count: usize| Json::Number(i64::try_from(count).unwrap_or(i64::MAX));
        let (missing, surplus) = (live.difference(&self.from), self.from.difference(live));
        let is_well = self.twice.is_empty() && *live == self.from;
        terminal.json(&Json::object([
            ("reachable", Json::Bool(is_well)),
            ("members", count(members)),
            ("live", count(live.len())),
            ("acks", Json::names(&self.from)),
            ("missing", Json::names(missing)),
            ("surplus", Json::names(surplus)),
            ("twice", Json::names(&self.twice)),
            ("seconds", seconds(whole)),
            ("last_ack_seconds", seconds(self.last)),
        ]));
        if is_well { Ok(()) } else { Err(Failure::Reported(1)) }
    }

    fn judge(&self, live: &BTreeSet<String>, terminal: &mut Terminal<'_>) -> Outcome {
        for name in &self.twice {
            terminal.line(format_args!("Duplicate response from '{}'", shown(name)));
        }
        if !self.twice.is_empty() {
            terminal.line("Duplicate responses means there is a misconfiguration. Verify that node names are unique.");
        }
        let missing: Vec<_> = live.difference(&self.from).collect();
        let surplus: Vec<_> = self.from.difference(live).collect();
        if !missing.is_empty() {
            terminal.line("Received less acks than live nodes! Missing acks from:");
            missing.iter().for_each(|name| terminal.line(format_args!("\t{}", shown(name))));
            terminal
                .line("This could mean Serf gossip packets are being lost due to a misconfiguration or network issue.");
            terminal.line(ADVICE);
        }
        if !surplus.is_empty() {
            terminal.line("Received more acks than live nodes! Acks from non-live nodes:");
            surplus.iter().for_each(|name| terminal.line(format_args!("\t{}", shown(name))));
            terminal
                .line("This could mean Serf is detecting false-failures due to a misconfiguration or network issue.");
            terminal.line(ADVICE);
        }
        if self.twice.is_empty() && missing.is_empty() && surplus.is_empty() {
            terminal.line("Successfully contacted all live nodes");
            return Ok(());
        }
        Err(Failure::Reported(1))
    }
}

/// HashiCorp's text, word for word: runbooks quote it.
const ADVICE: &str = "
Troubleshooting tips:
* Ensure that the bind addr:port is accessible by all other nodes
* If an advertise address is set, ensure it routes to the bind address
* Check that no nodes are behind a NAT
* If nodes are behind firewalls or iptables, check that Serf traffic is permitted (UDP and TCP)
* Verify networking equipment is functional";

const USAGE: &str = "
Usage: serf reachability [options]

  Asks all members to confirm a query and tells who did not. Takes as long
  as a query: 3 seconds, longer in larger clusters.

Options:

  -verbose                  Shows every confirmation and the times.
  -format=text              How to show the result: 'text' or 'json'.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";
