//! Health check for supervisors and load balancers.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use serf_tokio::{NodeState, Stats};

use super::Agent;
use super::bootstrap::alive;
use crate::rpc::PartitionShare;

/// The counters at the last check of one reader. A check covers the time since the last one of the same reader.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Option<Sample>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    socket_errors: u64,
    datagrams_in: u64,
}

impl Sample {
    fn of(stats: &Stats) -> Self {
        Self { socket_errors: stats.socket_errors, datagrams_in: stats.protocol.datagrams_in }
    }

    /// Whether the node is cut off: sends fail and nothing is received. One failed send alone is normal, because a peer
    /// may have gone.
    const fn is_cut_off(self, before: Self) -> bool {
        self.socket_errors > before.socket_errors && self.datagrams_in == before.datagrams_in
    }
}

impl Health {
    /// Whether the node was cut off since the last call. False at the first.
    fn is_cut_off(&self, now: Sample) -> bool {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        before.is_some_and(|before| now.is_cut_off(before))
    }
}

impl Agent {
    /// A line about missing members; empty without `-partition-signal`. They do not make the agent unhealthy: a restart
    /// would not bring them back, and a new node knows no larger membership.
    pub(super) fn partition_detail(&self) -> String {
        let share = self.serf.partition().map(PartitionShare::from);
        share.map(|share| format!("partition: {share}\n")).unwrap_or_default()
    }

    /// Why the agent is unhealthy; `None` when it is healthy.
    pub(super) fn unhealthy_reason(&self, health: &Health) -> Option<Cow<'static, str>> {
        match self.serf.state() {
            NodeState::Alive => {}
            NodeState::Leaving => return Some("leaving the cluster".into()),
            NodeState::Left => return Some("has left the cluster".into()),
        }
        if let Some((alive, expected)) = self.bootstrapping() {
            return Some(format!("waiting for members: {alive} of {expected} are alive").into());
        }
        let stats = self.serf.stats();
        if stats.address_missing {
            return Some("this host has no longer the address that the agent announces".into());
        }
        if stats.snapshot_failing {
            return Some("the snapshot cannot be written".into());
        }
        let is_cut_off = health.is_cut_off(Sample::of(&stats)) && alive(&self.serf) > 1;
        is_cut_off.then_some("socket errors, and no packet of another member arrives".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_errors_count_while_no_datagram_arrives() {
        let sample = |socket_errors, datagrams_in| Sample { socket_errors, datagrams_in };
        assert!(sample(2, 7).is_cut_off(sample(1, 7)));
        assert!(!sample(2, 8).is_cut_off(sample(1, 7)), "a packet arrived");
        assert!(!sample(1, 7).is_cut_off(sample(1, 7)), "no send failed");
        let (probe, page) = (Health::default(), Health::default());
        assert!(!probe.is_cut_off(sample(1, 7)) && !page.is_cut_off(sample(2, 7)), "the first check of each");
        assert!(probe.is_cut_off(sample(2, 7)), "whatever other readers have seen");
    }
}
