//! Deadlines of the phases, derived from the nodes' options.

use core::time::Duration;

use serf_proto::Config;

/// Deadlines for clusters of a given size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Four push/pull intervals, for state that gossip missed. memberlist scales the interval with the cluster size.
    /// Per interval each node starts one exchange and, on average, is the target of another.
    anti_entropy: Duration,
    /// Duration of a suspicion without confirmations: `SuspicionMult × max(1, log10 n) × ProbeInterval`,
    /// `SuspicionMaxTimeoutMult` times.
    suspicion_max: Duration,
    probe_interval: Duration,
    /// Largest factor by which an unhealthy node slows its probes.
    awareness_max: u32,
    reconnect_interval: Duration,
    leave: Duration,
    query: Duration,
}

impl Bounds {
    pub(crate) fn new(nodes: u32, config: &Config) -> Self {
        Self {
            anti_entropy: 4 * push_pull_interval(nodes, config),
            suspicion_max: suspicion_max(nodes, config),
            probe_interval: config.swim().probe_interval,
            awareness_max: config.swim().awareness_max_multiplier,
            reconnect_interval: config.serf().reconnect_interval,
            leave: 2 * config.serf().broadcast_timeout + config.serf().leave_propagate_delay,
            query: config.swim().gossip_interval * config.serf().query_timeout_mult * (nodes.max(1).ilog10() + 1),
        }
    }

    /// From the last start until all nodes know all nodes: gossip, then anti-entropy for what gossip missed.
    pub(crate) fn join(&self) -> Duration {
        GOSSIP + self.anti_entropy
    }

    /// Until all nodes have an event: gossip, then anti-entropy, which carries recent events too.
    pub(crate) fn event(&self) -> Duration {
        GOSSIP + self.anti_entropy
    }

    /// Until `rounds` rounds of a query have ended, each with the default query timeout.
    pub(crate) fn query(&self, rounds: u32) -> Duration {
        self.query * rounds
    }

    /// Until all nodes know of a crash. Each dead node must be probed first: the probability that none is within
    /// `PROBES` intervals is e^-20 per dead node. Then an unconfirmed suspicion, gossip and anti-entropy.
    pub(crate) fn crash(&self) -> Duration {
        PROBES * self.probe_interval + self.suspicion_max + GOSSIP + self.anti_entropy
    }

    /// Until all nodes know of a leave: the leave itself, then as for a crash, for nodes that the leave broadcast
    /// missed.
    pub(crate) fn leave(&self) -> Duration {
        self.leave + self.crash()
    }

    /// Until all nodes see the returned ones alive: as for a join; a suspicion from their absence may intervene.
    pub(crate) fn rejoin(&self) -> Duration {
        self.suspicion_max + self.join()
    }

    /// Until both sides of a partition have declared each other failed: as for a crash, but so many failing probes may
    /// raise every node's health score to the maximum and slow its probes accordingly.
    pub(crate) fn apart(&self) -> Duration {
        PROBES * self.awareness_max * self.probe_interval + self.crash()
    }

    /// Until two such sides have merged: one reconnect attempt must succeed, then all as for a rejoin.
    pub(crate) fn heal(&self) -> Duration {
        self.reconnects() + self.rejoin()
    }

    /// Until none of `ghosts` invented members counts as alive: the nodes probe all members in turn, at the slowest
    /// rate because so many probes fail; then as for a crash in a cluster that includes them.
    pub(crate) fn ghost_removal(nodes: u32, ghosts: u32, config: &Config) -> Duration {
        if ghosts == 0 {
            return Duration::ZERO;
        }
        let all = Self::new(nodes.saturating_add(ghosts), config);
        let turns = ghosts.div_ceil(nodes.max(1)) + PROBES;
        turns * config.swim().awareness_max_multiplier * config.swim().probe_interval + all.crash()
    }

    /// Until every pair of nodes has exchanged its states directly, except with probability e^-6 per pair. A false
    /// belief at the greatest incarnation, which nothing can exceed, is corrected only by an exchange with the member
    /// itself.
    pub(crate) fn direct(&self, nodes: u32) -> Duration {
        3 * nodes * (self.anti_entropy / 4)
    }

    /// Until some node has reached one of the members that it declared failed: each node tries one per interval, with
    /// the probability of failed to live members.
    pub(crate) fn reconnects(&self) -> Duration {
        RECONNECTS * self.reconnect_interval
    }

    /// Duration of a suspicion without confirmations.
    pub(crate) const fn suspicion_max(&self) -> Duration {
        self.suspicion_max
    }

    /// Duration of one probe by a healthy node.
    pub(crate) const fn probes(&self) -> Duration {
        self.probe_interval
    }
}

/// memberlist's `pushPullScale`: the base interval up to 32 nodes, plus the base for each doubling.
fn push_pull_interval(nodes: u32, config: &Config) -> Duration {
    let doublings = nodes.max(1).next_power_of_two().ilog2();
    config.swim().push_pull_interval * (doublings.saturating_sub(5) + 1)
}

fn suspicion_max(nodes: u32, config: &Config) -> Duration {
    let scale = f64::from(nodes.max(1)).log10().max(1.0);
    (config.swim().probe_interval * config.swim().suspicion_mult * config.swim().suspicion_max_timeout_mult)
        .mul_f64(scale)
}

/// Far longer than gossip takes to drain. Covers retried joins too.
const GOSSIP: Duration = Duration::from_secs(60);

/// See [`Bounds::reconnects`].
const RECONNECTS: u32 = 10;

/// See [`Bounds::crash`].
const PROBES: u32 = 20;

#[cfg(test)]
mod tests {
    use serf_proto::Options;

    use super::*;

    #[test]
    fn the_push_pull_interval_grows_as_memberlists() {
        let config = Config::new(Options::lan()).unwrap();
        let seconds = |nodes| push_pull_interval(nodes, &config).as_secs();
        assert_eq!([1, 32, 33, 64, 65, 5_000].map(seconds), [30, 30, 60, 60, 90, 270]);
    }

    #[test]
    fn an_unconfirmed_suspicion_lasts_24_seconds_in_a_small_lan() {
        let config = Config::new(Options::lan()).unwrap();
        assert_eq!(suspicion_max(5, &config), Duration::from_secs(24));
        assert_eq!(suspicion_max(1_000, &config), Duration::from_secs(72));
    }
}
