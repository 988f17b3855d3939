//! The runs of a page, grouped by configuration.

use std::collections::{BTreeMap, BTreeSet};

use crate::results::{Distribution, Record, Results, Series, Subject};
use crate::stats::{Estimate, quantile, sorted};

/// Runs of one configuration with different seeds.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// What distinguishes it from the other groups; empty if there is only one.
    pub(super) label: String,
    pub(super) runs: Vec<&'a Results>,
}

/// A phase of the runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PhaseOf {
    pub(super) phase: String,
    pub(super) goal: String,
}

/// Groups runs by configuration, in the order of their parameters' values.
pub(super) fn groups(runs: &[Results]) -> Vec<Group<'_>> {
    let mut by_configuration: BTreeMap<(&str, &str), Vec<&Results>> = BTreeMap::new();
    for run in runs {
        by_configuration.entry((&run.header.scenario, &run.header.configuration)).or_default().push(run);
    }
    let varied = varied(runs);
    let has_scenarios = runs.iter().map(|run| &run.header.scenario).collect::<BTreeSet<_>>().len() > 1;
    let mut groups: Vec<Group<'_>> = by_configuration
        .into_iter()
        .map(|((scenario, _), mut runs)| {
            runs.sort_by_key(|run| run.header.seed);
            let mut label: Vec<String> =
                varied.iter().map(|key| format!("{} {}", short(key), value(runs[0], key))).collect();
            if has_scenarios {
                label.insert(0, scenario.to_owned());
            }
            Group { label: label.join(", "), runs }
        })
        .collect();
    // Numbers in the order of their values, not of their digits.
    groups.sort_by_key(|group| {
        let run = group.runs[0];
        let key = |key: &String| {
            let text = value(run, key);
            (number(&text).map_or(i64::MAX, order_of), text)
        };
        (run.header.scenario.clone(), varied.iter().map(key).collect::<Vec<_>>(), run.header.configuration.clone())
    });
    groups
}

/// An integer with the order of the number.
const fn order_of(number: f64) -> i64 {
    let bits = number.to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// Returns the keys of the parameters that differ between runs: the axes of the sweep first, in their order.
pub(crate) fn varied(runs: &[Results]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    let listed = runs.iter().flat_map(|run| &run.header.varied);
    let all = runs.iter().flat_map(|run| run.header.parameters.keys());
    for key in listed.chain(all) {
        let mut values = runs.iter().map(|run| run.header.parameters.get(key));
        let first = values.next().flatten();
        if !keys.contains(key) && values.any(|value| value != first) {
            keys.push(key.clone());
        }
    }
    keys
}

/// Returns a parameter's value as text.
pub(super) fn value(run: &Results, key: &str) -> String {
    run.header.parameters.get(key).map_or_else(|| "–".to_owned(), ToString::to_string)
}

/// Reads a number, a percentage, or a duration in seconds, such as `0.1`, `10%` or `150ms`.
pub(super) fn number(text: &str) -> Option<f64> {
    let units = [("%", 0.01), ("ms", 1e-3), ("us", 1e-6), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)];
    units.iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

/// Returns the last part of a dotted key.
pub(super) fn short(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// Returns the phases and steps of runs, in the order of the first run that has them.
pub(super) fn phases(groups: &[Group<'_>]) -> Vec<PhaseOf> {
    let mut phases: Vec<PhaseOf> = Vec::new();
    for record in groups.iter().flat_map(|group| &group.runs).flat_map(|run| &run.records) {
        if let Record::Phase(phase) = record
            && !phases.iter().any(|known| known.phase == phase.phase)
        {
            phases.push(PhaseOf { phase: phase.phase.clone(), goal: phase.goal.clone() });
        }
    }
    phases
}

impl<'a> Group<'a> {
    /// Returns a metric's values, one per seed that has it.
    pub(super) fn values(&self, phase: &str, name: &str) -> Vec<f64> {
        self.runs.iter().filter_map(|run| run.metric(phase, name)).collect()
    }

    pub(super) fn estimate(&self, phase: &str, name: &str) -> Option<Estimate> {
        Estimate::of(&self.values(phase, name))
    }

    pub(super) fn distributions(&self, phase: &str, name: &str) -> Vec<&'a Distribution> {
        let all = self.runs.iter().flat_map(|run| &run.records);
        all.filter_map(|record| match record {
            Record::Distribution(of) if of.phase == phase && of.name == name && of.labels.is_empty() => Some(of),
            _ => None,
        })
        .collect()
    }

    pub(super) fn subjects(&self, phase: &str) -> Vec<&'a Subject> {
        let all = self.runs.iter().flat_map(|run| &run.records);
        all.filter_map(|record| match record {
            Record::Subject(subject) if subject.phase == phase => Some(subject),
            _ => None,
        })
        .collect()
    }

    /// Returns a series of the whole run, per seed.
    pub(super) fn series(&self, name: &str) -> Vec<&'a Series> {
        self.runs.iter().filter_map(|run| series(run, name)).collect()
    }
}

/// Returns a series of a whole run without labels.
pub(super) fn series<'a>(run: &'a Results, name: &str) -> Option<&'a Series> {
    run.records.iter().find_map(|record| match record {
        Record::Series(series) if series.phase.is_empty() && series.name == name && series.labels.is_empty() => {
            Some(series)
        }
        _ => None,
    })
}

/// Returns the share that a step function has reached at `x`.
pub(super) fn share_at(points: &[(f64, f64)], x: f64) -> f64 {
    let after = points.partition_point(|(at, _)| *at <= x);
    if after == 0 { 0.0 } else { points[after - 1].1 }
}

/// Returns the median over seeds of several step functions at the places `grid`, and the range of 90 % of them.
pub(super) fn median_curve(curves: &[&[(f64, f64)]], grid: &[f64]) -> Vec<(f64, [f64; 3])> {
    grid.iter()
        .map(|x| {
            let shares = sorted(&curves.iter().map(|points| share_at(points, *x)).collect::<Vec<_>>());
            (*x, [0.05, 0.5, 0.95].map(|share| quantile(&shares, share).unwrap_or(0.0)))
        })
        .collect()
}

/// Returns the cumulative distribution of values as corners of a step function.
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(super) fn distribution(values: &[f64]) -> Vec<(f64, f64)> {
    let sorted = sorted(values);
    let count = sorted.len() as f64;
    (1_u32..).zip(sorted).map(|(n, value)| (value, f64::from(n) / count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_by_value() {
        let mut numbers = [10.0, -1.0, 0.05, 2.0, -3.5, 0.0];
        numbers.sort_by_key(|number| order_of(*number));
        assert_eq!(numbers, [-3.5, -1.0, 0.0, 0.05, 2.0, 10.0]);
    }

    #[test]
    fn percentages_and_durations_are_numbers() {
        let numbers = ["0.1", "30%", "150ms", "4s", "2m", "1..3", "lan"].map(number);
        assert_eq!(numbers[..2], [Some(0.1), Some(0.3)]);
        assert!(numbers[2].is_some_and(|seconds| (seconds - 0.15).abs() < 1e-12));
        assert_eq!(numbers[3..], [Some(4.0), Some(120.0), None, None]);
    }

    #[test]
    fn a_step_function_holds_until_its_next_corner() {
        let points = [(1.0, 0.25), (3.0, 1.0)];
        assert_eq!([0.5, 1.0, 2.9, 3.0, 9.0].map(|x| share_at(&points, x)), [0.0, 0.25, 0.25, 1.0, 1.0]);
        let [first, second]: [&[(f64, f64)]; 2] = [&points, &[(2.0, 1.0)]];
        assert_eq!(median_curve(&[first, second, first], &[2.5])[0].1[1], 0.25);
        assert_eq!(distribution(&[2.0, 1.0]), [(1.0, 0.5), (2.0, 1.0)]);
    }
}
