//! Results files of the simulator.

use std::path::Path;

use sim::internals;
use sim::results::{parse, sort};

/// Parses a results file: what was read is written and read again the same, and can be merged, compared and reported.
pub fn results(data: &[u8]) {
    let path = Path::new("results.jsonl");
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(mut runs) = parse(text, path).inspect_err(|error| assert!(error.to_string().starts_with("results.jsonl")))
    else {
        return;
    };
    let again: String = runs.iter().map(sim::results::Results::to_lines).collect();
    assert_eq!(parse(&again, path).ok().as_ref(), Some(&runs));
    sort(&mut runs);
    _ = internals::compare(&runs, &runs);
    let (page, specification) = internals::report(&runs);
    // Text of the runs is escaped: no element of the page runs a program or loads anything.
    for element in ["<script", "<img", "<iframe"] {
        assert!(!page.contains(element), "{element}");
    }
    assert!(serde_json::from_str::<serde::de::IgnoredAny>(&specification).is_ok(), "{specification}");
}
