//! Files that a run writes: results, a page, a picture.

use std::fs;
use std::path::Path;

use super::options::RunOptions;
use crate::page;
use crate::report::Report;
use crate::results::{Results, write_aside};

/// Checks that the files can be written, before hours of simulation depend on it.
pub(super) fn check(options: &RunOptions) -> Result<(), String> {
    for path in options.report.iter().chain(&options.picture) {
        check_file(path)?;
    }
    if let Some(directory) = &options.results {
        fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    Ok(())
}

/// Checks that a file can be written at `path`.
pub(super) fn check_file(path: &Path) -> Result<(), String> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if path.is_dir() {
        return Err(format!("{}: is a directory, the name of a file is needed", path.display()));
    }
    if parent.is_dir() { Ok(()) } else { Err(format!("{}: there is no such directory", parent.display())) }
}

/// Writes the files that the options name.
pub(super) fn write(report: &Report, options: &RunOptions, story: Option<&str>) -> Result<(), String> {
    if options.report.is_none() && options.picture.is_none() && options.results.is_none() {
        return Ok(());
    }
    let results = Results::of_report(report);
    if let Some(directory) = &options.results {
        results.write(directory).map_err(|error| error.to_string())?;
    }
    if let Some(path) = &options.report {
        let page = page::render(core::slice::from_ref(&results), &command_line(), story);
        write_file(path, &page)?;
    }
    if let Some(path) = &options.picture {
        write_file(path, &page::convergence(&results))?;
    }
    Ok(())
}

/// Writes a file at once, so that an interrupted command leaves the old one.
pub(super) fn write_file(path: &Path, content: &str) -> Result<(), String> {
    write_aside(path, content.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))
}

/// Returns the command that runs, without the path of the program.
pub(super) fn command_line() -> String {
    let arguments = std::env::args_os().skip(1).map(|argument| quoted(&argument.to_string_lossy()));
    core::iter::once("sim".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Quotes an argument for a shell, if it needs quotes.
fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:%+@".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_can_be_pasted_into_a_shell() {
        for (argument, text) in [("--loss=0.1", "--loss=0.1"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("", "''")] {
            assert_eq!(quoted(argument), text);
        }
    }

    #[test]
    fn a_file_needs_a_directory_that_is_there() {
        assert!(check_file(Path::new("report.html")).is_ok());
        assert!(check_file(Path::new("/no/such/directory/report.html")).is_err());
        assert!(check_file(Path::new("/")).is_err());
    }
}
