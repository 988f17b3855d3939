//! How many seeds are enough: until the interval of the median is narrow.

use core::ops::RangeInclusive;
use std::collections::BTreeMap;

use crate::results::Results;
use crate::stats::{Estimate, SEEDS_MIN};

/// Returns the seeds to begin with: those of the scenario, at least as many as an interval needs.
pub(crate) fn first_seeds(seeds: &[u64]) -> Result<RangeInclusive<u64>, String> {
    let (Some(first), Some(last)) = (seeds.first(), seeds.last()) else { return Err("there are no seeds".to_owned()) };
    if last - first + 1 != seeds.len() as u64 {
        return Err("--until-ci adds seeds to a range, such as --seeds 1..=10; the scenario has a list".to_owned());
    }
    Ok(*first..=(*last).max(first + SEEDS_MIN as u64 - 1))
}

/// Returns half as many seeds again; `None` at the limit.
pub(crate) fn more_seeds(seeds: &RangeInclusive<u64>) -> Option<RangeInclusive<u64>> {
    let count = seeds.end() - seeds.start() + 1;
    let more = (count + count.div_ceil(2)).min(SEEDS_MAX);
    (more > count).then(|| *seeds.start()..=seeds.start() + more - 1)
}

/// Names the times whose interval is wider than `share` of the median on a side.
pub(crate) fn open(runs: &[Results], share: f64) -> Vec<String> {
    let mut values: BTreeMap<(&str, &str, &str), Vec<f64>> = BTreeMap::new();
    for run in runs {
        for metric in run.metrics().filter(|metric| metric.labels.is_empty() && TIMES.contains(&metric.name.as_str())) {
            let key = (run.header.configuration.as_str(), metric.phase.as_str(), metric.name.as_str());
            values.entry(key).or_default().extend(metric.value);
        }
    }
    let wide = |((_, phase, name), values): ((&str, &str, &str), Vec<f64>)| {
        let estimate = Estimate::of(&values).filter(|estimate| !estimate.is_within(share))?;
        let Estimate { median, low, high, count } = estimate;
        let name = if phase.is_empty() { name.to_owned() } else { format!("{phase}.{name}") };
        Some(format!("{name} is {median:.3} [{low:.3}, {high:.3}] with {count} seeds"))
    };
    values.into_iter().filter_map(wide).collect()
}

/// The times that decide.
const TIMES: [&str; 3] = ["reached_p99_s", "detect_p99_s", "event_p99_s"];

/// The most seeds of a combination.
const SEEDS_MAX: u64 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_grow_by_half_up_to_the_limit() {
        assert_eq!(first_seeds(&[1]), Ok(1..=6));
        assert_eq!(first_seeds(&[5, 6, 7, 8, 9, 10, 11]), Ok(5..=11));
        assert!(first_seeds(&[1, 3]).is_err());
        assert_eq!(more_seeds(&(5..=10)), Some(5..=13));
        assert_eq!(more_seeds(&(1..=190)), Some(1..=200));
        assert_eq!(more_seeds(&(1..=200)), None);
    }
}
