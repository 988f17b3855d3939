//! Runs all scripts in `scripts/`. `UPDATE=1 cargo test -p serf-tests` rewrites the expectations.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serf_tests::Script;

fn scripts() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    paths
}

#[test]
fn every_story_ends_as_its_script_says() {
    let update = env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for path in scripts() {
        let name = path.file_name().unwrap().display().to_string();
        let script = Script::parse(&fs::read_to_string(&path).unwrap());
        let reports = script.play().unwrap_or_else(|error| panic!("{name}, {error}"));
        if reports == script.expected() {
            continue;
        }
        if update {
            fs::write(&path, script.with_expected(&reports)).unwrap();
        } else {
            wrong.push(format!("{name}\n{}", difference(script.expected(), &reports)));
        }
    }
    assert!(wrong.is_empty(), "UPDATE=1 takes these over:\n\n{}", wrong.join("\n"));
}

/// Formats the lines that differ, from the first difference on.
fn difference(expected: &str, found: &str) -> String {
    let same = expected.lines().zip(found.lines()).take_while(|(a, b)| a == b).count();
    let rest = |text: &str, sign: char| {
        text.lines().skip(same).take(SHOWN).map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    format!("from line {} of the expectation on:\n{}{}", same + 1, rest(expected, '-'), rest(found, '+'))
}

/// Maximum number of lines shown per side.
const SHOWN: usize = 8;

#[test]
fn there_are_stories() {
    assert!(scripts().len() >= 8);
}
