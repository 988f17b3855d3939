//! Comparison of two sets of results on the same seeds.

use core::fmt;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::chart::Unit;
use crate::results::Results;
use crate::stats::{Difference, Direction, SEEDS_MIN, Verdict, judge};

/// Result of a comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    /// Number of pairs of runs with the same settings and seed.
    pub(crate) pairs: usize,
    /// One row per metric, those with a verdict first.
    pub(crate) rows: Vec<Row>,
}

/// Comparison of one metric.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Settings that both sides have, if they have several; else empty.
    pub(crate) setting: String,
    /// Name of the phase; empty for the whole run.
    pub(crate) phase: String,
    pub(crate) metric: String,
    pub(crate) first_mean: f64,
    pub(crate) second_mean: f64,
    /// Mean difference, second minus first, and its 95 % interval.
    pub(crate) difference: f64,
    pub(crate) difference_low: f64,
    pub(crate) difference_high: f64,
    /// The same as shares of the first mean; none if that is zero.
    pub(crate) relative: Option<f64>,
    pub(crate) relative_low: Option<f64>,
    pub(crate) relative_high: Option<f64>,
    /// Probability of such a difference by chance, for this metric alone.
    pub(crate) p: f64,
    pub(crate) seeds: usize,
    pub(crate) verdict: &'static str,
}

/// Why two sets cannot be compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompareError {
    #[error("the two have no seed in common with the same settings; run both with the same --seeds")]
    NothingInCommon,
    #[error(
        "the first has {first} settings and the second {second}, none equal: compare one setting at a time, or sweeps over the same ones"
    )]
    DifferentSettings { first: usize, second: usize },
    #[error("no metric matches {0:?}; the results files list all names")]
    NoSuchMetric(String),
}

/// Which metrics to compare.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Parts of names, such as `reached_p99`, or `crash/` for all of a phase; empty: the headline metrics.
    pub(crate) metrics: Vec<String>,
    /// Share of the first mean below which a difference does not count.
    pub(crate) tolerance: f64,
}

/// Metrics that are compared without a selection. Few, because each further one makes the test of all others weaker.
const HEADLINE: [&str; 8] = [
    "reached_p50_s",
    "reached_p99_s",
    "detect_p50_s",
    "detect_p99_s",
    "event_p99_s",
    "false_failures_count",
    "wrong_views_count",
    "bytes_per_node_mean_per_s",
];

/// Names of which more is better; of all others less.
const MORE_IS_BETTER: [&str; 4] = ["detect_share", "event_share", "done_count", "query_answers_count"];

/// Names and parts of names that are neither good nor bad.
const NEUTRAL: [&str; 6] =
    ["goal_count", "datagrams_delivered_count", "true_failures_count", "events_count", "queries_count", "figure_"];

/// Compares two sets of runs.
pub(crate) fn compare(
    first: &[Results],
    second: &[Results],
    selection: &Selection,
) -> Result<Comparison, CompareError> {
    let pairs = pairs(first, second)?;
    let mut values: BTreeMap<(String, String, String), Vec<(f64, f64)>> = BTreeMap::new();
    for (setting, one, other) in &pairs {
        for metric in one.metrics().filter(|metric| metric.labels.is_empty()) {
            let Some(both) = metric.value.zip(other.metric(&metric.phase, &metric.name)) else { continue };
            if is_selected(&metric.phase, &metric.name, selection) {
                values.entry((setting.clone(), metric.phase.clone(), metric.name.clone())).or_default().push(both);
            }
        }
    }
    if values.is_empty() && !selection.metrics.is_empty() {
        return Err(CompareError::NoSuchMetric(selection.metrics.join(", ")));
    }
    let compared: Vec<_> = values.into_iter().filter_map(|(key, pairs)| Some((key, Difference::of(&pairs)?))).collect();
    let judged: Vec<(Difference, Direction)> =
        compared.iter().map(|((_, _, name), difference)| (difference.clone(), direction(name))).collect();
    let verdicts = judge(&judged, selection.tolerance);
    let mut rows: Vec<Row> =
        compared.into_iter().zip(verdicts).map(|((key, difference), verdict)| row(key, &difference, verdict)).collect();
    // What changed for the worse is what the reader looks for.
    rows.sort_by_key(|row| [Verdict::Worse, Verdict::Better].iter().position(|v| v.name() == row.verdict).unwrap_or(2));
    Ok(Comparison { pairs: pairs.len(), rows })
}

fn row((setting, phase, metric): (String, String, String), difference: &Difference, verdict: Verdict) -> Row {
    Row {
        setting,
        phase,
        metric,
        first_mean: difference.means.0,
        second_mean: difference.means.1,
        difference: difference.mean,
        difference_low: difference.low,
        difference_high: difference.high,
        relative: difference.relative(difference.mean),
        relative_low: difference.relative(difference.low),
        relative_high: difference.relative(difference.high),
        p: difference.p,
        seeds: difference.seeds,
        verdict: verdict.name(),
    }
}

/// Pairs runs of equal seeds: with equal settings if any are equal, else the one setting of each side.
fn pairs<'a>(
    first: &'a [Results],
    second: &'a [Results],
) -> Result<Vec<(String, &'a Results, &'a Results)>, CompareError> {
    let by_setting = |runs: &'a [Results]| {
        let mut map: BTreeMap<&'a str, BTreeMap<u64, &'a Results>> = BTreeMap::new();
        for run in runs {
            map.entry(&run.header.configuration).or_default().insert(run.header.seed, run);
        }
        map
    };
    let (one, other) = (by_setting(first), by_setting(second));
    let join = |setting: &str, a: &BTreeMap<u64, &'a Results>, b: &BTreeMap<u64, &'a Results>| {
        let common = a.iter().filter_map(|(seed, run)| Some((setting.to_owned(), *run, *b.get(seed)?)));
        common.collect::<Vec<_>>()
    };
    let pairs: Vec<_> = if let ([(_, a)], [(_, b)]) = (&*entries(&one), &*entries(&other)) {
        join("", a, b)
    } else {
        let equal: Vec<_> = one.iter().filter_map(|(key, a)| Some((*key, a, other.get(key)?))).collect();
        if equal.is_empty() {
            return Err(CompareError::DifferentSettings { first: one.len(), second: other.len() });
        }
        let is_single = equal.len() == 1;
        equal
            .into_iter()
            .flat_map(|(_, a, b)| {
                let run = a.values().next().expect("a setting has runs");
                join(&if is_single { String::new() } else { name_of(run) }, a, b)
            })
            .collect()
    };
    if pairs.is_empty() { Err(CompareError::NothingInCommon) } else { Ok(pairs) }
}

fn entries<K: Copy, V>(map: &BTreeMap<K, V>) -> Vec<(K, &V)> {
    map.iter().map(|(key, value)| (*key, value)).collect()
}

/// Names a setting by the parameters that its sweep varies.
fn name_of(run: &Results) -> String {
    let header = &run.header;
    let part = |key: &String| {
        let value = header.parameters.get(key).map(ToString::to_string).unwrap_or_default();
        format!("{} {value}", key.rsplit('.').next().unwrap_or(key))
    };
    let parts: Vec<String> = header.varied.iter().map(part).collect();
    if parts.is_empty() { header.scenario.clone() } else { parts.join(", ") }
}

fn is_selected(phase: &str, name: &str, selection: &Selection) -> bool {
    if NEUTRAL.iter().any(|neutral| name.starts_with(neutral)) {
        return false;
    }
    if selection.metrics.is_empty() {
        // Of a phase with steps its main step speaks for all.
        return HEADLINE.contains(&name) && !phase.contains('/');
    }
    let full = format!("{phase}/{name}");
    selection.metrics.iter().any(|part| full.contains(part.as_str()))
}

fn direction(name: &str) -> Direction {
    if MORE_IS_BETTER.contains(&name) { Direction::MoreIsBetter } else { Direction::LessIsBetter }
}

impl Comparison {
    /// Whether any metric became worse.
    pub(crate) fn is_worse(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Worse.name())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |row: &Row| {
            let phase = if row.phase.is_empty() { String::new() } else { format!("{} ", row.phase) };
            let setting = if row.setting.is_empty() { String::new() } else { format!("{}: ", row.setting) };
            format!("{setting}{phase}{}", row.metric)
        };
        let width = self.rows.iter().map(|row| name(row).chars().count()).max().unwrap_or(0).max(6);
        writeln!(
            f,
            "{:width$} {:>11} {:>11} {:>11}  {:22} verdict",
            "metric", "first", "second", "difference", "95 % interval"
        )?;
        for row in &self.rows {
            let unit = Unit::of_name(&row.metric);
            let (difference, interval) = match (row.relative, row.relative_low, row.relative_high) {
                (Some(mean), Some(low), Some(high)) => {
                    (percent(mean), format!("[{}, {}]", percent(low), percent(high)))
                }
                _ => (
                    format!("{:+.3}", row.difference),
                    format!("[{:+.3}, {:+.3}]", row.difference_low, row.difference_high),
                ),
            };
            let (first, second) = (unit.show(row.first_mean), unit.show(row.second_mean));
            writeln!(
                f,
                "{:width$} {first:>11} {second:>11} {difference:>11}  {interval:22} {}",
                name(row),
                row.verdict
            )?;
        }
        self.write_summary(f)
    }
}

impl Comparison {
    fn write_summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |verdict: Verdict| self.rows.iter().filter(|row| row.verdict == verdict.name()).count();
        let (better, worse) = (count(Verdict::Better), count(Verdict::Worse));
        writeln!(f, "\n{} pairs of runs, {} metrics: {better} better, {worse} worse", self.pairs, self.rows.len())?;
        if count(Verdict::TooFewSeeds) > 0 {
            writeln!(f, "Fewer than {SEEDS_MIN} seeds in both give no verdict.")?;
        }
        // With n seeds no p value is below 2 / 2^n, and Holm's procedure multiplies the smallest by the number of metrics.
        let open = u32::try_from(self.rows.iter().filter(|row| row.difference != 0.0).count()).unwrap_or(u32::MAX);
        let needed = (40.0 * f64::from(open.max(1))).log2().ceil();
        let seeds = self.rows.iter().map(|row| row.seeds).max().unwrap_or(0);
        if better + worse == 0 && open > 0 && f64::from(u32::try_from(seeds).unwrap_or(u32::MAX)) < needed {
            writeln!(
                f,
                "With {seeds} seeds no difference in so many metrics can be distinguished from chance: {needed:.0} seeds can, or fewer --metric."
            )?;
        }
        Ok(())
    }
}

/// A relative difference with its sign.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent.abs() >= 1000.0 { format!("{:+.0} x", share) } else { format!("{percent:+.1} %") }
}
