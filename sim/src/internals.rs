//! What other crates of this repository reach of the program for fuzzing.
//!
//! **Exempt from semantic versioning**: any release may change or remove what is here.

use std::path::Path;

use crate::compare::{Selection, compare as compare_runs};
use crate::experiment::campaign::Campaign;
use crate::results::Results;
use crate::{page, vega};

/// Parses a scenario file and checks all its cells, as `sim run FILE` does. Returns the numbers of its combinations and seeds.
///
/// # Errors
///
/// One line that names the place and what is wrong.
pub fn scenario(text: &str) -> Result<(usize, usize), String> {
    Campaign::parse("scenario", text, Path::new("."), &[], None).map(|campaign| campaign.size())
}

/// The text of `sim compare`.
///
/// # Errors
///
/// What cannot be compared.
pub fn compare(first: &[Results], second: &[Results]) -> Result<String, String> {
    let comparison = compare_runs(first, second, &Selection::default()).map_err(|error| error.to_string())?;
    Ok(comparison.to_string())
}

/// The page and the Vega-Lite specification of `sim report`.
pub fn report(runs: &[Results]) -> (String, String) {
    (page::render(runs, "sim report", None), vega::specification(runs))
}
