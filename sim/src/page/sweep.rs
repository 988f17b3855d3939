//! The effect of parameters: lines over one, heat maps over two.

use super::html::{Html, Table};
use super::runs::{Group, number, phases, short, value, varied};
use super::times::shown;
use crate::chart::{Axis, Caption, Heat, Line, Lines, STYLES, Shape, Unit};
use crate::results::Results;
use crate::stats::Estimate;

/// A metric worth a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Metric {
    phase: String,
    name: &'static str,
}

impl Metric {
    fn title(&self) -> String {
        let words = match self.name {
            "reached_p50_s" => "until 50 % had noticed",
            "reached_p99_s" => "until 99 % had noticed",
            "reached_p100_s" => "until all had noticed",
            "detect_p50_s" => "detection, median",
            "detect_p99_s" => "detection, 99 %",
            "event_p50_s" => "dissemination of an event, median",
            "event_p99_s" => "dissemination of an event, 99 %",
            "false_failures_count" => "false failures",
            "false_suspicions_count" => "false suspicions",
            "bytes_per_node_mean_per_s" => "bandwidth of a node, mean, without headers",
            "wire_bytes_per_node_max_per_s" => "peak second of a node, with headers",
            other => other,
        };
        if self.phase.is_empty() { words.to_owned() } else { format!("{}: {words}", self.phase) }
    }

    fn unit(&self) -> Unit {
        Unit::of_name(self.name)
    }
}

/// Metrics with a chart, of phases and of whole runs.
const OF_PHASES: [&str; 4] = ["reached_p50_s", "reached_p99_s", "false_failures_count", "bytes_per_node_mean_per_s"];
const OF_RUNS: [&str; 7] = [
    "detect_p50_s",
    "detect_p99_s",
    "event_p50_s",
    "event_p99_s",
    "false_failures_count",
    "false_suspicions_count",
    "wire_bytes_per_node_max_per_s",
];

/// Writes the section; nothing for one configuration.
pub(super) fn write(html: &mut Html, groups: &[Group<'_>], runs: &[Results]) {
    let varied = varied(runs);
    if groups.len() < 2 {
        return;
    }
    html.section("Effect of the parameters");
    html.text(
        "Median of the seeds, in brackets its 95 % confidence interval (percentile bootstrap). Intervals that overlap much are no \
         difference; sim compare tests pairs of settings on the same seeds.",
    );
    let metrics = metrics(groups);
    let mut table = Table::new(["setting", "seeds"]);
    table.head.extend(metrics.iter().map(Metric::title));
    for group in groups {
        let mut row = vec![group.label.clone(), group.runs.len().to_string()];
        row.extend(metrics.iter().map(|metric| shown(group.estimate(&metric.phase, metric.name), metric.unit())));
        table.rows.push(row);
    }
    html.charts_begin("");
    for metric in &metrics {
        let title = metric.title();
        let svg = match varied.as_slice() {
            [x, y] if is_heat(groups, x, y) => heat(html.caption(&*title, heat_text(x, y)), groups, metric, x, y).svg(),
            [x] => lines(html.caption(&*title, line_text(x)), groups, metric, x, None).svg(),
            [x, y] => lines(html.caption(&*title, line_text(x)), groups, metric, x, Some(y)).svg(),
            _ => continue,
        };
        html.figure(&title, &svg, "");
    }
    html.charts_end();
    html.raw(&table.html("Effect of the parameters"));
}

/// Draws one metric over the varied parameters, as the page does; `None` if no run has it, or nothing varies.
pub(super) fn picture(groups: &[Group<'_>], runs: &[Results], metric: &str) -> Option<(String, (f64, f64))> {
    let (phase, name) = metric.rsplit_once('/').unwrap_or(("", metric));
    let name = OF_PHASES.into_iter().chain(OF_RUNS).find(|known| *known == name)?;
    let metric = Metric { phase: phase.to_owned(), name };
    let caption = |description: String| Caption { id: "chart".into(), title: metric.title(), description };
    groups.iter().find_map(|group| group.estimate(&metric.phase, metric.name))?;
    match varied(runs).as_slice() {
        [x, y] if is_heat(groups, x, y) => {
            let map = heat(caption(heat_text(x, y)), groups, &metric, x, y);
            Some((map.svg(), map.size()))
        }
        [x, rest @ ..] => {
            let lines = lines(caption(line_text(x)), groups, &metric, x, rest.first().map(String::as_str));
            Some((lines.svg(), lines.size))
        }
        [] => None,
    }
}

fn line_text(x: &str) -> String {
    format!("Over {}; band: 95 % interval of the median.", short(x))
}

fn heat_text(x: &str, y: &str) -> String {
    format!("Median over {} and {}.", short(x), short(y))
}

/// Returns the metrics that all but a few groups have and that are not the same everywhere.
fn metrics(groups: &[Group<'_>]) -> Vec<Metric> {
    let of_phases =
        phases(groups).into_iter().flat_map(|phase| OF_PHASES.map(|name| Metric { phase: phase.phase.clone(), name }));
    let of_runs = OF_RUNS.map(|name| Metric { phase: String::new(), name });
    let differs = |metric: &Metric| {
        let mut values = groups.iter().flat_map(|group| group.values(&metric.phase, metric.name));
        values.next().is_some_and(|first| values.any(|value| value != first))
    };
    of_phases.chain(of_runs).filter(differs).take(METRICS_MAX).collect()
}

/// Whether each pair of values has one configuration, and there are enough of both for a map.
fn is_heat(groups: &[Group<'_>], x: &str, y: &str) -> bool {
    values_of(groups, x).len() > 2 && values_of(groups, y).len() > 2
}

/// Returns the values of a parameter in the order of the groups.
fn values_of(groups: &[Group<'_>], key: &str) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for group in groups {
        let value = value(group.runs[0], key);
        if !values.contains(&value) {
            values.push(value);
        }
    }
    // The second axis is ordered within each value of the first only.
    if values.iter().all(|value| number(value).is_some()) {
        let or_zero = |text: &String| number(text).unwrap_or(0.0);
        values.sort_by(|a, b| or_zero(a).total_cmp(&or_zero(b)));
    }
    values
}

/// Draws a metric over one parameter, one line for each value of another.
fn lines(caption: Caption, groups: &[Group<'_>], metric: &Metric, x: &str, lines_by: Option<&str>) -> Lines {
    let places = values_of(groups, x);
    let numbers: Option<Vec<f64>> = places.iter().map(|value| number(value)).collect();
    // Texts are placed side by side.
    let numbers = numbers.unwrap_or_else(|| (0_u32..).zip(&places).map(|(n, _)| f64::from(n)).collect());
    let names = lines_by.map_or_else(|| vec![String::new()], |key| values_of(groups, key));
    let mut lines = Vec::new();
    for (style, name) in names.iter().take(STYLES).enumerate() {
        let mut line = Line { style, shape: Shape::Dots, ..Line::default() };
        line.label = lines_by.map_or_else(String::new, |key| format!("{} {name}", short(key)));
        for (place, at) in places.iter().zip(&numbers) {
            let is_it = |group: &&Group<'_>| {
                value(group.runs[0], x) == *place && lines_by.is_none_or(|key| value(group.runs[0], key) == *name)
            };
            let estimate = groups.iter().find(is_it).and_then(|group| group.estimate(&metric.phase, metric.name));
            if let Some(Estimate { median, low, high, .. }) = estimate {
                line.points.push((*at, median));
                line.band.push((*at, low, high));
            }
        }
        lines.push(line);
    }
    let most = lines.iter().flat_map(|line| &line.band).map(|(_, _, high)| *high).fold(0.0, f64::max);
    let last = numbers.iter().copied().fold(0.0, f64::max);
    let is_text = places.iter().any(|place| number(place).is_none());
    let label = if is_text { format!("{}: {}", short(x), places.join(", ")) } else { x.to_owned() };
    let x = Axis::linear(label, Unit::Plain, last);
    let y = Axis::linear(metric.unit().axis_label(), metric.unit(), most);
    Lines { caption, x, y, lines, marks: Vec::new(), size: Lines::NORMAL }
}

fn heat(caption: Caption, groups: &[Group<'_>], metric: &Metric, x: &str, y: &str) -> Heat {
    let (columns, rows) = (values_of(groups, x), values_of(groups, y));
    let value_at = |row: &String, column: &String| {
        let is_it = |group: &&Group<'_>| value(group.runs[0], x) == *column && value(group.runs[0], y) == *row;
        Some(groups.iter().find(is_it)?.estimate(&metric.phase, metric.name)?.median)
    };
    let values = rows.iter().map(|row| columns.iter().map(|column| value_at(row, column)).collect()).collect();
    Heat { caption, unit: metric.unit(), columns: (x.to_owned(), columns), rows: (y.to_owned(), rows), values }
}

/// More charts than this are too many to look at; the results files have all metrics.
const METRICS_MAX: usize = 24;
