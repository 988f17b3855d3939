//! `sim --list`: what there is to run.

use crate::phase::Phase;

/// Every phase, what else can be run, and the faults of the network, with a line each.
pub(super) fn list() -> String {
    let mut text =
        "Phases, in the order in which they are run (--phase NAME,NAME; without it those with a star):\n".to_owned();
    for phase in Phase::all() {
        let star = if Phase::DEFAULT.contains(phase) { '*' } else { ' ' };
        text += &format!("{star} {:10} {}\n", phase.name(), phase.summary());
        if !phase.options().is_empty() {
            text += &format!("  {:10} {}\n", "", phase.options());
        }
    }
    text += "\nWhat befalls every packet, in every phase:\n";
    for (option, what) in NETWORK {
        text += &format!("  {option:28} {what}\n");
    }
    text += "\nOther orders:\n";
    for (order, what) in ORDERS {
        text += &format!("  {order:28} {what}\n");
    }
    text
}

const NETWORK: [(&str, &str); 7] = [
    ("--loss SHARE", "datagrams are lost"),
    ("--duplicate SHARE", "datagrams arrive twice"),
    ("--reorder SHARE", "datagrams are overtaken by later ones"),
    ("--stream-reset SHARE", "streams break in the middle"),
    ("--latency MIN..MAX", "how long a packet takes"),
    ("--geometry DURATION", "nodes are far apart, each at a place of its own"),
    ("--bandwidth MBIT/S", "how fast a node can send on streams"),
];

const ORDERS: [(&str, &str); 3] = [
    ("sim chaos", "worlds drawn by luck: random faults of all kinds, then all must agree"),
    ("sim strikes", "measures what a hostile member's messages cost a node"),
    ("sim bench", "measures the simulator itself"),
];
