//! Watches the files of `file:` sources while the agent runs, and joins through the addresses that appear in them.
//!
//! Modification time and length are polled. inotify watches an inode: a ConfigMap is replaced by swapping the link of a
//! directory, an editor renames a new file over the old one, and a network file system reports nothing that another
//! host writes. Each of them would need a watch of every directory on the path, and the poll as well.

use core::mem::take;
use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serf_tokio::{JoinError, NodeState, OldEvents, SeedFailure, Status};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::file::{self, FileError, Stamp};
use super::{is_of, listed};
use crate::agent::Agent;
use crate::agent::joining::{multiple, one_line};
use crate::config::{Seed, Settings};

/// The files to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::agent) struct Watched {
    pub(in crate::agent) paths: BTreeSet<PathBuf>,
    /// The files that a join reads again at each attempt. They are not polled until it has succeeded.
    pub(in crate::agent) suspended: BTreeSet<PathBuf>,
}

impl Watched {
    /// The files that settings name.
    pub(in crate::agent) fn paths_of(settings: &Settings) -> BTreeSet<PathBuf> {
        Self::paths_in(settings.start_join.iter().chain(&settings.retry_join))
    }

    /// The files among the texts of `start_join` or `retry_join`.
    pub(in crate::agent) fn paths_in<'a>(texts: impl IntoIterator<Item = &'a String>) -> BTreeSet<PathBuf> {
        let file = |text: &String| match Seed::parse(text) {
            Ok(Seed::File(path)) => Some(path),
            _ => None,
        };
        texts.into_iter().filter_map(file).collect()
    }
}

/// Watches files until the sender of `watched` is dropped, or the node leaves. All addresses of a file count as new when it
/// is read first: it may have changed after a join of the settings read it. Members whose addresses leave a file stay
/// members.
pub(in crate::agent) async fn watch_files(agent: Arc<Agent>, mut watched: watch::Receiver<Watched>) {
    let (mut files, mut pending) = (Files::default(), Pending::default());
    loop {
        let Watched { paths, suspended } = watched.borrow_and_update().clone();
        // The disk may be slow.
        let polled = tokio::task::spawn_blocking(move || {
            files.set(paths);
            let changes = files.poll(&suspended);
            (files, changes)
        });
        let Ok((read, changes)) = polled.await else { return };
        files = read;
        for change in changes {
            pending.add(report(&agent, change));
        }
        pending.retain(&files);
        if agent.serf.state() != NodeState::Alive || pending.join(&agent).await.is_err() {
            return;
        }
        let is_idle = files.0.is_empty();
        tokio::select! {
            () = sleep(POLL_INTERVAL), if !is_idle => {}
            changed = watched.changed() => if changed.is_err() { return },
        }
    }
}

/// Logs the change of a file, in one record. Returns the new addresses.
fn report(agent: &Agent, change: Change) -> BTreeSet<String> {
    let Change { path, read, before } = change;
    let shown = path.display();
    let Content { new, malformed } = match read {
        Ok(content) => content,
        Err(why) => {
            let text = format_args!("file:{shown} gives no address to join: {why}; it is read again when it changes");
            agent.log.warn("agent", text);
            return BTreeSet::new();
        }
    };
    if let Some(word) = malformed.first() {
        let count = malformed.len();
        agent.log.warn("agent", format_args!("file:{shown}: {count} of its words are no address: {word:?}"));
        return new;
    }
    match before {
        Before::Unread => {
            agent.log.debug("agent", format_args!("file:{shown} is watched: it has {} addresses", new.len()));
        }
        Before::Read => {
            agent.log.debug("agent", format_args!("file:{shown} has changed: {} new addresses", new.len()));
        }
        Before::Failed(_) => agent.log.info("agent", format_args!("file:{shown} gives addresses to join again")),
    }
    new
}

/// The watched files, with what was last read.
#[derive(Default)]
struct Files(BTreeMap<PathBuf, Followed>);

#[derive(Default)]
struct Followed {
    /// The stamp of the content that was read. `None` before the first read, and while reads fail.
    read: Option<Stamp>,
    /// The stamp at the last poll.
    polled: Option<Stamp>,
    addresses: BTreeSet<String>,
    last: Before,
}

/// The result of the last read of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Before {
    #[default]
    Unread,
    Read,
    Failed(FileError),
}

/// A file that has changed.
struct Change {
    path: PathBuf,
    read: Result<Content, FileError>,
    before: Before,
}

/// What a changed file has.
struct Content {
    /// The addresses that it did not have before.
    new: BTreeSet<String>,
    /// Words that are no address.
    malformed: Vec<String>,
}

impl Files {
    /// Sets the files to watch.
    fn set(&mut self, paths: BTreeSet<PathBuf>) {
        self.0.retain(|path, _| paths.contains(path));
        for path in paths {
            self.0.entry(path).or_default();
        }
    }

    /// Reads the files that are new or have changed, but for those that are `suspended`. A change is taken when it has
    /// lasted for one poll, so that a file which is being written is not read by half.
    fn poll(&mut self, suspended: &BTreeSet<PathBuf>) -> Vec<Change> {
        self.poll_with(suspended, content)
    }

    fn poll_with(
        &mut self,
        suspended: &BTreeSet<PathBuf>,
        content: impl Fn(&Path, &Stamp) -> Result<Words, FileError>,
    ) -> Vec<Change> {
        let polled = self.0.iter_mut().filter(|(path, _)| !suspended.contains(*path));
        polled.filter_map(|(path, file)| file.poll(path, &content)).collect()
    }
}

impl Followed {
    /// Reads the file if a change has lasted for one poll, or the last read failed. A failure to read is returned once,
    /// however often it repeats.
    fn poll(&mut self, path: &Path, content: impl Fn(&Path, &Stamp) -> Result<Words, FileError>) -> Option<Change> {
        // Before the content: a write in between is then a change.
        let stamp = Some(Stamp::of(path));
        let has_lasted = self.polled == stamp;
        self.polled.clone_from(&stamp);
        let stamp = stamp.filter(|stamp| has_lasted && self.read.as_ref() != Some(stamp))?;
        let read = content(path, &stamp);
        let now = read.as_ref().map_or_else(|error| Before::Failed(error.clone()), |_| Before::Read);
        // A failure of the system may pass without a change of the stamp.
        let is_final = !matches!(read, Err(FileError::Read(_)));
        self.read = is_final.then_some(stamp);
        let is_repeated = !is_final && self.last == now;
        let before = core::mem::replace(&mut self.last, now);
        let read = read.map(|(addresses, malformed)| {
            // What a file had before a failure is still known.
            let before = core::mem::replace(&mut self.addresses, addresses);
            Content { new: &self.addresses - &before, malformed }
        });
        (!is_repeated).then(|| Change { path: path.to_path_buf(), read, before })
    }
}

/// The addresses of a file, and its words that are none.
type Words = (BTreeSet<String>, Vec<String>);

/// Reads the words of a file.
fn content(path: &Path, stamp: &Stamp) -> Result<Words, FileError> {
    if *stamp == Stamp::Other {
        return Err(FileError::Content("it is no regular file".into()));
    }
    let words = listed(&file::read(path)?).map_err(FileError::Content)?.into_iter();
    let (addresses, malformed): (Vec<_>, Vec<_>) = words.partition(|word| may_be_address(word));
    if addresses.is_empty() {
        return Err(FileError::Content(format!("no word of it is an address: {:?}", malformed[0])));
    }
    Ok((addresses.into_iter().collect(), malformed))
}

/// Whether a word may be an address or the name of a host. A list of JSON or YAML is split into words that are not.
fn may_be_address(word: &str) -> bool {
    // As a key of YAML.
    let ends_as_key = word.ends_with(':') && !word.ends_with("::");
    let is_of_address = |letter: char| letter.is_alphanumeric() || ".:-_/[]%".contains(letter);
    !ends_as_key && word.contains(char::is_alphanumeric) && word.chars().all(is_of_address)
}

/// New addresses that have not been joined.
#[derive(Default)]
struct Pending {
    addresses: BTreeSet<String>,
    /// How often they were tried.
    tries: u32,
    /// When they are tried again.
    next_at: Option<Instant>,
}

impl Pending {
    fn add(&mut self, new: BTreeSet<String>) {
        if !new.is_empty() {
            self.addresses.extend(new);
            (self.tries, self.next_at) = (0, None);
        }
    }

    /// Forgets the addresses that no file has any more.
    fn retain(&mut self, files: &Files) {
        self.addresses.retain(|address| files.0.values().any(|file| file.addresses.contains(address)));
    }

    /// Joins through the addresses, if it is time. Those of live members are left out; those that do not answer are
    /// tried again with growing pauses, at most [`TRIES_MAX`] times.
    ///
    /// # Errors
    ///
    /// The node leaves.
    async fn join(&mut self, agent: &Agent) -> Result<(), ()> {
        if self.addresses.is_empty() || self.next_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        let mut addresses: Vec<String> = take(&mut self.addresses).into_iter().collect();
        retain_strangers(agent, &mut addresses);
        if addresses.is_empty() {
            return Ok(());
        }
        if self.tries == 0 {
            agent.log.info("agent", format_args!("joining new addresses of files: [{}]", addresses.join(" ")));
        }
        let (contacted, failed) = match agent.serf.join_with(&addresses, OldEvents::Ignore).await {
            Ok(report) => (report.contacted, report.failed),
            Err(JoinError::NoSeedAnswered(report)) => (0, report.failed),
            Err(_) => return Err(()),
        };
        if contacted > 0 {
            agent.log.info("agent", format_args!("joined: {contacted} nodes"));
        }
        self.retry(agent, &failed);
        Ok(())
    }

    /// Notes what has to be tried again. The first failure is a warning, and the last.
    fn retry(&mut self, agent: &Agent, failed: &[SeedFailure]) {
        if failed.is_empty() {
            return;
        }
        self.tries += 1;
        let why = one_line(&multiple(failed, !agent.serf.keys().is_empty()));
        if self.tries == TRIES_MAX {
            agent.log.warn("agent", format_args!("error joining: {why}; given up until the file names them anew"));
            return;
        }
        let pause = POLL_INTERVAL * 2_u32.pow(self.tries);
        self.addresses.extend(failed.iter().map(|failure| failure.seed.clone()));
        self.next_at = Some(Instant::now() + pause);
        let text = format_args!("error joining: {why}, retrying in {pause:?}");
        if self.tries == 1 {
            agent.log.warn("agent", text);
        } else {
            agent.log.debug("agent", text);
        }
    }
}

/// Leaves out this agent and the members that are alive. A host name is joined, since its addresses are not known here.
fn retain_strangers(agent: &Agent, addresses: &mut Vec<String>) {
    let own = agent.serf.local().addr();
    let members = agent.serf.members();
    let live = members.iter().filter(|member| matches!(member.status(), Status::Alive | Status::Leaving));
    let live: BTreeSet<SocketAddr> = live.map(|member| member.peer().addr()).collect();
    addresses.retain(|text| !is_of(own, text) && agent.serf.seed_addr(text).is_none_or(|addr| !live.contains(&addr)));
}

/// How often the files are examined. A change takes effect after one to two intervals.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// How often a new address is tried, with pauses that double: for about eight minutes.
const TRIES_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, remove_file, write};

    use super::*;

    const NONE: BTreeSet<PathBuf> = BTreeSet::new();

    /// A file with this text in a directory of its own, watched.
    fn watched(text: &str) -> (tempfile::TempDir, PathBuf, Files) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("members");
        write(&path, text).unwrap();
        let mut files = Files::default();
        files.set([path.clone()].into());
        (dir, path, files)
    }

    /// Polls until a change has lasted. Returns the new addresses, or why there are none.
    fn polled(files: &mut Files) -> Vec<Result<Vec<String>, String>> {
        assert!(files.poll(&NONE).is_empty(), "a change has to last");
        let changes = files.poll(&NONE);
        assert!(files.poll(&NONE).is_empty(), "a change is reported once");
        changes.into_iter().map(told).collect()
    }

    fn told(change: Change) -> Result<Vec<String>, String> {
        change.read.map(|read| read.new.into_iter().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_changed_file_gives_its_new_addresses_once_and_an_unchanged_one_none() {
        let (_dir, path, mut files) = watched("a b");
        // A join read the file before; it changed before the watch reads it.
        write(&path, "a b x").unwrap();
        assert_eq!(polled(&mut files), [Ok(["a", "b", "x"].map(String::from).into())], "all are new at first");
        files.set([path.clone()].into());
        assert!(polled(&mut files).is_empty(), "a reload with the same file forgets nothing");
        write(&path, "b c # d").unwrap();
        assert_eq!(polled(&mut files), [Ok(vec!["c".into()])]);
        write(&path, "a b c d").unwrap();
        assert_eq!(polled(&mut files), [Ok(vec!["a".into(), "d".into()])], "one that left may come back");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_one_failure_and_what_it_had_stays_known() {
        let (_dir, path, mut files) = watched("a b");
        assert!(matches!(&polled(&mut files)[..], [Ok(_)]));
        for (bytes, why) in [
            (&b"# none\n"[..], "it has none"),
            (b"[\"a\", \"b\"]", "no word of it is an address: \"[\\\"a\\\",\""),
            (b"\xFF", "it is not UTF-8"),
            (&b"a ".repeat(200_000), "it is longer than 262144 bytes"),
        ] {
            write(&path, bytes).unwrap();
            assert_eq!(polled(&mut files), [Err(why.into())]);
        }
        remove_file(&path).unwrap();
        let missing = format!("open {}: no such file or directory", path.display());
        assert_eq!(polled(&mut files), [Err(missing)]);
        create_dir(&path).unwrap();
        assert_eq!(polled(&mut files), [Err("it is no regular file".into())]);
        std::fs::remove_dir(&path).unwrap();
        write(&path, "a b c").unwrap();
        assert_eq!(polled(&mut files), [Ok(vec!["c".into()])]);
    }

    #[test]
    fn a_file_that_is_being_written_is_read_when_it_rests() {
        let (_dir, path, mut files) = watched("");
        for text in ["10.0.0.1", "10.0.0.12", "10.0.0.12 b"] {
            write(&path, text).unwrap();
            assert!(files.poll(&NONE).is_empty(), "{text}");
        }
        let read = files.poll(&NONE).remove(0).read.unwrap_or_else(|why| panic!("{why}"));
        assert!(read.new.into_iter().eq(["10.0.0.12", "b"]));
    }

    #[test]
    fn a_failed_read_is_one_warning_and_is_repeated_although_the_file_does_not_change() {
        let (_dir, path, mut files) = watched("a");
        assert_eq!(polled(&mut files), [Ok(vec!["a".into()])]);
        write(&path, "a b").unwrap();
        assert!(files.poll(&NONE).is_empty());
        let fails = |why: &str| {
            let error = FileError::Read(why.into());
            move |_: &Path, _: &Stamp| Err(error.clone())
        };
        let mut failed = |why| files.poll_with(&NONE, fails(why)).into_iter().map(told).collect::<Vec<_>>();
        assert_eq!(failed("stale handle"), [Err("stale handle".into())]);
        assert!(failed("stale handle").is_empty(), "it is reported once");
        assert_eq!(failed("input/output error"), [Err("input/output error".into())], "another reason");
        let mut changes = files.poll(&NONE);
        assert!(matches!(changes[0].before, Before::Failed(_)));
        assert_eq!(told(changes.remove(0)), Ok(vec!["b".into()]));
        assert!(files.poll(&NONE).is_empty());
    }

    #[test]
    fn only_the_suspended_files_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let [start, retry] = ["start", "retry"].map(|name| dir.path().join(name));
        write(&start, "a").unwrap();
        write(&retry, "b").unwrap();
        let mut files = Files::default();
        files.set([start.clone(), retry.clone()].into());
        let suspended = [retry].into();
        assert!(files.poll(&suspended).is_empty());
        let changes: Vec<_> = files.poll(&suspended).into_iter().map(told).collect();
        assert_eq!(changes, [Ok(vec!["a".into()])]);
        assert_eq!(polled(&mut files), [Ok(vec!["b".into()])]);
    }

    #[test]
    fn words_that_are_no_address_are_known() {
        for word in [
            "10.0.0.1",
            "10.0.0.1:7946",
            "[::1]:7946",
            "::1",
            "fe80::1%eth0",
            "fd00::",
            "a/b.c:1",
            "n-1",
            "bücher.example",
        ] {
            assert!(may_be_address(word), "{word}");
        }
        for word in ["-", "\"a\",", "{", "members:", "a=b", "--", "\u{7}a"] {
            assert!(!may_be_address(word), "{word}");
        }
    }
}
