//! Conditions of a scenario on its metrics.

use super::document::{Document, FileError, suggestion};
use super::file::{Condition, File};
use super::plan::Course;
use super::timeline::{Effect, LoadKind};
use crate::parse;
use crate::phase::Phase;
use crate::results::{self, Metric, Record};

/// A condition on one metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assertion {
    /// Name of the phase; empty for the whole run.
    phase: String,
    /// Name of the metric, with its unit.
    metric: String,
    comparison: Comparison,
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

/// Parses the conditions of a scenario. Metrics may be named without their unit.
pub(crate) fn parse(document: &Document, file: &File, course: &Course) -> Result<Vec<Assertion>, FileError> {
    let mut assertions = Vec::new();
    for (key, condition) in &file.assert {
        let path = format!("assert.{key}");
        let Condition::Phase(conditions) = condition else {
            assertions.push(one(document, &path, "", key, condition, &run_metrics(course))?);
            continue;
        };
        let known = phases(course);
        if !known.contains(key) {
            let nearest = suggestion(key, known.iter().map(String::as_str));
            return Err(document.error(&path, format!("there is no phase or fault {key:?}; {nearest}")));
        }
        for (metric, condition) in conditions {
            assertions.push(one(
                document,
                &format!("{path}.{metric}"),
                key,
                metric,
                condition,
                &phase_metrics(course),
            )?);
        }
    }
    Ok(assertions)
}

fn one(
    document: &Document,
    path: &str,
    phase: &str,
    key: &str,
    condition: &Condition,
    known: &[&str],
) -> Result<Assertion, FileError> {
    let metric = find(key, known).map_err(|why| document.error(path, why))?;
    let (comparison, bound) = match condition {
        Condition::Number(number) => (Comparison::Equal, *number),
        Condition::Text(text) => comparison(text, metric).map_err(|why| document.error(path, why))?,
        Condition::Phase(_) => return Err(document.error(path, "expected a number or a comparison such as \"< 20s\"")),
    };
    Ok(Assertion { phase: phase.to_owned(), metric: metric.to_owned(), comparison, bound })
}

/// Returns a metric by its name, with or without its unit.
fn find<'a>(key: &str, known: &[&'a str]) -> Result<&'a str, String> {
    let is_it = |metric: &str| metric == key || metric.rsplit_once('_').is_some_and(|(stem, _)| stem == key);
    let metric = known.iter().find(|metric| is_it(metric)).copied();
    metric.ok_or_else(|| format!("there is no metric {key:?}; {}", suggestion(key, known.iter().copied())))
}

/// Returns phase and name of a metric such as `crash.reached_p99` or `detect_p99_s`.
pub(crate) fn metric(course: &Course, name: &str) -> Result<(String, String), String> {
    let Some((phase, key)) = name.rsplit_once('.') else {
        return Ok((String::new(), find(name, &run_metrics(course))?.to_owned()));
    };
    let known = phases(course);
    if !known.iter().any(|other| other == phase) {
        let nearest = suggestion(phase, known.iter().map(String::as_str));
        return Err(format!("there is no phase or fault {phase:?}; {nearest}"));
    }
    Ok((phase.to_owned(), find(key, &phase_metrics(course))?.to_owned()))
}

/// Returns the 99th percentiles of what a run measures.
pub(crate) fn tails(course: &Course) -> Vec<(String, String)> {
    let whole = |name: &str| (String::new(), name.to_owned());
    match course {
        Course::Phases(scenario) => {
            let timed = scenario.phases.iter().filter(|phase| !matches!(phase, Phase::Idle | Phase::Rtt));
            timed.map(|phase| (phase.name().to_owned(), "reached_p99_s".to_owned())).collect()
        }
        Course::Timeline(timeline) => {
            let crashes = timeline.faults.iter().any(|fault| matches!(fault.effect, Effect::Crash));
            let events = timeline.loads.iter().any(|load| load.kind == LoadKind::Event);
            [(crashes, "detect_p99_s"), (events, "event_p99_s")]
                .into_iter()
                .filter(|(is_there, _)| *is_there)
                .map(|(_, name)| whole(name))
                .collect()
        }
    }
}

fn comparison(text: &str, metric: &str) -> Result<(Comparison, f64), String> {
    let known = [
        ("<=", Comparison::AtMost),
        (">=", Comparison::AtLeast),
        ("<", Comparison::Less),
        (">", Comparison::More),
        ("=", Comparison::Equal),
    ];
    let found = known.iter().find_map(|(sign, comparison)| Some((*comparison, text.strip_prefix(sign)?.trim())));
    let Some((comparison, bound)) = found else {
        return Err(format!("{text:?} is no comparison such as \"< 20s\", \">= 0.99\" or \"= 0\""));
    };
    let bound = match bound.parse::<f64>() {
        Ok(number) if number.is_finite() && !metric.ends_with("_s") => number,
        Ok(_) if metric.ends_with("_s") => return Err(format!("{bound:?} has no unit; write it as 20s or 300ms")),
        _ if metric.ends_with("_s") => parse::duration(bound)?.as_secs_f64(),
        _ if metric.ends_with("_share") => f64::from(parse::share(bound)?) / 1e6,
        _ => return Err(format!("{bound:?} is not a number")),
    };
    Ok((comparison, bound))
}

impl Assertion {
    /// Checks the condition against the metrics of a run.
    pub(crate) fn check(&self, records: &[Record]) -> results::Assertion {
        let is_it =
            |metric: &&Metric| metric.phase == self.phase && metric.name == self.metric && metric.labels.is_empty();
        let metrics = records.iter().filter_map(|record| match record {
            Record::Metric(metric) => Some(metric),
            _ => None,
        });
        let value = metrics.filter(is_it).find_map(|metric| metric.value);
        let holds = value.is_some_and(|value| match self.comparison {
            Comparison::Less => value < self.bound,
            Comparison::AtMost => value <= self.bound,
            Comparison::Equal => value == self.bound,
            Comparison::AtLeast => value >= self.bound,
            Comparison::More => value > self.bound,
        });
        let found = value.map_or_else(|| "never reached".to_owned(), |value| value.to_string());
        results::Assertion { assertion: self.to_string(), holds, found }
    }
}

impl core::fmt::Display for Assertion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let sign = match self.comparison {
            Comparison::Less => "<",
            Comparison::AtMost => "<=",
            Comparison::Equal => "=",
            Comparison::AtLeast => ">=",
            Comparison::More => ">",
        };
        let dot = if self.phase.is_empty() { "" } else { "." };
        write!(f, "{}{dot}{} {sign} {}", self.phase, self.metric, self.bound)
    }
}

/// Names of the phases, or of the faults.
fn phases(course: &Course) -> Vec<String> {
    match course {
        Course::Phases(scenario) => scenario.phases.iter().map(|phase| phase.name().to_owned()).collect(),
        Course::Timeline(timeline) => timeline.faults.iter().map(|fault| fault.name.clone()).collect(),
    }
}

fn run_metrics(course: &Course) -> Vec<&'static str> {
    let mut metrics = RUN.to_vec();
    if matches!(course, Course::Timeline(_)) {
        metrics.extend(TIMELINE);
    }
    metrics
}

fn phase_metrics(course: &Course) -> Vec<&'static str> {
    match course {
        Course::Phases(_) => PHASE.to_vec(),
        Course::Timeline(_) => FAULT.to_vec(),
    }
}

/// Metrics of every run.
const RUN: [&str; 8] = [
    "false_suspicions_count",
    "false_failures_count",
    "true_failures_count",
    "violations_count",
    "peak_wire_bytes_per_node_per_s",
    "wire_bytes_per_node_mean_per_s",
    "virtual_s",
    "datagrams_count",
];

/// Metrics of a timeline.
pub(super) const TIMELINE: [&str; 17] = [
    "detect_first_p50_s",
    "detect_first_max_s",
    "detect_p50_s",
    "detect_p90_s",
    "detect_p99_s",
    "detect_max_s",
    "detect_share",
    "event_p50_s",
    "event_p90_s",
    "event_p99_s",
    "event_max_s",
    "event_share",
    "events_count",
    "queries_count",
    "query_answers_count",
    "wrong_views_count",
    "converged_s",
];

/// Metrics of a phase.
const PHASE: [&str; 13] = [
    "reached_p50_s",
    "reached_p90_s",
    "reached_p99_s",
    "reached_p99_9_s",
    "reached_p100_s",
    "goal_count",
    "done_count",
    "false_suspicions_count",
    "false_failures_count",
    "datagrams_count",
    "stream_bytes",
    "took_s",
    "bytes_per_node_mean_per_s",
];

/// Metrics of a fault of a timeline.
const FAULT: [&str; 7] =
    ["reached_p50_s", "reached_p90_s", "reached_p99_s", "reached_p100_s", "first_s", "victims_count", "converged_s"];
