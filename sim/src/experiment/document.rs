//! A scenario's text as a table whose values know their lines, and the axes of a sweep in it.
//!
//! Errors are one line: `FILE:LINE: KEY: what is wrong`. A value of `--set` is named instead of a line.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize as _;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::file::File;
use crate::results::Parameter;

/// What is wrong with a scenario, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileError {
    place: String,
    key: String,
    reason: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, reason } = self;
        match key.is_empty() {
            true => write!(f, "{place}: {reason}"),
            false => write!(f, "{place}: {key}: {reason}"),
        }
    }
}

/// A scenario as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    origin: String,
    table: Table,
    /// Line of each key and of each element of a list, by its dotted path.
    lines: BTreeMap<String, usize>,
    /// Paths that `--set` gave.
    set: BTreeSet<String>,
    /// The seeds, which are no axis: every combination runs with all of them.
    seeds: Vec<u64>,
}

/// One axis of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    pub(crate) path: String,
    pub(crate) values: Vec<Value>,
}

impl Document {
    /// Parses a scenario. `origin` names the file in errors.
    pub(crate) fn parse(origin: &str, text: &str) -> Result<Self, FileError> {
        let line_of =
            |at: usize| 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
        let syntax = |error: toml::de::Error| FileError {
            place: error.span().map_or_else(|| origin.to_owned(), |span| format!("{origin}:{}", line_of(span.start))),
            key: String::new(),
            reason: error.message().trim().replace('\n', ", ").replace('`', ""),
        };
        let spanned = DeTable::parse(text).map_err(syntax)?;
        let mut lines = BTreeMap::new();
        note_lines(spanned.get_ref(), "", &line_of, &mut lines);
        let table = toml::from_str(text).map_err(syntax)?;
        let mut document = Self { origin: origin.to_owned(), table, lines, set: BTreeSet::new(), seeds: Vec::new() };
        document.take_seeds()?;
        Ok(document)
    }

    /// Sets a value as `--set KEY=VALUE` or `KEY=VALUE,VALUE` does.
    pub(crate) fn set(&mut self, assignment: &str) -> Result<(), FileError> {
        let usage = |reason: &str| FileError {
            place: format!("--set {assignment}"),
            key: String::new(),
            reason: reason.to_owned(),
        };
        let (path, values) = assignment.split_once('=').ok_or_else(|| usage("expected KEY=VALUE"))?;
        let path = path.trim();
        let values: Vec<Value> = values.split(',').map(|text| value_of(text.trim())).collect();
        let value = match <[Value; 1]>::try_from(values) {
            Ok([value]) => value,
            Err(values) => Value::Array(values),
        };
        self.set.insert(path.to_owned());
        insert(&mut self.table, path, value).map_err(|reason| usage(&reason))?;
        self.take_seeds()
    }

    /// Returns the seeds, in order and each once.
    pub(crate) fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    /// Returns the axes in the order of the file, then of `--set`.
    pub(crate) fn axes(&self) -> Result<Vec<Axis>, FileError> {
        let mut axes = Vec::new();
        self.find_axes(&Value::Table(self.table.clone()), "", &mut axes)?;
        axes.sort_by_key(|axis: &Axis| (self.lines.get(&axis.path).copied().unwrap_or(usize::MAX), axis.path.clone()));
        Ok(axes)
    }

    /// Returns the table with one value for each axis.
    pub(crate) fn pick(&self, picks: &[(String, Value)]) -> Table {
        let mut table = self.table.clone();
        for (path, value) in picks {
            insert(&mut table, path, value.clone()).expect("the path of an axis exists");
        }
        table
    }

    /// Converts a table without axes to a scenario.
    pub(crate) fn scenario(&self, table: &Table) -> Result<File, FileError> {
        let mut track = serde_path_to_error::Track::new();
        let deserializer = Value::Table(table.clone());
        File::deserialize(serde_path_to_error::Deserializer::new(deserializer, &mut track)).map_err(|error| {
            let path = track.path().iter().filter_map(segment).collect::<Vec<_>>().join(".");
            self.type_error(&path, error.message())
        })
    }

    /// Returns an error about the value at `path`.
    pub(crate) fn error(&self, path: &str, reason: impl Into<String>) -> FileError {
        let mut known = path;
        let place = loop {
            if self.set.contains(known) {
                break format!("--set {known}");
            }
            if let Some(line) = self.lines.get(known) {
                break format!("{}:{line}", self.origin);
            }
            match known.rsplit_once('.') {
                Some((parent, _)) => known = parent,
                None => break self.origin.clone(),
            }
        };
        FileError { place, key: path.to_owned(), reason: reason.into() }
    }

    /// Turns an error of serde into one with the place and the nearest word.
    fn type_error(&self, path: &str, message: &str) -> FileError {
        if message.contains("untagged enum Condition") {
            return self.error(path, "expected a number, or a comparison such as \"< 20s\" or \">= 0.99\"");
        }
        let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let Some((word, known)) = words.split_first() else { return self.error(path, message.trim()) };
        if message.starts_with("unknown field") {
            let is_named = path == *word || path.ends_with(&format!(".{word}"));
            let full = if path.is_empty() || is_named { (*word).to_owned() } else { format!("{path}.{word}") };
            let full = if is_named { path.to_owned() } else { full };
            return self.error(&full, format!("unknown key; {}", suggestion(word, known.iter().copied())));
        }
        if message.starts_with("unknown variant") {
            return self.error(path, format!("{word:?} is unknown; {}", suggestion(word, known.iter().copied())));
        }
        self.error(path, message.trim().replace('`', "'"))
    }

    /// Moves the key `seeds` out of the table.
    fn take_seeds(&mut self) -> Result<(), FileError> {
        let Some(value) = self.table.remove("seeds") else {
            if self.seeds.is_empty() {
                self.seeds = vec![1];
            }
            return Ok(());
        };
        let values = match &value {
            Value::Array(values) => values.clone(),
            Value::String(text) => self.range("seeds", text)?.unwrap_or_else(|| vec![value.clone()]),
            _ => vec![value.clone()],
        };
        let mut seeds = Vec::new();
        for value in values {
            let seed = value.as_integer().and_then(|seed| u64::try_from(seed).ok());
            seeds.push(seed.ok_or_else(|| {
                self.error("seeds", "expected a whole number from 0 on, a list of them, or a range such as \"1..=20\"")
            })?);
        }
        seeds.sort_unstable();
        seeds.dedup();
        if seeds.is_empty() {
            return Err(self.error("seeds", "the list is empty"));
        }
        self.seeds = seeds;
        Ok(())
    }

    fn find_axes(&self, value: &Value, path: &str, axes: &mut Vec<Axis>) -> Result<(), FileError> {
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    self.find_axes(value, &join(path, key), axes)?;
                }
            }
            Value::Array(_) if LISTS.contains(&path) => {}
            Value::Array(items) if items.iter().any(Value::is_table) => {
                for (nth, item) in items.iter().enumerate() {
                    self.find_axes(item, &join(path, &nth.to_string()), axes)?;
                }
            }
            Value::Array(values) => {
                if values.is_empty() {
                    return Err(self.error(path, "the list is empty"));
                }
                axes.push(Axis { path: path.to_owned(), values: values.clone() });
            }
            Value::String(text) => {
                if let Some(values) = self.range(path, text)? {
                    axes.push(Axis { path: path.to_owned(), values });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Parses a range such as `1..=20` or `0..=0.3 step 0.1`; `None` for any other text.
    fn range(&self, path: &str, text: &str) -> Result<Option<Vec<Value>>, FileError> {
        let Some((first, rest)) = text.split_once("..=") else { return Ok(None) };
        let (last, step) = rest.split_once("step").unwrap_or((rest, "1"));
        let wrong = || self.error(path, format!("{text:?} is not a range such as \"1..=20\" or \"0..=0.3 step 0.1\""));
        let [first, last, step] = [first, last, step].map(str::trim);
        if let (Ok(first), Ok(last), Ok(step)) = (first.parse::<i64>(), last.parse::<i64>(), step.parse::<i64>()) {
            let count = last.checked_sub(first).filter(|_| step > 0).map(|span| span / step);
            let count = count.filter(|count| (0..RANGE_MAX).contains(count)).ok_or_else(wrong)?;
            return Ok(Some((0..=count).map(|nth| Value::Integer(first + nth * step)).collect()));
        }
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(wrong);
        let (first, last, step) = (number(first)?, number(last)?, number(step)?);
        let count = ((last - first) / step + 1e-9).floor();
        if !(step > 0.0 && (0.0..RANGE_MAX as f64).contains(&count)) {
            return Err(wrong());
        }
        // Rounded, so that 0.1 + 2 × 0.1 is 0.3.
        let at = |nth: i64| ((first + nth as f64 * step) * 1e9).round() / 1e9;
        #[expect(clippy::cast_possible_truncation, reason = "it was checked to be small")]
        let count = count as i64;
        Ok(Some((0..=count).map(|nth| Value::Float(at(nth))).collect()))
    }
}

/// Returns the values that were set, by their dotted paths.
pub(crate) fn parameters(table: &Table) -> BTreeMap<String, Parameter> {
    fn collect(value: &Value, path: &str, all: &mut BTreeMap<String, Parameter>) {
        let value = match value {
            Value::Table(table) => {
                return table.iter().for_each(|(key, value)| collect(value, &join(path, key), all));
            }
            Value::Array(items) if items.iter().any(Value::is_table) => {
                let items = items.iter().enumerate();
                return items.for_each(|(nth, item)| collect(item, &join(path, &nth.to_string()), all));
            }
            Value::Array(items) => Parameter::List(items.iter().map(scalar).collect()),
            value => scalar(value),
        };
        all.insert(path.to_owned(), value);
    }
    let mut all = BTreeMap::new();
    for (key, value) in table.iter().filter(|(key, _)| !["name", "about"].contains(&key.as_str())) {
        collect(value, key, &mut all);
    }
    all
}

/// Names the nearest of the known words, or lists them.
pub(crate) fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let near = known.iter().map(|other| (strsim::damerau_levenshtein(word, other), *other)).min();
    match near {
        _ if known.is_empty() => "there is none".to_owned(),
        Some((distance, near)) if distance <= 1 + word.len().min(near.len()) / 3 => format!("did you mean {near}?"),
        _ => {
            let near = known.iter().find(|other| other.contains(word) || word.contains(**other));
            near.map_or_else(|| format!("expected one of {}", known.join(", ")), |near| format!("did you mean {near}?"))
        }
    }
}

fn scalar(value: &Value) -> Parameter {
    match value {
        Value::Boolean(value) => Parameter::Bool(*value),
        Value::Integer(value) => Parameter::Integer(*value),
        Value::Float(value) => Parameter::Number(*value),
        Value::String(value) => Parameter::Text(value.clone()),
        other => Parameter::Text(other.to_string()),
    }
}

fn note_lines(table: &DeTable<'_>, path: &str, line_of: &dyn Fn(usize) -> usize, lines: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let path = join(path, key.get_ref());
        // The header of a table comes before the values that its path was seen with.
        lines.entry(path.clone()).or_insert_with(|| line_of(key.span().start));
        note_value(value, &path, line_of, lines);
    }
}

fn note_value(
    value: &Spanned<DeValue<'_>>,
    path: &str,
    line_of: &dyn Fn(usize) -> usize,
    lines: &mut BTreeMap<String, usize>,
) {
    match value.get_ref() {
        DeValue::Table(table) => note_lines(table, path, line_of, lines),
        DeValue::Array(items) => {
            for (nth, item) in items.iter().enumerate() {
                let path = join(path, &nth.to_string());
                lines.insert(path.clone(), line_of(item.span().start));
                note_value(item, &path, line_of, lines);
            }
        }
        _ => {}
    }
}

fn segment(segment: &serde_path_to_error::Segment) -> Option<String> {
    match segment {
        serde_path_to_error::Segment::Seq { index } => Some(index.to_string()),
        serde_path_to_error::Segment::Map { key } => Some(key.clone()),
        _ => None,
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Parses a value of the command line: a number, a switch, a quoted text, a list, or else the text itself.
fn value_of(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("x = {text}")).ok().and_then(|mut table| table.remove("x"));
    parsed.filter(|value| !value.is_datetime()).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Sets the value at a dotted path; numbers are indices of lists.
fn insert(table: &mut Table, path: &str, value: Value) -> Result<(), String> {
    let keys: Vec<&str> = path.split('.').collect();
    if keys.iter().any(|key| key.is_empty()) {
        return Err(format!("{path:?} is no key"));
    }
    let mut root = Value::Table(core::mem::take(table));
    let inserted = insert_at(&mut root, &keys, value);
    if let Value::Table(root) = root {
        *table = root;
    }
    inserted
}

fn insert_at(place: &mut Value, keys: &[&str], value: Value) -> Result<(), String> {
    let Some((key, keys)) = keys.split_first() else {
        *place = value;
        return Ok(());
    };
    match place {
        Value::Table(table) => {
            let next = table.entry(*key).or_insert_with(|| Value::Table(Table::new()));
            insert_at(next, keys, value)
        }
        Value::Array(items) => {
            let count = items.len();
            let item = key.parse().ok().and_then(|nth: usize| items.get_mut(nth));
            insert_at(item.ok_or_else(|| format!("there is no {key}: the list has {count}, from 0 on"))?, keys, value)
        }
        _ => Err(format!("a value has no key {key}")),
    }
}

/// Keys whose lists are one value.
const LISTS: [&str; 1] = ["phases"];

/// Maximum number of steps of a range.
const RANGE_MAX: i64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
seeds = \"1..=3\"
phases = [\"crash\", \"leave\"]

[cluster]
nodes = [100, 200]

[network]
loss = \"0..=0.3 step 0.1\"
latency = \"1ms..20ms\"

[[group]]
name = \"eu\"
share = 0.5
[group.settings]
suspicion_mult = 6

[[group]]
name = \"us\"
nodes = 5
";

    fn parse(text: &str) -> Document {
        Document::parse("x.toml", text).expect("it is a scenario")
    }

    fn refused(text: &str) -> String {
        let refused = Document::parse("x.toml", text).and_then(|document| {
            document.axes()?;
            document.scenario(&document.table)
        });
        refused.expect_err("it is wrong").to_string()
    }

    #[test]
    fn lists_and_ranges_are_axes_in_the_order_of_the_file() {
        let document = parse(TEXT);
        assert_eq!(document.seeds(), [1, 2, 3]);
        let axes: Vec<(String, Vec<String>)> = document
            .axes()
            .unwrap()
            .into_iter()
            .map(|axis| (axis.path, axis.values.iter().map(ToString::to_string).collect()))
            .collect();
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            axes,
            [
                ("cluster.nodes".to_owned(), texts(&["100", "200"])),
                ("network.loss".to_owned(), texts(&["0.0", "0.1", "0.2", "0.3"])),
            ]
        );
    }

    #[test]
    fn a_cell_has_one_value_of_each_axis_and_its_flat_parameters() {
        let document = parse(TEXT);
        let picks = [("cluster.nodes".to_owned(), Value::Integer(200)), ("network.loss".to_owned(), Value::Float(0.1))];
        let table = document.pick(&picks);
        let scenario = document.scenario(&table).unwrap();
        assert_eq!((scenario.cluster.nodes, scenario.network.loss.0), (Some(200), 100_000));
        let parameters = parameters(&table);
        assert_eq!(parameters["cluster.nodes"], Parameter::Integer(200));
        assert_eq!(parameters["group.0.settings.suspicion_mult"], Parameter::Integer(6));
        assert_eq!(parameters["phases"].to_string(), "crash leave");
    }

    #[test]
    fn values_of_the_command_line_win_and_may_be_lists() {
        let mut document = parse(TEXT);
        for assignment in ["network.loss=0,5%", "cluster.nodes=300", "group.1.nodes=7", "seeds=4..=5", "as=hashicorp"] {
            document.set(assignment).unwrap();
        }
        assert_eq!(document.seeds(), [4, 5]);
        let axes = document.axes().unwrap();
        assert_eq!(axes.len(), 1, "{axes:?}");
        assert_eq!(axes[0].values, [Value::Integer(0), Value::String("5%".into())]);
        let scenario =
            document.scenario(&document.pick(&[("network.loss".into(), Value::String("5%".into()))])).unwrap();
        assert_eq!((scenario.group[1].nodes, scenario.network.loss.0), (Some(7), 50_000));
        for (wrong, reason) in [
            ("network.loss", "--set network.loss: expected KEY=VALUE"),
            ("group.9.nodes=1", "--set group.9.nodes=1: there is no 9: the list has 2, from 0 on"),
            ("cluster.nodes.x=1", "--set cluster.nodes.x=1: a value has no key x"),
            (".=1", "--set .=1: \".\" is no key"),
        ] {
            assert_eq!(document.set(wrong).expect_err("it is wrong").to_string(), reason);
        }
    }

    #[test]
    fn errors_name_file_line_and_key_and_the_nearest_word() {
        for (text, error) in [
            ("[network]\nlos = 0.1\n", "x.toml:2: network.los: unknown key; did you mean loss?"),
            ("\n[netwrk]\n", "x.toml:2: netwrk: unknown key; did you mean network?"),
            ("[network]\nloss = 1.5\n", "x.toml:2: network.loss: expected a share from 0 to 1; 0.1 is 10 %"),
            ("[cluster]\nnodes = \"many\"\n", "x.toml:2: cluster.nodes: invalid type: string \"many\", expected u32"),
            (
                "[[fault]]\nkind = \"crsh\"\nat = \"1s\"\n",
                "x.toml:2: fault.0.kind: \"crsh\" is unknown; did you mean crash?",
            ),
            ("\n[[fault]]\nkind = \"crash\"\n", "x.toml:2: fault.0: missing field 'at'"),
            (
                "[[fault]]\nkind = \"crash\"\nat = \"5 parsecs\"\n",
                "x.toml:3: fault.0.at: \"5 parsecs\" is not a duration such as 20us, 1.5ms, 2s, 3m or 1h",
            ),
            ("[network]\nloss = []\n", "x.toml:2: network.loss: the list is empty"),
            (
                "seeds = \"9..=1\"\n",
                "x.toml:1: seeds: \"9..=1\" is not a range such as \"1..=20\" or \"0..=0.3 step 0.1\"",
            ),
            ("[network\nloss = 1\n", "x.toml:1: unclosed table, expected ]"),
            ("x = 1\nx = 2\n", "x.toml:2: duplicate key"),
        ] {
            assert_eq!(refused(text), error, "{text}");
        }
        let mut document = parse("[network]\nloss = 0.1\n");
        document.set("network.loss=2").unwrap();
        let error = document.scenario(&document.table).expect_err("it is wrong");
        assert_eq!(error.to_string(), "--set network.loss: network.loss: expected a share from 0 to 1; 0.1 is 10 %");
    }
}
