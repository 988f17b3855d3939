//! The report as records of a results file.

use std::collections::BTreeMap;

use serf_proto::Sent;

use super::{AntiEntropy, Outcome, PhaseReport, Reached, Report, Setup, StepReport, SubjectReport};
use crate::digest::Digest;
use crate::results::{
    Distribution, FORMAT, Finding, Header, Metric, Parameter, Phase, Record, Results, Series, Subject, VERSION,
};

/// Name of the scenario of a run from the command line.
const SCENARIO: &str = "phases";

impl Results {
    /// Returns the results of a run of phases from the command line.
    pub fn of_report(report: &Report) -> Self {
        let mut records = of_phases(&report.phases);
        add_world(&mut records, &report.sent, &report.node_dropped, &report.series);
        add_anti_entropy(&mut records, &report.anti_entropy);
        Self { header: header(report), records }
    }
}

/// Returns the records of phases, and their sums.
pub(crate) fn of_phases(phases: &[PhaseReport]) -> Vec<Record> {
    let mut records = Vec::new();
    phases.iter().for_each(|phase| add_phase(&mut records, phase));
    let sum = |of: fn(&PhaseReport) -> u64| phases.iter().map(of).sum();
    let mut dropped: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (reason, count) in phases.iter().flat_map(|phase| &phase.network_dropped) {
        *dropped.entry(reason).or_default() += count;
    }
    add_counts(&mut records, "network_dropped_count", "reason", &dropped);
    add_count(&mut records, "", "false_suspicions_count", sum(|phase| phase.false_suspicions));
    add_count(&mut records, "", "false_failures_count", sum(|phase| phase.false_failures));
    add_count(&mut records, "", "violations_count", sum(|phase| phase.violation_count));
    records
}

/// Adds the anti-entropy of all nodes.
pub(crate) fn add_anti_entropy(records: &mut Vec<Record>, sum: &AntiEntropy) {
    let AntiEntropy { compared, differed, reconciliations, rows, event_reconciliations, push_pulls } = *sum;
    for (name, count) in [
        ("digests_compared_count", compared),
        ("digests_differed_count", differed),
        ("reconciliations_count", reconciliations),
        ("rows_reconciled_count", rows),
        ("event_reconciliations_count", event_reconciliations),
        ("push_pulls_count", push_pulls),
    ] {
        add_count(records, "", name, count);
    }
}

/// Adds what a world counted over a whole run.
pub(crate) fn add_world(
    records: &mut Vec<Record>,
    sent: &BTreeMap<&'static str, Sent>,
    node_dropped: &BTreeMap<&'static str, u64>,
    series: &crate::series::Series,
) {
    add_messages(records, "", sent);
    add_counts(records, "node_dropped_count", "reason", node_dropped);
    add_count(records, "", "true_failures_count", series.true_failures.iter().sum());
    add(records, "", "wire_bytes_per_node_max_per_s", Some(f64::from(series.wire.peak())));
    add(records, "", "stream_bytes_per_node_max_per_s", Some(f64::from(series.stream.peak())));
    add_series(records, series);
}

fn header(report: &Report) -> Header {
    let Setup { seed, nodes, .. } = report.setup;
    let mut parameters = parameters(&report.setup);
    let phases = report.phases.iter().map(|phase| Parameter::Text(phase.phase.name().to_owned()));
    parameters.insert("phases".to_owned(), Parameter::List(phases.collect()));
    let configuration = hash(&[&format!("{parameters:?}")]);
    Header {
        format: FORMAT,
        simulator: VERSION.to_owned(),
        scenario: SCENARIO.to_owned(),
        cell: hash(&[&configuration, &seed.to_string(), VERSION]),
        configuration,
        parameters,
        varied: Vec::new(),
        seed,
        nodes_count: nodes,
        virtual_s: report.virtual_s,
        trace_hash: report.trace_hash.clone(),
    }
}

/// Returns every setting of a run but the seed, the version and what does not change its results.
fn parameters(setup: &Setup) -> BTreeMap<String, Parameter> {
    let json = serde_json::to_value(setup).unwrap_or_default();
    let mut parameters = BTreeMap::new();
    flatten("", &json, &mut parameters);
    parameters.retain(|key, _| !matches!(key.as_str(), "seed" | "version" | "threads" | "checks"));
    parameters
}

fn flatten(prefix: &str, json: &serde_json::Value, into: &mut BTreeMap<String, Parameter>) {
    let Some(map) = json.as_object() else { return };
    for (key, value) in map {
        let key = format!("{prefix}{key}");
        if value.is_object() {
            flatten(&format!("{key}."), value, into);
        } else if let Ok(parameter) = serde_json::from_value(value.clone()) {
            into.insert(key, parameter);
        }
    }
}

pub(crate) fn hash(parts: &[&str]) -> String {
    let mut digest = Digest::default();
    parts.iter().for_each(|part| digest.fold_bytes(part.as_bytes()));
    format!("{:016x}", digest.value())
}

fn add_phase(records: &mut Vec<Record>, report: &PhaseReport) {
    let phase = report.phase.name();
    records.push(Record::Phase(Phase {
        phase: phase.to_owned(),
        goal: report.goal.to_owned(),
        outcome: outcome(&report.outcome).to_owned(),
        started_at_s: report.started_at_s,
        took_s: report.took_s,
    }));
    if matches!(report.outcome, Outcome::Skipped { .. }) {
        return;
    }
    add_goal(records, phase, report.total, report.done, &report.reached_s);
    let first_s = report.subjects.iter().filter_map(|subject| subject.first_s).reduce(f64::min);
    if first_s.is_some() {
        add(records, phase, "first_s", first_s);
    }
    add_count(records, phase, "false_suspicions_count", report.false_suspicions);
    add_count(records, phase, "falsely_suspected_nodes_count", report.falsely_suspected_nodes as u64);
    add_count(records, phase, "false_failures_count", report.false_failures);
    add_count(records, phase, "falsely_failed_nodes_count", report.falsely_failed_nodes as u64);
    add_count(records, phase, "datagrams_count", report.datagrams_sent);
    add_count(records, phase, "datagrams_delivered_count", report.datagrams_delivered);
    add_count(records, phase, "stream_bytes", report.stream_bytes);
    let (datagrams, bytes) = (report.datagrams_per_node_second, report.bytes_per_node_second);
    add(records, phase, "datagrams_per_node_mean_per_s", Some(datagrams.mean));
    add(records, phase, "datagrams_per_node_p99_per_s", Some(datagrams.p99));
    add(records, phase, "bytes_per_node_mean_per_s", Some(bytes.mean));
    add(records, phase, "bytes_per_node_p99_per_s", Some(bytes.p99));
    add_messages(records, phase, &report.sent);
    add_curve(records, phase, report.total, &report.curve);
    records.extend(report.subjects.iter().map(|subject| Record::Subject(subject_of(phase, subject))));
    let finding = |finding: &String| Record::Finding(Finding { finding: finding.clone() });
    records.extend(report.violations.iter().map(finding));
    add_steps(records, report);
}

fn add_steps(records: &mut Vec<Record>, report: &PhaseReport) {
    let mut names: BTreeMap<&str, u32> = BTreeMap::new();
    let mut started_at_s = report.started_at_s;
    for step in &report.steps {
        let nth = names.entry(step.step).or_default();
        *nth += 1;
        let nth = if *nth > 1 { format!("#{nth}") } else { String::new() };
        let phase = format!("{}/{}{nth}", report.phase.name(), step.step);
        add_step(records, &phase, started_at_s, step);
        started_at_s += step.took_s;
    }
}

fn add_step(records: &mut Vec<Record>, phase: &str, started_at_s: f64, step: &StepReport) {
    // A step that waits has no goal that it could miss.
    let outcome = if step.done >= step.total { "done" } else { "missing" };
    records.push(Record::Phase(Phase {
        phase: phase.to_owned(),
        goal: step.goal.to_owned(),
        outcome: outcome.to_owned(),
        started_at_s,
        took_s: step.took_s,
    }));
    if step.total > 0 {
        add_goal(records, phase, step.total, step.done, &step.reached_s);
        add_curve(records, phase, step.total, &step.curve);
    }
    add_count(records, phase, "false_suspicions_count", step.false_suspicions);
    add_count(records, phase, "false_failures_count", step.false_failures);
    add_count(records, phase, "datagrams_delivered_count", step.datagrams_delivered);
    for (name, value) in step.figures.iter() {
        add(records, phase, &format!("figure_{name}"), Some(value));
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn add_goal(records: &mut Vec<Record>, phase: &str, total: i64, done: i64, reached: &Reached) {
    if total == 0 {
        return;
    }
    for (name, value) in [
        ("reached_p50_s", reached.p50),
        ("reached_p90_s", reached.p90),
        ("reached_p99_s", reached.p99),
        ("reached_p99_9_s", reached.p99_9),
        ("reached_p100_s", reached.p100),
        ("goal_count", Some(total as f64)),
        ("done_count", Some(done as f64)),
    ] {
        add(records, phase, name, value);
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn add_series(records: &mut Vec<Record>, series: &crate::series::Series) {
    let wide = |values: &[u64]| values.iter().map(|value| Some(*value as f64)).collect::<Vec<_>>();
    let narrow = |values: &[u32]| values.iter().map(|value| Some(f64::from(*value))).collect::<Vec<_>>();
    let mut columns = vec![
        ("nodes_up_count".to_owned(), narrow(&series.nodes_up)),
        ("datagrams_count".to_owned(), wide(&series.datagrams)),
        ("false_suspicions_count".to_owned(), wide(&series.false_suspicions)),
        ("false_failures_count".to_owned(), wide(&series.false_failures)),
        ("true_failures_count".to_owned(), wide(&series.true_failures)),
    ];
    for (name, flow) in [("datagram", &series.payload), ("wire", &series.wire), ("stream", &series.stream)] {
        columns.push((format!("{name}_bytes"), wide(&flow.bytes)));
        columns.push((format!("{name}_bytes_per_node_p99_per_s"), narrow(&flow.p99_bytes_per_s)));
        columns.push((format!("{name}_bytes_per_node_max_per_s"), narrow(&flow.peak_bytes_per_s)));
    }
    let step_s = f64::from(series.bucket_s);
    records.extend(columns.into_iter().map(|(name, values)| {
        let (phase, labels) = (String::new(), BTreeMap::new());
        Record::Series(Series { phase, name, labels, start_s: 0.0, step_s, values })
    }));
}

pub(crate) fn add_curve(records: &mut Vec<Record>, phase: &str, total: i64, curve: &[(f64, f64)]) {
    if total <= 0 || curve.is_empty() {
        return;
    }
    // Seven digits are finer than a pair of a cluster of a thousand nodes.
    let points = curve.iter().map(|(at, share)| (*at, (share * 1e7).round() / 1e7)).collect();
    records.push(Record::Distribution(Distribution {
        phase: phase.to_owned(),
        name: "noticed_s".to_owned(),
        labels: BTreeMap::new(),
        total_count: u64::try_from(total).unwrap_or(0),
        points,
    }));
}

fn add_messages(records: &mut Vec<Record>, phase: &str, sent: &BTreeMap<&'static str, Sent>) {
    for (kind, sent) in sent.iter().filter(|(_, sent)| sent.messages > 0) {
        let labels = BTreeMap::from([("kind".to_owned(), (*kind).to_owned())]);
        add_labelled(records, phase, "messages_count", labels.clone(), sent.messages);
        add_labelled(records, phase, "messages_bytes", labels, sent.bytes);
    }
}

pub(crate) fn add_counts(records: &mut Vec<Record>, name: &str, label: &str, counts: &BTreeMap<&'static str, u64>) {
    for (value, count) in counts.iter().filter(|(_, count)| **count > 0) {
        add_labelled(records, "", name, BTreeMap::from([(label.to_owned(), (*value).to_owned())]), *count);
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn add_labelled(
    records: &mut Vec<Record>,
    phase: &str,
    name: &str,
    labels: BTreeMap<String, String>,
    count: u64,
) {
    let (phase, name) = (phase.to_owned(), name.to_owned());
    records.push(Record::Metric(Metric { phase, name, labels, value: Some(count as f64) }));
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn add_count(records: &mut Vec<Record>, phase: &str, name: &str, count: u64) {
    add(records, phase, name, Some(count as f64));
}

pub(crate) fn add(records: &mut Vec<Record>, phase: &str, name: &str, value: Option<f64>) {
    let (phase, name) = (phase.to_owned(), name.to_owned());
    records.push(Record::Metric(Metric { phase, name, labels: BTreeMap::new(), value }));
}

fn subject_of(phase: &str, subject: &SubjectReport) -> Subject {
    let SubjectReport { node, first_observer, first_s, last_s, observers, .. } = subject.clone();
    Subject { phase: phase.to_owned(), node, first_observer, first_s, last_s, observers_count: observers }
}

const fn outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Missing { .. } => "missing",
        Outcome::Skipped { .. } => "skipped",
        Outcome::CutShort => "cut_short",
        Outcome::Halted => "halted",
    }
}
