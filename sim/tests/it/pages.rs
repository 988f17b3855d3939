//! Pages and pictures of a run.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

pub(crate) fn sim(options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(options).output().expect("the program is built for this test")
}

/// A directory of one test, empty at its start.
pub(crate) fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _was_not_there = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("the target directory is writable");
    path
}

pub(crate) fn text(path: &PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Checks that every element is closed in order, and that no identifier is used twice.
pub(crate) fn assert_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut ids: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.split([' ', '/', '\n']).next().unwrap_or_default();
        if let Some(id) = tag.split(" id=\"").nth(1).and_then(|rest| rest.split('"').next()) {
            assert!(!ids.contains(&id), "{id} twice");
            ids.push(id);
        }
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "{tag}");
        } else if !tag.starts_with('!') && !tag.ends_with('/') && name != "meta" {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    for reference in page.split("aria-labelledby=\"").skip(1) {
        for id in reference.split('"').next().unwrap_or_default().split(' ') {
            assert!(ids.contains(&id), "{id} is not there");
        }
    }
}

#[test]
fn a_page_is_complete_and_needs_nothing_from_elsewhere() {
    let path = directory("page").join("run.html");
    let file = path.to_str().expect("the path is text");
    let Output { status, stdout, .. } = sim(&["--nodes", "40", "--loss", "0.1", "--quiet", "--report", file]);
    assert!(status.success());
    let page = text(&path);
    assert_well_formed(&page);
    for word in ["http://", "https://", "<script", "src=", "@import", "url("] {
        assert!(!page.replace("http://www.w3.org/2000/svg", "").contains(word), "{word}");
    }
    let summary = String::from_utf8_lossy(&stdout);
    let hash =
        summary.lines().last().and_then(|line| line.rsplit(' ').next()).expect("the last line ends with the hash");
    for word in [hash, "--nodes 40 --loss 0.1", "seed 1", "simulator 0.", "prefers-color-scheme:dark", "@media print"] {
        assert!(page.contains(word), "{word}");
    }
    for phase in ["join", "event", "crash", "leave", "rejoin"] {
        assert!(page.contains(&format!("<th scope=\"row\">{phase}</th>")), "{phase}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("<desc").count(), "every chart has a description");
}

#[test]
fn the_numbers_of_the_page_are_those_of_the_report() {
    let directory = directory("page-numbers");
    let path = directory.join("run.html");
    let file = path.to_str().expect("the path is text");
    let Output { stdout, .. } = sim(&["--nodes", "60", "--json", "--quiet", "--phase", "crash", "--report", file]);
    let report: serde_json::Value = serde_json::from_slice(&stdout).expect("it is JSON");
    let crash = &report["phases"][1];
    let p99 = crash["reached_s"]["p99"].as_f64().expect("all noticed");
    let shown = format!("<td>{}</td>", format_args!("{p99:.1} s")).replace(".0 s", " s");
    let page = text(&path);
    assert!(page.contains(&shown), "{shown}");
    assert!(page.contains("crash: first and last observer"));
}

#[test]
fn the_page_is_the_same_for_any_number_of_threads() {
    let directory = directory("page-threads");
    let page = |threads: &str| {
        let path = directory.join("run.html");
        let file = path.to_str().expect("the path is text");
        assert!(sim(&["--nodes", "40", "--quiet", "--threads", threads, "--report", file]).status.success());
        text(&path).replace(&format!("--threads {threads}"), "")
    };
    assert_eq!(page("1"), page("3"));
}

#[test]
fn a_picture_of_a_run_stands_alone_and_is_small() {
    let path = directory("picture").join("run.svg");
    let file = path.to_str().expect("the path is text");
    assert!(sim(&["--nodes", "60", "--loss", "0.1", "--quiet", "--picture", file]).status.success());
    let svg = text(&path);
    assert_well_formed(&svg);
    assert!(svg.starts_with("<svg xmlns=") && svg.contains("<style>") && svg.contains("prefers-color-scheme"));
    for phase in ["join", "event", "crash", "leave", "rejoin"] {
        assert!(svg.contains(&format!(">{phase}</text>")), "{phase}");
    }
    assert!(svg.len() < 40_000, "{} bytes", svg.len());
}

#[test]
fn a_page_that_cannot_be_written_is_refused_before_the_run() {
    for option in ["--report", "--picture"] {
        let Output { status, stdout, stderr } = sim(&["--nodes", "1000", option, "/no/such/directory/x"]);
        assert_eq!(status.code(), Some(2));
        assert_eq!(String::from_utf8_lossy(&stderr), "sim: /no/such/directory: there is no such directory\n");
        assert!(stdout.is_empty());
    }
}
