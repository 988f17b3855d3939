//! Reports as one HTML page: inline SVG, no scripts, nothing that a browser would have to fetch.
//!
//! A page depends on the runs only, not on the order in which they were read: equal results give equal bytes.

mod html;
mod runs;
mod sweep;
mod times;
mod traffic;

use std::collections::BTreeMap;

use self::html::{Html, Table};
pub(crate) use self::runs::varied;
use self::runs::{Group, groups};
use crate::chart::{Caption, escape, picture};
use crate::results::{Record, Results};

/// Renders a page about runs. `command` is the command that made it; `story` is HTML about one member of one run.
pub(crate) fn render(runs: &[Results], command: &str, story: Option<&str>) -> String {
    let groups = groups(runs);
    let mut html = Html::default();
    findings(&mut html, runs);
    sweep::write(&mut html, &groups, runs);
    times::write(&mut html, &groups);
    traffic::write(&mut html, &groups);
    if let Some(story) = story {
        html.section("Timeline of one member");
        html.raw(story);
    }
    settings(&mut html, &groups, runs);
    let title = title(runs, &groups);
    html.finish(&title, &head(runs, &groups, command))
}

#[cfg(feature = "replay")]
/// Renders a timeline: lines of time and text, and what is said of the whole.
pub(crate) fn timeline(title: &str, lines: &[(String, String)], verdicts: &[String]) -> String {
    let mut html = Html::default();
    let mut list = String::from("<ol class=\"story\">\n");
    for (time, text) in lines {
        list.push_str(&format!("<li><b>{}</b> {}</li>\n", escape(time), escape(text)));
    }
    list.push_str("</ol>\n");
    html.section("Timeline");
    html.raw(&list);
    let verdicts: Vec<String> = verdicts.iter().map(|verdict| escape(verdict)).collect();
    html.finish(title, &verdicts.join("<br>"))
}

/// Renders one chart of runs as an SVG file: a metric such as `crash/reached_p99_s` over the varied parameters, or without one the
/// share of right views, or of what was noticed, over time. `None` if the runs have none.
pub(crate) fn chart(runs: &[Results], metric: Option<&str>) -> Option<String> {
    let groups = groups(runs);
    let (svg, size) = match metric {
        Some(metric) => sweep::picture(&groups, runs, metric)?,
        None => times::picture(&groups)?,
    };
    Some(picture(&svg, size) + "\n")
}

/// Renders the convergence curves of one run as an SVG file of its own.
pub(crate) fn convergence(run: &Results) -> String {
    let groups = groups(core::slice::from_ref(run));
    let title = format!("How {} simulated nodes notice", run.header.nodes_count);
    let description =
        "Share of all pairs of nodes that had noticed what happened, over virtual time, for each phase of the run.";
    let caption = Caption { id: "run".into(), title, description: description.into() };
    let chart = times::overview_chart(&groups[0], caption);
    picture(&chart.svg(), chart.size) + "\n"
}

fn title(runs: &[Results], groups: &[Group<'_>]) -> String {
    let mut scenarios: Vec<&str> = runs.iter().map(|run| run.header.scenario.as_str()).collect();
    scenarios.sort_unstable();
    scenarios.dedup();
    let names = scenarios.join(", ");
    match (runs, groups) {
        ([run], _) => format!("{names}: {} nodes, seed {}", run.header.nodes_count, run.header.seed),
        (_, [group]) => format!("{names}: {} seeds", group.runs.len()),
        _ => format!("{names}: {} settings, {} runs", groups.len(), runs.len()),
    }
}

/// Returns what is needed to repeat the runs.
fn head(runs: &[Results], groups: &[Group<'_>], command: &str) -> String {
    let mut versions: Vec<&str> = runs.iter().map(|run| run.header.simulator.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    let seeds = seeds(groups);
    let hashes = if let [run] = runs {
        format!("trace hash <code>{}</code>", escape(&run.header.trace_hash))
    } else {
        format!("trace hashes of all runs <code>{}</code>", hash_of(runs))
    };
    let command = format!("<pre>{}</pre>\n", escape(command));
    let fine = runs.iter().filter(|run| run.is_fine()).count();
    let verdict = if fine == runs.len() {
        "<p class=\"good\">Every goal was reached, every assertion held, and no rule of the protocol was violated.</p>"
            .to_owned()
    } else {
        format!(
            "<p class=\"bad\">{} of {} runs missed a goal, failed an assertion or violated a rule; see Findings.</p>",
            runs.len() - fine,
            runs.len()
        )
    };
    format!(
        "{command}<p class=\"faint\">{seeds}, simulator {}, {hashes}</p>\n{verdict}\n",
        escape(&versions.join(", "))
    )
}

/// Lists the seeds of all groups, which are mostly the same.
fn seeds(groups: &[Group<'_>]) -> String {
    let mut seeds: Vec<u64> = groups.iter().flat_map(|group| group.runs.iter().map(|run| run.header.seed)).collect();
    seeds.sort_unstable();
    seeds.dedup();
    match seeds.as_slice() {
        [one] => format!("seed {one}"),
        [first, .., last] if last - first + 1 == seeds.len() as u64 => format!("seeds {first} to {last}"),
        all => format!("seeds {}", all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// Returns one hash for many runs.
fn hash_of(runs: &[Results]) -> String {
    let mut digest = crate::digest::Digest::default();
    for run in runs {
        digest.fold_bytes(run.header.cell.as_bytes());
        digest.fold_bytes(run.header.trace_hash.as_bytes());
    }
    format!("{:016x}", digest.value())
}

/// Writes what went wrong, and the assertions.
fn findings(html: &mut Html, runs: &[Results]) {
    let mut table = Table::new(["run", "result", "what"]);
    table.texts = 3;
    let mut assertions: BTreeMap<&str, (usize, usize, Vec<String>)> = BTreeMap::new();
    for run in runs {
        let name = format!("{} {}, seed {}", run.header.scenario, short_cell(run), run.header.seed);
        for record in &run.records {
            let (result, what) = match record {
                Record::Phase(phase) if phase.outcome == "missing" => {
                    ("missed", format!("{}: {}", phase.phase, phase.goal))
                }
                Record::Finding(finding) => ("violated", finding.finding.clone()),
                Record::Assertion(assertion) => {
                    let (held, all, failed) = assertions.entry(&assertion.assertion).or_default();
                    (*held, *all) = (*held + usize::from(assertion.holds), *all + 1);
                    if !assertion.holds {
                        failed.push(format!("{name}: {}", assertion.found));
                    }
                    continue;
                }
                _ => continue,
            };
            table.rows.push(vec![name.clone(), result.to_owned(), what]);
        }
    }
    if table.rows.is_empty() && assertions.is_empty() {
        return;
    }
    html.section("Findings");
    let mut asserted = Table::new(["assertion", "held", "failed"]);
    asserted.texts = 3;
    for (assertion, (held, all, mut failed)) in assertions {
        let more = failed.len().saturating_sub(FAILED_SHOWN);
        failed.truncate(FAILED_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        asserted.rows.push(vec![assertion.to_owned(), format!("{held} of {all} runs"), failed.join("; ") + &more]);
    }
    if !asserted.rows.is_empty() {
        html.raw(&asserted.html("Assertions"));
    }
    if !table.rows.is_empty() {
        let is_long = table.rows.len() > FINDINGS_OPEN;
        html.raw(&if is_long { table.folded("Findings") } else { table.html("Findings") });
    }
}

/// Failures of an assertion that are named.
const FAILED_SHOWN: usize = 5;

/// More findings than this are folded.
const FINDINGS_OPEN: usize = 20;

fn short_cell(run: &Results) -> &str {
    run.header.cell.get(..6).unwrap_or(&run.header.cell)
}

/// Writes every parameter, and the hash of every run.
fn settings(html: &mut Html, groups: &[Group<'_>], runs: &[Results]) {
    html.section("Settings and hashes");
    html.text("All settings that are the same in all runs; the others are in the names of the curves. Equal settings, seed and version give equal trace hashes on any machine.");
    let varied = varied(runs);
    let mut table = Table::new(["setting", "value"]);
    table.texts = 2;
    if let Some(run) = runs.first() {
        for (key, value) in run.header.parameters.iter().filter(|(key, _)| !varied.contains(key)) {
            table.rows.push(vec![key.clone(), value.to_string()]);
        }
    }
    html.raw(&table.folded("Settings"));
    let mut table = Table::new(["settings", "seed", "nodes", "virtual time", "trace hash"]);
    for group in groups {
        for run in &group.runs {
            let header = &run.header;
            let name = if group.label.is_empty() { header.scenario.clone() } else { group.label.clone() };
            let time = format!("{:.2} s", header.virtual_s);
            table.rows.push(vec![
                name,
                header.seed.to_string(),
                header.nodes_count.to_string(),
                time,
                header.trace_hash.clone(),
            ]);
        }
    }
    html.raw(&table.folded("Runs and their trace hashes"));
}
