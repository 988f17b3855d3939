//! A thread that writes lines, so that no other thread blocks on the reader.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::budget::{self, Budget, Room};

/// A queue of lines for an output that may block, such as a stopped terminal or a pipe without a reader. Bounded in
/// lines and in bytes.
#[derive(Debug)]
pub(super) struct Lines {
    queue: SyncSender<Line>,
    budget: Arc<Budget>,
}

#[derive(Debug)]
enum Line {
    Text(String, Room),
    /// Replies when all earlier lines are written.
    Flush(SyncSender<()>),
}

impl Lines {
    /// Starts the thread that writes to `out`; at most `bytes_max` bytes are queued.
    ///
    /// # Errors
    ///
    /// The system cannot start a thread.
    pub(super) fn spawn(name: &str, bytes_max: usize, out: Box<dyn Write + Send>) -> io::Result<Self> {
        let (queue, lines) = sync_channel(LINES_MAX);
        thread::Builder::new().name(name.into()).stack_size(STACK_BYTES).spawn(move || write_lines(&lines, out))?;
        Ok(Self { queue, budget: Budget::new(bytes_max) })
    }

    /// Queues a line, without its newline. Returns whether there was room.
    pub(super) fn push(&self, line: String) -> bool {
        let room = self.budget.take(line.len());
        room.is_some_and(|room| self.queue.try_send(Line::Text(line, room)).is_ok())
    }

    /// The fill level of the queue.
    pub(super) fn level(&self) -> budget::Level {
        self.budget.level()
    }

    /// Waits until all lines are written, for at most [`FLUSH_TIMEOUT`].
    pub(super) fn flush(&self) {
        let (done, waiting) = sync_channel(1);
        let give_up_at = Instant::now() + FLUSH_TIMEOUT;
        // Without a reader the queue fills up and stays full.
        while let Err(TrySendError::Full(_)) = self.queue.try_send(Line::Flush(done.clone())) {
            if Instant::now() >= give_up_at {
                return;
            }
            thread::sleep(FLUSH_RETRY_INTERVAL);
        }
        _ = waiting.recv_timeout(FLUSH_TIMEOUT);
    }
}

/// Writes whole lines. A failed write does not end the thread.
fn write_lines(queue: &Receiver<Line>, mut out: Box<dyn Write + Send>) {
    let mut text = String::new();
    while let Ok(line) = queue.recv() {
        let mut next = Some(line);
        let mut flushed = None;
        while let Some(line) = next.take() {
            match line {
                Line::Text(line, _room) => {
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
        text = String::new();
        if let Some(done) = flushed {
            _ = done.send(());
        }
    }
}

/// Limit on queued lines. Newer ones are dropped.
pub(super) const LINES_MAX: usize = 4096;

/// Bytes written at a time.
const WRITE_BYTES: usize = 8 * 1024;

const STACK_BYTES: usize = 64 * 1024;

/// How long the end of the agent waits for its last lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
const FLUSH_RETRY_INTERVAL: Duration = Duration::from_millis(5);

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An output that blocks for ever.
    pub(in super::super) struct Stuck;

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            loop {
                thread::park();
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn unread_records_are_bounded_in_bytes() {
        let lines = Lines::spawn("lines", 1000, Box::new(Stuck)).expect("starts");
        // The thread takes the first line and blocks; whether it has done so yet is not known.
        lines.push("x".repeat(1000));
        while !lines.push("x".repeat(999)) {
            thread::yield_now();
        }
        assert!(!lines.push("xx".into()), "one above the bound");
        assert!(lines.push("x".into()), "at the bound");
        assert!(!lines.push("x".into()));
    }
}
