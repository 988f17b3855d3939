//! When nodes noticed: convergence curves, detection and dissemination.

use super::html::{Html, Table};
use super::runs::{Group, PhaseOf, distribution, median_curve, phases};
use crate::chart::{Axis, Caption, Line, Lines, STYLES, Shape, Unit};
use crate::results::Distribution;
use crate::stats::{Estimate, quantile, sorted};

/// Heads of the columns of times, and the part of the metrics' names that stands for each.
const SHARES: [(&str, &str); 5] =
    [("p50", "50 %"), ("p90", "90 %"), ("p99", "99 %"), ("p99_9", "99.9 %"), ("p100", "all")];

/// Writes the section.
pub(super) fn write(html: &mut Html, groups: &[Group<'_>]) {
    let curves = curves_of(groups);
    converged(html, groups);
    if curves.is_empty() {
        return;
    }
    html.section("Time until nodes had noticed");
    html.text(
        "Share of all pairs of an observer and a member, or of all deliveries, that were done, over the virtual time since the \
         start of the phase or step, the crash or the event. A curve that ends early and high is good; a long flat end is what gossip missed and \
         anti-entropy brought later.",
    );
    if let [group] = groups {
        overview(html, group, &curves);
        if curves.len() > 1 {
            html.charts_begin("");
            for curve in &curves {
                let chart = chart(groups, curve, Lines::NORMAL, html.id());
                html.figure(&curve.title(), &chart.svg(), &points_table(&chart));
            }
            html.charts_end();
        }
    } else {
        for curve in &curves {
            compare(html, groups, curve);
        }
    }
    notices(html, groups);
}

/// Draws the views that were right, or else the first curve, as a chart that stands alone.
pub(super) fn picture(groups: &[Group<'_>]) -> Option<(String, (f64, f64))> {
    let chart = converged_chart(groups, Caption { id: "chart".into(), ..Caption::default() }).or_else(|| {
        let curve = curves_of(groups).into_iter().next().filter(|_| groups.len() <= STYLES)?;
        Some(chart(groups, &curve, Lines::WIDE, "chart".to_owned()))
    })?;
    Some((chart.svg(), chart.size))
}

/// Draws how many views were right over the time of a timeline.
fn converged_chart(groups: &[Group<'_>], mut caption: Caption) -> Option<Lines> {
    if groups.len() > STYLES || groups.iter().all(|group| group.series(CONVERGED).is_empty()) {
        return None;
    }
    let lines: Vec<Line> = (0..).zip(groups).map(|(style, group)| series_line(group, CONVERGED, style)).collect();
    let points = || lines.iter().flat_map(|line| &line.points);
    let last = points().map(|(at, _)| *at).fold(0.0, f64::max);
    // Most of the time nearly all are right: the axis starts where something happens.
    let bands = || lines.iter().flat_map(|line| &line.band).map(|(_, low, _)| *low);
    let least = points().map(|(_, share)| *share).chain(bands()).fold(1.0, f64::min);
    let mut y = Axis::shares("share of the views");
    let round = [0.99, 0.95, 0.9, 0.8, 0.5].into_iter().find(|round| *round <= least);
    y.min = round.unwrap_or(0.0);
    caption.title = "Views that were right".into();
    caption.description = format!("Over the virtual time of the run; at least {}.", Unit::Share.show(least));
    let x = Axis::linear("virtual seconds since the start of the run", Unit::Seconds, last);
    let marks = super::traffic::marks(groups, x.max);
    Some(Lines { caption, x, y, lines, marks, size: Lines::WIDE })
}

/// Writes how many views were right over the time of a timeline.
fn converged(html: &mut Html, groups: &[Group<'_>]) {
    let caption = html.caption("", "");
    let Some(chart) = converged_chart(groups, caption) else { return };
    html.section("Views that were right");
    html.text(
        "Share of all pairs of an observer and a member where the observer's view is right: running members alive, stopped ones \
         failed or left. The marks are the faults. Line: median of the seeds; band: 90 % of them.",
    );
    let mut table = Table::new(["setting", "least", "right at the end", "all right after the last fault"]);
    for (group, line) in groups.iter().zip(&chart.lines) {
        let least = line.points.iter().map(|(_, share)| *share).fold(1.0, f64::min);
        let end = line.points.last().map_or(0.0, |(_, share)| *share);
        let name = if group.label.is_empty() { "all seeds".to_owned() } else { group.label.clone() };
        let all = shown(group.estimate("", "converged_s"), Unit::Seconds);
        table.rows.push(vec![name, Unit::Share.show(least), Unit::Share.show(end), all]);
    }
    html.wide_figure("Views that were right", &chart.svg(), &table.html("Views that were right"));
}

/// Returns the median of a series over the seeds, with the range of 90 % of them.
fn series_line(group: &Group<'_>, name: &str, style: usize) -> Line {
    let runs = group.series(name);
    let longest = runs.iter().map(|series| series.values.len()).max().unwrap_or(0);
    let step_s = runs.first().map_or(1.0, |series| series.step_s);
    let mut line = Line { label: group.label.clone(), style, shape: Shape::Steps, ..Line::default() };
    let mut at = 0.0;
    for n in 0..longest {
        // The value is that at the end of its step.
        at += step_s;
        let values = sorted(&runs.iter().filter_map(|series| *series.values.get(n)?).collect::<Vec<_>>());
        let [low, median, high] = [0.05, 0.5, 0.95].map(|share| quantile(&values, share).unwrap_or(0.0));
        let is_flat = line.points.last().is_some_and(|(_, last)| *last == median)
            && line.band.last().is_none_or(|(_, a, b)| (*a, *b) == (low, high));
        if !is_flat || n + 1 == longest {
            line.points.push((at, median));
            if runs.len() > 1 {
                line.band.push((at, low, high));
            }
        }
    }
    line
}

/// Draws the curves of all phases of one group into one chart: the picture of a run.
pub(super) fn overview_chart(group: &Group<'_>, caption: Caption) -> Lines {
    let groups = core::slice::from_ref(group);
    let curves = curves_of(groups);
    // A phase with steps is shown by its own curve, which is that of its main step.
    let whole: Vec<&Curve> = curves.iter().filter(|curve| !curve.phase.phase.contains('/')).collect();
    let shown = if whole.is_empty() { curves.iter().collect() } else { whole };
    let mut lines: Vec<Line> = Vec::new();
    for (style, curve) in shown.into_iter().take(STYLES).enumerate() {
        let mut line = line_of(group, curve, style);
        line.label.clone_from(&curve.name());
        lines.push(line);
    }
    let times = || lines.iter().flat_map(|line| line.points.iter().map(|(at, _)| *at)).filter(|at| *at > 0.0);
    let (first, last) = (times().fold(f64::MAX, f64::min), times().fold(f64::MIN, f64::max));
    let x = Axis::log("virtual seconds since the start, logarithmic", Unit::Seconds, first, last);
    Lines { caption, x, y: Axis::shares("share that had noticed"), lines, marks: Vec::new(), size: Lines::WIDE }
}

fn overview(html: &mut Html, group: &Group<'_>, curves: &[Curve]) {
    let caption = html
        .caption("All phases", "Share of pairs or deliveries over time since the start of each phase; logarithmic.");
    let chart = overview_chart(group, caption);
    let mut table = Table::new(["phase", "until"]);
    table.texts = 2;
    table.head.extend(SHARES.iter().map(|(_, head)| (*head).to_owned()));
    for curve in curves {
        let mut row = vec![curve.name(), curve.phase.goal.clone()];
        row.extend(curve.times(group));
        table.rows.push(row);
    }
    let title = if let [curve] = curves { curve.title() } else { "All phases".to_owned() };
    html.wide_figure(&title, &chart.svg(), &table.html("Time until a share had noticed"));
}

/// Writes one curve of all groups: in one chart, or in one chart for each if they are many.
fn compare(html: &mut Html, groups: &[Group<'_>], curve: &Curve) {
    let mut table = Table::new(["setting"]);
    table.head.extend(SHARES.iter().map(|(_, head)| (*head).to_owned()));
    for group in groups {
        let mut row = vec![group.label.clone()];
        row.extend(curve.times(group));
        table.rows.push(row);
    }
    let table = table.html(&curve.title());
    if groups.len() <= STYLES {
        let chart = chart(groups, curve, Lines::WIDE, html.id());
        html.wide_figure(&curve.title(), &chart.svg(), &table);
        return;
    }
    html.part(&curve.title());
    if groups.len() <= MULTIPLES_MAX {
        let axis = time_axis("s", groups, curve);
        html.charts_begin("many");
        for group in groups {
            let mut chart = chart(core::slice::from_ref(group), curve, Lines::SMALL, html.id());
            // The same axis for all, so that they can be compared.
            chart.x.clone_from(&axis);
            html.figure(&group.label, &chart.svg(), "");
        }
        html.charts_end();
    }
    html.raw(&table);
}

/// Draws one curve of some groups.
fn chart(groups: &[Group<'_>], curve: &Curve, size: (f64, f64), id: String) -> Lines {
    let lines = (0..).zip(groups).map(|(style, group)| {
        let mut line = line_of(group, curve, style);
        if groups.len() > 1 {
            line.label.clone_from(&group.label);
        }
        line
    });
    let lines: Vec<Line> = lines.collect();
    let seeds = groups.iter().map(|group| group.runs.len()).max().unwrap_or(0);
    let description = if seeds > 1 { "Line: median of the seeds; band: 90 % of them." } else { "Share over time." };
    let caption = Caption { id, title: curve.title(), description: description.into() };
    let x = time_axis("virtual seconds", groups, curve);
    Lines { caption, x, y: Axis::shares("share"), lines, marks: Vec::new(), size }
}

fn line_of(group: &Group<'_>, curve: &Curve, style: usize) -> Line {
    let runs: Vec<&[(f64, f64)]> =
        curve.of(group).into_iter().map(|distribution| distribution.points.as_slice()).collect();
    let start = (0.0, 0.0);
    let (points, band) = match runs.as_slice() {
        [] => (Vec::new(), Vec::new()),
        [points] => ([&[start], *points].concat(), Vec::new()),
        runs => {
            let curve = median_curve(runs, &grid(runs));
            let points = core::iter::once(start).chain(curve.iter().map(|(x, [_, median, _])| (*x, *median))).collect();
            (points, curve.into_iter().map(|(x, [low, _, high])| (x, low, high)).collect())
        }
    };
    Line { label: String::new(), style, points, band, shape: Shape::Steps }
}

/// Returns places on the time axis: where the curves have corners, thinned.
fn grid(runs: &[&[(f64, f64)]]) -> Vec<f64> {
    let mut all: Vec<f64> = runs.iter().flat_map(|points| points.iter().map(|(at, _)| *at)).collect();
    all.sort_unstable_by(f64::total_cmp);
    let every = all.len().div_ceil(GRID_MAX).max(1);
    let last = all.last().copied();
    let mut grid: Vec<f64> = all.into_iter().step_by(every).chain(last).collect();
    grid.dedup();
    grid
}

/// Returns the axis of a curve: logarithmic if a few late pairs would squeeze all others into a corner.
fn time_axis(label: &str, groups: &[Group<'_>], curve: &Curve) -> Axis {
    let all = || groups.iter().flat_map(|group| curve.of(group));
    let points = || all().flat_map(|of| &of.points).map(|(at, _)| *at);
    let last = points().fold(0.0, f64::max);
    let first = points().filter(|at| *at > 0.0).fold(f64::MAX, f64::min);
    let nearly_all = |of: &Distribution| of.points.iter().find(|(_, share)| *share >= 0.99).map_or(last, |(at, _)| *at);
    if all().map(nearly_all).fold(0.0, f64::max) * 4.0 < last {
        Axis::log(format!("{label}, logarithmic"), Unit::Seconds, first, last)
    } else {
        Axis::linear(label, Unit::Seconds, last)
    }
}

/// The corners of the lines of a chart, folded.
fn points_table(chart: &Lines) -> String {
    let Some(line) = chart.lines.first().filter(|line| line.points.len() > 1) else { return String::new() };
    let mut table = Table::new(["seconds", "share"]);
    let every = line.points.len().div_ceil(ROWS_MAX).max(1);
    let last = line.points.len() - 1;
    for (n, (at, share)) in line.points.iter().enumerate() {
        if n % every == 0 || n == last {
            table.rows.push(vec![format!("{at:.2}"), Unit::Share.show(*share)]);
        }
    }
    table.folded("Numbers")
}

/// Writes when the first and the last observer noticed, over all subjects.
fn notices(html: &mut Html, groups: &[Group<'_>]) {
    let phases =
        phases(groups).into_iter().filter(|phase| groups.iter().any(|group| !group.subjects(&phase.phase).is_empty()));
    let phases: Vec<PhaseOf> = phases.collect();
    if phases.is_empty() {
        return;
    }
    html.section("Who noticed first, and last");
    html.text(
        "For each node that crashed or left: the time until its first observer, and until its last observer had the verdict. The \
         first shows how fast detection is, the gap between the two how fast the news spreads.",
    );
    html.charts_begin("");
    for phase in &phases {
        notice(html, groups, phase);
    }
    html.charts_end();
}

fn notice(html: &mut Html, groups: &[Group<'_>], phase: &PhaseOf) {
    let mut lines = Vec::new();
    let mut table = Table::new(["setting", "nodes", "first: median", "first: latest", "last: median", "last: latest"]);
    for group in groups.iter().take(STYLES / 2) {
        let subjects = group.subjects(&phase.phase);
        let mut row = vec![
            if group.label.is_empty() { phase.phase.clone() } else { group.label.clone() },
            subjects.len().to_string(),
        ];
        let [first, last] = [
            subjects.iter().filter_map(|subject| subject.first_s).collect::<Vec<_>>(),
            subjects.iter().filter_map(|subject| subject.last_s).collect::<Vec<_>>(),
        ];
        for (word, times) in [("first", first), ("last", last)] {
            let points = distribution(&times);
            let middle = points.iter().find(|(_, share)| *share >= 0.5).map(|(at, _)| *at);
            let cell = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| Unit::Seconds.show(value));
            row.extend([cell(middle), cell(points.last().map(|(at, _)| *at))]);
            let label = if group.label.is_empty() { word.to_owned() } else { format!("{word}, {}", group.label) };
            let points = core::iter::once((points.first().map_or(0.0, |(at, _)| *at), 0.0)).chain(points).collect();
            lines.push(Line { label, style: lines.len(), points, band: Vec::new(), shape: Shape::Steps });
        }
        table.rows.push(row);
    }
    let last = lines.iter().flat_map(|line| &line.points).map(|(at, _)| *at).fold(0.0, f64::max);
    let caption = html.caption(format!("{}: first and last observer", phase.phase), "Cumulative share of the nodes.");
    let x = Axis::linear("virtual seconds", Unit::Seconds, last);
    let y = Axis::shares("share of the nodes concerned");
    let chart = Lines { caption, x, y, lines, marks: Vec::new(), size: Lines::NORMAL };
    html.figure(
        &format!("{}: first and last observer", phase.phase),
        &chart.svg(),
        &table.html("First and last observer"),
    );
}

/// Writes an estimate: the value of one seed, or the median with its interval.
pub(super) fn shown(estimate: Option<Estimate>, unit: Unit) -> String {
    match estimate {
        None => "–".to_owned(),
        Some(Estimate { median, count: 1, .. }) => unit.show(median),
        Some(Estimate { median, low, high, .. }) => unit.show_interval(median, low, high),
    }
}

/// One kind of curve: a phase and what its distribution measures.
#[derive(Clone, Debug, PartialEq)]
struct Curve {
    phase: PhaseOf,
    measured: String,
}

impl Curve {
    fn name(&self) -> String {
        match (self.phase.phase.as_str(), self.measured.as_str()) {
            ("", "detect_s") => "detection".to_owned(),
            ("", "event_s") => "dissemination".to_owned(),
            ("", other) => other.to_owned(),
            (phase, _) => phase.to_owned(),
        }
    }

    fn title(&self) -> String {
        match (self.phase.phase.as_str(), self.measured.as_str()) {
            ("", "detect_s") => "Detection: from a crash until an observer marks the node failed".to_owned(),
            ("", "event_s") => "Dissemination: from a user event until a node delivers it".to_owned(),
            ("", other) => other.to_owned(),
            (fault, _) if self.phase.goal.is_empty() => {
                format!("{fault}: observers that marked the stopped nodes failed")
            }
            (phase, _) => format!("{phase}: {}", self.phase.goal),
        }
    }

    /// Returns the times until shares had noticed, as far as there is a metric of them.
    fn times(&self, group: &Group<'_>) -> [String; 5] {
        SHARES.map(|(part, _)| {
            let kind = self.measured.trim_end_matches("_s");
            let name = match (kind, part) {
                ("noticed", part) => format!("reached_{part}_s"),
                (kind, "p100") => format!("{kind}_max_s"),
                (kind, part) => format!("{kind}_{part}_s"),
            };
            shown(group.estimate(&self.phase.phase, &name), Unit::Seconds)
        })
    }

    fn of<'a>(&self, group: &Group<'a>) -> Vec<&'a Distribution> {
        group.distributions(&self.phase.phase, &self.measured)
    }
}

/// Returns all curves: those of phases in their order, then those of the whole run.
fn curves_of(groups: &[Group<'_>]) -> Vec<Curve> {
    let of_phases = phases(groups).into_iter().map(|phase| Curve { phase, measured: NOTICED.to_owned() });
    let whole = || PhaseOf { phase: String::new(), goal: String::new() };
    let of_run = ["detect_s", "event_s"].map(|measured| Curve { phase: whole(), measured: measured.to_owned() });
    let all: Vec<Curve> =
        of_phases.chain(of_run).filter(|curve| groups.iter().any(|group| !curve.of(group).is_empty())).collect();
    // The curve of a phase is that of one of its steps: once is enough.
    let is_double = |curve: &Curve| {
        curve.phase.phase.split_once('/').is_some_and(|(phase, _)| {
            all.iter().any(|whole| {
                whole.phase.phase == phase
                    && groups.iter().all(|group| {
                        let points =
                            |curve: &Curve| curve.of(group).iter().map(|of| of.points.clone()).collect::<Vec<_>>();
                        points(whole) == points(curve)
                    })
            })
        })
    };
    all.iter().filter(|curve| !is_double(curve)).cloned().collect()
}

const NOTICED: &str = "noticed_s";

const CONVERGED: &str = "converged_share";

/// Places of a median curve.
const GRID_MAX: usize = 150;

/// More charts than this are too many to look at; the table remains.
const MULTIPLES_MAX: usize = 36;

/// Rows of the table of a curve.
const ROWS_MAX: usize = 60;
