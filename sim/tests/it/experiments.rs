//! Scenario files, sweeps, shards and results files, through the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sim::results::{self, Record, Results};
use tempfile::TempDir;

/// A directory that is removed at the end of the test.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory can be made"))
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("a temporary file can be written");
        path.display().to_string()
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Runs the simulator in this directory, without a scheduler's variables.
    fn sim(&self, options: &[&str]) -> Output {
        self.command(options).output().expect("the program is built for this test")
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
        command.args(options).current_dir(&self.0).env_remove("SIM_SHARDS");
        command
    }

    /// Runs a scenario with one cell, and returns its results.
    fn run(&self, text: &str, options: &[&str]) -> Results {
        let scenario = self.file("scenario.toml", text);
        let output = self.sim(&[&["run", &scenario, "--out", "out", "--quiet"], options].concat());
        assert_eq!(output.status.code(), Some(0), "{}{}", text_of(&output.stdout), text_of(&output.stderr));
        let [run] = &results::read_all(&[self.0.path().join("out")]).expect("they were written")[..] else {
            panic!("one cell")
        };
        let run = run.clone();
        fs::remove_dir_all(self.0.path().join("out")).expect("it was made");
        run
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Names and contents of the results files of a directory.
fn contents(directory: &Path) -> Vec<(String, String)> {
    let name = |path: &PathBuf| path.file_name().expect("it is a file").to_string_lossy().into_owned();
    let files = results::files_of(directory).expect("the directory exists");
    files.iter().map(|path| (name(path), fs::read_to_string(path).expect("it is a file"))).collect()
}

fn value(run: &Results, metric: &str) -> f64 {
    run.metric("", metric).unwrap_or_else(|| panic!("{metric} is missing: {:?}", run.records))
}

const CRASHES: &str = r#"
for = "50s"

[cluster]
nodes = 30

[network]
loss = 0.05

[[fault]]
kind = "crash"
at = "3s"
nodes = 2

[[load]]
kind = "event"
per_second = 2
until = "20s"

[assert]
wrong_views = 0
event_share = ">= 99%"
crash.reached_p100 = "< 45s"
"#;

#[test]
fn a_timeline_measures_detection_dissemination_traffic_and_asserts() {
    let scratch = Scratch::new();
    let run = scratch.run(CRASHES, &[]);
    assert_eq!((run.header.nodes_count, run.header.virtual_s, run.header.seed), (30, 50.0, 1));
    let (first, p50, max) =
        (value(&run, "detect_first_p50_s"), value(&run, "detect_p50_s"), value(&run, "detect_max_s"));
    assert!(0.5 < first && first <= p50 && p50 <= max && max < 45.0, "{first} {p50} {max}");
    assert_eq!((value(&run, "detect_share"), value(&run, "events_count")), (1.0, 40.0));
    assert!(value(&run, "event_p99_s") < 5.0);
    let subjects: Vec<_> = run
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Subject(subject) => Some(subject),
            _ => None,
        })
        .collect();
    assert_eq!(subjects.len(), 2);
    assert!(
        subjects.iter().all(|subject| subject.observers_count == 28 && subject.first_s >= Some(0.5)),
        "{subjects:?}"
    );
    let series = |name: &str| {
        run.records.iter().find_map(|record| match record {
            Record::Series(series) if series.name == name => Some(series.values.len()),
            _ => None,
        })
    };
    assert_eq!(series("converged_share"), Some(50));
    assert!(series("wire_bytes").is_some_and(|seconds| seconds >= 50));
    let held = run.records.iter().filter(|record| matches!(record, Record::Assertion(assertion) if assertion.holds));
    assert_eq!(held.count(), 3);
}

#[test]
fn a_cell_is_the_same_bytes_with_any_number_of_threads() {
    let scratch = Scratch::new();
    let of = |threads| scratch.run(CRASHES, &["--threads", threads]).to_lines();
    let one = of("1");
    assert_eq!(one, of("2"));
    assert_eq!(one, of("3"));
}

#[test]
fn a_scenario_of_phases_has_the_metrics_of_its_phases() {
    let scratch = Scratch::new();
    let run = scratch.run("phases = [\"event\", \"crash\"]\n[cluster]\nnodes = 20\n", &[]);
    for phase in ["event", "crash"] {
        assert!(run.metric(phase, "reached_p99_s").is_some(), "{phase}");
    }
    assert!(
        run.metric("event", "reached_p99_s") < Some(1.0),
        "the library's pace: {:?}",
        run.metric("event", "reached_p99_s")
    );
}

#[test]
fn nodes_run_the_librarys_pace_and_hashicorps_on_request() {
    let scratch = Scratch::new();
    let text = "for = \"20s\"\n[cluster]\nnodes = 60\n[[load]]\nkind = \"event\"\nper_second = 1\nuntil = \"15s\"\n";
    let library = value(&scratch.run(text, &[]), "event_p50_s");
    let hashicorp = value(&scratch.run(text, &["--set", "as=hashicorp"]), "event_p50_s");
    assert!(library * 1.5 < hashicorp, "early gossip saves half an interval per hop: {library} {hashicorp}");
}

#[test]
fn a_sweep_runs_every_combination_once_and_goes_on_where_it_was_stopped() {
    let scratch = Scratch::new();
    let text =
        "phases = [\"event\"]\nseeds = [1, 2]\n[cluster]\nnodes = [5, 10]\n[network]\nloss = \"0..=0.1 step 0.1\"\n";
    let scenario = scratch.file("sweep.toml", text);
    let run = |options: &[&str]| {
        let output = scratch.sim(&[&["run", &scenario, "--out", "out", "--quiet"], options].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output.stderr));
        text_of(&output.stdout)
    };
    assert!(run(&[]).contains("8 cells run, 0 were there, 0 with findings"));
    let out = scratch.0.path().join("out");
    let before = contents(&out);
    assert_eq!(before.len(), 8);
    assert!(run(&[]).contains("0 cells run, 8 were there"));
    // One file is lost, one was torn by something that does not write aside.
    fs::remove_file(out.join(&before[0].0)).expect("it was written");
    fs::write(out.join(&before[1].0), &before[1].1[..100]).expect("it can be written");
    assert!(run(&["--jobs", "1"]).contains("2 cells run, 6 were there"));
    assert_eq!(contents(&out), before, "the same bytes again");
    assert!(run(&["--set", "network.loss=0.2", "--seeds", "3"]).contains("6 cells run"), "another sweep beside it");
    let csv = fs::read_to_string(out.join("data.csv")).expect("it is written after the run");
    assert_eq!(csv.lines().next(), Some("scenario,configuration,seed,cluster.nodes,phase,metric,labels,value"));
    assert!(csv.contains(",10,event,reached_p100_s,,"), "{csv}");
}

#[test]
fn seeds_are_added_until_the_interval_is_narrow_or_the_limit_is_reached() {
    let scratch = Scratch::new();
    let scenario = scratch.file("x.toml", "phases = [\"event\"]\n[cluster]\nnodes = 20\n");
    let cells = |options: &[&str]| {
        let _fresh = fs::remove_dir_all(scratch.0.path().join("out"));
        let output = scratch.sim(&[&["run", &scenario, "--out", "out", "--quiet"], options].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output.stderr));
        (contents(&scratch.0.path().join("out")).len(), text_of(&output.stderr))
    };
    let (wide, remark) = cells(&["--until-ci", "100%"]);
    assert_eq!((wide, remark.as_str()), (6, ""));
    let (narrow, remark) = cells(&["--until-ci", "20%", "--metric", "event.reached_p50"]);
    assert!(wide < narrow && narrow < 100 && remark.is_empty(), "{narrow}: {remark}");
    let (most, remark) = cells(&["--until-ci", "0.1%", "--seeds-max", "10"]);
    assert!(most == 10 && remark.contains("10 seeds do not reach"), "{most}: {remark}");
    let output = scratch.sim(&["run", &scenario, "--until-ci", "5%", "--metric", "event.reached_p98"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text_of(&output.stderr).contains("did you mean reached_p9"), "{}", text_of(&output.stderr));
}

#[test]
fn shards_of_any_number_merge_to_the_same_bytes_although_one_was_killed() {
    let scratch = Scratch::new();
    let text = "phases = [\"event\"]\nseeds = \"1..=12\"\n[cluster]\nnodes = 5\n";
    let scenario = scratch.file("shards.toml", text);
    let run = |out: &str, shard: &str| {
        let output = scratch.sim(&["run", &scenario, "--out", out, "--quiet", "--shard", shard]);
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output.stderr));
    };
    let merged = |out: &str| {
        let file = format!("{out}.jsonl");
        let output = scratch.sim(&["merge", out, "-o", &file]);
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output.stderr));
        fs::read_to_string(scratch.0.path().join(file)).expect("it was written")
    };
    run("one", "1/1");
    for shard in ["1/3", "2/3", "3/3"] {
        run("three", shard);
    }
    assert_eq!(contents(&scratch.0.path().join("three")).len(), 12);
    let whole = merged("one");
    assert_eq!(whole, merged("three"));
    // A killed shard leaves whole files and a hidden one.
    for (name, _) in contents(&scratch.0.path().join("three")).iter().step_by(2) {
        fs::remove_file(scratch.0.path().join("three").join(name)).expect("it was written");
    }
    fs::write(scratch.0.path().join("three/.x.jsonl.1.part"), "{\"record\":").expect("it can be written");
    for (variable, shard) in [("0", "1/3"), ("1", "2/3"), ("2", "3/3")] {
        let options = ["run", &scenario, "--out", "three"];
        let mut command = scratch.command(&options);
        let output = command.env("JOB_COMPLETION_INDEX", variable).env("SIM_SHARDS", "3").output().expect("it runs");
        assert!(text_of(&output.stderr).contains(&format!("shard {shard}")), "{}", text_of(&output.stderr));
    }
    assert_eq!(whole, merged("three"));
}

#[test]
fn merging_refuses_other_versions_and_damaged_or_foreign_files_by_name() {
    let scratch = Scratch::new();
    let run = scratch.run("phases = [\"event\"]\n[cluster]\nnodes = 3\n", &[]);
    let other = run.to_lines().replace(results::VERSION, "0.0.1+0").replace(&run.header.cell, "00000000000000ff");
    let good = scratch.file("good.jsonl", &run.to_lines());
    let old = scratch.file("old.jsonl", &other);
    let torn = scratch.file("torn.jsonl", &run.to_lines()[..300]);
    let foreign = scratch.file("foreign.jsonl", "{\"hello\": 1}\n");
    for (paths, reason) in [
        (&[&good, &old][..], "results of different versions are not merged"),
        (&[&torn], "torn.jsonl: is truncated"),
        (&[&good, &foreign], "foreign.jsonl: is no results file of sim"),
        (&[&scratch.path("absent.jsonl")], "absent.jsonl: "),
    ] {
        let paths: Vec<&str> = paths.iter().map(|path| path.as_str()).collect();
        let output = scratch.sim(&[&["merge"], &paths[..], &["-o", "all.jsonl"]].concat());
        let stderr = text_of(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(reason) && stderr.lines().count() == 1, "{reason}: {stderr}");
        assert!(!scratch.0.path().join("all.jsonl").exists());
    }
}

#[test]
fn a_failed_assertion_is_a_finding_with_its_reason_and_code_1() {
    let scratch = Scratch::new();
    let scenario =
        scratch.file("x.toml", &(CRASHES.to_owned() + "detect_p50 = \"< 100ms\"\n").replace("crash.reached", "#"));
    for _first_and_again in 0..2 {
        let output = scratch.sim(&["run", &scenario, "--quiet"]);
        let stdout = text_of(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{stdout}");
        assert!(stdout.contains("detect_p50_s < 0.1, found "), "{stdout}");
    }
    assert!(scratch.0.path().join("results/x/data.csv").exists(), "the default directory is named after the scenario");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_keeps_what_is_done_and_asks_to_be_repeated() {
    let scratch = Scratch::new();
    let text = "for = \"100h\"\n[cluster]\nnodes = 2\n[[load]]\nkind = \"event\"\nper_second = 100\n";
    let scenario = scratch.file("long.toml", text);
    let mut child = scratch.command(&["run", &scenario, "--quiet"]).spawn().expect("it runs");
    // The directory is made when the handlers are in place.
    while !scratch.0.path().join("results/long").exists() {
        std::thread::yield_now();
    }
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(kill.expect("kill is in POSIX").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(3));
    assert_eq!(contents(&scratch.0.path().join("results/long")), []);
}

#[test]
fn nonsense_in_a_scenario_is_one_line_with_its_place_and_nothing_runs() {
    let scratch = Scratch::new();
    let timeline = "for = \"1m\"\n[cluster]\nnodes = 10\n[[group]]\nname = \"eu\"\nshare = 0.5\n";
    let fault = |keys: &str| format!("{timeline}[[fault]]\nat = \"5s\"\n{keys}\n");
    for (text, error) in [
        (String::new(), "x.toml: the scenario does nothing"),
        ("phases = [\"crsh\"]\n".into(), "x.toml:1: phases: there is no phase \"crsh\"; did you mean crash?"),
        ("phases = [\"idle\"]\n".into(), "x.toml:1: phases: phase idle needs phase.idle"),
        ("phases = [\"crash\"]\nfor = \"5s\"\n".into(), "x.toml:2: for: is of a timeline"),
        (
            "for = \"10ms\"\n[[load]]\nkind = \"event\"\nper_second = 1\n".into(),
            "x.toml:1: for: a timeline lasts at least 1s",
        ),
        ("phases = [\"crash\"]\n[cluster]\nnodes = 0\n".into(), "x.toml:3: cluster.nodes: expected 1 to"),
        (
            "phases = [\"crash\"]\n[network]\nlatency = \"0..5ms\"\n".into(),
            "x.toml:3: network.latency: the minimum latency must be above zero",
        ),
        (
            "name = \"../x\"\nphases = [\"crash\"]\n".into(),
            "x.toml:1: name: \"../x\" cannot be the name of a directory",
        ),
        (
            "phases = [\"crash\"]\n[[group]]\nname = \"eu\"\nshare = 0.5\nstart_at = \"5s\"\n".into(),
            "x.toml:1: phases: no group starts later in phases",
        ),
        (
            "phases = [\"crash\"]\n[assert]\nfalse_failures = true\n".into(),
            "x.toml:3: assert.false_failures: expected a number",
        ),
        ("phases = [\"crash\"]\n[network]\nmtu = 500\n".into(), "x.toml:3: network.mtu: must be from 576 to 65535"),
        (
            "phases = [\"crash\"]\n[settings]\ngosip_nodes = 4\n".into(),
            "x.toml:3: settings.gosip_nodes: unknown option; did you mean gossip_nodes?",
        ),
        ("phases = [\"crash\"]\n[settings]\nprobe_timeout = \"5s\"\n".into(), "x.toml:2: settings: "),
        (
            "phases = [\"crash\"]\n[settings]\nagent_config = \"absent.json\"\n".into(),
            "x.toml:3: settings.agent_config: ",
        ),
        (
            fault("kind = \"crash\"\ngroup = \"ue\""),
            "x.toml:10: fault.0.group: there is no group \"ue\"; did you mean eu?",
        ),
        (fault("kind = \"crash\""), "x.toml:7: fault.0: says not which nodes it hits"),
        (fault("kind = \"crash\"\nnodes = 11"), "x.toml:10: fault.0.nodes: there are only 10 nodes"),
        (
            fault("kind = \"crash\"\nnodes = 1\nfor = \"5s\""),
            "x.toml:11: fault.0.for: a fault of kind crash has no such key",
        ),
        (fault("kind = \"stall\"\nnodes = 1"), "x.toml:7: fault.0: for is missing"),
        (fault("kind = \"slow\"\nnodes = 1"), "x.toml:7: fault.0: input_cost is missing"),
        (fault("kind = \"link\"\nfrom = \"eu\""), "x.toml:7: fault.0: has no effect"),
        (fault("kind = \"partition\"\nshare = 1"), "x.toml:7: fault.0: no node would be left"),
        (
            fault(
                "kind = \"partition\"\ngroup = \"eu\"\nfor = \"20s\"\n[[fault]]\nat = \"20s\"\nkind = \"partition\"\nnodes = 1",
            ),
            "x.toml:12: fault.1: overlaps with the partition fault.0",
        ),
        (
            fault(
                "kind = \"clock\"\nnodes = 1\n[[fault]]\nat = \"20s\"\nkind = \"clock\"\ngroup = \"eu\"\njump = \"1s\"",
            ),
            "x.toml:11: fault.1: overlaps with the clock fault.0",
        ),
        (fault("kind = \"clock\"\nnodes = 1\njump = \"0s\""), "x.toml:11: fault.0.jump: must be above zero"),
        (
            fault("kind = \"stall\"\nnodes = 1\nfor = \"5s\"\njump = \"1s\""),
            "x.toml:12: fault.0.jump: a fault of kind stall has no such key",
        ),
        (
            fault("kind = \"crash\"\nnodes = 1").replace("at = \"5s\"", "at = \"2m\""),
            "x.toml:8: fault.0.at: is not before the end",
        ),
        (
            format!("{timeline}[[load]]\nkind = \"event\"\nper_second = 0\n"),
            "x.toml:9: load.0.per_second: must be above 0",
        ),
        (
            format!("{timeline}[[load]]\nkind = \"event\"\nper_second = 1\nbytes = 5000\n"),
            "x.toml:10: load.0.bytes: must be from 8 to",
        ),
        (format!("{timeline}[assert]\ndetekt_p99 = \"< 3s\"\n"), "x.toml:8: assert.detekt_p99: there is no metric"),
        (
            format!("{timeline}[assert]\nfalse_failures = \"none\"\n"),
            "x.toml:8: assert.false_failures: \"none\" is no comparison",
        ),
        (format!("{timeline}[assert]\ndetect_p99 = \"< 20\"\n"), "x.toml:8: assert.detect_p99: \"20\" has no unit"),
        (
            format!("{timeline}[assert.crash]\nfirst = \"< 3s\"\n"),
            "x.toml:7: assert.crash: there is no phase or fault \"crash\"",
        ),
        (
            format!("{timeline}[[group]]\nname = \"us\"\nshare = 0.6\n"),
            "x.toml:7: group.1: the groups have 11 nodes or more, the cluster has 10",
        ),
        (
            format!("{timeline}[[group]]\nname = \"eu\"\nnodes = 1\n"),
            "x.toml:8: group.1.name: two groups are named \"eu\"",
        ),
        (
            format!("{timeline}[[network.between]]\nfrom = \"eu\"\nto = \"asia\"\n"),
            "x.toml:9: network.between.0.to: there is no group \"asia\"",
        ),
        ("phases = [\"crash\"]\n[cluster]\nnodes = 1000000\n".into(), "x.toml"),
    ] {
        scratch.file("x.toml", &text);
        let output = scratch.sim(&["run", "x.toml"]);
        let stderr = text_of(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}{stderr}");
        if !text.contains("1000000") {
            assert!(stderr.starts_with(&format!("sim: {error}")), "{text}\n expected {error}\n    found {stderr}");
        }
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(output.stdout.is_empty() && !scratch.0.path().join("results").exists(), "{text}");
    }
    for (options, error) in [
        (&["run", "absent.toml"][..], "sim: absent.toml: "),
        (&["run", "crahs"], "sim: there is no file and no scenario \"crahs\"; did you mean crash?"),
        (
            &["run", "crash", "--set", "cluster.nods=3"],
            "sim: --set cluster.nods: cluster.nods: unknown key; did you mean nodes?",
        ),
        (&["run", "crash", "--seeds", "9..=1"], "sim: --set seeds: seeds: "),
        (&["run", "crash", "--shard", "5/4"], "sim: "),
        (&["show", "crahs"], "sim: there is no scenario \"crahs\"; did you mean crash?"),
    ] {
        let output = scratch.sim(options);
        let stderr = text_of(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {stderr}");
        assert!(stderr.starts_with(error) && stderr.lines().count() == 1, "{options:?}: {stderr}");
    }
}

#[test]
fn the_example_and_every_shipped_scenario_can_be_listed_shown_and_planned() {
    let scratch = Scratch::new();
    assert_eq!(scratch.sim(&["init"]).status.code(), Some(0));
    assert_eq!(scratch.sim(&["init"]).status.code(), Some(2), "it is not overwritten");
    let output = scratch.sim(&["run", "scenario.toml", "--plan"]);
    assert_eq!(text_of(&output.stdout).lines().count(), 6, "two losses with three seeds: {}", text_of(&output.stdout));
    let list = text_of(&scratch.sim(&["list"]).stdout);
    for phase in sim::Phase::all() {
        assert!(list.lines().any(|line| line.starts_with(phase.name())), "{} is missing: {list}", phase.name());
    }
    for name in list.lines().filter_map(|line| line.split_whitespace().next()) {
        assert!(text_of(&scratch.sim(&["show", name]).stdout).contains("about = "), "{name}");
        assert_eq!(scratch.sim(&["run", name, "--plan", "--force"]).status.code(), Some(0), "{name}");
    }
    let schema: serde_json::Value = serde_json::from_slice(&scratch.sim(&["schema"]).stdout).expect("it is JSON");
    assert!(schema["properties"]["fault"].is_object(), "{schema}");
}

#[test]
fn a_partition_of_two_regions_is_seen_and_heals_and_latency_depends_on_the_region() {
    let scratch = Scratch::new();
    let text = r#"
for = "4m"
[cluster]
nodes = 20
[[group]]
name = "eu"
nodes = 10
[[network.between]]
from = "eu"
to = "rest"
latency = "300ms"
[settings]
probe_timeout = "700ms"
[[fault]]
kind = "partition"
at = "20s"
for = "60s"
group = "eu"
[[load]]
kind = "event"
per_second = 1
until = "15s"
[assert]
wrong_views = 0
false_failures = 0
"#;
    let run = scratch.run(text, &[]);
    assert!(value(&run, "event_max_s") > 0.3, "no event crosses sooner: {}", value(&run, "event_max_s"));
    assert!(value(&run, "true_failures_count") >= 150.0, "each side declared the other failed");
    let converged = run.metric("partition", "converged_s").expect("it heals");
    assert!((61.0..200.0).contains(&converged), "{converged}");
}

#[test]
fn a_slow_processor_delays_its_node_and_an_overloaded_one_is_suspected() {
    let scratch = Scratch::new();
    let text = |cost: &str| {
        format!(
            "for = \"60s\"\n[cluster]\nnodes = 30\n[[group]]\nname = \"weak\"\nnodes = 3\n\
             [[fault]]\nkind = \"slow\"\nat = \"1s\"\ngroup = \"weak\"\ninput_cost = \"{cost}\"\n"
        )
    };
    let suspicions = |cost: &str| value(&scratch.run(&text(cost), &[]), "false_suspicions_count");
    assert_eq!(suspicions("1ms"), 0.0, "a few inputs a second leave it idle");
    assert!(suspicions("900ms") > 0.0, "it cannot keep up");
}

#[test]
fn a_clock_that_stands_still_is_no_stall_of_the_process() {
    let scratch = Scratch::new();
    let text = |kind: &str| {
        format!(
            "for = \"60s\"\n[cluster]\nnodes = 30\n\
             [[fault]]\nkind = \"{kind}\"\nat = \"1s\"\nnodes = 3\nfor = \"40s\"\n"
        )
    };
    let alarms = |text: &str| {
        let run = scratch.run(text, &[]);
        (value(&run, "false_suspicions_count"), value(&run, "wrong_views_count"))
    };
    let (of_stalls, _) = alarms(&text("stall"));
    assert!(of_stalls >= 3.0 * 27.0, "a stalled process answers nothing: {of_stalls}");
    assert_eq!(alarms(&text("clock")), (0.0, 0.0), "it answers");
    assert_eq!(alarms(&format!("{}jump = \"40s\"\n", text("clock"))), (0.0, 0.0), "set right afterwards");
    let forward = text("clock").replace("for = \"40s\"", "jump = \"10s\"");
    assert_eq!(alarms(&forward), (0.0, 0.0), "all timers of ten seconds at once");
}

#[test]
fn blocked_packets_make_a_node_take_healthy_members_for_failed_and_a_stall_does_not() {
    let scratch = Scratch::new();
    let failures = |kind: &str| {
        let text = format!(
            "as = \"hashicorp\"\nfor = \"90s\"\n[cluster]\nnodes = 32\n[settings]\nlifeguard = false\n\
             [[fault]]\nkind = \"{kind}\"\nat = \"1s\"\nnodes = 4\nfor = \"60s\"\nstall = \"16384ms\"\ngap = \"64ms\"\n"
        );
        let run = scratch.run(&text, &[]);
        let is_it = |metric: &&results::Metric| {
            let of = |label: &str| metric.labels.get(label).map(String::as_str);
            metric.name == "false_failures_count" && of("of") == Some("healthy") && of("by") == Some("slow")
        };
        run.metrics().find(is_it).and_then(|metric| metric.value).unwrap_or(0.0)
    };
    assert_eq!(failures("stall"), 0.0, "the refutations are read before the suspicions end");
    assert!(failures("block") > 0.0, "the refutations wait");
}

#[test]
fn a_narrow_link_drops_what_it_cannot_queue_and_a_small_mtu_what_is_larger() {
    let scratch = Scratch::new();
    let text = "for = \"30s\"\n[cluster]\nnodes = 20\nstart = \"cold\"\n[[load]]\nkind = \"event\"\nper_second = 20\nbytes = 300\n";
    let dropped = |sets: &[&str], reason: &str| {
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        let run = scratch.run(text, &sets);
        let is_it = |metric: &&results::Metric| metric.labels.get("reason").is_some_and(|label| label == reason);
        run.metrics().find(is_it).and_then(|metric| metric.value).unwrap_or(0.0)
    };
    assert_eq!((dropped(&[], "congestion"), dropped(&[], "larger_than_mtu")), (0.0, 0.0));
    assert!(dropped(&["network.datagram_kbit=64"], "congestion") > 0.0);
    assert_eq!(dropped(&["network.datagram_kbit=100000"], "congestion"), 0.0);
    assert!(dropped(&["network.mtu=576"], "larger_than_mtu") > 0.0);
    assert_eq!(dropped(&["network.mtu=1500"], "larger_than_mtu"), 0.0);
}

#[test]
fn groups_start_later_with_options_of_their_own_and_an_agents_file_is_read() {
    let scratch = Scratch::new();
    scratch.file("serf.json", "{\"profile\": \"wan\", \"disable_coordinates\": true}");
    let text = r#"
for = "60s"
[cluster]
nodes = 12
[[group]]
name = "late"
nodes = 4
start_at = "10s"
settings = { gossip_nodes = 5 }
[settings]
agent_config = "serf.json"
[assert]
wrong_views = 0
"#;
    let run = scratch.run(text, &[]);
    let up = run.records.iter().find_map(|record| match record {
        Record::Series(series) if series.name == "nodes_up_count" => Some(series.values.clone()),
        _ => None,
    });
    let up = up.expect("it is there");
    assert_eq!((up[5], up[20]), (Some(8.0), Some(12.0)), "{up:?}");
    assert!(run.header.parameters.contains_key("settings.agent_config_digest"), "{:?}", run.header.parameters);
    let changed = scratch.run(&text.replace("gossip_nodes = 5", "gossip_nodes = 1"), &[]);
    assert_ne!(run.header.configuration, changed.header.configuration);
    assert_ne!(run.header.trace_hash, changed.header.trace_hash);
}

#[test]
fn a_cold_start_joins_though_the_first_nodes_of_the_cluster_start_later() {
    let scratch = Scratch::new();
    let text = r#"
for = "60s"
[cluster]
nodes = 12
start = "cold"
join_spread = "5s"
[[group]]
name = "late"
nodes = 4
start_at = "30s"
[assert]
wrong_views = 0
"#;
    let run = scratch.run(text, &[]);
    let converged = run.records.iter().find_map(|record| match record {
        Record::Series(series) if series.name == "converged_share" => Some(series.values.clone()),
        _ => None,
    });
    let converged = converged.expect("it is a timeline");
    assert_eq!(converged[25], Some(1.0), "the eight others are together before: {converged:?}");
}

#[test]
fn rolling_deploys_key_rotations_stalls_and_bad_links_end_with_right_views() {
    let scratch = Scratch::new();
    let text = r#"
for = "5m"
[cluster]
nodes = 16
encrypt = true
[[group]]
name = "web"
nodes = 4
[network]
burst = { loss = 0.9, for = "200ms", every = "10s" }
[[network.link]]
from = "web"
to = "rest"
delay = "20ms"
[[fault]]
kind = "rolling"
at = "5s"
group = "web"
every = "6s"
down = "1s"
[[fault]]
kind = "rotate"
at = "60s"
[[fault]]
kind = "stall"
at = "90s"
for = "8s"
nodes = 1
[[fault]]
kind = "link"
at = "110s"
for = "10s"
from = "web"
loss = 0.6
both_ways = true
[[fault]]
kind = "restart"
at = "130s"
share = 0.25
snapshot = false
[[load]]
kind = "query"
per_second = 0.5
until = "60s"
[[load]]
kind = "tags"
per_second = 0.2
[assert]
wrong_views = 0
"#;
    let run = scratch.run(text, &[]);
    assert!(value(&run, "queries_count") >= 25.0, "{}", value(&run, "queries_count"));
    assert!(value(&run, "query_answers_count") > 10.0 * 25.0);
    assert_eq!(run.metric("rolling", "victims_count"), Some(4.0));
    assert_eq!(run.metric("restart", "victims_count"), Some(4.0));
    assert!(run.is_fine());
}

/// Three zones of 50 nodes, 80 ms apart.
const ZONES: &str = r#"
[cluster]
nodes = 150
[[group]]
name = "a"
nodes = 50
tags = { zone = "a" }
[[group]]
name = "b"
nodes = 50
tags = { zone = "b" }
[[group]]
name = "c"
nodes = 50
tags = { zone = "c" }
[network]
latency = "1ms"
loss = 0.01
[[network.between]]
from = "a"
to = "b"
latency = "80ms"
[[network.between]]
from = "a"
to = "c"
latency = "80ms"
[[network.between]]
from = "b"
to = "c"
latency = "80ms"
[assert]
wrong_views = 0
"#;

/// Runs a timeline on [`ZONES`], without zones and with them.
fn with_and_without_zones(timeline: &str) -> [Results; 2] {
    let scratch = Scratch::new();
    ["", "zone"]
        .map(|tag| scratch.run(&format!("{timeline}\n{ZONES}"), &["--set", &format!("settings.zone_tag={tag}")]))
}

#[test]
fn zones_save_four_fifths_of_the_bytes_between_them_and_delay_no_detection() {
    let timeline = r#"
for = "90s"
[[fault]]
kind = "crash"
at = "10s"
nodes = 6
[[load]]
kind = "event"
per_second = 0.5
[[load]]
kind = "tags"
per_second = 0.5
"#;
    let [without, with] = with_and_without_zones(timeline);
    let ratio = |metric: &str| value(&with, metric) / value(&without, metric);
    assert!(ratio("between_groups_bytes") < 0.2, "{}", ratio("between_groups_bytes"));
    for metric in ["detect_p99_s", "detect_max_s"] {
        assert!(ratio(metric) < 1.2, "{metric}: {}", ratio(metric));
    }
    assert_eq!([&without, &with].map(|run| value(run, "event_share")), [1.0; 2]);
    assert_eq!([&without, &with].map(|run| value(run, "false_failures_count")), [0.0; 2]);
    assert!(value(&with, "event_p99_s") < value(&without, "event_p99_s") + 1.0);
}

#[test]
fn a_cut_zone_is_seen_by_both_sides_nearly_as_soon_with_zones() {
    let timeline = r#"
for = "4m"
[settings]
partition_stable_after = "15s"
[[fault]]
kind = "partition"
at = "20s"
for = "90s"
group = "c"
"#;
    let [without, with] = with_and_without_zones(timeline);
    for metric in ["reached_p99_s", "reached_p100_s"] {
        let [before, after] = [&without, &with].map(|run| run.metric("partition", metric).expect("all see it"));
        assert!(after < before * 1.2, "{metric}: {after} instead of {before}");
    }
    // Fewer members confirm or refute a suspicion during the cut: one observer in four runs of 150 nodes was wrong.
    assert_eq!(value(&without, "false_failures_count"), 0.0);
    assert!(value(&with, "false_failures_count") <= 2.0, "{}", value(&with, "false_failures_count"));
    assert!(value(&with, "zone_signals_count") >= 150.0, "every node names the zones that it has lost");
    assert_eq!(value(&without, "zone_signals_count"), 0.0);
}

/// A timeline of three groups of 20 nodes whose links are cut for two minutes as `cuts` say.
fn signals_of(cuts: &[(&str, &str)]) -> Results {
    let mut text = r#"
for = "6m"
[cluster]
nodes = 60
[[group]]
name = "a"
nodes = 20
[[group]]
name = "b"
nodes = 20
[[group]]
name = "c"
nodes = 20
[network]
loss = 0.02
[settings]
partition_stable_after = "15s"
[assert]
wrong_views = 0
false_failures = 0
"#
    .to_owned();
    for (from, to) in cuts {
        let cut = format!("from = \"{from}\"\nto = \"{to}\"\nboth_ways = true\ndrop = true\n");
        text += &format!("[[fault]]\nkind = \"link\"\nat = \"30s\"\nfor = \"2m\"\n{cut}");
    }
    Scratch::new().run(&text, &[])
}

#[test]
fn every_node_reports_a_cut_in_two_and_only_the_larger_side_has_the_majority() {
    let run = signals_of(&[("a", "b"), ("a", "c")]);
    let counts =
        ["split_signals_count", "majority_signals_count", "split_ends_count"].map(|metric| value(&run, metric));
    // Once, except where the last failures are noticed long after the others.
    assert!((60.0..66.0).contains(&counts[0]) && counts[1..] == [40.0, 60.0], "{counts:?}");
    assert!(value(&run, "split_signal_last_s") < 30.0 + 120.0, "while the cut lasts");
}

#[test]
fn every_node_reports_a_cut_in_three_and_no_side_has_the_majority() {
    let run = signals_of(&[("a", "b"), ("a", "c"), ("b", "c")]);
    let counts = ["split_signals_count", "majority_signals_count"].map(|metric| value(&run, metric));
    assert!((60.0..120.0).contains(&counts[0]) && counts[1] == 0.0, "{counts:?}");
    assert!(value(&run, "split_ends_count") >= 60.0, "the sides may come together one after the other");
}

#[test]
fn deaf_nodes_declare_no_member_failed_alone_when_three_must_accuse_it() {
    let text = r#"
for = "3m"
[cluster]
nodes = 60
[[group]]
name = "deaf"
nodes = 3
[[fault]]
kind = "link"
at = "10s"
for = "2m"
from = "rest"
to = "deaf"
drop = true
"#;
    let scratch = Scratch::new();
    let about_the_rest = |accusers: &str| {
        let run = scratch.run(text, &["--set", &format!("settings.accusers_min={accusers}")]);
        let verdicts = |name: &str, group: &str| {
            let of_group = |metric: &&results::Metric| {
                metric.name == name && metric.labels.get("group").is_some_and(|label| label == group)
            };
            run.metrics().find(of_group).and_then(|metric| metric.value).expect("there are groups")
        };
        assert_eq!(verdicts("true_failures_count", "deaf"), 57.0 * 3.0, "all others find the deaf");
        assert_eq!(value(&run, "wrong_views_count"), 0.0);
        verdicts("true_failures_count", "rest")
    };
    let [one, three] = ["1", "3"].map(about_the_rest);
    assert!(one >= 20.0 && three * 10.0 <= one, "{one} verdicts of the deaf with one accuser, {three} with three");
}
