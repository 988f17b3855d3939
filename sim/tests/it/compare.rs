//! Comparisons and pages of several runs.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::pages::{assert_well_formed, directory, sim, text};

/// Runs a small cluster with several seeds and writes the results.
fn results(directory: &Path, seeds: core::ops::RangeInclusive<u32>, options: &[&str]) {
    for seed in seeds {
        let (seed, directory) = (seed.to_string(), directory.to_str().expect("the path is text"));
        let fixed =
            ["--start", "converged", "--phase", "event,crash", "--quiet", "--seed", &seed, "--results", directory];
        let Output { status, stderr, .. } = sim(&[&fixed[..], options].concat());
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    }
}

fn compare(first: &Path, second: &Path, options: &[&str]) -> (Option<i32>, serde_json::Value) {
    let paths = [first, second].map(|path| path.to_str().expect("the path is text"));
    let Output { status, stdout, stderr } = sim(&[&["compare", "--json"], &paths[..], options].concat());
    let comparison = serde_json::from_slice(&stdout);
    (status.code(), comparison.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&stderr))))
}

fn verdict(comparison: &serde_json::Value, phase: &str, metric: &str) -> String {
    let rows = comparison["rows"].as_array().expect("a list");
    let row = rows.iter().find(|row| row["phase"] == phase && row["metric"] == metric);
    row.unwrap_or_else(|| panic!("{phase} {metric}: {comparison}"))["verdict"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_slower_profile_is_worse_and_the_exit_code_says_so() {
    let directory = directory("compare-profiles");
    let (lan, wan) = (directory.join("lan"), directory.join("wan"));
    results(&lan, 1..=8, &["--nodes", "30"]);
    results(&wan, 1..=8, &["--nodes", "30", "--profile", "wan"]);
    let (code, comparison) = compare(&lan, &wan, &[]);
    assert_eq!(code, Some(1), "{comparison}");
    assert_eq!(comparison["pairs"], 8);
    assert_eq!(verdict(&comparison, "crash", "reached_p99_s"), "worse");
    assert_eq!(verdict(&comparison, "crash", "false_failures_count"), "no difference seen");
    let (code, comparison) = compare(&wan, &lan, &["--metric", "crash/reached"]);
    assert_eq!(code, Some(0), "{comparison}");
    assert_eq!(verdict(&comparison, "crash", "reached_p99_s"), "better");
    assert!(comparison["rows"].as_array().is_some_and(|rows| rows.iter().all(|row| row["phase"] == "crash")));
}

#[test]
fn equal_results_show_no_difference() {
    let directory = directory("compare-equal");
    results(&directory, 1..=6, &["--nodes", "20"]);
    let (code, comparison) = compare(&directory, &directory, &[]);
    assert_eq!(code, Some(0));
    let rows = comparison["rows"].as_array().expect("a list");
    assert!(rows.len() > 5 && rows.iter().all(|row| row["verdict"] == "no difference seen"), "{comparison}");
}

#[test]
fn results_without_a_common_seed_and_foreign_files_are_refused() {
    let directory = directory("compare-refused");
    let (one, other) = (directory.join("one"), directory.join("other"));
    results(&one, 1..=1, &["--nodes", "10"]);
    results(&other, 2..=2, &["--nodes", "10"]);
    fs::write(directory.join("foreign.jsonl"), "hello\n").expect("the directory is writable");
    fs::create_dir_all(directory.join("empty")).expect("the directory is writable");
    for (first, second, reason) in [
        (&one, &other, "no seed in common"),
        (&one, &directory.join("foreign.jsonl"), "is no results file"),
        (&directory.join("empty"), &one, "holds no results"),
        (&one, &directory.join("missing"), "No such file"),
    ] {
        let paths = [first, second].map(|path| path.to_str().expect("the path is text"));
        let Output { status, stderr, .. } = sim(&["compare", paths[0], paths[1]]);
        let stderr = String::from_utf8_lossy(&stderr);
        assert_eq!((status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains(reason), "{reason}: {stderr}");
    }
}

#[test]
fn the_page_of_a_sweep_does_not_depend_on_the_order_or_place_of_its_files() {
    let directory = directory("page-sweep");
    let all = directory.join("all");
    for loss in ["0", "0.1", "0.2"] {
        for nodes in ["10", "15", "20"] {
            results(&all, 1..=2, &["--nodes", nodes, "--loss", loss]);
        }
    }
    // The same files in two directories, and one of them in both.
    let (a, b) = (directory.join("a"), directory.join("b"));
    [&a, &b].iter().for_each(|path| fs::create_dir_all(path).expect("the directory is writable"));
    let files = fs::read_dir(&all).expect("it was written").map(|entry| entry.expect("an entry").path());
    for (n, file) in files.enumerate() {
        let name = file.file_name().expect("a file has a name");
        let into = if n % 2 == 0 { [&a].to_vec() } else { [&a, &b].into_iter().skip(usize::from(n > 1)).collect() };
        into.iter().for_each(|to| _ = fs::copy(&file, to.join(name)).expect("the directory is writable"));
    }
    let page = |paths: &[&Path], name: &str| {
        let output = directory.join(name);
        let mut arguments = vec!["report", "-o", output.to_str().expect("the path is text")];
        arguments.extend(paths.iter().map(|path| path.to_str().expect("the path is text")));
        let Output { status, stderr, .. } = sim(&arguments);
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        // The command itself differs.
        text(&output).split_once("</pre>").expect("the command is on top").1.to_owned()
    };
    let one = page(&[&all], "one.html");
    assert_eq!(one, page(&[&b, &a], "two.html"));
    assert!(one.contains("9 settings") || one.contains("loss 0.2, nodes 20"), "settings are named");
    assert!(one.contains("fill-opacity"), "two parameters of three values give heat maps");
    assert_well_formed(&text(&directory.join("one.html")));
}

#[test]
fn a_vega_specification_holds_the_metrics_of_all_runs() {
    let directory = directory("vega");
    let all = directory.join("all");
    ["0", "0.1"].iter().for_each(|loss| results(&all, 1..=2, &["--nodes", "10", "--loss", loss]));
    let (page, vega) = (directory.join("page.html"), directory.join("chart.json"));
    let paths = [&all, &page, &vega].map(|path| path.to_str().expect("the path is text"));
    assert!(sim(&["report", paths[0], "-o", paths[1], "--vega", paths[2]]).status.success());
    let spec: serde_json::Value = serde_json::from_str(&text(&vega)).expect("it is JSON");
    let values = spec["data"]["values"].as_array().expect("a list");
    let chosen = values.iter().filter(|row| row["phase"] == "event" && row["metric"] == "reached_p99_s");
    assert_eq!(chosen.filter(|row| row["value"].is_f64() && row["loss"].is_number()).count(), 4, "{values:?}");
    assert_eq!(spec["layer"][1]["encoding"]["x"]["field"], "loss");
}

#[test]
fn a_scenario_writes_its_page_and_a_chart_of_its_results() {
    let directory = directory("run-report");
    let [results, page, chart] = ["results", "page.html", "chart.svg"]
        .map(|name| directory.join(name).to_str().expect("the path is text").to_owned());
    let run =
        ["run", "detection", "--set", "cluster.nodes=20,30", "--set", "network.loss=0,10%", "--seeds", "2", "--quiet"];
    let Output { status, stderr, .. } = sim(&[&run[..], &["--out", &results, "--report", &page]].concat());
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let written = text(&directory.join("page.html"));
    assert_well_formed(&written);
    for word in [
        "Effect of the parameters",
        "nodes 30, loss 10%",
        "Views that were right",
        "detection, 99 %",
        "Detection: from a crash",
    ] {
        assert!(written.contains(word), "{word}");
    }
    assert!(sim(&["report", &results, "--picture", &chart, "--metric", "detect_p99_s"]).status.success());
    let svg = text(&directory.join("chart.svg"));
    assert_well_formed(&svg);
    assert!(svg.contains("detection, 99 %") && svg.contains("cluster.nodes"), "{svg}");
    let Output { status, stderr, .. } = sim(&["report", &results, "--picture", &chart, "--metric", "no_such_s"]);
    assert_eq!(status.code(), Some(2));
    assert!(String::from_utf8_lossy(&stderr).contains("no metric of that name"));
}
