//! Comparison of two configurations on the same seeds.

use serf_proto::{Rng, Seed};

use super::{BOOTSTRAP_SEED, SEEDS_MIN, interval, mean, sorted};

/// Which change of a metric is an improvement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    LessIsBetter,
    MoreIsBetter,
}

/// Differences of one metric between two configurations, second minus first, on the same seeds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// Mean of the first and of the second configuration.
    pub(crate) means: (f64, f64),
    /// Mean difference.
    pub(crate) mean: f64,
    /// 95 % bootstrap interval of the mean difference.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Probability of a mean difference at least this large if the configurations were equal: a sign-flip test.
    pub(crate) p: f64,
    /// Number of seeds.
    pub(crate) seeds: usize,
}

/// Verdict on one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Better,
    Worse,
    NoDifferenceSeen,
    /// Fewer than [`SEEDS_MIN`] seeds are in both.
    TooFewSeeds,
}

impl Verdict {
    /// Returns its words in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoDifferenceSeen => "no difference seen",
            Self::TooFewSeeds => "too few seeds",
        }
    }
}

impl Difference {
    /// Compares pairs of values, one pair per seed; `None` without pairs.
    pub(crate) fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        if pairs.is_empty() {
            return None;
        }
        let (first, second): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        let differences = sorted(&pairs.iter().map(|(first, second)| second - first).collect::<Vec<_>>());
        let (low, high) = interval(&differences, mean);
        let p = sign_flip_p(&differences);
        let seeds = differences.len();
        Some(Self { means: (mean(&first), mean(&second)), mean: mean(&differences), low, high, p, seeds })
    }

    /// Returns the difference as a share of the first mean; `None` if that is zero.
    pub(crate) fn relative(&self, difference: f64) -> Option<f64> {
        (self.means.0 != 0.0).then(|| difference / self.means.0.abs())
    }

    /// Returns the verdict if the difference is significant.
    fn verdict(&self, direction: Direction, tolerance: f64) -> Verdict {
        let is_less = self.mean < 0.0;
        let nearest = if is_less { -self.high } else { self.low };
        // The whole interval lies beyond the tolerance.
        let is_beyond = nearest > 0.0 && self.relative(nearest).is_none_or(|share| share > tolerance);
        match (is_beyond, is_less == (direction == Direction::LessIsBetter)) {
            (false, _) => Verdict::NoDifferenceSeen,
            (true, true) => Verdict::Better,
            (true, false) => Verdict::Worse,
        }
    }
}

/// Judges many metrics at once. A difference counts if Holm's procedure rejects its equality: over all metrics the probability of
/// any false verdict is at most 5 %. A metric that is equal on all seeds cannot differ by chance and is not counted among them.
pub(crate) fn judge(differences: &[(Difference, Direction)], tolerance: f64) -> Vec<Verdict> {
    let mut order: Vec<usize> = (0..differences.len()).filter(|n| differences[*n].0.p < 1.0).collect();
    order.sort_by(|a, b| differences[*a].0.p.total_cmp(&differences[*b].0.p));
    let mut verdicts: Vec<Verdict> = differences
        .iter()
        .map(
            |(difference, _)| {
                if difference.seeds < SEEDS_MIN { Verdict::TooFewSeeds } else { Verdict::NoDifferenceSeen }
            },
        )
        .collect();
    let mut left = u32::try_from(order.len()).unwrap_or(u32::MAX);
    for n in order {
        let (difference, direction) = &differences[n];
        if difference.p * f64::from(left) > SIGNIFICANCE {
            break;
        }
        if difference.seeds >= SEEDS_MIN {
            verdicts[n] = difference.verdict(*direction, tolerance);
        }
        left -= 1;
    }
    verdicts
}

/// Returns the share of all sign changes of the differences whose mean is at least as far from zero (Fisher's randomisation test):
/// all of them for few seeds, a sample for many.
fn sign_flip_p(differences: &[f64]) -> f64 {
    let moved: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let count = u32::try_from(moved.len()).unwrap_or(u32::MAX);
    // Equal sums must count in spite of rounding.
    let seen = moved.iter().sum::<f64>().abs() * (1.0 - 1e-9);
    let is_far = |signs: &mut dyn FnMut(usize) -> bool| {
        let sum: f64 = moved.iter().enumerate().map(|(n, value)| if signs(n) { *value } else { -*value }).sum();
        sum.abs() >= seen
    };
    if count <= EXACT_SEEDS_MAX {
        let all = 1_u32 << count;
        let far = (0..all).filter(|flips| is_far(&mut |n| flips >> n & 1 == 0)).count();
        return f64::from(u32::try_from(far).unwrap_or(u32::MAX)) / f64::from(all);
    }
    let mut rng = Rng::stream(&Seed::from_u64(BOOTSTRAP_SEED), 1);
    let far = (0..FLIPS).filter(|_| is_far(&mut |_| rng.chance(500_000))).count();
    // The observed signs are one of the possibilities.
    f64::from(u32::try_from(far).unwrap_or(u32::MAX) + 1) / f64::from(FLIPS + 1)
}

/// 16 thousand sign changes.
const EXACT_SEEDS_MAX: u32 = 14;

/// Sampled sign changes beyond.
const FLIPS: u32 = 20_000;

/// Probability of any false verdict in one comparison.
const SIGNIFICANCE: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(rng: &mut Rng) -> f64 {
        f64::from(rng.below(2_000_001)) / 1e6 - 1.0
    }

    #[test]
    fn the_sign_flip_test_counts_all_possibilities() {
        assert_eq!(sign_flip_p(&[1.0; 6]), 2.0 / 64.0);
        assert_eq!(sign_flip_p(&[0.0; 6]), 1.0);
        assert_eq!(sign_flip_p(&[1.0, -1.0]), 1.0);
        let many = sign_flip_p(&[1.0; 20]);
        assert!(many < 1e-3, "{many}");
    }

    #[test]
    fn a_clear_change_is_seen_in_its_direction() {
        let mut rng = Rng::stream(&Seed::from_u64(1), 0);
        let pairs: Vec<(f64, f64)> = (0..12).map(|_| (20.0 + noise(&mut rng), 16.0 + noise(&mut rng))).collect();
        let difference = Difference::of(&pairs).expect("there are pairs");
        assert!((difference.mean + 4.0).abs() < 0.6 && difference.low < difference.mean, "{difference:?}");
        let relative = difference.relative(difference.mean).expect("the mean is above zero");
        assert!((relative + 0.2).abs() < 0.05, "{relative}");
        let of = |direction, tolerance| judge(&[(difference.clone(), direction)], tolerance);
        assert_eq!(of(Direction::LessIsBetter, 0.0), [Verdict::Better]);
        assert_eq!(of(Direction::MoreIsBetter, 0.0), [Verdict::Worse]);
        assert_eq!(of(Direction::MoreIsBetter, 0.5), [Verdict::NoDifferenceSeen], "within the tolerance");
    }

    #[test]
    fn five_seeds_give_no_verdict() {
        let difference = Difference::of(&[(1.0, 9.0); 5]).expect("there are pairs");
        assert_eq!(judge(&[(difference, Direction::LessIsBetter)], 0.0), [Verdict::TooFewSeeds]);
    }

    #[test]
    fn many_metrics_without_a_change_seldom_give_a_verdict() {
        let mut rng = Rng::stream(&Seed::from_u64(2), 0);
        let comparisons = 100;
        let false_ones = (0..comparisons).filter(|_| {
            let differences: Vec<(Difference, Direction)> = (0..20)
                .map(|_| {
                    let pairs: Vec<(f64, f64)> =
                        (0..10).map(|_| (5.0 + noise(&mut rng), 5.0 + noise(&mut rng))).collect();
                    (Difference::of(&pairs).expect("there are pairs"), Direction::LessIsBetter)
                })
                .collect();
            judge(&differences, 0.0).iter().any(|verdict| *verdict != Verdict::NoDifferenceSeen)
        });
        let false_ones = false_ones.count();
        assert!(false_ones <= 10, "{false_ones} of {comparisons} comparisons of equals");
    }

    #[test]
    fn a_change_from_zero_is_seen_without_a_share() {
        let difference = Difference::of(&[(0.0, 3.0), (0.0, 5.0), (0.0, 4.0), (0.0, 3.0), (0.0, 9.0), (0.0, 2.0)]);
        let difference = difference.expect("there are pairs");
        assert_eq!(difference.relative(1.0), None);
        assert_eq!(judge(&[(difference, Direction::LessIsBetter)], 0.1), [Verdict::Worse]);
    }
}
