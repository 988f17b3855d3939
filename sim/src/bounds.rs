//! How long each phase may take, derived from the nodes' settings.

use core::time::Duration;

use serf_proto::Config;

/// The deadlines of the phases for clusters of a given size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Four push/pulls of everybody, with which what gossip missed is made up for: memberlist scales
    /// the interval with the size. Everybody begins one each interval and is, on average, chosen for another.
    anti_entropy: Duration,
    /// As long as a suspicion lasts when nobody confirms it: `SuspicionMult × max(1, log10 n) × ProbeInterval`,
    /// `SuspicionMaxTimeoutMult` times.
    suspicion_max: Duration,
    probe_interval: Duration,
    /// How many times slower an unhealthy node probes at the most.
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
            probe_interval: config.probe_interval,
            awareness_max: config.awareness_max_multiplier,
            reconnect_interval: config.reconnect_interval,
            leave: 2 * config.broadcast_timeout + config.leave_propagate_delay,
            query: config.gossip_interval * config.query_timeout_mult * (nodes.max(1).ilog10() + 1),
        }
    }

    /// From the last start until all know all: gossip, then anti-entropy for what it missed.
    pub(crate) fn join(&self) -> Duration {
        GOSSIP + self.anti_entropy
    }

    /// Until all have an event: gossip, then anti-entropy, which carries recent events too.
    pub(crate) fn event(&self) -> Duration {
        GOSSIP + self.anti_entropy
    }

    /// Until so many rounds of asking are over, each as long as a query lasts that does not say.
    pub(crate) fn query(&self, rounds: u32) -> Duration {
        self.query * rounds
    }

    /// Until all know of a crash. Somebody must probe the dead: that nobody does within `PROBES` intervals has odds
    /// of e^-20 for each of the dead. Then an unconfirmed suspicion, gossip and anti-entropy.
    pub(crate) fn crash(&self) -> Duration {
        PROBES * self.probe_interval + self.suspicion_max + GOSSIP + self.anti_entropy
    }

    /// Until all know of a leave: the leave itself, then as for a crash, for those whom the farewell missed.
    pub(crate) fn leave(&self) -> Duration {
        self.leave + self.crash()
    }

    /// Until all see the returned alive: as for a join; a suspicion that stems from their absence may come between.
    pub(crate) fn rejoin(&self) -> Duration {
        self.suspicion_max + self.join()
    }

    /// Until two sides have given each other up: as for a crash, but with so many probes failing every node may think itself ill, and
    /// probe as slowly as it can.
    pub(crate) fn apart(&self) -> Duration {
        PROBES * self.awareness_max * self.probe_interval + self.crash()
    }

    /// Until two sides that have given each other up are one again: somebody must try to reconnect, then all as for a return.
    pub(crate) fn heal(&self) -> Duration {
        self.reconnects() + self.rejoin()
    }

    /// Until none of so many members that do not exist is held for alive: the nodes probe all members in turn, as slowly as they can
    /// where so many probes fail; then as for a crash in a cluster with all of them.
    pub(crate) fn exorcism(nodes: u32, ghosts: u32, config: &Config) -> Duration {
        if ghosts == 0 {
            return Duration::ZERO;
        }
        let all = Self::new(nodes.saturating_add(ghosts), config);
        let turns = ghosts.div_ceil(nodes.max(1)) + PROBES;
        turns * config.awareness_max_multiplier * config.probe_interval + all.crash()
    }

    /// Until each two nodes have exchanged their states with each other, but for odds of e^-6 a pair. What a node believes at the greatest
    /// incarnation, which nothing can be above, only the member itself can put right.
    pub(crate) fn direct(&self, nodes: u32) -> Duration {
        3 * nodes * (self.anti_entropy / 4)
    }

    /// Until somebody has reached one of those that it gave up: each node tries one an interval, with a chance of failed to live.
    pub(crate) fn reconnects(&self) -> Duration {
        RECONNECTS * self.reconnect_interval
    }

    /// How long a suspicion lasts that nobody confirms.
    pub(crate) const fn suspicion_max(&self) -> Duration {
        self.suspicion_max
    }

    /// How long a healthy node takes for one probe.
    pub(crate) const fn probes(&self) -> Duration {
        self.probe_interval
    }
}

/// memberlist's `pushPullScale`: the base up to 32 nodes, then once more for each doubling.
fn push_pull_interval(nodes: u32, config: &Config) -> Duration {
    let doublings = nodes.max(1).next_power_of_two().ilog2();
    config.push_pull_interval * (doublings.saturating_sub(5) + 1)
}

fn suspicion_max(nodes: u32, config: &Config) -> Duration {
    let scale = f64::from(nodes.max(1)).log10().max(1.0);
    (config.probe_interval * config.suspicion_mult * config.suspicion_max_timeout_mult).mul_f64(scale)
}

/// Far more than gossip takes to go silent. Covers retries of joins too.
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
