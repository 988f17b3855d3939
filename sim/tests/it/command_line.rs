//! The command line: invalid options are refused in one line, valid ones run.

use std::process::{Command, Output};

fn sim(options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(options).output().expect("the program is built for this test")
}

#[test]
fn nonsense_is_refused_in_one_line_and_with_code_2() {
    for options in [
        &["--nodes", "0"][..],
        &["--nodes", "many"],
        &["--nodes", "1048576"],
        &["--loss", "1.5"],
        &["--loss", "-0.1"],
        &["--latency", "5ms..1ms"],
        &["--latency", "0..1ms"],
        &["--latency", "5"],
        &["--loss", "101%"],
        &["--seeds", "3"],
        &["--phase", "sleep"],
        &["--phase", "idle"],
        &["--profile", "moon"],
        &["--trace", "1000"],
        &["--threads", "0"],
        &["--bandwidth", "0"],
        &["--crash-fraction", "0"],
        &["--no-such-option"],
        &["nonsense"],
        &["--slow-fraction", "0"],
        &["--geometry", "far"],
        &["--flap-count", "0"],
        &["chaos", "--nodes", "1..4"],
        &["chaos", "--seeds", "0"],
        &["chaos", "--hostile", "kind"],
        &["chaos", "--shard", "3/2"],
        &["chaos", "--for", "long"],
        &["chaos", "--repeat", "no-such-file.json"],
        &["chaos", "--repeat", "world.json", "--swarm"],
        &["strikes", "--rounds", "0"],
    ] {
        let Output { status, stdout, stderr } = sim(options);
        let stderr = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(2), "{options:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{options:?}: {stderr}");
        assert!(stderr.starts_with("sim: ") && stderr.len() > 20, "{options:?}: {stderr}");
        assert!(stdout.is_empty(), "{options:?}");
    }
}

#[test]
fn a_small_run_reports_every_phase_and_its_trace_hash() {
    let Output { status, stdout, .. } = sim(&["--nodes", "20", "--quiet"]);
    let stdout = String::from_utf8_lossy(&stdout);
    assert!(status.success(), "{stdout}");
    for word in ["join", "event", "crash", "leave", "rejoin", "trace hash", "crash detection latency"] {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
}

#[test]
fn the_json_report_has_stable_keys() {
    let Output { status, stdout, stderr } = sim(&["--nodes", "20", "--json", "--phase", "event", "--idle", "5s"]);
    assert!(status.success());
    assert!(stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    let report: serde_json::Value = serde_json::from_slice(&stdout).expect("it is JSON");
    assert_eq!(report["setup"]["nodes"], 20);
    let phases: Vec<&str> =
        report["phases"].as_array().expect("a list").iter().filter_map(|phase| phase["phase"].as_str()).collect();
    assert_eq!(phases, ["join", "event", "idle"], "a cold start needs join");
    assert_eq!(report["phases"][0]["outcome"]["outcome"], "done");
    assert!(report["phases"][1]["reached_s"]["p99"].is_f64());
    assert!(report["phases"][2]["datagrams_per_node_second"]["mean"].as_f64() > Some(1.0));
    assert_eq!(report["trace_hash"].as_str().map(str::len), Some(16));
}

#[test]
fn shares_in_percent_and_one_latency_are_understood() {
    let Output { status, stdout, .. } =
        sim(&["--nodes", "5", "--loss", "5%", "--latency", "150ms", "--phase", "join", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&stdout).expect("it is JSON");
    assert!(status.success());
    let setup = &report["setup"];
    assert_eq!(
        (&setup["loss"], &setup["latency_min_s"], &setup["latency_max_s"]),
        (&0.05.into(), &0.15.into(), &0.15.into())
    );
}

#[test]
fn an_unknown_option_is_answered_with_the_nearest_one() {
    let Output { stderr, .. } = sim(&["--sede", "3"]);
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(stderr.contains("'--seed'"), "{stderr}");
}

#[test]
fn the_restart_row_has_the_times_of_its_goal() {
    let Output { stdout, .. } = sim(&["--nodes", "20", "--start", "converged", "--phase", "restart", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&stdout).expect("it is JSON");
    let phase = &report["phases"][0];
    let step = &phase["steps"][2];
    assert_eq!(step["step"], "return", "{phase}");
    for key in ["goal", "reached_s", "total", "done"] {
        assert_eq!(phase[key], step[key], "{key}");
    }
    assert_ne!(phase["reached_s"], phase["steps"][3]["reached_s"]);
}

#[test]
fn a_phase_cut_off_by_max_virtual_fails_the_run() {
    let Output { status, stdout, .. } = sim(&["--nodes", "20", "--max-virtual", "2s", "--quiet"]);
    let stdout = String::from_utf8_lossy(&stdout);
    assert_eq!(status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("Reached the time limit during join"), "{stdout}");
    let options = ["--nodes", "5", "--start", "converged", "--phase", "idle", "--idle", "9s", "--max-virtual", "2s"];
    assert!(sim(&options).status.success(), "an idle phase has nothing to reach");
}

#[test]
fn the_json_report_says_how_to_repeat_the_run() {
    let options =
        ["--nodes", "5", "--phase", "crash", "--crash-fraction", "20%", "--label", "dc1", "--bandwidth", "10"];
    let Output { stdout, .. } = sim(&[&options[..], &["--json"]].concat());
    let report: serde_json::Value = serde_json::from_slice(&stdout).expect("it is JSON");
    let setup = &report["setup"];
    assert_eq!(setup["phase_settings"]["crash_share"], 0.2, "{setup}");
    assert_eq!(setup["phase_settings"]["slow_by_s"], 16.0);
    assert_eq!((&setup["label"], &setup["bandwidth_mbit_per_s"]), (&"dc1".into(), &10.into()));
    assert_eq!(setup["version"], sim::results::VERSION);
}

#[test]
fn a_trace_shows_what_goes_in_and_out_of_one_node() {
    let Output { status, stderr, .. } = sim(&["--nodes", "5", "--quiet", "--trace", "2", "--phase", "join"]);
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success());
    assert!(stderr.lines().all(|line| line.contains(" node-00002 ")), "{stderr}");
    for word in ["start", "<- datagram from node-", "-> datagram to node-", "-> member-join node-00001"] {
        assert!(stderr.contains(word), "{word}: {stderr}");
    }
}

#[test]
fn the_list_names_every_phase_and_order() {
    let Output { status, stdout, .. } = sim(&["--list"]);
    let stdout = String::from_utf8_lossy(&stdout);
    assert!(status.success());
    for word in sim::Phase::all().iter().map(|phase| phase.name()).chain(["sim chaos", "sim bench", "--loss"]) {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
    let Output { stdout: help, .. } = sim(&["--help"]);
    let help = String::from_utf8_lossy(&help);
    for option in sim::Phase::all().iter().flat_map(|phase| phase.options().split_whitespace()) {
        assert!(help.contains(option), "the list names {option}, the help does not");
    }
}

#[test]
fn steps_and_their_figures_are_in_the_report_and_in_its_json() {
    let options = ["--nodes", "20", "--start", "converged", "--phase", "rotate,flap", "--flap-count", "1", "--quiet"];
    let Output { status, stdout, .. } = sim(&options);
    let stdout = String::from_utf8_lossy(&stdout);
    assert!(status.success(), "{stdout}");
    for word in ["The steps of flap", "The steps of rotate", "install", "rounds of asking", "incarnation max"] {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
    let Output { stdout, .. } = sim(&[&options[..], &["--json"]].concat());
    let report: serde_json::Value = serde_json::from_slice(&stdout).expect("it is JSON");
    assert_eq!(report["setup"]["encrypted"], true, "rotate encrypts");
    assert_eq!(report["phases"][0]["steps"][0]["step"], "flap");
    assert_eq!(report["phases"][0]["steps"][0]["figures"]["flapping_nodes"], 1.0);
    assert_eq!(report["phases"][1]["steps"][3]["done"], 20 * 30);
}

#[test]
fn chaos_reports_the_faults_of_its_worlds() {
    let Output { status, stdout, .. } = sim(&["chaos", "--seeds", "3", "--nodes", "4..12", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&stdout).expect("it is JSON");
    assert!(status.success(), "{report}");
    assert_eq!((&report["seeds"], report["failed"].as_array().map(Vec::len)), (&serde_json::json!(3), Some(0)));
    assert!(report["faults"].as_object().is_some_and(|faults| faults.len() > 5), "{report}");
}

#[test]
fn shards_of_a_campaign_run_each_seed_once_and_a_campaign_ends_by_time() {
    let run = |more: &[&str]| -> serde_json::Value {
        let Output { stdout, .. } =
            sim(&[&["chaos", "--seeds", "6", "--nodes", "3..6", "--faults-for", "30s", "--json"][..], more].concat());
        serde_json::from_slice(&stdout).expect("it is JSON")
    };
    let all = run(&[]);
    let shards = ["1/3", "2/3", "3/3"].map(|shard| run(&["--shard", shard]));
    for key in ["worlds", "nodes", "suspicions"] {
        let sum: u64 = shards.iter().map(|shard| shard[key].as_u64().expect("a number")).sum();
        assert_eq!(all[key], sum, "{key}");
    }
    assert!(shards.iter().all(|shard| shard["worlds"] == 2), "{shards:?}");
    assert_eq!(run(&["--for", "0"])["worlds"], 0);
}

#[test]
fn a_world_that_fails_is_shrunk_to_a_file_that_repeats_it() {
    let scratch = tempfile::tempdir().expect("can be made");
    let directory = scratch.path().join("shrunk");
    let at = directory.to_str().expect("a temporary directory has a plain name");
    let sight = "a datagram was cut off by a partition";
    let Output { status, stdout, .. } =
        sim(&["chaos", "--seeds", "2", "--nodes", "4..6", "--reject", sight, "--hostile", "never", "--shrink", at]);
    let stdout = String::from_utf8_lossy(&stdout);
    assert_eq!(status.code(), Some(1), "{stdout}");
    let file =
        std::fs::read_dir(&directory).expect("it was written").next().expect("a world failed").expect("a file").path();
    let Output { status, stdout, .. } = sim(&["chaos", "--repeat", file.to_str().expect("a plain name")]);
    let stdout = String::from_utf8_lossy(&stdout);
    assert!(status.code() == Some(1) && stdout.contains(sight) && stdout.contains("Faults: 1 cuts\n"), "{stdout}");
}

#[test]
fn help_explains_every_option() {
    let Output { status, stdout, .. } = sim(&["--help"]);
    let stdout = String::from_utf8_lossy(&stdout);
    assert!(status.success());
    for option in ["--nodes", "--loss", "--latency", "--trace", "--json", "--phase", "--max-virtual", "bench"] {
        assert!(stdout.contains(option), "{option}");
    }
}

#[test]
fn an_encrypted_compressed_and_labelled_cluster_does_all_that_a_plain_one_does() {
    let Output { status, stdout, stderr } =
        sim(&["--nodes", "20", "--json", "--encrypt", "--compress", "--label", "dc1"]);
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let report: serde_json::Value = serde_json::from_slice(&stdout).expect("it is JSON");
    let outcomes = report["phases"].as_array().expect("a list").iter().map(|phase| &phase["outcome"]["outcome"]);
    assert_eq!(outcomes.filter(|outcome| *outcome == "done").count(), 5, "{report}");
}

#[test]
fn a_label_beyond_its_limit_is_refused() {
    let Output { status, stderr, .. } = sim(&["--label", &"x".repeat(256)]);
    assert_eq!(status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&stderr), "sim: label is 256, the limit is 255\n");
}
