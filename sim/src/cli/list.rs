//! `sim --list`: lists the phases, link faults and subcommands.

use crate::phase::Phase;

/// Returns every phase, the network faults and the other subcommands, one per line.
pub(super) fn list() -> String {
    let mut text = "Phases in the order of execution (--phase NAME,NAME; default: those with a star):\n".to_owned();
    for phase in Phase::all() {
        let star = if Phase::DEFAULT.contains(phase) { '*' } else { ' ' };
        text += &format!("{star} {:10} {}\n", phase.name(), phase.summary());
        if !phase.options().is_empty() {
            text += &format!("  {:10} {}\n", "", phase.options());
        }
    }
    text += "\nNetwork options, in every phase:\n";
    for (option, what) in NETWORK {
        text += &format!("  {option:28} {what}\n");
    }
    text += "\nSubcommands:\n";
    for (order, what) in ORDERS {
        text += &format!("  {order:28} {what}\n");
    }
    text
}

const NETWORK: [(&str, &str); 7] = [
    ("--loss SHARE", "datagrams are lost"),
    ("--duplicate SHARE", "datagrams arrive twice"),
    ("--reorder SHARE", "datagrams are delayed so that later ones overtake them"),
    ("--stream-reset SHARE", "streams are reset in the middle"),
    ("--latency MIN..MAX", "one-way latency of packets"),
    ("--geometry DURATION", "nodes are placed in a square that takes this long to cross"),
    ("--bandwidth MBIT/S", "send rate of a node on streams"),
];

const ORDERS: [(&str, &str); 12] = [
    ("sim run SCENARIO", "runs a scenario, or a sweep over its parameters and seeds"),
    ("sim list", "lists the scenarios that ship with the program"),
    ("sim show NAME", "prints one of them"),
    ("sim init", "writes a commented example of a scenario file"),
    ("sim schema", "prints the JSON schema of scenario files"),
    ("sim merge PATH… -o FILE", "merges results files"),
    ("sim chaos", "randomly drawn worlds with faults of all kinds, then all nodes must agree"),
    ("sim strikes", "measures the cost of a hostile member's messages"),
    ("sim explain", "the timeline of one member of a run"),
    ("sim compare", "compares two sets of results on the same seeds"),
    ("sim report", "writes results as one HTML page"),
    ("sim bench", "measures the simulator itself"),
];
