//! Where records go: the ring, standard output, syslog.

use core::fmt;
use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::format::{Format, Line as Record};
use super::syslog::Syslog;
use super::{FollowerId, Level, LogRing, record};

/// The agent's log and output.
///
/// Lines are written by a thread of its own: a terminal that is stopped, or a pipe that nobody reads, must not stop gossip.
/// What does not fit into its queue is dropped and counted.
#[derive(Debug)]
pub struct Log {
    state: Mutex<State>,
    lines: SyncSender<Line>,
}

#[derive(Debug)]
struct State {
    level: Level,
    format: Format,
    /// The name of the node, for lines of JSON.
    node: Arc<str>,
    ring: LogRing,
    /// Who is to be woken when there is something new.
    followers: Vec<(FollowerId, Arc<Notify>)>,
    /// Lines that wait until the banner is out; `None` afterwards.
    held: Option<Vec<String>>,
    syslog: Option<Syslog>,
    /// Since it was told last.
    lines_lost: u64,
    lost_in_all: u64,
}

#[derive(Debug)]
enum Line {
    Text(String),
    /// Answers when everything before is written.
    Flush(SyncSender<()>),
}

impl Log {
    /// A log that writes lines to `out`.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn new(level: Level, out: Box<dyn Write + Send>) -> std::io::Result<Self> {
        let (lines, queue) = sync_channel(LINES_MAX);
        thread::Builder::new().name("log".into()).stack_size(STACK_BYTES).spawn(move || write_lines(&queue, out))?;
        let state = State {
            level,
            format: Format::default(),
            node: "".into(),
            ring: LogRing::new(),
            followers: Vec::new(),
            held: Some(Vec::new()),
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

    /// Adds a record that also says something in values, of which only lines of JSON have a use.
    pub(super) fn add_with(&self, level: Level, component: &str, text: &str, fields: &[(&'static str, String)]) {
        let now = jiff::Zoned::now();
        // As in Go, a record ends its line, and one that does so itself has no need of it.
        let text = text.strip_suffix('\n').unwrap_or(text);
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
                Some(held) => held.push(line),
                None => self.write(&mut state, line),
            }
        }
        state.ring.push(record.into());
        state.followers.iter().for_each(|(_, wake)| wake.notify_one());
    }

    /// Adds a record that helps to see what happens inside.
    pub fn debug(&self, component: &str, text: impl fmt::Display) {
        self.add(Level::Debug, component, text);
    }

    /// Adds a record that an operator wants to know.
    pub fn info(&self, component: &str, text: impl fmt::Display) {
        self.add(Level::Info, component, text);
    }

    /// Adds a record of what may become a problem.
    pub fn warn(&self, component: &str, text: impl fmt::Display) {
        self.add(Level::Warn, component, text);
    }

    /// Adds a record of what went wrong.
    pub fn error(&self, component: &str, text: impl fmt::Display) {
        self.add(Level::Err, component, text);
    }

    /// Prints what the agent does, with its mark.
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

    /// Prints the records that were held back until the banner is out, and every one from now on.
    pub fn release(&self) {
        let mut state = self.lock();
        for line in state.held.take().unwrap_or_default() {
            self.write(&mut state, line);
        }
    }

    /// Waits until all is written, but not for long.
    pub fn flush(&self) {
        let (done, waiting) = sync_channel(1);
        let give_up_at = Instant::now() + FLUSH_TIMEOUT;
        // When nobody reads the output the queue is full, and stays so.
        while let Err(TrySendError::Full(_)) = self.lines.try_send(Line::Flush(done.clone())) {
            if Instant::now() >= give_up_at {
                return;
            }
            thread::sleep(FLUSH_RETRY_INTERVAL);
        }
        _ = waiting.recv_timeout(FLUSH_TIMEOUT);
    }

    /// Prints lines so from now on; JSON has the name of the node. Followers and syslog get text all the same.
    pub fn set_format(&self, format: Format, node: &str) {
        let mut state = self.lock();
        (state.format, state.node) = (format, node.into());
    }

    /// How many lines nobody read in time, since the start.
    pub fn lines_lost_in_all(&self) -> u64 {
        self.lock().lost_in_all
    }

    /// Prints records from `level` on only.
    pub fn set_level(&self, level: Level) {
        self.lock().level = level;
    }

    /// Also sends records to syslog.
    pub fn set_syslog(&self, syslog: Syslog) {
        self.lock().syslog = Some(syslog);
    }

    /// Starts to queue records, the kept ones first; `wake` is notified of new ones.
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

    /// Ends a follower.
    pub fn unfollow(&self, id: FollowerId) {
        let mut state = self.lock();
        state.ring.unfollow(id);
        state.followers.retain(|(other, _)| *other != id);
    }

    fn write(&self, state: &mut State, line: String) {
        if state.lines_lost > 0 {
            let notice = lost(state.lines_lost, state.format, &state.node);
            if self.lines.try_send(Line::Text(notice)).is_ok() {
                state.lines_lost = 0;
            }
        }
        if self.lines.try_send(Line::Text(line)).is_err() {
            state.lines_lost += 1;
            state.lost_in_all += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost(lines: u64, format: Format, node: &str) -> String {
    let text = format!("{lines} lines of output were lost, nobody read them in time");
    let line =
        Record { at: &jiff::Zoned::now(), level: Level::Warn, component: "agent", node, text: &text, fields: &[] };
    format.record(&line, &format!("[WARN] agent: {text}"))
}

/// Writes lines whole. A reader that is gone is no reason to stop.
fn write_lines(queue: &Receiver<Line>, mut out: Box<dyn Write + Send>) {
    let mut text = String::new();
    while let Ok(line) = queue.recv() {
        let mut next = Some(line);
        let mut flushed = None;
        while let Some(line) = next.take() {
            match line {
                Line::Text(line) => {
                    text.push_str(&line);
                    text.push('\n');
                    if text.len() < WRITE_BYTES {
                        next = queue.try_recv().ok();
                    }
                }
                Line::Flush(done) => flushed = Some(done),
            }
        }
        _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        text.clear();
        if let Some(done) = flushed {
            _ = done.send(());
        }
    }
}

/// Lines that wait to be written.
const LINES_MAX: usize = 4096;

/// Written at a time.
const WRITE_BYTES: usize = 8 * 1024;

const STACK_BYTES: usize = 64 * 1024;

/// How long the end of the agent waits for somebody to read its last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
const FLUSH_RETRY_INTERVAL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        fn text(&self) -> String {
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
    fn nobody_waits_for_an_output_that_nobody_reads() {
        struct Stuck;
        impl Write for Stuck {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                loop {
                    thread::park();
                }
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let log = Log::new(Level::Info, Box::new(Stuck)).expect("starts");
        log.release();
        for n in 0..2 * LINES_MAX {
            log.info("agent", n);
        }
        let lost = log.lock().lines_lost;
        assert!(lost > 0, "the queue is bounded");
    }
}
