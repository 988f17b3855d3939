//! `sim replay`: replays captures, compares the outputs, and prints the timeline.

use core::time::Duration;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant as Clock;

use clap::Args;
use serf_proto::{Input, Instant, Node, Output, Status};

use super::files::{check_file, write_file};
use crate::digest::Digest;
use crate::page;
use crate::parse::duration;
use crate::replay::{Collector, Fact, Packet, Packets, Played, Run, Step, Verdict, What, align, load, play, script};

#[derive(Args, Clone, Debug)]
pub(super) struct ReplayCli {
    /// Directory of a capture, as in `serf agent -capture=DIR`. Several are merged into one timeline.
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,

    /// Stops after this much recorded time.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    until: Option<Duration>,

    /// Prints only what concerns this member.
    #[arg(long, value_name = "NAME")]
    member: Option<String>,

    /// Replays all runs and all parts between gaps, not only the last one of each directory.
    #[arg(long)]
    all: bool,

    /// Leaves the timeline out: prints only whether the outputs are the recorded ones.
    #[arg(long)]
    check: bool,

    /// Also prints user events and queries.
    #[arg(long)]
    events: bool,

    /// Prints the timeline as JSON.
    #[arg(long)]
    json: bool,

    /// Also writes the timeline as an HTML page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Writes the story of the one capture as a script for tests/scripts, with letters for the names. Complete it with
    /// UPDATE=1 cargo test -p serf-tests --test it scripts.
    #[arg(long, value_name = "FILE")]
    turn_into_script: Option<PathBuf>,
}

/// One replayed run.
struct Replayed {
    dir: PathBuf,
    node: String,
    initial: Vec<String>,
    facts: Vec<Fact>,
    packets: Packets,
    verdict: Verdict,
    took: Duration,
}

/// Replays and prints. Exit code 1 if an output differs.
pub(super) fn run(cli: &ReplayCli) -> Result<ExitCode, String> {
    for path in cli.html.iter().chain(&cli.turn_into_script) {
        check_file(path)?;
    }
    let mut replayed = Vec::new();
    for dir in &cli.dirs {
        let (runs, notes) = load(dir)?;
        for note in notes {
            eprintln!("sim: left out {note}");
        }
        let skipped = if cli.all { 0 } else { runs.len() - 1 };
        if skipped > 0 {
            eprintln!("sim: {}: replays the last of {} runs; all of them with --all", dir.display(), runs.len());
        }
        for run in runs.iter().skip(skipped) {
            replayed.push(replay(dir.clone(), run, cli)?);
        }
    }
    if cli.dirs.len() > 1 {
        let packets: Vec<Packets> = replayed.iter_mut().map(|one| core::mem::take(&mut one.packets)).collect();
        for (one, offset_ns) in replayed.iter_mut().zip(align(&packets)) {
            one.facts.iter_mut().for_each(|fact| fact.unix_ns = fact.unix_ns.saturating_add_signed(offset_ns));
        }
    }
    if let Some(path) = &cli.turn_into_script {
        write_script(path, &replayed)?;
    }
    let mut facts: Vec<&Fact> = replayed.iter().flat_map(|one| &one.facts).filter(|fact| is_shown(fact, cli)).collect();
    // Stable: facts of one input keep their order.
    facts.sort_by_key(|fact| fact.unix_ns);
    if let Some(path) = &cli.html {
        write_file(path, &html(&facts, &replayed))?;
    }
    let text = if cli.json { json(&facts, &replayed)? } else { text(&facts, &replayed, cli.check) };
    // A closed pipe, as by `head`, is not an error.
    let _closed = writeln!(std::io::stdout(), "{}", text.trim_end());
    let is_equal = replayed.iter().all(|one| one.verdict.difference.is_none());
    Ok(if is_equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn replay(dir: PathBuf, run: &Run, cli: &ReplayCli) -> Result<Replayed, String> {
    let began = Clock::now();
    let mut collector = Collector::new(&run.node);
    let (mut initial, mut packets, mut first) = (Vec::new(), Packets::default(), None::<Instant>);
    let (with_packets, prints) = (cli.dirs.len() > 1, !cli.check || cli.turn_into_script.is_some());
    let verdict = play(run, |played| {
        match played {
            Played::File(file, node) => {
                if first.is_none() {
                    initial = alive(node);
                }
                first.get_or_insert(file.head.at);
                collector.file(file, node);
            }
            Played::Input(step) => {
                if first.is_some_and(|first| cli.until.is_some_and(|until| step.at - first > until)) {
                    return false;
                }
                if prints {
                    collector.step(step);
                }
                if with_packets {
                    note_packets(&mut packets, step);
                }
            }
        }
        true
    })?;
    let took = began.elapsed();
    Ok(Replayed { dir, node: run.node.clone(), initial, facts: collector.facts(), packets, verdict, took })
}

fn alive(node: &Node) -> Vec<String> {
    let alive =
        node.members().filter(|member| member.status() == Status::Alive && member.name() != node.local().name());
    alive.map(|member| member.name().to_owned()).collect()
}

fn note_packets(packets: &mut Packets, step: &Step<'_>) {
    let local = step.node.local().addr();
    if let Input::Opened { from, opened: Ok(content), .. } = step.input {
        let content = hash(content);
        packets.received.push(Packet { unix_ns: step.unix_ns, from: *from, to: local, content });
    }
    for output in step.outputs {
        if let Output::Datagram { to, bytes } = output
            && let Some(content) = step.node.open_own(bytes)
        {
            let content = hash(&content);
            packets.sent.push(Packet { unix_ns: step.unix_ns, from: local, to: *to, content });
        }
    }
}

/// Compares packets within one process.
fn hash(content: &[u8]) -> u64 {
    let mut digest = Digest::default();
    digest.fold_bytes(content);
    digest.value()
}

fn is_shown(fact: &Fact, cli: &ReplayCli) -> bool {
    let is_about = cli.member.as_ref().is_none_or(|name| {
        let about = fact.member.as_deref() == Some(name) || fact.node == *name || names(&fact.text, name);
        about || fact.what == What::Capture
    });
    let is_traffic = matches!(fact.what, What::UserEvent | What::Query);
    is_about && (cli.events || !is_traffic)
}

/// Whether a text names a node, and not only one whose name begins alike.
fn names(text: &str, name: &str) -> bool {
    let words = text.split(|c: char| !(c.is_alphanumeric() || "-._".contains(c)));
    words.map(|word| word.trim_end_matches('.')).any(|word| word == name)
}

fn write_script(path: &Path, replayed: &[Replayed]) -> Result<(), String> {
    let [one] = replayed else { return Err("--turn-into-script takes one run of one capture".to_owned()) };
    let text = script(&one.node, &one.initial, &one.facts)?;
    write_file(path, &text)
}

fn text(facts: &[&Fact], replayed: &[Replayed], check: bool) -> String {
    let mut lines = Vec::new();
    if !check {
        let start = facts.first().map_or(0, |fact| fact.unix_ns);
        if !facts.is_empty() {
            lines.push(format!("From {} on:\n", date(start)));
        }
        for fact in facts {
            let after = Duration::from_nanos(fact.unix_ns - start).as_secs_f64();
            lines.push(format!("{}  {after:>9.3} s  {}", time_of_day(fact.unix_ns), fact.text));
        }
        lines.push(String::new());
    }
    lines.extend(replayed.iter().map(verdict_text));
    lines.join("\n")
}

fn verdict_text(one: &Replayed) -> String {
    let Verdict { inputs, compared, shapes_compared, uncompared, states_compared, difference, torn_bytes, span_ns } =
        &one.verdict;
    let (span, took) = (Duration::from_nanos(*span_ns).as_secs_f64(), one.took.as_secs_f64());
    let mut text =
        format!("{}: {inputs} inputs of {} in {span:.1} s, replayed in {took:.3} s", one.dir.display(), one.node);
    if took > 0.0 {
        text.push_str(&format!(" ({:.0} times as fast)", span / took));
    }
    match difference {
        Some(difference) => text.push_str(&format!(
            ". FIRST DIFFERENCE: {}, input {}: {}",
            difference.file, difference.input, difference.what
        )),
        None if compared + shapes_compared == 0 && *uncompared > 0 => text.push_str(". The outputs were not compared"),
        None => text.push_str(". The outputs are the recorded ones"),
    }
    if *shapes_compared > 0 {
        text.push_str(&format!(
            "; of {shapes_compared} inputs without the contents of packets, because a key was replaced"
        ));
    }
    if *uncompared > 0 {
        let why = "payloads were replaced before them, or the answers of the application's policy are not known";
        text.push_str(&format!("; those of {uncompared} inputs were not compared: {why}"));
    }
    if *states_compared > 0 {
        text.push_str(&format!("; so are the states at the beginning of {states_compared} files"));
    }
    if *torn_bytes > 0 {
        text.push_str(&format!(". The last {torn_bytes} bytes are an incomplete record"));
    }
    text.push('.');
    text
}

fn json(facts: &[&Fact], replayed: &[Replayed]) -> Result<String, String> {
    let facts: Vec<_> = facts
        .iter()
        .map(|fact| {
            serde_json::json!({
                "unix_ns": fact.unix_ns,
                "node": fact.node,
                "member": fact.member,
                "kind": fact.what.name(),
                "text": fact.text,
            })
        })
        .collect();
    let captures: Vec<_> = replayed
        .iter()
        .map(|one| {
            let verdict = &one.verdict;
            serde_json::json!({
                "dir": one.dir,
                "node": one.node,
                "inputs": verdict.inputs,
                "inputs_compared": verdict.compared,
                "shapes_compared": verdict.shapes_compared,
                "uncompared": verdict.uncompared,
                "states_compared": verdict.states_compared,
                "recorded_seconds": Duration::from_nanos(verdict.span_ns).as_secs_f64(),
                "torn_bytes": verdict.torn_bytes,
                "difference": verdict.difference.as_ref().map(|difference| {
                    serde_json::json!({
                        "file": difference.file,
                        "input": difference.input,
                        "what": difference.what,
                    })
                }),
            })
        })
        .collect();
    serde_json::to_string_pretty(&serde_json::json!({ "captures": captures, "timeline": facts }))
        .map_err(|error| format!("cannot write the timeline as JSON: {error}"))
}

fn html(facts: &[&Fact], replayed: &[Replayed]) -> String {
    let start = facts.first().map_or(0, |fact| fact.unix_ns);
    let nodes: Vec<&str> = replayed.iter().map(|one| &*one.node).collect();
    let lines = facts.iter().map(|fact| (time_of_day(fact.unix_ns), fact.text.clone())).collect::<Vec<_>>();
    let verdicts: Vec<String> = replayed.iter().map(verdict_text).collect();
    page::timeline(&format!("{}, from {} on", nodes.join(", "), date(start)), &lines, &verdicts)
}

fn date(unix_ns: u64) -> String {
    timestamp(unix_ns)
        .map_or_else(|| "an unknown time".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn time_of_day(unix_ns: u64) -> String {
    timestamp(unix_ns).map_or_else(|| "?".to_owned(), |at| at.strftime("%H:%M:%S%.3f").to_string())
}

fn timestamp(unix_ns: u64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_nanosecond(unix_ns.into()).ok()
}
