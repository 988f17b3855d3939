//! Describes the timeline of one member from the recorded facts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serf_proto::Instant;

use super::news::{Fact, Line, Via};
use crate::addressing::name_of;
use crate::chart::{Axis, Caption, Lines, Shape, Unit, escape};

/// Timeline of one member.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    member: u32,
    /// All facts, in the order of time and observer.
    lines: Vec<Line>,
}

/// An observer's first verdict, and who sent it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Verdict {
    at: Instant,
    via: Via,
    /// Number of members that the news passed: 0 for an own verdict.
    hops: u32,
}

/// An absence of the member: from its first suspicion or crash until all saw it alive again, or the end.
#[derive(Debug)]
struct Episode<'a> {
    lines: &'a [Line],
}

impl Story {
    pub(super) fn new(member: u32, mut lines: Vec<Line>) -> Self {
        lines.sort_by_key(|line| (line.at, line.observer));
        Self { member, lines }
    }

    /// Describes the first absence of the member as text.
    pub(crate) fn text(&self) -> String {
        let mut text =
            format!("Timeline of {}, in virtual seconds since the start of the run\n\n", name_of(self.member));
        let episode = self.episode();
        for (at, what) in episode.milestones() {
            let _infallible = writeln!(text, "{:>10}  {what}", seconds(at));
        }
        if let Some(spread) = episode.spread() {
            let _infallible = write!(text, "\nHow the news spread:\n{}", indented(&spread));
        }
        let tree = episode.tree();
        if !tree.is_empty() {
            let _infallible = write!(text, "\nSenders from which the first observers heard it:\n{}", indented(&tree));
        }
        text
    }

    /// The same as HTML, with a chart.
    pub(crate) fn html(&self) -> String {
        let episode = self.episode();
        let mut html = format!(
            "<p>{}, in virtual seconds since the start of the run. <code>sim explain</code> prints the same for any other member.</p>\n<ol class=\"story\">\n",
            escape(&name_of(self.member))
        );
        for (at, what) in episode.milestones() {
            let _infallible = writeln!(html, "<li><b>{}</b> {}</li>", seconds(at), escape(&what));
        }
        html.push_str("</ol>\n<div class=\"charts\">\n");
        if let Some(chart) = episode.chart(self.member) {
            let _infallible = writeln!(
                html,
                "<figure><figcaption>Nodes that suspect it, and that hold it for gone</figcaption>{}</figure>",
                chart.svg()
            );
        }
        html.push_str("<div>\n");
        if let Some(spread) = episode.spread() {
            let _infallible = writeln!(html, "<h3>How the news spread</h3><pre>{}</pre>", escape(&spread));
        }
        let tree = episode.tree();
        if !tree.is_empty() {
            let _infallible =
                writeln!(html, "<h3>Senders from which the first observers heard it</h3><pre>{}</pre>", escape(&tree));
        }
        html.push_str("</div></div>\n");
        html
    }

    /// Returns the facts from the member's first absence on: its end, its stall, or the first suspicion.
    fn episode(&self) -> Episode<'_> {
        let is_start = |line: &Line| {
            matches!(
                line.fact,
                Fact::Ended | Fact::Stalled | Fact::Suspected { .. } | Fact::Failed { .. } | Fact::Left { .. }
            )
        };
        let first = self.lines.iter().position(is_start).unwrap_or(self.lines.len());
        let lines = &self.lines[first..];
        // It ends when the member starts again: what follows is another story.
        let end = lines.iter().position(|line| line.fact == Fact::Started).unwrap_or(lines.len());
        Episode { lines: &lines[..end] }
    }
}

impl Episode<'_> {
    /// Returns what a reader wants to know first, in the order of time.
    fn milestones(&self) -> Vec<(Instant, String)> {
        let mut milestones: Vec<(Instant, String)> = Vec::new();
        let mut suspicions = 0;
        for line in self.lines {
            let observer = name_of(line.observer);
            match &line.fact {
                Fact::Ended => milestones.push((line.at, format!("{observer} stops running"))),
                Fact::Stalled => milestones.push((line.at, format!("{observer} stalls: it handles no input"))),
                Fact::Resumed => milestones.push((line.at, format!("{observer} runs again"))),
                Fact::Suspected { accuser, via } => {
                    suspicions += 1;
                    // The first few, and every node that found out by itself.
                    if suspicions <= FIRST || (*via == Via::OwnProbe && milestones.len() < MILESTONES_MAX) {
                        milestones.push((line.at, format!("{observer} suspects it: {}", suspicion(*accuser, *via))));
                    }
                }
                Fact::Started | Fact::Failed { .. } | Fact::Left { .. } | Fact::Alive => {}
            }
        }
        milestones.extend(self.verdict_milestones());
        milestones.truncate(MILESTONES_MAX);
        milestones.sort_by_key(|(at, _)| *at);
        if milestones.is_empty() {
            milestones.push((Instant::ZERO, "nothing: no node suspected it, and it did not leave".to_owned()));
        }
        milestones
    }

    fn verdict_milestones(&self) -> Vec<(Instant, String)> {
        let mut milestones = Vec::new();
        let verdicts = self.lines.iter().filter(|line| matches!(line.fact, Fact::Failed { .. } | Fact::Left { .. }));
        let verdicts: Vec<&Line> = verdicts.collect();
        let Some(first) = verdicts.first() else { return milestones };
        for line in verdicts.iter().take(FIRST) {
            milestones.push((line.at, format!("{} {}", name_of(line.observer), verdict(line))));
        }
        let count = verdicts.len();
        for (percent, nth) in [("half", count / 2), ("99 %", count * 99 / 100)] {
            if let Some(line) = verdicts.get(nth).filter(|_| count > 2 * FIRST) {
                let after = (line.at - first.at).as_secs_f64();
                milestones.push((
                    line.at,
                    format!("{percent} of {count} nodes have the verdict, {after:.2} s after the first"),
                ));
            }
        }
        if let Some(last) = verdicts.last().filter(|_| count > FIRST) {
            milestones.push((last.at, format!("{} is the last: it {}", name_of(last.observer), verdict(last))));
            if let Some(path) = self.path_to(last.observer) {
                milestones.push((last.at, format!("the way of that news: {path}")));
            }
        }
        if let Some(back) = self.lines.iter().rev().find(|line| line.fact == Fact::Alive) {
            milestones.push((back.at, format!("{} sees it alive again, the last to do so", name_of(back.observer))));
        }
        milestones
    }

    /// Returns each observer's first verdict with its distance from a node that had it of its own.
    fn verdicts(&self) -> BTreeMap<u32, Verdict> {
        let mut verdicts: BTreeMap<u32, Verdict> = BTreeMap::new();
        for line in self.lines {
            let (Fact::Failed { via, .. } | Fact::Left { via }) = &line.fact else { continue };
            let hops = via.parent().map_or(0, |parent| verdicts.get(&parent).map_or(1, |known| known.hops + 1));
            verdicts.entry(line.observer).or_insert(Verdict { at: line.at, via: *via, hops });
        }
        verdicts
    }

    /// Counts how the verdict arrived, by way and by distance.
    fn spread(&self) -> Option<String> {
        let verdicts = self.verdicts();
        let first = verdicts.values().map(|verdict| verdict.at).min()?;
        let mut ways: BTreeMap<&str, u32> = BTreeMap::new();
        let mut hops: BTreeMap<u32, (u32, Instant, Instant)> = BTreeMap::new();
        for verdict in verdicts.values() {
            *ways.entry(way(verdict.via)).or_default() += 1;
            let entry = hops.entry(verdict.hops).or_insert((0, verdict.at, verdict.at));
            *entry = (entry.0 + 1, entry.1.min(verdict.at), entry.2.max(verdict.at));
        }
        let mut text = String::new();
        for (way, count) in ways {
            let _infallible = writeln!(text, "{count:>6} nodes {way}");
        }
        let _infallible = writeln!(text, "\n{:>6} {:>6}   after the first verdict", "hops", "nodes");
        for (hop, (count, from, to)) in hops {
            let after = |at: Instant| (at - first).as_secs_f64();
            let _infallible = writeln!(text, "{hop:>6} {count:>6}   {:.2} to {:.2} s", after(from), after(to));
        }
        Some(text)
    }

    /// Draws the first levels of the tree: who had the verdict of its own, who heard it from there, and so on.
    fn tree(&self) -> String {
        let verdicts = self.verdicts();
        let mut children: BTreeMap<Option<u32>, Vec<u32>> = BTreeMap::new();
        for (observer, verdict) in &verdicts {
            let parent = verdict.via.parent().filter(|parent| verdicts.contains_key(parent));
            children.entry(parent).or_default().push(*observer);
        }
        for list in children.values_mut() {
            list.sort_by_key(|observer| (verdicts[observer].at, *observer));
        }
        let mut text = String::new();
        let roots = children.get(&None).map_or(&[][..], Vec::as_slice);
        let branch = Branch { verdicts: &verdicts, children: &children };
        for root in roots.iter().take(WIDTH) {
            branch.draw(&mut text, *root, "", "");
        }
        if roots.len() > WIDTH {
            let _infallible = writeln!(text, "and {} more that heard it from no other", roots.len() - WIDTH);
        }
        text
    }

    /// Returns the way of the news to an observer.
    fn path_to(&self, observer: u32) -> Option<String> {
        let verdicts = self.verdicts();
        let mut path = Vec::new();
        let mut at = Some(observer);
        // A parent has an earlier verdict; the bound holds if a record is missing.
        while let Some(node) = at.filter(|_| path.len() < PATH_MAX) {
            let verdict = verdicts.get(&node)?;
            path.push(format!("{} at {}", name_of(node), seconds(verdict.at)));
            at = verdict
                .via
                .parent()
                .filter(|parent| verdicts.get(parent).is_some_and(|earlier| earlier.at < verdict.at));
        }
        path.reverse();
        (path.len() > 1).then(|| path.join(", "))
    }

    /// Draws how many nodes suspected the member and held it for gone.
    fn chart(&self, member: u32) -> Option<Lines> {
        let start = self.lines.first()?.at;
        let mut suspects = Vec::new();
        let mut gone = Vec::new();
        let mut seen: BTreeMap<u32, bool> = BTreeMap::new();
        let (mut suspected, mut decided) = (0.0, 0.0);
        let last = self.lines.iter().filter(|line| !matches!(line.fact, Fact::Alive)).map(|line| line.at).max()?;
        for line in self.lines.iter().filter(|line| line.at <= last) {
            let at = (line.at - start).as_secs_f64();
            match line.fact {
                Fact::Suspected { .. } if seen.insert(line.observer, false).is_none() => {
                    suspected += 1.0;
                    suspects.push((at, suspected));
                }
                Fact::Failed { .. } | Fact::Left { .. } if seen.insert(line.observer, true) != Some(true) => {
                    decided += 1.0;
                    gone.push((at, decided));
                }
                _ => {}
            }
        }
        let most = f64::max(suspected, decided);
        let caption = Caption {
            id: "story".into(),
            title: format!("What the others think of {}", name_of(member)),
            description: format!("{suspected} nodes suspected it, {decided} held it for gone."),
        };
        let span = (last - start).as_secs_f64();
        let line = |label: &str, style, points: Vec<(f64, f64)>| crate::chart::Line {
            label: label.into(),
            style,
            points: thinned(
                core::iter::once((0.0, 0.0))
                    .chain(points)
                    .chain([(span, if style == 0 { suspected } else { decided })])
                    .collect(),
            ),
            band: Vec::new(),
            shape: Shape::Steps,
        };
        let lines = vec![line("suspected it", 0, suspects), line("hold it for gone", 1, gone)];
        let x = Axis::linear(format!("virtual seconds since {}", seconds(start)), Unit::Seconds, span);
        let y = Axis::linear("nodes", Unit::Count, most);
        Some(Lines { caption, x, y, lines, marks: Vec::new(), size: Lines::NORMAL })
    }
}

/// At most some hundred points of a line.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let every = points.len().div_ceil(300).max(1);
    let last = points.len() - 1;
    points.into_iter().enumerate().filter(|(n, _)| n % every == 0 || *n == last).map(|(_, point)| point).collect()
}

struct Branch<'a> {
    verdicts: &'a BTreeMap<u32, Verdict>,
    children: &'a BTreeMap<Option<u32>, Vec<u32>>,
}

impl Branch<'_> {
    fn draw(&self, text: &mut String, node: u32, before: &str, indent: &str) {
        let verdict = &self.verdicts[&node];
        let below = self.count(node) - 1;
        let more = if below > 0 { format!(", {below} below") } else { String::new() };
        let _infallible =
            writeln!(text, "{before}{} {} {}{more}", name_of(node), seconds(verdict.at), way(verdict.via));
        let children = self.children.get(&Some(node)).map_or(&[][..], Vec::as_slice);
        if indent.chars().count() >= 3 * DEPTH {
            return;
        }
        for (n, child) in children.iter().take(WIDTH).enumerate() {
            let is_last = n + 1 == children.len().min(WIDTH);
            let (before, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            self.draw(text, *child, &format!("{indent}{before}"), &format!("{indent}{below}"));
        }
    }

    /// Counts the nodes of a branch.
    fn count(&self, node: u32) -> usize {
        let mut open = vec![node];
        let mut count = 0;
        while let Some(node) = open.pop().filter(|_| count < self.verdicts.len()) {
            count += 1;
            open.extend(self.children.get(&Some(node)).into_iter().flatten());
        }
        count
    }
}

fn suspicion(accuser: Option<u32>, via: Via) -> String {
    let accuser = accuser.map_or_else(|| "a member".to_owned(), name_of);
    match via {
        Via::OwnProbe => "its own probe had no answer, neither direct nor through others".to_owned(),
        Via::OwnTimer | Via::Itself | Via::Unknown => format!("{accuser} accuses it"),
        Via::Gossip(from) => format!("{accuser} accuses it, by gossip{}", from_whom(from)),
        Via::PushPull(from) => format!("a push/pull{} holds it for suspect", from_whom(from)),
    }
}

fn verdict(line: &Line) -> String {
    match &line.fact {
        Fact::Failed { suspected_at, accusers, via } => {
            let names: Vec<String> = accusers.iter().map(|accuser| name_of(*accuser)).collect();
            let confirmations = accusers.len().saturating_sub(1);
            let since = suspected_at.map(|at| format!(" {:.2} s after its suspicion", (line.at - at).as_secs_f64()));
            let since = since.unwrap_or_default();
            let accused = match (accusers.is_empty(), confirmations) {
                (true, _) => String::new(),
                (false, 0) => format!(", accused by {} without confirmation", names[0]),
                (false, 1) => format!(", accused by {}, confirmed by {}", names[0], names[1]),
                (false, _) => format!(", accused by {}, confirmed by {}", names[0], names[1..].join(" and ")),
            };
            match via {
                Via::OwnTimer => format!("declares it failed: no refutation came{since}{accused}"),
                via => format!("marks it failed: heard {}{since}", way_from(*via)),
            }
        }
        Fact::Left { via: Via::Itself } => "begins to leave".to_owned(),
        Fact::Left { via } => format!("marks it left: heard {}", way_from(*via)),
        _ => String::new(),
    }
}

fn way_from(via: Via) -> String {
    format!("{}{}", way(via), from_whom(via.parent()))
}

const fn way(via: Via) -> &'static str {
    match via {
        Via::OwnProbe => "by its own probe",
        Via::OwnTimer => "by its own suspicion timer",
        Via::Gossip(_) => "by gossip",
        Via::PushPull(_) => "in a push/pull",
        Via::Itself => "by its own decision",
        Via::Unknown => "in a way that was not recorded",
    }
}

fn from_whom(member: Option<u32>) -> String {
    member.map(|member| format!(" from {}", name_of(member))).unwrap_or_default()
}

fn seconds(at: Instant) -> String {
    format!("{:.3}", at.as_secs_f64())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}").trim_end().to_owned() + "\n").collect()
}

/// Suspicions and verdicts that are listed one by one.
const FIRST: usize = 3;

/// A story that a reader reads to its end.
const MILESTONES_MAX: usize = 24;

/// Branches and levels of the tree.
const WIDTH: usize = 4;
const DEPTH: usize = 3;

/// Members of a path.
const PATH_MAX: usize = 30;
