//! Results files: the results of runs as JSON lines, for sweeps, comparisons and reports.
//!
//! A run is a header line, one line per record, and an end line that counts them. A file holds one run, named by its
//! cell, or several one after another (`sim merge`). Files are written aside and renamed, so a file under its final
//! name is complete; the reader refuses any other. `docs/experiments.md` lists the records and the metrics.
//!
//! A results file depends on the scenario, its parameters, the seed and the simulator's version only: it holds no time
//! of day, no wall time, and no number of threads.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Version of the file format. Records and keys may be added without a new version; a reader ignores unknown keys.
pub const FORMAT: u32 = 1;

/// Extension of results files.
pub const EXTENSION: &str = "jsonl";

/// Version of the simulator: the package's version and a digest of the sources of `sim` and `serf-proto`, so that the
/// results of two different builds are never mixed.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("SIM_SOURCES"));

/// Results of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// What was run.
    pub header: Header,
    /// What was measured, in the order of the file.
    pub records: Vec<Record>,
}

/// First line of a run: what was run, and how to repeat it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// [`VERSION`] of the simulator.
    pub simulator: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Hash of the scenario with all its parameters, without seed and version, in 16 hexadecimal digits. Equal for
    /// all seeds of one configuration.
    pub configuration: String,
    /// Hash of configuration, seed and version, in 16 hexadecimal digits. Names the file.
    pub cell: String,
    /// Every parameter that was set, by its dotted key, such as `network.loss`; the seed is not among them.
    pub parameters: BTreeMap<String, Parameter>,
    /// Keys of the parameters that the sweep varies, in the order of its axes.
    pub varied: Vec<String>,
    /// The seed.
    pub seed: u64,
    /// Number of nodes.
    pub nodes_count: u32,
    /// Virtual duration in seconds.
    pub virtual_s: f64,
    /// Hash of every input of every node, in 16 hexadecimal digits.
    pub trace_hash: String,
}

/// Value of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Parameter {
    /// A switch.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// A text, such as a duration or a name.
    Text(String),
    /// A list that is one value, such as the phases of a run.
    List(Vec<Self>),
}

impl core::fmt::Display for Parameter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
            Self::List(values) => {
                for (nth, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if nth == 0 { "" } else { " " })?;
                }
                Ok(())
            }
        }
    }
}

/// One line after the header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A phase of the run, or a step of one.
    Phase(Phase),
    /// One number.
    Metric(Metric),
    /// One number per virtual second.
    Series(Series),
    /// A cumulative distribution.
    Distribution(Distribution),
    /// A node that a phase or a fault was about, and who noticed.
    Subject(Subject),
    /// A violated rule of the protocol.
    Finding(Finding),
    /// A condition of the scenario, and whether it held.
    Assertion(Assertion),
    /// Last line of a run.
    End(End),
}

/// A phase of a run, a step of a phase, or a fault of a timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name, unique in the run: `crash`, a step `restart/return`, a repeated one `restart/events#2`. Metrics refer
    /// to it.
    pub phase: String,
    /// Its goal in a few words; empty without one.
    pub goal: String,
    /// `done`, `missing`, `skipped`, `cut_short` or `halted`.
    pub outcome: String,
    /// Start, in virtual seconds since the start of the run.
    pub started_at_s: f64,
    /// Duration, in virtual seconds.
    pub took_s: f64,
}

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Name of the phase; empty for the whole run.
    pub phase: String,
    /// Name, which ends with the unit: `_s` virtual seconds, `_bytes`, `_count`, `_share` from 0 to 1, `_per_s`.
    pub name: String,
    /// What else distinguishes it, such as `kind` of a message or `group` of nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The value; `None` (`null`) if it was never reached.
    pub value: Option<f64>,
}

/// One number per virtual second, or per `step_s` of a long run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Name of the phase; empty for the whole run.
    pub phase: String,
    /// Name, which ends with the unit, as of a [`Metric`]. Counts and bytes are those of one step.
    pub name: String,
    /// As of a [`Metric`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Start of the first value's time, in virtual seconds since the start of the run.
    pub start_s: f64,
    /// Time that one value covers, in virtual seconds; 1 unless the run is very long.
    #[serde(default = "one_second", skip_serializing_if = "is_one_second")]
    pub step_s: f64,
    /// One value per step; `None` (`null`) where nothing was measured.
    pub values: Vec<Option<f64>>,
}

const fn one_second() -> f64 {
    1.0
}

fn is_one_second(step_s: &f64) -> bool {
    *step_s == one_second()
}

/// A cumulative distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Name of the phase; empty for the whole run.
    pub phase: String,
    /// Name of what is distributed, which ends with the unit, as of a [`Metric`].
    pub name: String,
    /// As of a [`Metric`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Number of values that would be complete, such as of pairs of nodes.
    pub total_count: u64,
    /// Points `[value, share of the total that is at most this]`, both ascending; at most [`POINTS_MAX`]. The last
    /// share is below 1 if some never came.
    pub points: Vec<(f64, f64)>,
}

/// A node that a phase or a fault was about, such as a crashed one, and when others noticed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// Name of the phase.
    pub phase: String,
    /// Name of the node.
    pub node: String,
    /// The first node that noticed.
    pub first_observer: Option<String>,
    /// When it noticed, in virtual seconds from the start of the phase.
    pub first_s: Option<f64>,
    /// When the last node noticed, in virtual seconds from the start of the phase.
    pub last_s: Option<f64>,
    /// Number of nodes that noticed.
    pub observers_count: u64,
}

/// A violated rule of the protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What, when and where, in words.
    pub finding: String,
}

/// A condition of the scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assertion {
    /// The condition, such as `detect_p99_s < 20`.
    pub assertion: String,
    /// Whether it held.
    pub holds: bool,
    /// What was measured, in words.
    pub found: String,
}

/// Last line of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Number of records between header and end.
    pub records_count: usize,
}

/// Maximum number of points of a [`Distribution`].
pub const POINTS_MAX: usize = 200;

/// Reason for which a results file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultsError {
    /// The file cannot be opened, read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        error: io::Error,
    },
    /// The file does not start with a header.
    #[error("{}: is no results file of sim", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written in another format.
    #[error("{}: has format {found}, this simulator reads {FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The file's format.
        found: u32,
    },
    /// The file ends before its end line.
    #[error("{}: is truncated: its last run has no end line", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
    },
    /// A line is damaged.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// The header as a line: it has the same tag as the other records.
#[derive(Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
enum HeaderLine {
    Header(Header),
}

impl Results {
    /// Returns the run as JSON lines.
    ///
    /// # Panics
    ///
    /// Never: all keys are texts.
    pub fn to_lines(&self) -> String {
        let line = |json: serde_json::Result<String>| json.expect("all keys are texts") + "\n";
        let mut text = line(serde_json::to_string(&HeaderLine::Header(self.header.clone())));
        for record in &self.records {
            text += &line(serde_json::to_string(record));
        }
        let end = Record::End(End { records_count: self.records.len() });
        text + &line(serde_json::to_string(&end))
    }

    /// Returns the name of the run's file.
    pub fn file_name(&self) -> String {
        file_name(&self.header.cell)
    }

    /// Writes the run into `directory`, which must exist, under its cell's name. An interrupted call leaves no file of
    /// that name.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error with the path.
    pub fn write(&self, directory: &Path) -> Result<PathBuf, ResultsError> {
        let path = directory.join(self.file_name());
        write_aside(&path, self.to_lines().as_bytes())
            .map_err(|error| ResultsError::Io { path: path.clone(), error })?;
        Ok(path)
    }

    /// Returns the value of a metric without labels.
    pub fn metric(&self, phase: &str, name: &str) -> Option<f64> {
        self.metrics().find(|metric| metric.phase == phase && metric.name == name && metric.labels.is_empty())?.value
    }

    /// Iterates over the metrics.
    pub fn metrics(&self) -> impl Iterator<Item = &Metric> {
        self.records.iter().filter_map(|record| match record {
            Record::Metric(metric) => Some(metric),
            _ => None,
        })
    }

    /// Whether no rule was violated, every goal was reached, and every assertion held.
    pub fn is_fine(&self) -> bool {
        self.records.iter().all(|record| match record {
            Record::Phase(phase) => phase.outcome != "missing",
            Record::Finding(_) => false,
            Record::Assertion(assertion) => assertion.holds,
            _ => true,
        })
    }
}

/// Returns the name of the file of a cell.
pub fn file_name(cell: &str) -> String {
    format!("{cell}.{EXTENSION}")
}

/// Reads all runs of a file.
///
/// # Errors
///
/// Names the file, and the line, that is truncated, damaged, foreign or of another format.
pub fn read(path: &Path) -> Result<Vec<Results>, ResultsError> {
    let text = fs::read(path).map_err(|error| ResultsError::Io { path: path.to_owned(), error })?;
    let Ok(text) = String::from_utf8(text) else { return Err(ResultsError::Foreign { path: path.to_owned() }) };
    parse(&text, path)
}

/// Reads all runs of files, and of all results files of directories, sorted by scenario, configuration and seed. Of
/// equal cells one is kept.
///
/// # Errors
///
/// As of [`read`].
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Results>, ResultsError> {
    let mut runs = Vec::new();
    for path in paths {
        if path.is_dir() {
            for file in files_of(path).map_err(|error| ResultsError::Io { path: path.clone(), error })? {
                runs.extend(read(&file)?);
            }
        } else {
            runs.extend(read(path)?);
        }
    }
    sort(&mut runs);
    Ok(runs)
}

/// Sorts runs by scenario, configuration and seed, and removes repeated cells: the order of a merged file.
pub fn sort(runs: &mut Vec<Results>) {
    let key = |run: &Results| {
        let Header { scenario, configuration, seed, cell, .. } = &run.header;
        (scenario.clone(), configuration.clone(), *seed, cell.clone())
    };
    runs.sort_by_cached_key(key);
    runs.dedup_by(|a, b| a.header.cell == b.header.cell);
}

/// Returns the results files of a directory, sorted by name.
///
/// # Errors
///
/// Returns the operating system's error.
pub fn files_of(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == EXTENSION) && !is_hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Writes a file under a hidden name beside `path`, syncs it, and renames it.
///
/// # Errors
///
/// Returns the operating system's error. The hidden file is removed.
pub fn write_aside(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let write = || {
        let mut file = fs::File::create(&aside)?;
        file.write_all(content)?;
        // A rename may reach the disk before the content does.
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().inspect_err(|_| _ = fs::remove_file(&aside))
}

/// Parses all runs of a file's text. `path` is the file's name in errors.
///
/// # Errors
///
/// As of [`read`].
pub fn parse(text: &str, path: &Path) -> Result<Vec<Results>, ResultsError> {
    let mut runs = Vec::new();
    let mut open: Option<Results> = None;
    let wrong = |line: usize, reason: String| ResultsError::Line { path: path.to_owned(), line, reason };
    for (line, json) in (1..).zip(text.split_inclusive('\n')) {
        let is_whole = json.ends_with('\n');
        let Some(run) = &mut open else {
            open = Some(Results { header: header(json, path, line)?, records: Vec::new() });
            continue;
        };
        match serde_json::from_str(json) {
            Ok(Record::End(end)) if is_whole => {
                if end.records_count != run.records.len() {
                    let (found, wanted) = (run.records.len(), end.records_count);
                    return Err(wrong(line, format!("the run has {found} records, {wanted} were written")));
                }
                runs.extend(open.take());
            }
            Ok(record) if is_whole => run.records.push(record),
            Err(error) if is_whole => return Err(wrong(line, error.to_string())),
            _ => return Err(ResultsError::Truncated { path: path.to_owned() }),
        }
    }
    if open.is_some() || runs.is_empty() {
        let path = path.to_owned();
        return Err(if text.is_empty() { ResultsError::Foreign { path } } else { ResultsError::Truncated { path } });
    }
    Ok(runs)
}

/// Parses a header line. The format is checked first, because a later one may have other keys.
fn header(json: &str, path: &Path, line: usize) -> Result<Header, ResultsError> {
    #[derive(Deserialize)]
    struct Tag {
        record: String,
        format: u32,
    }
    let Ok(Tag { record, format }) = serde_json::from_str(json) else {
        let path = path.to_owned();
        let is_cut = json.starts_with("{\"record\":\"header\"") && !json.ends_with('\n');
        return Err(if is_cut { ResultsError::Truncated { path } } else { ResultsError::Foreign { path } });
    };
    if record != "header" {
        return Err(ResultsError::Foreign { path: path.to_owned() });
    }
    if format != FORMAT {
        return Err(ResultsError::Format { path: path.to_owned(), found: format });
    }
    match serde_json::from_str(json) {
        Ok(HeaderLine::Header(header)) => Ok(header),
        Err(error) => Err(ResultsError::Line { path: path.to_owned(), line, reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64) -> Results {
        let header = Header {
            format: FORMAT,
            simulator: VERSION.into(),
            scenario: "crash".into(),
            configuration: "00000000000000aa".into(),
            cell: format!("{seed:016x}"),
            parameters: [
                ("network.loss".into(), Parameter::Number(0.1)),
                ("as".into(), Parameter::Text("library".into())),
            ]
            .into(),
            varied: vec!["network.loss".into()],
            seed,
            nodes_count: 300,
            virtual_s: 12.5,
            trace_hash: "0123456789abcdef".into(),
        };
        let labels = BTreeMap::from([("kind".to_owned(), "ping".to_owned())]);
        let records = vec![
            Record::Phase(Phase {
                phase: "crash".into(),
                goal: "every survivor sees the crashed as failed".into(),
                outcome: "done".into(),
                started_at_s: 0.0,
                took_s: 12.5,
            }),
            Record::Metric(Metric {
                phase: "crash".into(),
                name: "reached_p99_s".into(),
                labels: BTreeMap::new(),
                value: Some(12.25),
            }),
            Record::Metric(Metric {
                phase: String::new(),
                name: "messages_count".into(),
                labels: labels.clone(),
                value: None,
            }),
            Record::Series(Series {
                phase: String::new(),
                name: "datagrams_count".into(),
                labels: BTreeMap::new(),
                start_s: 0.0,
                step_s: 1.0,
                values: vec![Some(1.0), None],
            }),
        ];
        Results { header, records }
    }

    fn parsed(text: &str) -> Result<Vec<Results>, String> {
        parse(text, Path::new("x.jsonl")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_written_is_read_again_alone_and_merged() {
        let both = run(1).to_lines() + &run(2).to_lines();
        assert_eq!(parsed(&both), Ok(vec![run(1), run(2)]));
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().to_owned();
        let path = run(7).write(&directory).unwrap();
        assert_eq!(files_of(&directory).unwrap(), [path], "nothing else is left");
        assert_eq!(read_all(std::slice::from_ref(&directory)).unwrap(), [run(7)]);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused_by_name() {
        let whole = run(1).to_lines();
        for end in 0..whole.len() {
            let error = parsed(&whole[..end]).expect_err("it is cut");
            assert!(error.starts_with("x.jsonl"), "{error}");
        }
        for end in [whole.len() / 2, whole.len() - 1] {
            assert!(parsed(&whole[..end]).is_err_and(|error| error.contains("is truncated")));
        }
    }

    #[test]
    fn a_lost_record_and_a_damaged_line_are_refused_with_the_line() {
        let whole = run(1).to_lines();
        let lines: Vec<&str> = whole.lines().collect();
        let without = |lost: usize| {
            let kept = lines.iter().enumerate().filter(|(nth, _)| *nth != lost).map(|(_, line)| format!("{line}\n"));
            kept.collect::<String>()
        };
        assert_eq!(parsed(&without(2)), Err("x.jsonl:5: the run has 3 records, 4 were written".to_owned()));
        let damaged = whole.replace("\"value\":12.25", "\"value\":12,25");
        assert!(parsed(&damaged).is_err_and(|error| error.starts_with("x.jsonl:3: ")));
    }

    #[test]
    fn foreign_files_and_other_formats_are_refused_by_name() {
        for text in ["", "hello\n", "{}\n", "{\"record\":\"metric\",\"format\":1}\n"] {
            assert_eq!(parsed(text), Err("x.jsonl: is no results file of sim".to_owned()), "{text}");
        }
        let newer = run(1).to_lines().replace("\"format\":1", "\"format\":2");
        assert_eq!(parsed(&newer), Err("x.jsonl: has format 2, this simulator reads 1".to_owned()));
    }

    #[test]
    fn runs_are_sorted_by_seed_and_equal_cells_kept_once() {
        let mut runs = vec![run(3), run(1), run(3), run(2)];
        sort(&mut runs);
        assert_eq!(runs, [run(1), run(2), run(3)]);
    }

    #[test]
    fn a_run_is_fine_unless_something_is_missing_or_broken() {
        assert!(run(1).is_fine());
        for bad in [
            Record::Finding(Finding { finding: "an event twice".into() }),
            Record::Assertion(Assertion { assertion: "x".into(), holds: false, found: "y".into() }),
        ] {
            let mut run = run(1);
            run.records.push(bad);
            assert!(!run.is_fine());
        }
    }
}
