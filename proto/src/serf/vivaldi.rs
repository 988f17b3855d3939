//! The Vivaldi algorithm: computes a node's coordinate from round-trip times (Dabek et al., "Vivaldi: a decentralized
//! network coordinate system", 2004).
//!
//! Models a spring between this node and every node that it measures, with the measured round-trip time as the rest
//! length. Each measurement lets one spring move this node by a small step, weighted by the confidence of both ends.
//! Three additions are from Ledlie et al., "Network coordinates in the wild", 2007: a median filter over the last
//! measurements of each node, so that a single slow packet has no effect; an adjustment, half the mean of recent model
//! errors; and gravity towards the origin, so that the coordinates do not drift as a whole.
//!
//! Floating-point operations are in the same order as in HashiCorp's `coordinate.Client`, so that the same measurements
//! give the same bits.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::coordinate::{Coordinate, CoordinateError, ERROR_MAX, HEIGHT_MIN, magnitude};
use crate::rng::Rng;

/// Computes a node's coordinate from round-trip times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Vivaldi {
    own: Coordinate,
    /// Recent model errors, in seconds; a ring buffer.
    samples: [f64; ADJUSTMENT_WINDOW],
    samples_at: usize,
    resets: u64,
}

/// Median filter: the last round-trip times of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyFilter {
    rtts: [f64; LATENCY_FILTER],
    len: usize,
}

impl Vivaldi {
    /// Starts at [`Coordinate::ORIGIN`].
    pub const fn new() -> Self {
        Self { own: Coordinate::ORIGIN, samples: [0.0; ADJUSTMENT_WINDOW], samples_at: 0, resets: 0 }
    }

    /// The current coordinate of this node.
    pub const fn coordinate(&self) -> &Coordinate {
        &self.own
    }

    /// How often the coordinate was out of bounds and was reset.
    pub const fn resets(&self) -> u64 {
        self.resets
    }

    /// Updates the coordinate with a round-trip time to a node at `other` (`Update` in serf's coordinate/client.go).
    /// `filter` belongs to that node. `rng` gives the direction if both nodes are at the same point.
    ///
    /// # Errors
    ///
    /// If the round-trip time is above 10 s. Nothing changes then.
    pub fn update(
        &mut self,
        filter: &mut LatencyFilter,
        other: &Coordinate,
        rtt: Duration,
        rng: &mut Rng,
    ) -> Result<(), CoordinateError> {
        if rtt > RTT_MAX {
            return Err(CoordinateError::Rtt(rtt));
        }
        // The order of these steps is part of the algorithm: each reads the result of the one before.
        let rtt = filter.median_with(rtt.as_secs_f64());
        self.spring(other, rtt, rng);
        self.adjust(other, rtt);
        self.fall(rng);
        if !self.own.is_valid() {
            // A full reset. HashiCorp's keeps the window of model errors: one bad sample in it causes 19 more
            // resets.
            *self = Self { resets: self.resets + 1, ..Self::new() };
        }
        Ok(())
    }

    /// Applies the spring between this node and `other` (`updateVivaldi`).
    fn spring(&mut self, other: &Coordinate, rtt: f64, rng: &mut Rng) {
        let distance = self.own.distance_to(other).as_secs_f64();
        // A round-trip time of zero (two nodes of one host) would divide by zero.
        let rtt = rtt.max(ZERO);
        let wrongness = (distance - rtt).abs() / rtt;
        let total_error = (self.own.error + other.error).max(ZERO);
        // Relative confidence: a node that is certain moves little towards one that is not.
        let weight = self.own.error / total_error;
        self.own.error = (CE * weight * wrongness + self.own.error * (1.0 - CE * weight)).min(ERROR_MAX);
        self.push(CC * weight * (rtt - distance), other, rng);
    }

    /// Records the model error and recomputes the adjustment (`updateAdjustment`).
    fn adjust(&mut self, other: &Coordinate, rtt: f64) {
        // Against the raw distance: with the adjustment included, the correction would correct itself away.
        self.samples[self.samples_at] = rtt - self.own.raw_distance_to(other);
        self.samples_at = (self.samples_at + 1) % ADJUSTMENT_WINDOW;
        let sum = self.samples.iter().fold(0.0, |sum, sample| sum + sample);
        // Half of the mean: both ends of a distance add their adjustment.
        self.own.adjustment = sum / (2.0 * ADJUSTMENT_WINDOW as f64);
    }

    /// Applies gravity (`updateGravity`).
    fn fall(&mut self, rng: &mut Rng) {
        let distance = Coordinate::ORIGIN.distance_to(&self.own).as_secs_f64();
        // Quadratic, so that it is negligible near the origin.
        let pull = distance / GRAVITY_RHO;
        self.push(-(pull * pull), &Coordinate::ORIGIN, rng);
    }

    /// Moves this node by `force` seconds away from `other` (`ApplyForce` in coordinate.go).
    fn push(&mut self, force: f64, other: &Coordinate, rng: &mut Rng) {
        let (unit, distance) = unit_vector(&self.own, other, rng);
        for (x, direction) in self.own.vec.iter_mut().zip(unit) {
            *x += direction * force;
        }
        // At the same point the vector moves in a random direction; the height stays, as it would be divided by zero.
        if distance > 0.0 {
            let height = (self.own.height + other.height) * force / distance + self.own.height;
            self.own.height = height.max(HEIGHT_MIN);
        }
    }
}

impl Default for Vivaldi {
    fn default() -> Self {
        Self::new()
    }
}

impl LatencyFilter {
    /// Adds a round-trip time in seconds and returns the median of the last three; the larger of two (`latencyFilter`).
    fn median_with(&mut self, rtt: f64) -> f64 {
        if self.len == LATENCY_FILTER {
            self.rtts.rotate_left(1);
            self.len -= 1;
        }
        self.rtts[self.len] = rtt;
        self.len += 1;
        let mut sorted = self.rtts;
        // Sorts a copy: the ring must keep its order of arrival.
        sorted[..self.len].sort_unstable_by(f64::total_cmp);
        sorted[self.len / 2]
    }
}

/// The unit vector from `from` to `own`, and their distance. At the same point, a random direction and zero.
fn unit_vector(own: &Coordinate, from: &Coordinate, rng: &mut Rng) -> ([f64; Coordinate::DIMENSIONS], f64) {
    let difference = own.difference(from);
    let distance = magnitude(&difference);
    if distance > ZERO {
        return (difference.map(|x| x * (1.0 / distance)), distance);
    }
    let random: [f64; Coordinate::DIMENSIONS] = core::array::from_fn(|_| uniform(rng) - 0.5);
    let length = magnitude(&random);
    if length > ZERO {
        return (random.map(|x| x * (1.0 / length)), 0.0);
    }
    // All draws were zero: any direction will do, and the first axis is deterministic.
    let mut first = [0.0; Coordinate::DIMENSIONS];
    first[0] = 1.0;
    (first, 0.0)
}

/// A uniform random number in [0, 1).
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn uniform(rng: &mut Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// The gain of our own error (`VivaldiCE`).
const CE: f64 = 0.25;

/// The gain of our own position (`VivaldiCC`).
const CC: f64 = 0.25;

/// The number of model errors in the adjustment's window (`AdjustmentWindowSize`).
const ADJUSTMENT_WINDOW: usize = 20;

/// The number of round-trip times in the median filter (`LatencyFilterSize`).
const LATENCY_FILTER: usize = 3;

/// The distance from the origin at which gravity becomes significant, in seconds (`GravityRho`).
const GRAVITY_RHO: f64 = 150.0;

/// Smaller distances, times (in seconds) and errors count as zero (`zeroThreshold`).
const ZERO: f64 = 1e-6;

/// The longest accepted round-trip time.
const RTT_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::{Rng, Seed};

    fn rng() -> Rng {
        Rng::stream(&Seed::from_u64(7), 0)
    }

    #[test]
    fn the_filter_gives_the_median_of_the_last_three_and_of_two_the_larger() {
        let mut filter = LatencyFilter::default();
        let medians = [0.2, 0.1, 0.9, 0.3, 0.05].map(|rtt| filter.median_with(rtt));
        assert_eq!(medians, [0.2, 0.2, 0.2, 0.3, 0.3]);
    }

    #[test]
    fn a_time_above_ten_seconds_is_refused_and_changes_nothing() {
        let (mut vivaldi, mut filter) = (Vivaldi::new(), LatencyFilter::default());
        let too_long = RTT_MAX + Duration::from_nanos(1);
        let result = vivaldi.update(&mut filter, &Coordinate::ORIGIN, too_long, &mut rng());
        assert_eq!(result, Err(CoordinateError::Rtt(too_long)));
        assert_eq!((vivaldi.own, filter), (Coordinate::ORIGIN, LatencyFilter::default()));
        assert_eq!(vivaldi.update(&mut filter, &Coordinate::ORIGIN, RTT_MAX, &mut rng()), Ok(()));
    }

    #[test]
    fn nodes_at_one_point_part_in_a_direction_that_the_stream_decides() {
        let moved = |seed| {
            let (mut vivaldi, mut filter) = (Vivaldi::new(), LatencyFilter::default());
            let mut rng = Rng::stream(&Seed::from_u64(seed), 0);
            vivaldi.update(&mut filter, &Coordinate::ORIGIN, Duration::from_millis(10), &mut rng).unwrap();
            *vivaldi.coordinate()
        };
        assert!(magnitude(&moved(1).vec) > 1e-3);
        assert_eq!(moved(1), moved(1));
        assert_ne!(moved(1), moved(2));
    }

    /// The parts of coordinates are those that HashiCorp's client printed: the shortest that give the same bits.
    #[test]
    fn a_run_of_hashicorps_client_gives_the_same_coordinate() {
        let near = Coordinate::new(&[0.01, -0.02, 0.005, 0.0, 0.0, 0.0, 0.0, 0.001], 0.5, 0.0001, 0.0002).unwrap();
        let far = Coordinate::new(&[-0.03, 0.04, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0], 1.5, -0.0002, 1e-05).unwrap();
        let (mut vivaldi, mut filters, mut rng) = (Vivaldi::new(), [LatencyFilter::default(); 2], rng());
        for (to_far, nanos) in [
            (false, 25_000_000),
            (true, 60_000_000),
            (false, 400_000_000),
            (false, 26_000_000),
            (true, 0),
            (false, 24_123_456),
            (true, 59_000_001),
            (false, 25_000_000),
        ] {
            let (other, filter) = if to_far { (&far, &mut filters[1]) } else { (&near, &mut filters[0]) };
            vivaldi.update(filter, other, Duration::from_nanos(nanos), &mut rng).unwrap();
        }
        let vec = [
            -0.010808318807420494,
            0.029570939548860604,
            -0.011369885854224968,
            0.0,
            -0.003977150967009811,
            0.0,
            0.0,
            -0.002273977170844994,
        ];
        let end = Coordinate::new(&vec, 1.441145192341327, 0.006691554627428885, 0.0004954891739764735).unwrap();
        assert_eq!(*vivaldi.coordinate(), end);
    }

    #[test]
    fn nodes_at_one_point_part_by_the_force_in_any_direction() {
        let mut rng = rng();
        let mut negative = 0;
        for _ in 0..100 {
            let (mut vivaldi, mut filter) = (Vivaldi::new(), LatencyFilter::default());
            vivaldi.update(&mut filter, &Coordinate::ORIGIN, Duration::from_millis(10), &mut rng).unwrap();
            // Half of the gain, as both errors are equal, times the time that is missing beyond both heights.
            let (own, force) = (vivaldi.coordinate(), 0.25 / 2.0 * (0.01 - 2.0 * HEIGHT_MIN));
            assert!((magnitude(&own.vec) - force).abs() < 1e-9);
            assert_eq!(own.height, HEIGHT_MIN);
            negative += own.vec.iter().filter(|x| **x < 0.0).count();
        }
        assert!((350..450).contains(&negative), "{negative} of 800");
    }

    #[test]
    fn points_up_to_a_microsecond_apart_are_one() {
        for (apart, is_one) in [(1e-6, true), (1.1e-6, false)] {
            let (mut vivaldi, mut filter) = (Vivaldi::new(), LatencyFilter::default());
            vivaldi.own.vec[0] = apart;
            vivaldi.update(&mut filter, &Coordinate::ORIGIN, Duration::from_millis(10), &mut rng()).unwrap();
            assert_eq!(vivaldi.own.vec[1] != 0.0, is_one, "{apart}");
        }
    }

    #[test]
    fn a_reset_forgets_the_window_of_samples() {
        let (mut vivaldi, mut filter) = (Vivaldi::new(), LatencyFilter::default());
        vivaldi.own.vec[0] = f64::INFINITY;
        let other = Coordinate::new(&[0.01; 8], 0.5, 0.0, 1e-5).unwrap();
        vivaldi.update(&mut filter, &other, Duration::from_millis(10), &mut rng()).unwrap();
        assert_eq!((vivaldi.resets(), vivaldi.own), (1, Coordinate::ORIGIN));
        for _ in 0..30 {
            vivaldi.update(&mut filter, &other, Duration::from_millis(10), &mut rng()).unwrap();
        }
        assert_eq!(vivaldi.resets(), 1, "no measurement of a well-behaved node resets us");
    }

    #[test]
    fn a_line_of_nodes_learns_its_distances() {
        // The true distances: 10 ms a step, on a line.
        let mut rng = rng();
        let mut nodes: [Vivaldi; 6] = core::array::from_fn(|_| Vivaldi::new());
        let mut filters = [[LatencyFilter::default(); 6]; 6];
        let rtt = |a: usize, b: usize| Duration::from_millis(10 * a.abs_diff(b) as u64);
        for _ in 0..4_000 {
            let (a, b) = (rng.below(6) as usize, rng.below(6) as usize);
            if a != b {
                let other = nodes[b].own;
                nodes[a].update(&mut filters[a][b], &other, rtt(a, b), &mut rng).unwrap();
            }
        }
        for (a, b) in [(0, 5), (0, 1), (2, 4)] {
            let (learnt, truth) = (nodes[a].own.distance_to(&nodes[b].own).as_secs_f64(), rtt(a, b).as_secs_f64());
            assert!((learnt - truth).abs() < 0.15 * truth, "{a} to {b}: {learnt} for {truth}");
        }
    }

    proptest! {
        #[test]
        fn whatever_valid_peers_say_we_stay_valid(peers in prop::collection::vec((prop::array::uniform8(-10.0..=10.0), 0.0..=1.5, -10.0..=10.0, 0.0..=10.0, 0_u64..=10_000_000_000), 1..60)) {
            let (mut vivaldi, mut filter, mut rng) = (Vivaldi::new(), LatencyFilter::default(), rng());
            for (vec, error, adjustment, height, rtt) in peers {
                let other = Coordinate::new(&vec, error, adjustment, height).unwrap();
                vivaldi.update(&mut filter, &other, Duration::from_nanos(rtt), &mut rng).unwrap();
                prop_assert!(vivaldi.own.is_valid());
            }
        }
    }
}
