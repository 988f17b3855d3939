//! The sinks of log records: the ring, standard output, syslog.

use core::fmt;
use std::borrow::Cow;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::format::{Format, Line as Record};
use super::lines::{LINES_MAX, Lines};
use super::syslog::Syslog;
use super::{FollowerId, Level, LogRing, record};
use crate::budget;
use crate::quote::{shown, start_of};

/// The agent's log and output.
///
/// Its own thread writes the lines: a stopped terminal, or a pipe without a reader, must not block gossip. Lines that
/// do not fit into the queue are dropped and counted. A record is always one line, whatever remote names and payloads
/// it contains.
#[derive(Debug)]
pub struct Log {
    state: Mutex<State>,
    lines: Lines,
}

#[derive(Debug)]
struct State {
    level: Level,
    format: Format,
    /// The name of the node, for lines of JSON.
    node: Arc<str>,
    ring: LogRing,
    /// The followers to wake on a new record.
    followers: Vec<(FollowerId, Arc<Notify>)>,
    /// Lines held back until the banner is printed; `None` afterwards.
    held: Option<Held>,
    /// The writer to standard error, created with the first dump of metrics.
    figures: Option<Lines>,
    syslog: Option<Syslog>,
    /// Lines dropped since the last report.
    lines_lost: u64,
    lost_in_all: u64,
}

impl Log {
    /// A log that writes lines to `out`.
    ///
    /// # Errors
    ///
    /// The system cannot start a thread.
    pub fn new(level: Level, out: Box<dyn Write + Send>) -> std::io::Result<Self> {
        let lines = Lines::spawn("log", LINES_BYTES_MAX, out)?;
        let state = State {
            level,
            format: Format::default(),
            node: "".into(),
            ring: LogRing::new(),
            followers: Vec::new(),
            held: Some(Held::default()),
            figures: None,
            syslog: None,
            lines_lost: 0,
            lost_in_all: 0,
        };
        Ok(Self { state: Mutex::new(state), lines })
    }

    /// Adds a record.
    pub fn add(&self, level: Level, component: &str, text: impl fmt::Display) {
        self.add_with(level, component, &text.to_string(), &[]);
    }

    /// Adds a record with structured values, which only lines of JSON show.
    pub(super) fn add_with(&self, level: Level, component: &str, text: &str, fields: &[(&'static str, String)]) {
        let now = jiff::ZonedDateTime::now();
        // As in Go, a record ends its line; one trailing newline is removed.
        let text = &*cut(text.strip_suffix('\n').unwrap_or(text));
        let record = record(now.datetime(), level, component, text);
        let mut state = self.lock();
        if level >= state.level {
            if let Some(syslog) = &state.syslog {
                syslog.send(level, &record);
            }
            let node = Arc::clone(&state.node);
            let line = Record { at: &now, level, component, node: &node, text, fields };
            let line = state.format.record(&line, &record);
            match &mut state.held {
                Some(held) => {
                    if !held.push(line) {
                        state.lose_line();
                    }
                }
                None => self.write(&mut state, line),
            }
        }
        state.ring.push(record.into());
        state.followers.iter().for_each(|(_, wake)| wake.notify_one());
    }

    /// Adds a record at level debug.
    pub fn debug(&self, component: &str, text: impl fmt::Display) {
        self.add(Level::Debug, component, text);
    }

    /// Adds a record at level info.
    pub fn info(&self, component: &str, text: impl fmt::Display) {
        self.add(Level::Info, component, text);
    }

    /// Adds a record at level warn.
    pub fn warn(&self, component: &str, text: impl fmt::Display) {
        self.add(Level::Warn, component, text);
    }

    /// Adds a record at level err.
    pub fn error(&self, component: &str, text: impl fmt::Display) {
        self.add(Level::Err, component, text);
    }

    /// Prints the agent's own output, with its mark.
    pub fn output(&self, text: &str) {
        let mut state = self.lock();
        if let Some(line) = state.format.output(text, &state.node) {
            self.write(&mut state, line);
        }
    }

    /// Prints a detail.
    pub fn detail(&self, text: &str) {
        let mut state = self.lock();
        if let Some(line) = state.format.detail(text, &state.node) {
            self.write(&mut state, line);
        }
    }

    /// Prints the records that were held back until the banner is printed, and from now on every record at once.
    pub fn release(&self) {
        let mut state = self.lock();
        for line in state.held.take().unwrap_or_default().lines {
            self.write(&mut state, line);
        }
    }

    /// Writes metrics to standard error, as HashiCorp's agent does, on a thread of their own: standard error may have
    /// no reader although the log has one.
    pub fn figures(&self, text: String) {
        let is_taken = {
            let mut state = self.lock();
            if state.figures.is_none() {
                state.figures = Lines::spawn("figures", FIGURES_BYTES_MAX, Box::new(std::io::stderr())).ok();
            }
            // The thread ends the last line.
            let text = text.trim_end().to_owned();
            state.figures.as_ref().is_some_and(|figures| figures.push(text))
        };
        if !is_taken {
            self.warn("agent", "The metrics are not written: the reader of standard error is too slow");
        }
    }

    /// Waits until all lines are written, for a bounded time.
    pub fn flush(&self) {
        self.lines.flush();
    }

    /// Sets the format of printed lines; JSON includes the name of the node. Followers and syslog always get text.
    pub fn set_format(&self, format: Format, node: &str) {
        let mut state = self.lock();
        (state.format, state.node) = (format, node.into());
    }

    /// The fill level of the output's queue.
    pub(crate) fn waiting(&self) -> budget::Level {
        self.lines.level()
    }

    /// Lines dropped because the output was too slow, since the start.
    pub fn lines_lost_in_all(&self) -> u64 {
        self.lock().lost_in_all
    }

    /// Sets the lowest level that is printed.
    pub fn set_level(&self, level: Level) {
        self.lock().level = level;
    }

    /// Also sends records to syslog.
    pub fn set_syslog(&self, syslog: Syslog) {
        self.lock().syslog = Some(syslog);
    }

    /// Starts to queue records, beginning with the kept ones; `wake` is notified of new ones.
    pub fn follow(&self, level: Level, wake: Arc<Notify>) -> FollowerId {
        let mut state = self.lock();
        let id = state.ring.follow(level);
        wake.notify_one();
        state.followers.push((id, wake));
        id
    }

    /// Takes the oldest queued record of a follower.
    pub fn poll(&self, id: FollowerId) -> Option<Arc<str>> {
        self.lock().ring.poll(id)
    }

    /// Takes the number of records that a follower missed.
    pub fn take_dropped(&self, id: FollowerId) -> u64 {
        self.lock().ring.take_dropped(id)
    }

    /// Removes a follower.
    pub fn unfollow(&self, id: FollowerId) {
        let mut state = self.lock();
        state.ring.unfollow(id);
        state.followers.retain(|(other, _)| *other != id);
    }

    fn write(&self, state: &mut State, line: String) {
        if state.lines_lost > 0 {
            let notice = lost(state.lines_lost, state.format, &state.node);
            if self.lines.push(notice) {
                state.lines_lost = 0;
            }
        }
        if !self.lines.push(line) {
            state.lose_line();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Held {
    lines: Vec<String>,
    bytes: usize,
}

impl Held {
    /// Queues a line. Returns whether there was room.
    fn push(&mut self, line: String) -> bool {
        let has_room = self.lines.len() < LINES_MAX && self.bytes + line.len() <= LINES_BYTES_MAX;
        if has_room {
            self.bytes += line.len();
            self.lines.push(line);
        }
        has_room
    }
}

impl State {
    const fn lose_line(&mut self) {
        self.lines_lost += 1;
        self.lost_in_all += 1;
    }
}

/// The displayed text of a record: on one line, within the length limit.
fn cut(text: &str) -> Cow<'_, str> {
    let start = start_of(text, RECORD_BYTES_MAX);
    let line = shown(start);
    if start.len() == text.len() && line.len() <= RECORD_BYTES_MAX {
        return line;
    }
    Cow::Owned(format!("{}... ({} bytes)", start_of(&line, RECORD_BYTES_MAX), text.len()))
}

fn lost(lines: u64, format: Format, node: &str) -> String {
    let text = format!("{lines} lines of output were dropped, the reader was too slow");
    let line = Record {
        at: &jiff::ZonedDateTime::now(),
        level: Level::Warn,
        component: "agent",
        node,
        text: &text,
        fields: &[],
    };
    format.record(&line, &format!("[WARN] agent: {text}"))
}

/// Bytes of lines that wait to be written, and of those held back until the banner is printed; newer lines are dropped
/// and counted. A busy agent writes some hundred KiB a second.
const LINES_BYTES_MAX: usize = 4 << 20;

/// Bytes of metrics queued for standard error; newer ones are dropped.
const FIGURES_BYTES_MAX: usize = 8 << 20;

/// Limit on the text of a record, in bytes; a longer one is cut. The last 8 KiB of a script's output fit. The output of a
/// script whose answer the requester fetches has up to 1 MiB, and is cut in its debug record, not in the answer.
const RECORD_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[derive(Clone, Default)]
    pub(in crate::log) struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        pub(in crate::log) fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no panic").clone()).expect("is text")
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Without the time.
    fn lines(page: &Page) -> Vec<String> {
        let text = page.text();
        text.lines()
            .map(|line| line.split_once('[').map_or_else(|| line.into(), |(_, rest)| format!("[{rest}")))
            .collect()
    }

    #[test]
    fn records_are_held_until_the_banner_is_out() {
        let page = Page::default();
        let log = Log::new(Level::Info, Box::new(page.clone())).expect("starts");
        log.info("agent", "Serf agent starting");
        log.output("Serf agent running!");
        log.release();
        log.warn("serf", "later");
        log.flush();
        assert_eq!(
            lines(&page),
            ["==> Serf agent running!", "[INFO] agent: Serf agent starting", "[WARN] serf: later"]
        );
    }

    #[test]
    fn the_level_is_for_the_output_and_not_for_followers() {
        let page = Page::default();
        let log = Log::new(Level::Warn, Box::new(page.clone())).expect("starts");
        log.release();
        let id = log.follow(Level::Debug, Arc::default());
        log.debug("agent", "one");
        log.set_level(Level::Debug);
        log.debug("agent", "two");
        log.flush();
        assert_eq!(lines(&page), ["[DEBUG] agent: two"]);
        assert!(log.poll(id).is_some_and(|record| record.ends_with("agent: one")));
        log.unfollow(id);
        assert_eq!(log.poll(id), None);
    }

    #[test]
    fn a_blocked_output_blocks_no_caller() {
        let log = Log::new(Level::Info, Box::new(super::super::lines::tests::Stuck)).expect("starts");
        log.release();
        for n in 0..2 * LINES_MAX {
            log.info("agent", n);
        }
        let lost = log.lock().lines_lost;
        assert!(lost > 0, "the queue is bounded");
    }

    #[test]
    fn a_record_is_one_line_whatever_remote_names_are_in_it() {
        let page = Page::default();
        let log = Log::new(Level::Info, Box::new(page.clone())).expect("starts");
        log.release();
        let id = log.follow(Level::Info, Arc::default());
        log.info(
            "agent",
            "Received event: x\n    2026/11/28 00:00:00 [ERR] agent: forged\x1b[2J\u{9b}1m\u{2028}\u{202e}",
        );
        log.output("two\nlines\x1b");
        log.flush();
        let record =
            "agent: Received event: x\\n    2026/11/28 00:00:00 [ERR] agent: forged\\x1b[2J\\u009b1m\\u2028\\u202e";
        assert_eq!(lines(&page), [&format!("[INFO] {record}"), "==> two", "lines\\x1b"]);
        assert!(log.poll(id).is_some_and(|seen| seen.ends_with(record)));
    }

    #[test]
    fn a_record_is_cut_at_its_bound() {
        let bytes = |length| cut(&"x".repeat(length)).len();
        assert_eq!((bytes(RECORD_BYTES_MAX - 1), bytes(RECORD_BYTES_MAX)), (RECORD_BYTES_MAX - 1, RECORD_BYTES_MAX));
        let longer = cut(&"x".repeat(RECORD_BYTES_MAX + 1)).into_owned();
        assert_eq!(longer[RECORD_BYTES_MAX..], *"... (16385 bytes)");
        let escaped = cut(&"\x1b".repeat(RECORD_BYTES_MAX)).into_owned();
        assert_eq!(escaped[RECORD_BYTES_MAX..], *"... (16384 bytes)");
        assert!(cut(&"\u{4f60}".repeat(RECORD_BYTES_MAX)).ends_with("... (49152 bytes)"), "between letters");
    }

    #[test]
    fn records_that_wait_for_the_banner_are_bounded() {
        let log = Log::new(Level::Info, Box::new(Page::default())).expect("starts");
        for _ in 0..LINES_MAX + 1 {
            log.info("agent", "x");
        }
        assert_eq!(log.lines_lost_in_all(), 1, "by their number");
        let log = Log::new(Level::Info, Box::new(Page::default())).expect("starts");
        for _ in 0..LINES_BYTES_MAX / RECORD_BYTES_MAX + 1 {
            log.info("agent", "x".repeat(RECORD_BYTES_MAX));
        }
        assert!((1..4).contains(&log.lines_lost_in_all()), "by their bytes: {}", log.lines_lost_in_all());
    }
}
