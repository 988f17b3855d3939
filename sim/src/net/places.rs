use core::time::Duration;

use serf_proto::{Rng, Seed};

/// Positions of the nodes: points of a square, drawn from the seed. The travel time between two points is added to the
/// latency of the link model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// Coordinates in nanoseconds of travel time; empty if all nodes are in one place.
    points: Vec<[u32; 2]>,
}

impl Places {
    /// Draws points for `nodes` nodes in a square whose side a packet crosses in `side`, capped at four seconds.
    pub(crate) fn draw(nodes: u32, side: Duration, seed: &Seed) -> Self {
        let side = u32::try_from(side.as_nanos()).unwrap_or(u32::MAX);
        if side == 0 {
            return Self::default();
        }
        let mut rng = Rng::stream(seed, 0);
        Self { points: (0..nodes).map(|_| [rng.below(side), rng.below(side)]).collect() }
    }

    /// Returns the one-way travel time between two nodes. Integer arithmetic only, so that all platforms agree.
    pub(crate) fn between(&self, a: u32, b: u32) -> Duration {
        let (Some(a), Some(b)) = (self.points.get(a as usize), self.points.get(b as usize)) else {
            return Duration::ZERO;
        };
        let square = |axis: usize| u128::from(a[axis].abs_diff(b[axis])).pow(2);
        Duration::from_nanos(u64::try_from((square(0) + square(1)).isqrt()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_a_square() {
        let places = Places { points: vec![[0, 0], [30_000_000, 40_000_000], [u32::MAX, u32::MAX]] };
        assert_eq!(places.between(0, 1), Duration::from_millis(50));
        assert_eq!(places.between(1, 0), places.between(0, 1));
        assert_eq!(places.between(1, 1), Duration::ZERO);
        assert_eq!(places.between(0, 2), Duration::from_nanos(6_074_000_998));
        let drawn = Places::draw(100, Duration::from_millis(50), &Seed::from_u64(1));
        let far = (0..100).map(|node| drawn.between(0, node)).max().unwrap();
        assert!(far > Duration::from_millis(25) && far < Duration::from_millis(71), "{far:?}");
    }

    #[test]
    fn without_a_side_all_are_in_one_place() {
        assert_eq!(Places::draw(3, Duration::ZERO, &Seed::from_u64(1)).between(0, 2), Duration::ZERO);
    }
}
