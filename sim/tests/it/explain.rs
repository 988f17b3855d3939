//! The timeline of one member.

use std::process::Output;

use crate::pages::{assert_well_formed, directory, sim, text};

fn printed(options: &[&str]) -> String {
    let Output { status, stdout, stderr } = sim(&[&["explain", "--quiet", "--loss", "0.1"], options].concat());
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("it is text")
}

#[test]
fn a_crash_is_shown_from_the_first_suspicion_to_the_last_observer() {
    let story = printed(&["--nodes", "100", "--start", "converged", "--phase", "crash"]);
    let order =
        ["stops running", "suspects it: its own probe had no answer", "declares it failed", "half of", "is the last"];
    let places: Vec<usize> =
        order.iter().map(|word| story.find(word).unwrap_or_else(|| panic!("{word}: {story}"))).collect();
    assert!(places.is_sorted(), "{story}");
    assert!(story.contains("confirmed by node-") && story.contains("by gossip from node-"), "{story}");
}

#[test]
fn every_survivor_is_counted_once_in_the_spread_of_the_news() {
    let story = printed(&["--nodes", "100", "--start", "converged", "--phase", "crash"]);
    let ways =
        story.split("How the news spread:").nth(1).expect("it has spread").split("hops").next().unwrap_or_default();
    let counts = ways.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u32>().ok());
    assert_eq!(counts.sum::<u32>(), 99, "{story}");
    let hops =
        story.split("after the first verdict\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a table");
    let counts = hops.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse::<u32>().ok());
    assert_eq!(counts.sum::<u32>(), 99, "{story}");
}

#[test]
fn a_timeline_changes_no_trace_and_does_not_depend_on_threads() {
    let options = ["--nodes", "60", "--phase", "crash,leave"];
    let one = printed(&[&options[..], &["--threads", "1"]].concat());
    assert_eq!(one, printed(&[&options[..], &["--threads", "3"]].concat()));
    let Output { stdout, .. } = sim(&[&options[..], &["--quiet", "--loss", "0.1"]].concat());
    let plain = String::from_utf8_lossy(&stdout);
    assert_eq!(one.lines().last(), plain.lines().last(), "seed and trace hash");
}

#[test]
fn a_leave_is_shown_with_the_way_of_the_news() {
    let story = printed(&["--nodes", "60", "--start", "converged", "--phase", "leave"]);
    for word in ["begins to leave", "marks it left: heard by gossip from", "the way of that news"] {
        assert!(story.contains(word), "{word}: {story}");
    }
}

#[test]
fn a_member_that_is_well_has_no_story() {
    let story = printed(&["--nodes", "20", "--member", "3", "--start", "converged", "--phase", "event"]);
    assert!(story.contains("no node suspected it"), "{story}");
    let Output { status, stderr, .. } = sim(&["explain", "--nodes", "20", "--member", "20"]);
    assert_eq!(status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&stderr), "sim: --member 20: nodes are numbered from 0 to 19\n");
}

#[test]
fn the_page_of_a_run_tells_the_story_of_the_first_victim() {
    let path = directory("story").join("run.html");
    let file = path.to_str().expect("the path is text");
    assert!(sim(&["--nodes", "60", "--loss", "0.1", "--quiet", "--phase", "crash", "--report", file]).status.success());
    let page = text(&path);
    assert_well_formed(&page);
    assert!(
        page.contains("Timeline of one member") && page.contains("stops running") && page.contains("hold it for gone")
    );
}
