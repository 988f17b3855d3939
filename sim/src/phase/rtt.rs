use core::time::Duration;

use super::{Figures, PhaseSettings, PhaseStart, PhaseSteps, Step};
use crate::bounds::Bounds;
use crate::check::Finding;
use crate::tally::Tally;
use crate::truth::{Aim, HostState};
use crate::world::World;

/// Lets nodes probe each other and compute their coordinates from the round-trip times. Measures the error of the round
/// trips that the coordinates predict.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings, bounds: &Bounds) -> PhaseStart {
    let up = world.all(HostState::Up);
    if up.len() < 2 {
        return PhaseStart::Skipped("one node has no round trips");
    }
    if up.iter().filter_map(|node| world.node(*node)).any(|node| node.coordinate().is_none()) {
        return PhaseStart::Skipped("coordinates are off");
    }
    let pairs = (0..PAIRS).map(|_| world.draw_up(2)).map(|pair| [pair[0], pair[1]]).collect();
    PhaseStart::Steps(Box::new(RoundTrips {
        pairs,
        steps_left: STEPS,
        lasts: bounds.probes() * STEP_PROBES,
        bound: settings.rtt_error_ppm,
    }))
}

struct RoundTrips {
    pairs: Vec<[u32; 2]>,
    steps_left: u32,
    lasts: Duration,
    /// Bound of the median relative error at the end, in parts per million.
    bound: u32,
}

impl PhaseSteps for RoundTrips {
    fn next(&mut self, world: &mut World) -> Option<Step> {
        self.steps_left = self.steps_left.checked_sub(1)?;
        world.begin(Aim::Nothing);
        Some(Step { name: "probe", goal: "nothing, nodes probe each other", within: self.lasts })
    }

    fn end(&mut self, world: &mut World, _: &Tally) -> Figures {
        let errors = self.errors(world);
        let [median, p90, p99] = [500, 900, 990].map(|per_mille| quantile(&errors, per_mille));
        if self.steps_left == 0
            && let Some(finding) = check_error(median, self.bound)
        {
            world.violate(0, finding);
        }
        Figures::default()
            .with("at_s", world.now().as_secs_f64())
            .with("relative_error_p50", median)
            .with("relative_error_p90", p90)
            .with("relative_error_p99", p99)
    }
}

impl RoundTrips {
    /// Returns the sorted relative errors of the sampled pairs.
    fn errors(&self, world: &World) -> Vec<f64> {
        let error = |&[a, b]: &[u32; 2]| {
            let (here, there) = (world.node(a)?.coordinate()?, world.node(b)?.coordinate()?);
            let truth = world.round_trip_mean(a, b).as_secs_f64();
            Some((here.distance_to(&there).as_secs_f64() - truth).abs() / truth)
        };
        let mut errors: Vec<f64> = self.pairs.iter().filter_map(error).collect();
        errors.sort_unstable_by(f64::total_cmp);
        errors
    }
}

fn quantile(sorted: &[f64], per_mille: usize) -> f64 {
    sorted.get((sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut for people to read")]
fn check_error(median: f64, bound_ppm: u32) -> Option<Finding> {
    let is_fine = median * 1e6 <= f64::from(bound_ppm);
    (!is_fine).then_some(Finding::RoundTripsWrong {
        median_per_mille: (median * 1e3) as u32,
        bound_per_mille: bound_ppm / 1000,
    })
}

/// Number of sampled pairs of nodes.
const PAIRS: u32 = 2_000;

/// Number of samples.
const STEPS: u32 = 6;

/// Probes per node between two samples.
const STEP_PROBES: u32 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_errors() {
        let errors: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!([500, 900, 990].map(|q| quantile(&errors, q)), [50.0, 90.0, 99.0]);
        assert_eq!(quantile(&[7.0], 990), 7.0);
        assert!(quantile(&[], 500).is_nan());
    }

    #[test]
    fn a_median_above_its_bound_or_none_at_all_is_found() {
        assert_eq!(check_error(0.1, 150_000), None);
        let finding = Finding::RoundTripsWrong { median_per_mille: 200, bound_per_mille: 150 };
        assert_eq!(check_error(0.2, 150_000), Some(finding));
        assert!(check_error(f64::NAN, 150_000).is_some());
    }
}
