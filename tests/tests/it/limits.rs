//! Checks that `docs/limits.md` agrees with the source.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const LIMITS: &str = "proto/src/limits.rs";

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// Returns the constants of a file, with their expressions.
fn constants(path: &str) -> BTreeMap<String, String> {
    let text = read(path);
    let declared = text.lines().filter_map(|line| line.trim_start().split_once("const "));
    declared
        .filter(|(before, _)| before.is_empty() || before.starts_with("pub"))
        .filter_map(|(_, rest)| rest.split_once(": ").zip(rest.split_once(" = ")))
        .filter_map(|((name, _), (_, value))| Some((name.to_owned(), value.strip_suffix(';')?.to_owned())))
        .collect()
}

/// Evaluator of expressions over integers and durations; durations are in milliseconds.
struct Evaluator<'a> {
    rest: &'a str,
    names: &'a BTreeMap<String, String>,
}

impl Evaluator<'_> {
    fn value(expression: &str, names: &BTreeMap<String, String>) -> Option<u64> {
        let mut evaluator = Evaluator { rest: expression, names };
        let value = evaluator.sum()?;
        let value = if evaluator.takes("<<") { value << evaluator.sum()? } else { value };
        evaluator.rest.trim().is_empty().then_some(value)
    }

    fn takes(&mut self, token: &str) -> bool {
        let found = self.rest.trim_start().strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn sum(&mut self) -> Option<u64> {
        let mut value = self.product()?;
        loop {
            if self.takes("+") {
                value += self.product()?;
            } else if self.takes("-") {
                value -= self.product()?;
            } else {
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<u64> {
        let mut value = self.operand()?;
        loop {
            if self.takes("*") {
                value *= self.operand()?;
            } else if self.takes("/") {
                value /= self.operand()?;
            } else {
                return Some(value);
            }
        }
    }

    fn operand(&mut self) -> Option<u64> {
        for (call, millis) in [("Duration::from_secs", 1000), ("Duration::from_millis", 1)] {
            if self.takes(call) {
                return Some(self.operand()? * millis);
            }
        }
        if self.takes("(") {
            let value = self.sum()?;
            let value = if self.takes("<<") { value << self.sum()? } else { value };
            return self.takes(")").then_some(value);
        }
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return word.replace('_', "").parse().ok();
        }
        Self::value(self.names.get(word)?, self.names)
    }
}

/// Parses a value in a table: a number, possibly a power of two, and its unit.
fn stated(cell: &str) -> Option<u64> {
    let end = cell.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(cell.len());
    let (number, unit) = cell.split_at(end);
    let number: String = number.split_whitespace().collect();
    let value = match number.split_once('^') {
        None => number.parse().ok()?,
        Some((_, power)) => {
            let (power, less) = power.split_once('-').unwrap_or((power, "0"));
            2_u64.pow(power.parse().ok()?) - less.parse::<u64>().ok()?
        }
    };
    let factor = match unit.split_whitespace().next() {
        Some("KiB") => 1 << 10,
        Some("MiB") => 1 << 20,
        Some("s") => 1000,
        Some("h") => 3_600_000,
        _ => 1,
    };
    Some(value * factor)
}

/// A row of the document.
struct Row {
    name: String,
    path: String,
    value: String,
    complete: bool,
}

fn rows() -> Vec<Row> {
    let text = read("docs/limits.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    let cells = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
    cells
        .map(|cells| {
            let (name, place) = cells[0].split_once('`').unwrap();
            let path = place.strip_prefix(" in `").map_or(LIMITS, |path| path.trim_end_matches('`'));
            let complete = cells.len() == 5 && cells.iter().all(|cell| !cell.is_empty());
            Row { name: name.to_owned(), path: path.to_owned(), value: cells[1].to_owned(), complete }
        })
        .collect()
}

#[test]
fn every_public_bound_is_in_the_document_once() {
    let rows = rows();
    for name in constants(LIMITS).keys() {
        let found = rows.iter().filter(|row| row.path == LIMITS && row.name == *name).count();
        assert_eq!(found, 1, "rows of {name} in docs/limits.md");
    }
}

#[test]
fn every_bound_in_the_document_has_the_value_of_the_source() {
    let rows = rows();
    assert!(rows.len() > 100, "the tables are found");
    for Row { name, path, value, complete } in rows {
        assert!(complete, "the row of {name} in {path} has five cells");
        let mut names = constants(LIMITS);
        names.extend(constants(&path));
        let expression = names.get(&name).unwrap_or_else(|| panic!("{path} has no constant {name}"));
        let actual = Evaluator::value(expression, &names);
        assert!(actual.is_some(), "{name} in {path}: {expression} cannot be evaluated");
        assert_eq!(stated(&value), actual, "docs/limits.md states {value} for {name} in {path}, which is {expression}");
    }
}

#[test]
fn values_are_evaluated_as_the_compiler_does() {
    let names =
        BTreeMap::from([("A".to_owned(), "9 * 1024".to_owned()), ("B".to_owned(), "512 * (A + 96)".to_owned())]);
    for (expression, value) in [
        ("65_507", 65_507),
        ("B", 512 * (9216 + 96)),
        ("20 * 1024 - 2 * 1024", 18 * 1024),
        ("A / 2", 4608),
        ("(1 << 52) - 1", (1 << 52) - 1),
        ("8 << 20", 8 << 20),
        ("Duration::from_secs(3600)", 3_600_000),
        ("Duration::from_millis(20)", 20),
    ] {
        assert_eq!(Evaluator::value(expression, &names), Some(value), "{expression}");
    }
    assert_eq!(Evaluator::value("C", &names), None);
    for (cell, value) in
        [("9 KiB", 9216), ("65 507 bytes", 65_507), ("2 s", 2000), ("2^52 - 1 times", (1 << 52) - 1), ("10 ms", 10)]
    {
        assert_eq!(stated(cell), Some(value), "{cell}");
    }
}
