//! `sim strikes`: measures the cost of hostile messages for the receiver. Reports without a verdict: processor time
//! differs between machines, so a reproducible run cannot have a rule about it.

use core::time::Duration;
use std::process::ExitCode;
use std::time::Instant;

use serf_proto::{Config, ConfigError, Options, Outbox, Output, StreamInput};

use super::Attack;
use super::attack_message::AttackMessage;
use crate::addressing::connection_addr;
use crate::net::LinkModel;
use crate::world::{World, WorldOptions};

/// Measures every kind of attack and prints one table.
pub(crate) fn run(rounds: u32) -> ExitCode {
    println!(
        "{NODES} nodes, lan profile, no keys; {rounds} rounds of each attack. A message is a datagram or a stream.\n"
    );
    println!(
        "  {:10} {:>9} {:>12} {:>10} {:>10} {:>10} {:>12} {:>9}",
        "attack", "messages", "bytes", "us each", "us at most", "its bytes", "answer bytes", "out/in"
    );
    for attack in Attack::all() {
        match measure(attack, rounds) {
            Ok(row) => println!("{row}"),
            Err(error) => {
                eprintln!("sim: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("\n  answer bytes: datagrams and writes to streams within the calls that took the messages");
    ExitCode::SUCCESS
}

/// Cost of the messages of one attack.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    messages: u32,
    bytes: usize,
    time: Duration,
    time_max: Duration,
    /// Size of the slowest message.
    bytes_at_max: usize,
    answered: usize,
}

impl Cost {
    fn add(&mut self, bytes: usize, took: Duration, answered: usize) {
        self.messages += 1;
        self.bytes += bytes;
        self.time += took;
        self.answered += answered;
        if took > self.time_max {
            (self.time_max, self.bytes_at_max) = (took, bytes);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn measure(attack: Attack, rounds: u32) -> Result<String, ConfigError> {
    let model = LinkModel::new(Duration::from_millis(1), Duration::from_millis(20));
    let mut world = World::new(WorldOptions {
        nodes: NODES,
        seed: 1,
        threads: 1,
        config: Config::new(Options::lan().hashicorp_pace())?,
        mixed_codecs: false,
        model: model.expect("1 ms is above zero and below 20 ms"),
        has_checks: false,
        has_hostile: true,
    });
    world.start_converged();
    world.start_hostile(NODES, true);
    world.run_for(Duration::from_secs(10));
    let (mut cost, mut out) = (Cost::default(), Outbox::new());
    for _ in 0..rounds {
        for message in world.compose(attack) {
            let (bytes, took) = take(&mut world, &message, &mut out);
            cost.add(bytes, took, out.drain().map(|output| sent(&output)).sum());
        }
        world.run_for(PAUSE);
    }
    let Cost { messages, bytes, time, time_max, bytes_at_max, answered } = cost;
    Ok(format!(
        "  {:10} {messages:>9} {bytes:>12} {:>10.1} {:>10.1} {bytes_at_max:>10} {answered:>12} {:>9.2}",
        attack.name(),
        time.as_secs_f64() * 1e6 / f64::from(messages.max(1)),
        time_max.as_secs_f64() * 1e6,
        answered as f64 / bytes.max(1) as f64
    ))
}

/// Passes a message to its receiver; returns its size in bytes and the processing time.
fn take(world: &mut World, message: &AttackMessage, out: &mut Outbox) -> (usize, Duration) {
    let now = world.now();
    let (AttackMessage::Datagram { to, bytes, .. } | AttackMessage::Stream { to, bytes, .. }) = message;
    let Some(node) = world.node_mut(*to) else { return (bytes.len(), Duration::ZERO) };
    let began = Instant::now();
    match message {
        AttackMessage::Datagram { from, bytes, .. } => node.handle_datagram(now, *from, bytes, out),
        AttackMessage::Stream { bytes, closes, .. } => {
            let stream = node.accept(now, connection_addr(NODES, 1), out);
            for chunk in bytes.chunks(CHUNK_BYTES) {
                node.handle_stream(now, stream, StreamInput::Data(chunk), out);
            }
            if *closes {
                node.handle_stream(now, stream, StreamInput::Closed, out);
            }
        }
    }
    (bytes.len(), began.elapsed())
}

fn sent(output: &Output) -> usize {
    match output {
        Output::Datagram { bytes, .. } | Output::Write { bytes, .. } => bytes.len(),
        _ => 0,
    }
}

const NODES: u32 = 8;

/// Pause between rounds, in which the nodes gossip what they received.
const PAUSE: Duration = Duration::from_millis(500);

/// Typical size of one read from a socket.
const CHUNK_BYTES: usize = 64 * 1024;
