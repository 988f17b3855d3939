//! Memory estimate of a run, to refuse runs that would not fit.

/// Returns the estimated peak memory of a run of `nodes` nodes, in bytes.
pub(crate) fn memory_bytes(nodes: u32, is_converged: bool, has_snapshots: bool) -> u64 {
    let nodes = u64::from(nodes);
    let pair = if is_converged { PAIR_BYTES_CONVERGED } else { PAIR_BYTES_COLD };
    let recorded = if has_snapshots { PAIR_BYTES_RECORDED } else { 0 };
    BASE_BYTES + nodes * NODE_BYTES + nodes * nodes * (pair + recorded)
}

/// Returns the estimated processor time of a run in a release build, in seconds: what idle nodes cost, and what news costs
/// that reaches all nodes: `changed` members that fail, return or join, and `events`.
pub(crate) fn cpu_seconds(nodes: u32, virtual_s: f64, changed: f64, events: f64) -> f64 {
    f64::from(nodes) * (virtual_s * NODE_SECOND_S + changed * CHANGE_S + events * EVENT_S)
}

/// Formats `bytes` in the largest unit below it.
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn readable(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

/// Member rows of a node, and in a join storm its broadcast queue; measured.
const PAIR_BYTES_COLD: u64 = 30;
const PAIR_BYTES_CONVERGED: u64 = 20;

/// Processor time of an idle node for a virtual second, of a node for all that follows from the failure or return of
/// another one, and of a node for an event; measured.
const NODE_SECOND_S: f64 = 8e-6;
const CHANGE_S: f64 = 40e-6;
const EVENT_S: f64 = 20e-6;

/// A name and an address in a snapshot.
const PAIR_BYTES_RECORDED: u64 = 80;

/// RNGs, timers, buffers, packets in flight; measured.
const NODE_BYTES: u64 = 32 * 1024;

/// The event queue and the program.
const BASE_BYTES: u64 = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!(readable(5 << 20), "5 MiB");
        assert_eq!(readable(3 << 29), "1.5 GiB");
    }
}
