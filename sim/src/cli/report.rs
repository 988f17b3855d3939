//! `sim report`: results as one HTML page.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::files::{check_file, command_line, write_file};
use crate::results::read_all;
use crate::{page, vega};

#[derive(Args, Clone, Debug)]
pub(super) struct ReportCli {
    /// Results: files, or directories of files.
    #[arg(required = true)]
    results: Vec<PathBuf>,

    /// The HTML page to write. It needs no network and no script.
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,

    /// Writes one chart as SVG instead of the page: that of --metric, or of what was noticed over time.
    #[arg(long, value_name = "FILE", conflicts_with = "vega")]
    picture: Option<PathBuf>,

    /// Metric of the picture, such as detect_p99_s or crash/reached_p99_s.
    #[arg(long, value_name = "PHASE/NAME", requires = "picture")]
    metric: Option<String>,

    /// Also writes a Vega-Lite specification with the data in it, to draw charts of one's own.
    #[arg(long, value_name = "FILE")]
    vega: Option<PathBuf>,
}

/// Reads the results and writes the page.
pub(super) fn run(cli: &ReportCli) -> Result<ExitCode, String> {
    for path in core::iter::once(&cli.output).chain(&cli.vega).chain(&cli.picture) {
        check_file(path)?;
    }
    let runs = read_all(&cli.results).map_err(|error| error.to_string())?;
    if runs.is_empty() {
        let names: Vec<String> = cli.results.iter().map(|path| path.display().to_string()).collect();
        return Err(format!("{}: holds no results", names.join(", ")));
    }
    if let Some(path) = &cli.picture {
        let picture = page::chart(&runs, cli.metric.as_deref());
        write_file(
            path,
            &picture.ok_or("the results have no such chart: no metric of that name, or nothing that varies")?,
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    write_file(&cli.output, &page::render(&runs, &command_line(), None))?;
    if let Some(path) = &cli.vega {
        write_file(path, &vega::specification(&runs))?;
    }
    let _closed = writeln!(std::io::stdout(), "{}: {} runs", cli.output.display(), runs.len());
    Ok(ExitCode::SUCCESS)
}
