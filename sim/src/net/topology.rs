//! Links that differ by the groups of their ends: a latency matrix, distributions of latency, and bursts of loss.

use core::time::Duration;

use serf_proto::{Instant, Rng};

/// Links between groups of nodes. Replaces latency, loss, duplication and reordering of the world's
/// [`LinkModel`](super::LinkModel).
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    group_of: Vec<u16>,
    groups: usize,
    /// Links by group of the sender, then group of the receiver.
    links: Vec<Link>,
    bursts: Option<Bursts>,
}

/// Behaviour of the packets from one group to another. Probabilities are in parts per million.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// One-way latency.
    pub latency: Latency,
    /// Probability that a datagram is lost.
    pub loss_ppm: u32,
    /// Probability that a datagram arrives twice.
    pub duplicate_ppm: u32,
    /// Probability that a datagram is delayed so that later ones overtake it.
    pub reorder_ppm: u32,
}

/// Distribution of one-way latencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    /// Uniform, or constant if both are equal.
    Uniform {
        /// Minimum; above zero.
        min: Duration,
        /// Maximum.
        max: Duration,
    },
    /// Normal, cut off below the minimum. The sum of twelve uniform numbers, hence at most six deviations from the mean.
    Normal {
        /// Minimum; above zero.
        min: Duration,
        /// Mean.
        mean: Duration,
        /// Standard deviation.
        deviation: Duration,
    },
    /// Pareto: most packets need little more than the minimum, few far more; at most a hundred times the minimum.
    Pareto {
        /// Minimum; above zero.
        min: Duration,
        /// Shape, above 1: the smaller, the heavier the tail.
        shape: f64,
    },
}

/// Bursts of loss at the uplink of each node, independent of each other (Gilbert 1960). Their lengths and the pauses
/// between them are exponentially distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bursts {
    /// Probability that a datagram is lost during a burst, in parts per million.
    pub loss_ppm: u32,
    /// Mean length of a burst; above zero.
    pub lasts: Duration,
    /// Mean pause between two bursts; above zero.
    pub every: Duration,
}

/// State of a node's uplink: within a burst of loss, or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    is_burst: bool,
    /// End of the state; zero before the first draw.
    until: Instant,
}

impl Weather {
    /// No burst; the first draw decides how long.
    pub(crate) const CLEAR: Self = Self { is_burst: false, until: Instant::ZERO };
}

impl Topology {
    /// Creates a topology: `links[a * groups + b]` are the packets from group `a` to group `b`.
    ///
    /// # Panics
    ///
    /// If the number of links is not the square of the number of groups, or a group has no links.
    pub fn new(group_of: Vec<u16>, links: Vec<Link>, bursts: Option<Bursts>) -> Self {
        let groups = links.len().isqrt();
        assert_eq!(groups * groups, links.len(), "one link per ordered pair of groups");
        assert!(group_of.iter().all(|group| usize::from(*group) < groups), "every group has links");
        Self { group_of, groups, links, bursts }
    }

    /// Returns the minimum latency of all links.
    pub fn latency_min(&self) -> Duration {
        self.links.iter().map(|link| link.latency.min()).min().unwrap_or(Duration::MAX)
    }

    /// Returns the link of packets between two nodes.
    pub(super) fn link(&self, from: u32, to: u32) -> &Link {
        let group = |node: u32| self.group_of.get(node as usize).map_or(0, |group| usize::from(*group));
        &self.links[group(from) * self.groups + group(to)]
    }

    /// Whether a burst loses a datagram sent now. Advances the sender's state.
    pub(super) fn is_lost_in_burst(&self, rng: &mut Rng, weather: &mut Weather, now: Instant) -> bool {
        let Some(Bursts { loss_ppm, lasts, every }) = self.bursts else { return false };
        if weather.until == Instant::ZERO {
            *weather = Weather { is_burst: false, until: Instant::ZERO + exponential(rng, every) };
        }
        while weather.until <= now {
            weather.is_burst = !weather.is_burst;
            weather.until = weather.until + exponential(rng, if weather.is_burst { lasts } else { every });
        }
        weather.is_burst && rng.chance(loss_ppm)
    }
}

impl Latency {
    /// Returns the minimum.
    pub const fn min(self) -> Duration {
        match self {
            Self::Uniform { min, .. } | Self::Normal { min, .. } | Self::Pareto { min, .. } => min,
        }
    }

    /// Returns the mean, without the effect of the cuts.
    pub fn mean(self) -> Duration {
        match self {
            Self::Uniform { min, max } => (min + max) / 2,
            Self::Normal { mean, .. } => mean,
            Self::Pareto { min, shape } => min.mul_f64(shape / (shape - 1.0)),
        }
    }

    pub(super) fn draw(self, rng: &mut Rng) -> Duration {
        match self {
            Self::Uniform { min, max } => min + rng.duration_below(max - min),
            Self::Normal { min, mean, deviation } => {
                // The sum has mean 6 and variance 1. Integers only, so that all platforms agree.
                let sum: u128 = (0..12).map(|_| u128::from(rng.below(UNIT))).sum();
                let drawn = mean.as_nanos() + deviation.as_nanos() * sum / u128::from(UNIT);
                let drawn = drawn.saturating_sub(6 * deviation.as_nanos());
                Duration::from_nanos(u64::try_from(drawn).unwrap_or(u64::MAX)).max(min)
            }
            Self::Pareto { min, shape } => {
                let factor = libm::pow(fraction(rng), -1.0 / shape);
                min.mul_f64(factor.clamp(1.0, PARETO_FACTOR_MAX))
            }
        }
    }
}

/// Returns a number above 0 and at most 1.
fn fraction(rng: &mut Rng) -> f64 {
    f64::from(rng.below(UNIT) + 1) / f64::from(UNIT)
}

/// Draws from the exponential distribution with this mean; above zero, so that a loop over draws ends.
fn exponential(rng: &mut Rng, mean: Duration) -> Duration {
    mean.mul_f64(-libm::log(fraction(rng))).max(Duration::from_micros(1))
}

/// Steps of drawn fractions.
const UNIT: u32 = 1 << 30;

const PARETO_FACTOR_MAX: f64 = 100.0;

#[cfg(test)]
mod tests {
    use serf_proto::Seed;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn draws(latency: Latency, count: u32) -> Vec<Duration> {
        let mut rng = Rng::stream(&Seed::from_u64(1), 0);
        let mut drawn: Vec<Duration> = (0..count).map(|_| latency.draw(&mut rng)).collect();
        drawn.sort_unstable();
        drawn
    }

    fn link(latency: Latency) -> Link {
        Link { latency, loss_ppm: 0, duplicate_ppm: 0, reorder_ppm: 0 }
    }

    #[test]
    fn latencies_have_the_mean_and_the_spread_of_their_distribution() {
        let normal = Latency::Normal { min: MS, mean: 50 * MS, deviation: 5 * MS };
        let pareto = Latency::Pareto { min: 10 * MS, shape: 3.0 };
        for (latency, below_the_median) in [(normal, 50.0), (pareto, 12.6)] {
            let drawn = draws(latency, 100_000);
            let mean = drawn.iter().sum::<Duration>() / 100_000;
            assert!(mean.abs_diff(latency.mean()) < MS / 2, "{latency:?}: {mean:?}");
            let median = drawn[50_000].as_secs_f64() * 1e3;
            assert!((median - below_the_median).abs() < 0.2, "{latency:?}: median {median} ms");
            assert!(drawn[0] >= latency.min(), "{latency:?}: {:?}", drawn[0]);
        }
        let drawn = draws(normal, 100_000);
        let within = drawn.iter().filter(|drawn| drawn.abs_diff(50 * MS) <= 5 * MS).count();
        assert!((67_000..70_000).contains(&within), "68 % are within a deviation: {within}");
        assert!(draws(pareto, 100_000).last() <= Some(&(1000 * MS)));
    }

    #[test]
    fn a_constant_latency_is_constant() {
        assert!(draws(Latency::Uniform { min: 3 * MS, max: 3 * MS }, 100).iter().all(|drawn| *drawn == 3 * MS));
    }

    #[test]
    fn links_depend_on_the_groups_and_the_direction() {
        let at = |ms| link(Latency::Uniform { min: ms * MS, max: ms * MS });
        let topology = Topology::new(vec![0, 0, 1], vec![at(1), at(70), at(80), at(2)], None);
        let between = |from, to| topology.link(from, to).latency.min();
        assert_eq!([between(0, 1), between(1, 2), between(2, 1), between(2, 2)], [MS, 70 * MS, 80 * MS, 2 * MS]);
        assert_eq!(topology.latency_min(), MS);
    }

    #[test]
    fn bursts_lose_as_much_as_their_share_of_time_says() {
        let bursts = Bursts { loss_ppm: 800_000, lasts: 100 * MS, every: 900 * MS };
        let topology = Topology::new(vec![0], vec![link(Latency::Uniform { min: MS, max: MS })], Some(bursts));
        let (mut rng, mut weather) = (Rng::stream(&Seed::from_u64(1), 0), Weather::CLEAR);
        let lost: Vec<bool> = (0..1_000_000_u32)
            .map(|ms| topology.is_lost_in_burst(&mut rng, &mut weather, Instant::ZERO + ms * MS))
            .collect();
        let count = lost.iter().filter(|lost| **lost).count();
        assert!((70_000..90_000).contains(&count), "0.1 of the time, 0.8 of these: {count}");
        let after_a_loss = lost.windows(2).filter(|pair| pair[0] && pair[1]).count();
        assert!(after_a_loss * 10 > count * 7, "a loss is followed by another: {after_a_loss} of {count}");
    }
}
