//! Traffic, alarms and messages over time.

use std::collections::BTreeMap;

use super::html::{Html, Table};
use super::runs::{Group, series};
use super::times::shown;
use crate::chart::{Axis, Bars, Line, Lines, STYLES, Shape, Unit};
use crate::results::{Record, Results};
use crate::stats::{Estimate, mean, quantile, sorted};

/// Writes the sections.
pub(super) fn write(html: &mut Html, groups: &[Group<'_>]) {
    match groups {
        [group] if group.runs.len() == 1 => single(html, group.runs[0]),
        _ => many(html, groups),
    }
    messages(html, groups);
}

/// Values of a series, several seconds together where a run has more than the chart has places.
struct Column {
    name: &'static str,
    how: How,
}

/// How the values of several steps become one.
#[derive(Clone, Copy)]
enum How {
    /// Their mean a second.
    Rate,
    /// Their sum.
    Sum,
    /// The largest.
    Largest,
}

impl Column {
    fn of(&self, run: &Results, together: usize) -> Vec<f64> {
        let Some(series) = series(run, self.name) else { return Vec::new() };
        let values: Vec<f64> = series.values.iter().map(|value| value.unwrap_or(0.0)).collect();
        let join = |values: &[f64]| match self.how {
            How::Rate => mean(values) / series.step_s,
            How::Sum => values.iter().sum(),
            How::Largest => values.iter().copied().fold(0.0, f64::max),
        };
        values.chunks(together).map(join).collect()
    }
}

/// Returns how many steps become one place of a chart, and the seconds of such a place.
fn together(run: &Results) -> (usize, f64) {
    let (steps, step_s) = series(run, NODES).map_or((0, 1.0), |series| (series.values.len(), series.step_s));
    let together = steps.div_ceil(PLACES_MAX).max(1);
    (together, seconds(together) * step_s)
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
const fn seconds(count: usize) -> f64 {
    count as f64
}

/// Series of bytes: title, sum, 99th percentile, largest.
const FLOWS: [(&str, [&str; 3]); 3] = [
    (
        "Datagrams with IP and UDP headers",
        ["wire_bytes", "wire_bytes_per_node_p99_per_s", "wire_bytes_per_node_max_per_s"],
    ),
    (
        "Datagrams without headers",
        ["datagram_bytes", "datagram_bytes_per_node_p99_per_s", "datagram_bytes_per_node_max_per_s"],
    ),
    (
        "Streams (push/pull and probes over TCP), without headers",
        ["stream_bytes", "stream_bytes_per_node_p99_per_s", "stream_bytes_per_node_max_per_s"],
    ),
];

const NODES: &str = "nodes_up_count";

/// Writes the series of one run.
fn single(html: &mut Html, run: &Results) {
    let (places, width) = together(run);
    let nodes = Column { name: NODES, how: How::Largest }.of(run, places);
    if nodes.is_empty() {
        return;
    }
    html.section("Bandwidth of a node");
    html.text(&format!(
        "What a node sends in a second, over the virtual time of the whole run: mean over the nodes that ran, 99th percentile over all \
         node-seconds, and the largest second of any node. One place of a chart is {} s. Plan links for the peak, volume for the mean.",
        crate::chart::digits(width)
    ));
    let mut table = Table::new(["from, s", "nodes"]);
    table.rows = (0..).zip(&nodes).map(|(n, nodes)| vec![at(n, width).1, nodes.to_string()]).collect();
    html.charts_begin("");
    for (title, names) in FLOWS {
        let columns = flow(run, names, &nodes, places);
        let words = ["mean", "99 % of node-seconds", "peak"];
        let lines = (0..).zip(words).zip(&columns).map(|((style, word), values)| line(word, style, values, width));
        let chart = over_time(html, run, title, "bytes per second", Unit::BytesPerSecond, lines.collect());
        html.figure(title, &chart.svg(), "");
        let short = title.split_whitespace().next().unwrap_or_default().to_lowercase();
        let short =
            if title.contains("without headers") && short == "datagrams" { "payload".to_owned() } else { short };
        table.head.extend(["mean", "99 %", "peak"].map(|word| format!("{short} {word}")));
        for (row, n) in table.rows.iter_mut().zip(0..) {
            row.extend(
                columns.iter().map(|values| values.get(n).map_or_else(String::new, |v| Unit::BytesPerSecond.show(*v))),
            );
        }
    }
    html.charts_end();
    html.raw(&by_phase(run));
    html.raw(&table.folded("Numbers of the three charts"));
    alarms(html, run, places, width);
}

/// Returns mean, 99th percentile and peak of a flow.
fn flow(run: &Results, [sum, p99, max]: [&'static str; 3], nodes: &[f64], places: usize) -> [Vec<f64>; 3] {
    let rate = Column { name: sum, how: How::Rate }.of(run, places);
    let mean = rate.iter().zip(nodes).map(|(bytes, nodes)| bytes / nodes.max(1.0)).collect();
    [
        mean,
        Column { name: p99, how: How::Largest }.of(run, places),
        Column { name: max, how: How::Largest }.of(run, places),
    ]
}

/// Returns mean and peak of each phase.
fn by_phase(run: &Results) -> String {
    let mut table = Table::new([
        "phase",
        "from, s",
        "to, s",
        "with headers: mean",
        "peak",
        "without: mean",
        "peak",
        "streams: mean",
        "peak",
    ]);
    let nodes = Column { name: NODES, how: How::Largest }.of(run, 1);
    for (name, from, to) in phases_of(run) {
        let mut row = vec![name, format!("{from:.1}"), format!("{to:.1}")];
        for (_, names) in FLOWS {
            let [mean_of, _, peak] = flow(run, names, &nodes, 1);
            let (first, last) = steps_of(run, from, to, mean_of.len());
            let peak = peak[first..last].iter().copied().fold(0.0, f64::max);
            row.extend([mean(&mean_of[first..last]), peak].map(|value| Unit::BytesPerSecond.show(value)));
        }
        table.rows.push(row);
    }
    if table.rows.is_empty() { String::new() } else { table.html("Bandwidth of a node by phase") }
}

/// Returns the steps of the series that a time overlaps.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a run")]
fn steps_of(run: &Results, from: f64, to: f64, steps: usize) -> (usize, usize) {
    let step_s = series(run, NODES).map_or(1.0, |series| series.step_s);
    let first = ((from / step_s).floor() as usize).min(steps);
    (first, ((to / step_s).ceil() as usize).clamp(first, steps))
}

/// Returns name, start and end of the phases that ran, without their steps.
fn phases_of(run: &Results) -> Vec<(String, f64, f64)> {
    let phases = run.records.iter().filter_map(|record| match record {
        Record::Phase(phase) if !phase.phase.contains('/') && phase.outcome != "skipped" => {
            Some((phase.phase.clone(), phase.started_at_s, phase.started_at_s + phase.took_s))
        }
        _ => None,
    });
    phases.collect()
}

fn over_time(html: &mut Html, run: &Results, title: &str, label: &str, unit: Unit, lines: Vec<Line>) -> Lines {
    let most = lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y).fold(0.0, f64::max);
    let last = lines.iter().filter_map(|line| line.points.last()).map(|(x, _)| *x).fold(0.0, f64::max);
    let caption = html.caption(title, format!("Over the virtual time of the run; at most {}.", unit.show(most)));
    let x = Axis::linear("virtual seconds since the start of the run", Unit::Seconds, last);
    let marks = marks_of(run, x.max);
    Lines { caption, x, y: Axis::linear(label, unit, most), lines, marks, size: Lines::NORMAL }
}

/// Returns the starts of the phases or faults of the first run, if all groups have the same.
pub(super) fn marks(groups: &[Group<'_>], span: f64) -> Vec<(f64, String)> {
    let mut all = groups.iter().filter_map(|group| group.runs.first()).map(|run| marks_of(run, span));
    let first = all.next().unwrap_or_default();
    if all.all(|marks| marks == first) { first } else { Vec::new() }
}

/// Returns a mark for each phase; without a name where names would cover each other.
fn marks_of(run: &Results, span: f64) -> Vec<(f64, String)> {
    let mut marks: Vec<(f64, String)> = Vec::new();
    let mut named_at = f64::MIN;
    for (name, from, _) in phases_of(run) {
        let is_close = from - named_at < span / 6.0;
        if !is_close {
            named_at = from;
        }
        marks.push((from, if is_close { String::new() } else { name }));
    }
    marks
}

fn line(label: &str, style: usize, values: &[f64], width: f64) -> Line {
    let mut points: Vec<(f64, f64)> = (0..).zip(values).map(|(n, value)| (at(n, width).0, *value)).collect();
    // The last place holds until its end.
    points.extend(values.last().map(|value| (at(values.len(), width).0, *value)));
    Line { label: label.to_owned(), style, points, band: Vec::new(), shape: Shape::Steps }
}

/// Returns the start of the `n`-th place, as a number and as text.
fn at(n: usize, width: f64) -> (f64, String) {
    let at = seconds(n) * width;
    (at, at.to_string())
}

/// Writes suspicions and failures over time and by phase.
fn alarms(html: &mut Html, run: &Results, places: usize, width: f64) {
    html.section("Suspicions and failures");
    html.text(
        "False: about a node that was up and reachable. A false suspicion does no harm if the node refutes it in time; a false failure \
         is what applications see. True: about a node that was down or unreachable. Every observer counts.",
    );
    let columns = [
        ("false suspicions", "false_suspicions_count"),
        ("false failures", "false_failures_count"),
        ("true failures", "true_failures_count"),
    ]
    .map(|(word, name)| (word, Column { name, how: How::Sum }.of(run, places)));
    let mut table = Table::new(["from, s"]);
    table.head.extend(columns.iter().map(|(word, _)| (*word).to_owned()));
    let count = columns.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    for n in 0..count {
        let values: Vec<f64> = columns.iter().map(|(_, values)| values.get(n).copied().unwrap_or(0.0)).collect();
        if values.iter().any(|value| *value > 0.0) {
            let mut row = vec![at(n, width).1];
            row.extend(values.iter().map(ToString::to_string));
            table.rows.push(row);
        }
    }
    let lines = (0..).zip(&columns).map(|(style, (word, values))| line(word, style, values, width)).collect();
    let label = format!("in {} s, all observers", crate::chart::digits(width));
    let chart = over_time(html, run, "Suspicions and failures", &label, Unit::Count, lines);
    let mut phases = Table::new(["phase", "false suspicions", "nodes hit", "false failures", "nodes hit"]);
    for (name, ..) in phases_of(run) {
        let cell = |metric| run.metric(&name, metric).map_or_else(|| "–".to_owned(), |value| value.to_string());
        let cells = [
            "false_suspicions_count",
            "falsely_suspected_nodes_count",
            "false_failures_count",
            "falsely_failed_nodes_count",
        ];
        phases.rows.push(core::iter::once(name.clone()).chain(cells.map(cell)).collect());
    }
    let phases = if phases.rows.is_empty() { String::new() } else { phases.html("Alarms by phase") };
    html.charts_begin("");
    html.figure("Suspicions and failures", &chart.svg(), &table.folded("Numbers; seconds without any are left out"));
    html.raw(&format!("<div>{phases}{}</div>", by_group(run)));
    html.charts_end();
}

/// Returns a table of the alarms by group of nodes, if the run has groups.
fn by_group(run: &Results) -> String {
    let mut rows: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
    for metric in run.metrics().filter(|metric| metric.phase.is_empty()) {
        if let (Some(group), Some(value)) = (metric.labels.get("group"), metric.value) {
            rows.entry(group).or_default().insert(&metric.name, value);
        }
    }
    let mut table = Table::new(["group of nodes", "false suspicions", "false failures", "true failures"]);
    for (group, values) in rows {
        let cell = |name| values.get(name).map_or_else(|| "–".to_owned(), ToString::to_string);
        let cells = ["false_suspicions_count", "false_failures_count", "true_failures_count"].map(cell);
        table.rows.push(core::iter::once(group.to_owned()).chain(cells).collect());
    }
    if table.rows.is_empty() { String::new() } else { table.html("Alarms by group of nodes") }
}

/// Writes bandwidth and alarms of several configurations, or of several seeds.
fn many(html: &mut Html, groups: &[Group<'_>]) {
    if groups.iter().all(|group| group.series(NODES).is_empty()) {
        return;
    }
    html.section("Bandwidth of a node");
    html.text(
        "Datagrams with IP and UDP headers that a node sends in a second: mean over the nodes, over the virtual time of the run. Line: \
         median of the seeds; band: 90 % of them.",
    );
    if groups.len() <= STYLES {
        let lines: Vec<Line> = (0..).zip(groups).map(|(style, group)| mean_line(group, style)).collect();
        let run = groups[0].runs[0];
        let mut chart =
            over_time(html, run, "Mean bandwidth of a node", "bytes per second", Unit::BytesPerSecond, lines);
        let most = chart.lines.iter().flat_map(|line| &line.band).map(|(_, _, high)| *high).fold(chart.y.max, f64::max);
        chart.y = Axis::linear("bytes per second", Unit::BytesPerSecond, most);
        chart.marks = marks(groups, chart.x.max);
        chart.size = Lines::WIDE;
        html.wide_figure("Mean bandwidth of a node", &chart.svg(), "");
    }
    let mut table = Table::new([
        "setting",
        "with headers: mean",
        "peak second",
        "without: mean",
        "peak second",
        "streams: mean",
        "peak second",
    ]);
    for group in groups {
        let mut row = vec![if group.label.is_empty() { "all seeds".to_owned() } else { group.label.clone() }];
        for (_, names) in FLOWS {
            let of = |run: &&Results| {
                let nodes = Column { name: NODES, how: How::Largest }.of(run, 1);
                let [means, _, peak] = flow(run, names, &nodes, 1);
                (mean(&means), peak.into_iter().fold(0.0, f64::max))
            };
            let (means, peaks): (Vec<f64>, Vec<f64>) = group.runs.iter().map(of).unzip();
            row.extend([means, peaks].map(|values| shown(Estimate::of(&values), Unit::BytesPerSecond)));
        }
        table.rows.push(row);
    }
    html.raw(&table.html("Bandwidth of a node"));
    html.section("Suspicions and failures");
    html.text("Per run, every observer counted; median of the seeds and its 95 % interval. False: about a node that was up and reachable.");
    let mut table = Table::new(["setting", "false suspicions", "false failures", "true failures"]);
    for group in groups {
        let mut row = vec![if group.label.is_empty() { "all seeds".to_owned() } else { group.label.clone() }];
        let names = ["false_suspicions_count", "false_failures_count", "true_failures_count"];
        row.extend(names.map(|name| shown(group.estimate("", name), Unit::Count)));
        table.rows.push(row);
    }
    html.raw(&table.html("Suspicions and failures"));
}

/// Returns the mean bandwidth of a group over time, with the range of its seeds.
fn mean_line(group: &Group<'_>, style: usize) -> Line {
    let Some((places, width)) = group.runs.iter().map(|run| together(run)).max_by(|a, b| a.1.total_cmp(&b.1)) else {
        return Line::default();
    };
    let runs: Vec<Vec<f64>> = group
        .runs
        .iter()
        .map(|run| {
            let nodes = Column { name: NODES, how: How::Largest }.of(run, places);
            let [means, ..] = flow(run, FLOWS[0].1, &nodes, places);
            means
        })
        .collect();
    let longest = runs.iter().map(Vec::len).max().unwrap_or(0);
    let mut line = Line { label: group.label.clone(), style, shape: Shape::Steps, ..Line::default() };
    for n in 0..longest {
        let values = sorted(&runs.iter().filter_map(|run| run.get(n).copied()).collect::<Vec<_>>());
        let at = at(n, width).0;
        let [low, median, high] = [0.05, 0.5, 0.95].map(|share| quantile(&values, share).unwrap_or(0.0));
        line.points.push((at, median));
        if group.runs.len() > 1 {
            line.band.push((at, low, high));
        }
    }
    line
}

/// Writes the messages by kind.
fn messages(html: &mut Html, groups: &[Group<'_>]) {
    let mut kinds: BTreeMap<&str, [Vec<f64>; 2]> = BTreeMap::new();
    for metric in groups.iter().flat_map(|group| &group.runs).flat_map(|run| run.metrics()) {
        let nth = usize::from(metric.name == "messages_bytes");
        if let (true, Some(kind), Some(value)) =
            (metric.phase.is_empty() && metric.name.starts_with("messages_"), metric.labels.get("kind"), metric.value)
        {
            kinds.entry(kind).or_default()[nth].push(value);
        }
    }
    if kinds.is_empty() {
        return;
    }
    let runs: usize = groups.iter().map(|group| group.runs.len()).sum();
    let mut rows: Vec<(String, f64, f64)> = kinds
        .into_iter()
        .map(|(kind, [messages, bytes])| {
            let per_run = |values: &[f64]| values.iter().sum::<f64>() / seconds(runs.max(1));
            (kind.replace('_', " "), per_run(&messages), per_run(&bytes))
        })
        .collect();
    rows.sort_by(|a, b| b.2.total_cmp(&a.2));
    let all: f64 = rows.iter().map(|(_, _, bytes)| bytes).sum();
    html.section("Messages by kind");
    html.text(if runs > 1 {
        "Messages in datagrams, before compression and encryption; mean of all runs."
    } else {
        "Messages in datagrams of the whole run, before compression and encryption."
    });
    let mut table = Table::new(["kind", "messages", "bytes", "bytes each", "share of bytes"]);
    for (kind, messages, bytes) in &rows {
        let each = format!("{:.1}", bytes / messages.max(1.0));
        table.rows.push(vec![
            kind.clone(),
            Unit::Count.show(*messages),
            Unit::Bytes.show(*bytes),
            each,
            Unit::Share.show(bytes / all.max(1.0)),
        ]);
    }
    let caption = html.caption("Bytes by kind of message", "The largest first.");
    let bars =
        Bars { caption, unit: Unit::Bytes, rows: rows.iter().map(|(kind, _, bytes)| (kind.clone(), *bytes)).collect() };
    html.charts_begin("");
    html.figure("Bytes by kind of message", &bars.svg(), "");
    html.raw(&table.html("Messages by kind"));
    html.charts_end();
}

/// Places of a chart over time.
const PLACES_MAX: usize = 120;
