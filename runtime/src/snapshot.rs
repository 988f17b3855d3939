//! The snapshot file. The protocol defines its lines and decides when to compact it ([`Snapshot`]); a worker of its own
//! here writes them, so that disk IO never blocks the node.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;

use async_channel::{Receiver, Sender};
use serf_proto::{AfterLeave, Instant, Record, Snapshot};

use crate::disk::{Disk, DiskFile, OpenMode, Turn, Worker};
use crate::error::{NotWritten, system_words};
use crate::lock;

/// A snapshot file that was read and is open for appending.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) snapshot: Snapshot,
    log: Log,
}

impl Opened {
    /// Reads the file, or creates it, and truncates an incomplete last line after a crash.
    pub(crate) fn read(disk: &Arc<dyn Disk>, path: &Path, after_leave: AfterLeave) -> io::Result<Self> {
        // HashiCorp's nodes remove the old file before they rename the new one; a crash between the two leaves only the
        // new one.
        disk.recover(path, COMPACTED)?;
        let mut file = disk.open(path, OpenMode::Append)?;
        let contents = file.read_to_end()?;
        let replay = Snapshot::replay(&contents, after_leave);
        if replay.intact_bytes < contents.len() {
            file.truncate(replay.intact_bytes as u64)?;
        }
        let log = Log {
            disk: Arc::clone(disk),
            path: path.to_owned(),
            file,
            bytes: replay.intact_bytes as u64,
            compact_not_before: None,
            trouble: None,
        };
        Ok(Self { snapshot: replay.snapshot, log })
    }
}

/// The node's side: queues records in order and never blocks on the disk.
#[derive(Debug)]
pub(crate) struct SnapshotWriter {
    queue: Arc<WriterQueue>,
    /// Closed when the worker has ended; carries the error before that if the file is incomplete.
    ended: Receiver<NotWritten>,
}

/// Queue between node and worker: pending records and the state of the last write.
#[derive(Debug)]
struct WriterQueue {
    state: Mutex<State>,
    /// Runs the worker.
    waker: OnceLock<Waker>,
    errors: AtomicU64,
    /// Whether the last write failed.
    is_failing: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// State of the file after all pending writes.
    snapshot: Snapshot,
    /// Lines to append.
    lines: String,
    /// When set, records are missing in the file, and the file is rewritten at that time of the worker's clock.
    whole_at: Option<Instant>,
    /// Callers that wait for a sync; they also receive the error.
    waiting: Vec<Sender<NotWritten>>,
    is_closed: bool,
}

/// The next job of the worker.
struct Job {
    lines: String,
    whole: Option<String>,
    /// Notified when everything is on disk.
    waiting: Vec<Sender<NotWritten>>,
    is_last: bool,
}

impl SnapshotWriter {
    /// Starts the worker.
    pub(crate) fn start(opened: Opened) -> io::Result<Self> {
        let Opened { snapshot, log } = opened;
        let state = State { snapshot, lines: String::new(), whole_at: None, waiting: Vec::new(), is_closed: false };
        let queue = Arc::new(WriterQueue {
            state: Mutex::new(state),
            waker: OnceLock::new(),
            errors: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
        });
        let (alive, ended) = async_channel::bounded(1);
        let disk = Arc::clone(&log.disk);
        let waker = disk.start("serf-snapshot", Box::new(Writer { queue: Arc::clone(&queue), log, alive }))?;
        _ = queue.waker.set(waker);
        Ok(Self { queue, ended })
    }

    /// Queues a record.
    pub(crate) fn append(&self, record: &Record) {
        let mut state = lock(&self.queue.state);
        state.snapshot.apply(record);
        if state.whole_at.is_none() {
            state.lines.push_str(&record.line());
            if state.lines.len() > LINES_BYTES_MAX {
                // The disk is stuck: drop the lines and rewrite the file from the snapshot later, which takes less
                // memory.
                state.lines = String::new();
                state.whole_at = Some(Instant::ZERO);
            }
        }
        if record.must_be_synced() {
            // The receiver is dropped: a waiter in the list is enough to request a sync.
            state.waiting.push(async_channel::bounded(1).0);
        }
        drop(state);
        self.queue.wake();
    }

    /// Requests a sync of all queued records and waits for its result.
    pub(crate) async fn sync(&self) -> Result<(), NotWritten> {
        self.begin_sync().recv().await.map_or(Ok(()), Err)
    }

    fn begin_sync(&self) -> Receiver<NotWritten> {
        let (waiting, synced) = async_channel::bounded(1);
        {
            let mut state = lock(&self.queue.state);
            if !state.is_closed {
                state.waiting.push(waiting);
            }
        }
        self.queue.wake();
        synced
    }

    /// Waits until the worker has ended; returns an error if the file is incomplete on disk.
    pub(crate) async fn ended(&self) -> Result<(), NotWritten> {
        self.ended.recv().await.map_or(Ok(()), Err)
    }

    /// Closes the queue.
    pub(crate) fn close(&self) {
        lock(&self.queue.state).is_closed = true;
        self.queue.wake();
    }

    /// Whether the last write failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.queue.is_failing.load(Ordering::Relaxed)
    }

    /// Number of failed writes.
    pub(crate) fn errors(&self) -> u64 {
        self.queue.errors.load(Ordering::Relaxed)
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        self.close();
    }
}

/// The worker.
#[derive(Debug)]
struct Writer {
    queue: Arc<WriterQueue>,
    // Closed before `alive`, so that a caller that waits for the end can reopen the file.
    log: Log,
    alive: Sender<NotWritten>,
}

impl Worker for Writer {
    fn work(&mut self, now: Instant) -> Turn {
        loop {
            let job = match self.queue.next_job(now) {
                Ok(job) => job,
                Err(pause) => return Turn::Wait(pause),
            };
            let is_last = job.is_last;
            let done = self.queue.write(&mut self.log, job, now);
            if is_last {
                if let Err(not_written) = done {
                    _ = self.alive.try_send(not_written);
                }
                return Turn::End;
            }
        }
    }
}

impl WriterQueue {
    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Writes a job. Returns an error if the file is then incomplete on disk.
    fn write(&self, log: &mut Log, job: Job, now: Instant) -> Result<(), NotWritten> {
        let Job { lines, whole, waiting, is_last } = job;
        let written = match &whole {
            Some(whole) => log.replace(whole),
            None => log.append(&lines),
        };
        let synced = if waiting.is_empty() && !is_last { Ok(()) } else { log.file.sync() };
        let done = written.and(synced).map_err(|error| {
            self.note_error(log, &error, false, now);
            let mut state = lock(&self.state);
            state.lines = String::new();
            state.whole_at = Some(now + PAUSE_AFTER_ERROR);
            NotWritten { path: log.path.clone(), why: system_words(&error) }
        });
        match &done {
            Ok(()) => {
                self.note_written(log, whole.is_some(), now);
                if !is_last {
                    self.compact(log, now);
                }
            }
            Err(not_written) => waiting.iter().for_each(|it| _ = it.try_send(not_written.clone())),
        }
        done
    }

    /// Takes the next job; without one, returns how long to wait for it.
    fn next_job(&self, now: Instant) -> Result<Job, Option<Duration>> {
        let mut state = lock(&self.state);
        let must = state.is_closed || !state.waiting.is_empty();
        let whole_is_due = state.whole_at.is_some_and(|at| at <= now || must);
        if !must && !whole_is_due && state.lines.is_empty() {
            return Err(state.whole_at.map(|at| at - now));
        }
        let whole = whole_is_due.then(|| state.snapshot.compacted());
        if whole_is_due {
            state.whole_at = None;
        }
        Ok(Job {
            lines: core::mem::take(&mut state.lines),
            whole,
            waiting: core::mem::take(&mut state.waiting),
            is_last: state.is_closed,
        })
    }

    /// Compacts the file if it has grown too long for its content.
    fn compact(&self, log: &mut Log, now: Instant) {
        let mut state = lock(&self.state);
        if !state.snapshot.wants_compaction(log.bytes) || log.compact_not_before.is_some_and(|at| at > now) {
            return;
        }
        let (whole, lines) = (state.snapshot.compacted(), core::mem::take(&mut state.lines));
        drop(state);
        if let Err(error) = log.replace(&whole) {
            // The old file is intact: it keeps growing, and the compaction is retried later.
            self.note_error(log, &error, true, now);
            log.compact_not_before = Some(now + PAUSE_AFTER_ERROR);
            lock(&self.state).lines.insert_str(0, &lines);
        } else {
            self.note_written(log, true, now);
        }
    }

    /// Counts an error and logs it: the first one, then at growing intervals.
    fn note_error(&self, log: &mut Log, error: &io::Error, in_compaction: bool, now: Instant) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.is_failing.store(true, Ordering::Relaxed);
        let (path, why) = (log.path.display(), system_words(error));
        let Some(trouble) = &mut log.trouble else {
            tracing::error!("Failed to update snapshot: {path}: {why}: retrying every {PAUSE_AFTER_ERROR:?}");
            log.trouble =
                Some(Trouble { since: now, errors: 1, logged_at: now, pause: LOG_PAUSE_LEAST, in_compaction });
            return;
        };
        trouble.errors += 1;
        trouble.in_compaction |= in_compaction;
        if now - trouble.logged_at >= trouble.pause {
            let (errors, secs) = (trouble.errors, (now - trouble.since).as_secs());
            tracing::error!("Failed to update snapshot: {path}: {why}: still failing, {errors} errors in {secs} s");
            (trouble.logged_at, trouble.pause) = (now, (trouble.pause * 2).min(LOG_PAUSE_MAX));
        }
    }

    /// Records a successful write: a rewrite or an append. A successful append does not prove that the file can be
    /// replaced.
    fn note_written(&self, log: &mut Log, is_whole: bool, now: Instant) {
        if let Some(trouble) = log.trouble.take_if(|trouble| is_whole || !trouble.in_compaction) {
            self.is_failing.store(false, Ordering::Relaxed);
            let (errors, secs) = (trouble.errors, (now - trouble.since).as_secs());
            tracing::warn!("Snapshot {} recovered after {errors} errors in {secs} s", log.path.display());
        }
    }
}

/// An ongoing failure of writes.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    errors: u64,
    logged_at: Instant,
    /// Minimum time until the next log line.
    pause: Duration,
    /// Whether the compaction failed, rather than an append.
    in_compaction: bool,
}

/// The open file.
#[derive(Debug)]
struct Log {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    bytes: u64,
    compact_not_before: Option<Instant>,
    trouble: Option<Trouble>,
}

impl Log {
    fn append(&mut self, lines: &str) -> io::Result<()> {
        self.file.append(lines.as_bytes())?;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    fn replace(&mut self, whole: &str) -> io::Result<()> {
        self.file = self.disk.replace(&self.path, COMPACTED, false, whole.as_bytes())?;
        self.bytes = whole.len() as u64;
        Ok(())
    }
}

/// Suffix of the file that a compaction writes (`tmpExt` in serf's snapshot.go).
const COMPACTED: &str = ".compact";

/// Bytes of pending lines above which only the resulting snapshot is kept.
const LINES_BYTES_MAX: usize = 1024 * 1024;

/// Time until the second log line about failing writes; each further interval doubles.
const LOG_PAUSE_LEAST: Duration = Duration::from_secs(60);

/// Upper bound of these intervals.
const LOG_PAUSE_MAX: Duration = Duration::from_secs(3600);

/// Time from an error to the rewrite of the file (`snapshotErrorRecoveryInterval` in serf).
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;
    use std::fs::{self, File};

    use futures_lite::future::block_on;
    use tempfile::TempDir;

    use super::*;
    use crate::disk::{SystemDisk, is_in_use};
    use crate::replace::beside;

    /// A directory that is removed on drop.
    struct Scratch(TempDir);

    impl Scratch {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self) -> PathBuf {
            self.0.path().join("snapshot")
        }
    }

    fn read(path: &Path) -> io::Result<Opened> {
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
        Opened::read(&disk, path, AfterLeave::Forget)
    }

    fn start(path: &Path) -> SnapshotWriter {
        SnapshotWriter::start(read(path).unwrap()).unwrap()
    }

    fn synced(writer: &SnapshotWriter) {
        _ = block_on(writer.sync());
    }

    fn ended(writer: &SnapshotWriter) {
        writer.close();
        _ = block_on(writer.ended());
    }

    fn alive(at: u16) -> Record {
        Record::Alive { name: format!("n{at}").into(), addr: SocketAddr::from(([10, 0, 0, 1], at)) }
    }

    #[test]
    fn records_are_appended_in_order_behind_whole_lines_only() {
        let scratch = Scratch::new();
        fs::write(scratch.file(), "alive: old 10.0.0.1:1\nalive: torn 10.0").unwrap();
        let writer = start(&scratch.file());
        for at in 1..4 {
            writer.append(&alive(at));
        }
        writer.append(&Record::EventClock(7));
        synced(&writer);
        let lines = "alive: n1 10.0.0.1:1\nalive: n2 10.0.0.1:2\nalive: n3 10.0.0.1:3\nevent-clock: 7\n";
        assert_eq!(fs::read_to_string(scratch.file()).unwrap(), format!("alive: old 10.0.0.1:1\n{lines}"));
    }

    #[test]
    fn appended_records_are_written_without_further_ones_and_at_the_end() {
        let scratch = Scratch::new();
        let writer = start(&scratch.file());
        writer.append(&alive(1));
        // Without an explicit sync.
        while fs::read(scratch.file()).unwrap().is_empty() {
            std::thread::yield_now();
        }
        writer.append(&alive(2));
        ended(&writer);
        assert_eq!(read(&scratch.file()).unwrap().snapshot.alive().count(), 2);
    }

    #[test]
    fn a_file_that_grew_too_long_is_compacted_and_appended_to() {
        let scratch = Scratch::new();
        let writer = start(&scratch.file());
        writer.append(&alive(1));
        for time in 0..20_000 {
            writer.append(&Record::EventClock(time));
            if time % 1000 == 0 {
                synced(&writer);
            }
        }
        ended(&writer);
        let len = fs::metadata(scratch.file()).unwrap().len();
        assert!(len < 200 * 1024, "{len} bytes");
        assert!(!beside(&scratch.file(), COMPACTED).exists());
        let snapshot = read(&scratch.file()).unwrap().snapshot;
        assert_eq!((snapshot.alive().count(), snapshot.event_clock()), (1, 19_999));
        assert_eq!(writer.errors(), 0);
    }

    #[test]
    fn records_beyond_the_bound_are_remembered_by_what_they_come_to() {
        let scratch = Scratch::new();
        let writer = start(&scratch.file());
        {
            // The thread cannot take the lock meanwhile.
            let mut state = lock(&writer.queue.state);
            state.lines = "#".repeat(LINES_BYTES_MAX) + "\n";
            state.snapshot.apply(&alive(1));
        }
        writer.append(&alive(2));
        ended(&writer);
        assert_eq!(read(&scratch.file()).unwrap().snapshot.alive().count(), 2);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_counted_and_made_up_for() {
        let scratch = Scratch::new();
        let mut opened = read(&scratch.file()).unwrap();
        // A read-only handle: appending fails.
        opened.log.file = Box::new(File::open(scratch.file()).unwrap());
        let writer = SnapshotWriter::start(opened).unwrap();
        writer.append(&alive(1));
        synced(&writer);
        assert_eq!((writer.errors(), writer.is_failing()), (1, true));
        writer.append(&alive(2));
        ended(&writer);
        assert!(!writer.is_failing(), "it was written whole");
        assert_eq!(read(&scratch.file()).unwrap().snapshot.alive().count(), 2);
    }

    #[test]
    fn a_compacted_file_that_was_never_renamed_is_taken() {
        let scratch = Scratch::new();
        fs::write(beside(&scratch.file(), COMPACTED), "alive: a 10.0.0.1:1\n").unwrap();
        assert_eq!(read(&scratch.file()).unwrap().snapshot.alive().count(), 1);
    }

    #[test]
    fn a_wait_for_a_file_that_cannot_be_written_ends_with_the_error() {
        let scratch = Scratch::new();
        let mut opened = read(&scratch.file()).unwrap();
        opened.log.file = Box::new(File::open(scratch.file()).unwrap());
        let writer = SnapshotWriter::start(opened).unwrap();
        writer.append(&alive(1));
        // The directory is gone: a rewrite fails too.
        fs::remove_dir_all(scratch.0.path()).unwrap();
        let NotWritten { path, why } = block_on(writer.sync()).unwrap_err();
        assert!(path == scratch.file() && !why.is_empty());
        writer.append(&alive(2));
        writer.close();
        assert_eq!(block_on(writer.ended()).unwrap_err().path, scratch.file());
    }

    #[test]
    fn a_second_writer_is_refused_until_the_first_has_ended() {
        let scratch = Scratch::new();
        let is_refused = || read(&scratch.file()).is_err_and(|error| is_in_use(&error));
        let writer = start(&scratch.file());
        assert!(is_refused());
        {
            let mut state = lock(&writer.queue.state);
            state.snapshot.apply(&alive(1));
            state.whole_at = Some(Instant::ZERO);
        }
        synced(&writer);
        assert!(!fs::read(scratch.file()).unwrap().is_empty(), "it was replaced");
        assert!(is_refused());
        ended(&writer);
        assert_eq!(read(&scratch.file()).unwrap().snapshot.alive().count(), 1);
    }
}
