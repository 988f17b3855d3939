//! `sim compare`: two sets of results, on the same seeds.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::compare::{Selection, compare};
use crate::parse::share;
use crate::results::{Results, read_all};

#[derive(Args, Clone, Debug)]
pub(super) struct CompareCli {
    /// The first results: a file, or a directory of files.
    first: PathBuf,

    /// The second results, compared with the first: lower times, traffic and false alarms are better.
    second: PathBuf,

    /// Compares metrics whose PHASE/NAME contains this text, such as crash/ or reached_p100. [default: times of 50 and
    /// 99 %, false failures and traffic of each phase]
    #[arg(long, value_name = "TEXT")]
    metric: Vec<String>,

    /// Share of the first mean, from 0 to 1, up to which a difference is no reason for a verdict.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    tolerance: u32,

    /// Prints the comparison as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Compares and prints. Exit code 1 if a metric became worse.
pub(super) fn run(cli: &CompareCli) -> Result<ExitCode, String> {
    let (first, second) = (read(&cli.first)?, read(&cli.second)?);
    let selection = Selection { metrics: cli.metric.clone(), tolerance: f64::from(cli.tolerance) / 1e6 };
    let comparison = compare(&first, &second, &selection).map_err(|error| error.to_string())?;
    let text = if cli.json {
        serde_json::to_string_pretty(&comparison).map_err(|error| error.to_string())? + "\n"
    } else {
        comparison.to_string()
    };
    let _closed = std::io::stdout().write_all(text.as_bytes());
    Ok(if comparison.is_worse() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Reads results, of which there must be some.
pub(super) fn read(path: &Path) -> Result<Vec<Results>, String> {
    let runs = read_all(&[path.to_owned()]).map_err(|error| error.to_string())?;
    if runs.is_empty() { Err(format!("{}: holds no results", path.display())) } else { Ok(runs) }
}
