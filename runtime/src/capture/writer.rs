//! The worker that writes a capture.

use core::convert::Infallible;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use async_channel::Sender;
use serf_proto::Instant;

use super::format::{file_name, file_number, is_capture_file};
use super::recorder::{FLUSH_BYTES, Piece, Recorder};
use crate::disk::{Disk, DiskFile, OpenMode, Turn, Worker};
use crate::error::system_words;

/// The worker.
pub(super) struct Writer {
    recorder: Arc<Recorder>,
    disk: Arc<dyn Disk>,
    /// The lock of the directory; `None` before the first file.
    lock: Option<Box<dyn DiskFile>>,
    file: Option<Box<dyn DiskFile>>,
    /// When queued bytes are written at the latest.
    due: Option<Instant>,
    /// When to begin a file after a failure.
    retry_at: Option<Instant>,
    _alive: Sender<Infallible>,
}

impl Writer {
    pub(super) fn new(recorder: Arc<Recorder>, disk: Arc<dyn Disk>, alive: Sender<Infallible>) -> Self {
        Self { recorder, disk, lock: None, file: None, due: None, retry_at: None, _alive: alive }
    }

    fn write(&mut self, pieces: Vec<Piece>) -> io::Result<()> {
        for Piece { is_head, bytes } in pieces {
            match &mut self.file {
                Some(file) if !is_head => file.append(&bytes)?,
                _ if is_head => self.file = Some(self.begin(&bytes)?),
                // What follows a failure, up to the next head.
                _ => {}
            }
        }
        Ok(())
    }

    /// Begins a file: removes the oldest ones, then writes the head.
    fn begin(&mut self, head: &[u8]) -> io::Result<Box<dyn DiskFile>> {
        let dir = &self.recorder.settings().dir;
        if self.lock.is_none() {
            self.disk.create_dir(dir)?;
            self.lock = Some(self.disk.open(&dir.join("lock"), OpenMode::Append)?);
        }
        let mut names: Vec<String> = self.disk.list(dir)?.into_iter().filter(|name| is_capture_file(name)).collect();
        names.sort_by_key(|name| file_number(name));
        let next = names.last().and_then(|name| file_number(name)).map_or(1, |last| last.saturating_add(1));
        let kept = usize::try_from(self.recorder.settings().files).unwrap_or(usize::MAX) - 1;
        for name in names.iter().take(names.len().saturating_sub(kept)) {
            self.disk.remove(&dir.join(name))?;
        }
        self.disk.replace(&dir.join(file_name(next)), ".new", true, head)
    }

    /// Reports a failed write, and ends the file.
    fn fail(&mut self, error: &io::Error) {
        self.recorder.errors.fetch_add(1, Ordering::Relaxed);
        let (dir, error) = (self.recorder.settings().dir.display(), system_words(error));
        tracing::error!(%dir, %error, "cannot write the capture: inputs are lost; trying again in ten seconds");
        self.file = None;
        self.recorder.fail();
    }
}

impl Worker for Writer {
    fn work(&mut self, now: Instant) -> Turn {
        let (bytes, is_closed) = self.recorder.queued();
        if let Some(at) = self.retry_at.filter(|_| !is_closed) {
            if now < at {
                return Turn::Wait(Some(at - now));
            }
            self.retry_at = None;
            self.recorder.retry();
        }
        if bytes > 0 {
            // Written in groups: a write per input would cost more than the input.
            let due = *self.due.get_or_insert(now + FLUSH_PAUSE);
            if now < due && bytes < FLUSH_BYTES && !is_closed {
                return Turn::Wait(Some(due - now));
            }
            self.due = None;
            let pieces = self.recorder.take();
            let bytes = pieces.iter().map(|piece| piece.bytes.len()).sum();
            match self.write(pieces) {
                Ok(()) => self.recorder.written(bytes),
                Err(error) => {
                    self.fail(&error);
                    self.retry_at = Some(now + RETRY_PAUSE);
                }
            }
        }
        match (is_closed, self.retry_at) {
            (true, _) => Turn::End,
            (false, None) => Turn::Wait(None),
            (false, Some(at)) => Turn::Wait(Some(at - now)),
        }
    }
}

/// How long inputs may wait to be written: what a process that is killed loses.
const FLUSH_PAUSE: Duration = Duration::from_millis(200);

/// Pause after a failed write.
const RETRY_PAUSE: Duration = Duration::from_secs(10);
