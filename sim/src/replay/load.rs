//! Reads the files of a capture, and finds which of them continue each other.

use std::fs;
use std::path::Path;

use serf_proto::VERSION;
use serf_runtime::capture::{Head, Reader, Trigger, is_capture_file};

/// Files of one node that continue each other without a gap.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) node: String,
    pub(crate) files: Vec<File>,
}

/// A file that has a head.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) head: Head,
    pub(crate) bytes: Vec<u8>,
}

/// Reads a directory. Returns its runs, oldest first, and what could not be used.
///
/// # Errors
///
/// If it has no file that can be replayed.
pub(crate) fn load(dir: &Path) -> Result<(Vec<Run>, Vec<String>), String> {
    let (mut names, mut notes) = (Vec::new(), Vec::new());
    let unreadable = |error: &std::io::Error| format!("cannot read {}: {error}", dir.display());
    for entry in fs::read_dir(dir).map_err(|error| unreadable(&error))? {
        names.push(entry.map_err(|error| unreadable(&error))?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| is_capture_file(name));
    // Numbers of equal length sort as names; longer ones are later.
    names.sort_by_key(|name| (name.len(), name.clone()));
    let mut runs: Vec<Run> = Vec::new();
    for name in names {
        let path = dir.join(&name);
        let bytes = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let head = match Reader::new(&bytes) {
            Ok(reader) => reader.head().clone(),
            Err(error) => {
                notes.push(format!("{}: {error}", path.display()));
                continue;
            }
        };
        if head.proto != VERSION {
            notes.push(format!(
                "{}, which was recorded by version {} of serf-proto and this is {VERSION}: replay it with the sim of that version",
                path.display(),
                head.proto
            ));
            continue;
        }
        let file = File { name, head, bytes };
        match runs.last_mut() {
            Some(run) if run.is_continued_by(&file.head) => run.files.push(file),
            _ => runs.push(Run { node: file.head.node.clone(), files: vec![file] }),
        }
    }
    if runs.is_empty() {
        let why = notes.first().cloned().unwrap_or_else(|| "it has no file of a capture".to_owned());
        return Err(format!("nothing to replay in {}: {why}", dir.display()));
    }
    Ok((runs, notes))
}

impl Run {
    fn is_continued_by(&self, next: &Head) -> bool {
        self.files.last().is_some_and(|last| {
            next.trigger == Trigger::Full && next.run == last.head.run && next.file == last.head.file.wrapping_add(1)
        })
    }
}
