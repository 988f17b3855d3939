//! The node's side of a capture: encodes inputs into a buffer, and begins files.

use core::convert::Infallible;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;
use std::time::{SystemTime, UNIX_EPOCH};

use async_channel::{Receiver, Sender};
use serf_proto::{Concealed, Concealer, Input, Instant, Key, Node, Outputs, Tap};

use super::Capture;
use super::format::{Head, Record, Trigger, begin_file, put_record};
use super::writer::Writer;
use crate::disk::Disk;
use crate::lock;

/// A running capture. Never blocks on the disk: a worker writes what is queued here.
#[derive(Debug)]
pub(crate) struct Recorder {
    settings: Capture,
    run: u64,
    has_policy: bool,
    state: Mutex<State>,
    /// Whether the next file must begin before the next input.
    wants_file: AtomicBool,
    waker: OnceLock<Waker>,
    /// Counts failed writes.
    pub(super) errors: Arc<AtomicU64>,
    /// Closed when the worker has ended.
    ended: Receiver<Infallible>,
}

#[derive(Debug)]
struct State {
    queue: Vec<Piece>,
    /// Bytes of the queue, and of what the worker has taken from it and not yet written.
    queue_bytes: usize,
    /// Number of the current file within this run, from 0.
    file: u32,
    /// Bytes of inputs in the current file.
    file_bytes: u64,
    next_trigger: Trigger,
    is_recording: bool,
    is_closed: bool,
    /// Whether a key or a payload was replaced in the current file.
    is_concealed: bool,
    /// Time of the last record.
    last: Instant,
    secrets: Secrets,
}

/// Bytes for one file.
#[derive(Debug)]
pub(super) struct Piece {
    /// The bytes begin a file.
    pub(super) is_head: bool,
    pub(super) bytes: Vec<u8>,
}

/// What secrets are replaced by.
#[derive(Debug, Default)]
struct Secrets {
    /// The first [`KEYS_MAX`] keys seen; a key's replacement is its position.
    keys: Vec<Key>,
    /// Keys the hash from which the replacement of a payload is drawn. Never written.
    payload_key: RandomState,
}

impl Recorder {
    /// Starts the worker. Nothing is recorded before [`begin_file`](Self::begin_file).
    pub(crate) fn start(
        settings: Capture,
        disk: &Arc<dyn Disk>,
        has_policy: bool,
        trigger: Trigger,
        errors: Arc<AtomicU64>,
    ) -> std::io::Result<Arc<Self>> {
        let (recorder, alive) = Self::new(settings, has_policy, trigger, errors);
        let recorder = Arc::new(recorder);
        recorder.start_worker(disk, alive)?;
        Ok(recorder)
    }

    fn new(
        settings: Capture,
        has_policy: bool,
        trigger: Trigger,
        errors: Arc<AtomicU64>,
    ) -> (Self, Sender<Infallible>) {
        let (alive, ended) = async_channel::bounded(1);
        let payload_key = RandomState::new();
        let recorder = Self {
            settings: settings.bounded(),
            run: RandomState::new().hash_one(0_u8),
            has_policy,
            state: Mutex::new(State {
                queue: Vec::new(),
                queue_bytes: 0,
                file: 0,
                file_bytes: 0,
                next_trigger: trigger,
                is_recording: false,
                is_closed: false,
                is_concealed: false,
                last: Instant::ZERO,
                secrets: Secrets { keys: Vec::new(), payload_key },
            }),
            wants_file: AtomicBool::new(true),
            waker: OnceLock::new(),
            errors,
            ended,
        };
        (recorder, alive)
    }

    fn start_worker(self: &Arc<Self>, disk: &Arc<dyn Disk>, alive: Sender<Infallible>) -> std::io::Result<()> {
        let writer = Writer::new(Arc::clone(self), Arc::clone(disk), alive);
        let waker = disk.start("serf-capture", Box::new(writer))?;
        self.waker.get_or_init(|| waker);
        Ok(())
    }

    pub(crate) const fn settings(&self) -> &Capture {
        &self.settings
    }

    /// Whether a file must begin before the next input.
    pub(crate) fn wants_file(&self) -> bool {
        self.wants_file.load(Ordering::Relaxed)
    }

    /// Begins a file with the state of the node, between two inputs.
    pub(crate) fn begin_file(&self, node: &Node, now: Instant, wall_clock: SystemTime) {
        self.wants_file.store(false, Ordering::Relaxed);
        let mut state = lock(&self.state);
        let mut encoded = None;
        let concealed =
            state.secrets.conceal(self.settings.payloads, |concealer| encoded = node.checkpoint(concealer).ok());
        let Some(checkpoint) = encoded else { return };
        let unix = wall_clock.duration_since(UNIX_EPOCH).unwrap_or_default();
        let head = Head {
            proto: serf_proto::VERSION.to_owned(),
            node: node.local().name().to_owned(),
            run: self.run,
            file: state.file,
            trigger: state.next_trigger,
            at: now,
            unix_ns: u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX),
            payloads: self.settings.payloads,
            has_policy: self.has_policy,
            keys_concealed: concealed.keys,
            payloads_concealed: concealed.payloads,
            checkpoint,
        };
        let mut bytes = Vec::new();
        begin_file(&mut bytes, head);
        (state.last, state.file_bytes, state.is_recording) = (now, 0, true);
        state.is_concealed = concealed.keys || concealed.payloads;
        (state.file, state.next_trigger) = (state.file.saturating_add(1), Trigger::Full);
        state.queue_bytes += bytes.len();
        let was_empty = state.queue.is_empty();
        state.queue.push(Piece { is_head: true, bytes });
        drop(state);
        if was_empty {
            self.wake();
        }
    }

    fn append(&self, state: &mut State, record: &Record) {
        if !state.is_recording {
            return;
        }
        let was_empty = state.queue.is_empty();
        if state.queue.last().is_none() {
            state.queue.push(Piece { is_head: false, bytes: Vec::new() });
        }
        let Some(piece) = state.queue.last_mut() else { return };
        let before = piece.bytes.len();
        put_record(&mut piece.bytes, record);
        let bytes = piece.bytes.len() - before;
        state.queue_bytes += bytes;
        state.file_bytes += bytes as u64;
        if state.file_bytes >= self.settings.file_bytes {
            self.wants_file.store(true, Ordering::Relaxed);
        }
        let is_much = state.queue_bytes >= FLUSH_BYTES && state.queue_bytes - bytes < FLUSH_BYTES;
        if state.queue_bytes > QUEUE_BYTES_MAX {
            // The disk does not keep up. The file ends here; the next one begins when the queue is written, also if this
            // one was full: every file begins with the state of the node, which can be larger than the inputs.
            (state.is_recording, state.next_trigger) = (false, Trigger::Gap);
            self.wants_file.store(false, Ordering::Relaxed);
        }
        if was_empty || is_much {
            self.wake();
        }
    }

    /// Records what is queued, then ends.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        (state.is_closed, state.is_recording) = (true, false);
        drop(state);
        self.wake();
    }

    /// Waits until everything is written or has failed.
    pub(crate) async fn ended(&self) {
        _ = self.ended.recv().await;
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Number of bytes to write, and whether no more will follow.
    pub(super) fn queued(&self) -> (usize, bool) {
        let state = lock(&self.state);
        (state.queue_bytes, state.is_closed)
    }

    /// Takes what is queued. It counts as queued until it is [written](Self::written).
    pub(super) fn take(&self) -> Vec<Piece> {
        core::mem::take(&mut lock(&self.state).queue)
    }

    /// Notes that bytes which were taken are written.
    pub(super) fn written(&self, bytes: usize) {
        let mut state = lock(&self.state);
        state.queue_bytes = state.queue_bytes.saturating_sub(bytes);
        if !state.is_recording && !state.is_closed && state.next_trigger == Trigger::Gap {
            self.wants_file.store(true, Ordering::Relaxed);
        }
    }

    /// Ends the current file after a failed write.
    pub(super) fn fail(&self) {
        let mut state = lock(&self.state);
        (state.is_recording, state.next_trigger, state.queue_bytes) = (false, Trigger::Gap, 0);
        state.queue.clear();
        drop(state);
        self.wants_file.store(false, Ordering::Relaxed);
    }

    /// Begins another file, some time after a failed write.
    pub(super) fn retry(&self) {
        self.wants_file.store(true, Ordering::Relaxed);
    }
}

impl Tap for Recorder {
    fn input(&self, now: Instant, mut input: Input) {
        let mut state = lock(&self.state);
        if !state.is_recording {
            return;
        }
        let concealed = state.secrets.conceal(self.settings.payloads, |concealer| input.conceal(concealer));
        let after_ns = u64::try_from((now - state.last).as_nanos()).unwrap_or(u64::MAX);
        state.last = now;
        let Concealed { keys: keys_concealed, payloads: payloads_concealed, .. } = concealed;
        state.is_concealed |= keys_concealed || payloads_concealed;
        self.append(&mut state, &Record::Input { after_ns, keys_concealed, payloads_concealed, input });
    }

    fn outputs(&self, mut outputs: Outputs) {
        let mut state = lock(&self.state);
        if state.is_concealed {
            // A replay does not compare it, and it is a checksum of the secret.
            outputs.content = 0;
        }
        self.append(&mut state, &Record::Outputs(outputs));
    }
}

impl Secrets {
    /// Runs `conceal` with a concealer, and returns what it replaced.
    fn conceal(&mut self, with_payloads: bool, conceal: impl FnOnce(&mut Concealer<'_>)) -> Concealed {
        let Self { keys, payload_key } = self;
        let mut key = |key: &mut [u8]| replace_key(keys, key);
        let mut payload = |payload: &mut [u8]| replace_payload(payload_key, payload);
        let concealer = Concealer::keys(&mut key);
        let mut concealer = if with_payloads { concealer } else { concealer.and_payloads(&mut payload) };
        conceal(&mut concealer);
        concealer.concealed()
    }
}

/// Replaces a key by its number: two bytes, and a constant. All keys after the first [`KEYS_MAX`] have the same number.
fn replace_key(known: &mut Vec<Key>, bytes: &mut [u8]) {
    let Ok(key) = Key::new(bytes) else { return };
    let at = known.iter().position(|other| *other == key).unwrap_or(known.len());
    if at == known.len() && at < KEYS_MAX {
        known.push(key);
    }
    bytes.fill(KEY_FILLER);
    bytes[..2].copy_from_slice(&u16::try_from(at).unwrap_or(u16::MAX).to_le_bytes());
}

/// Replaces a payload by bytes drawn from its keyed hash.
fn replace_payload(payload_key: &RandomState, bytes: &mut [u8]) {
    let mut state = payload_key.hash_one(&*bytes);
    for chunk in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = payload_key.hash_one(state).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}

/// Bytes of a key's replacement after its number.
const KEY_FILLER: u8 = 0xca;

/// Number of distinct keys in a capture. Peers report keys, in answers to key queries; those of the node's own keyring are
/// in the state at the beginning of the first file, and so get numbers before them.
const KEYS_MAX: usize = 1024;

/// Queued bytes at which the worker writes at once.
pub(super) const FLUSH_BYTES: usize = 256 << 10;

/// Unwritten bytes above which inputs are dropped until the queue is written. One input and one state of the node may exceed
/// it. Twice the largest push/pull.
const QUEUE_BYTES_MAX: usize = 40 << 20;

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use serf_proto::{Config, Identity, KeyOperation, Options, Outbox, Seed, Start, Tags};

    use super::super::format::Reader;
    use super::*;

    const NOW: Instant = Instant::ZERO;

    /// A recorder without a worker: a disk that has stalled.
    fn stalled(file_bytes: u64) -> Recorder {
        let settings = Capture::new("unused").with(|it| it.file_bytes = file_bytes);
        Recorder::new(settings, false, Trigger::Start, Arc::default()).0
    }

    fn node() -> Node {
        let config = Config::new(Options::lan()).map(Arc::new).unwrap();
        let identity = Identity::new("a", SocketAddr::from(([10, 0, 0, 1], 1)), &Tags::default()).unwrap();
        Node::new(config, &identity, &Seed::from_bytes([1; 32]), NOW, Start::new(), &mut Outbox::new())
    }

    /// Records inputs of a megabyte as the engine does, until they have `bytes`.
    fn record(recorder: &Recorder, node: &Node, bytes: usize) {
        for _ in 0..bytes >> 20 {
            if recorder.wants_file() {
                recorder.begin_file(node, NOW, UNIX_EPOCH);
            }
            let from = SocketAddr::from(([10, 0, 0, 2], 1));
            recorder.input(NOW, Input::Datagram { from, bytes: vec![0; 1 << 20] });
        }
    }

    #[test]
    fn a_disk_that_stalls_bounds_the_unwritten_bytes_whatever_the_size_of_a_file() {
        for file_bytes in [4096, 1 << 30] {
            let (recorder, node) = (stalled(file_bytes), node());
            let unwritten = || lock(&recorder.state).queue_bytes;
            record(&recorder, &node, 1 << 20);
            let taken: usize = recorder.take().iter().map(|piece| piece.bytes.len()).sum();
            assert_eq!(unwritten(), taken, "bytes count until they are written");
            // As if the worker had taken more: encoding 40 MiB is slow without optimisation.
            lock(&recorder.state).queue_bytes = QUEUE_BYTES_MAX - (2 << 20);
            record(&recorder, &node, 8 << 20);
            let bounds = QUEUE_BYTES_MAX..QUEUE_BYTES_MAX + (2 << 20);
            assert!(bounds.contains(&unwritten()) && !recorder.wants_file(), "{file_bytes}: {}", unwritten());
            recorder.take();
            recorder.written(unwritten());
            record(&recorder, &node, 1 << 20);
            let pieces = recorder.take();
            assert_eq!(Reader::new(&pieces[0].bytes).unwrap().head().trigger, Trigger::Gap);
        }
    }

    #[test]
    fn the_checksum_of_contents_is_not_recorded_after_a_secret_was_replaced() {
        let recorder = stalled(1 << 20);
        recorder.begin_file(&node(), NOW, UNIX_EPOCH);
        let mut outputs = Outputs::default();
        (outputs.count, outputs.content) = (1, 7);
        let key = Input::ChangeKey { operation: KeyOperation::Install, key: vec![1; 16] };
        for input in [Input::Timeout, key, Input::Timeout] {
            recorder.input(NOW, input);
            recorder.outputs(outputs);
        }
        let pieces = recorder.take();
        let contents = Reader::new(&pieces[0].bytes).unwrap().filter_map(|it| it.outputs).map(|it| it.content);
        assert_eq!(contents.collect::<Vec<_>>(), [7, 0, 0]);
    }

    #[test]
    fn keys_above_the_bound_share_a_number() {
        let mut known = Vec::new();
        let mut number = |key: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&key.to_le_bytes());
            replace_key(&mut known, &mut bytes);
            assert_eq!(bytes[2..], [KEY_FILLER; 14]);
            usize::from(u16::from_le_bytes([bytes[0], bytes[1]]))
        };
        for _ in 0..2 {
            assert!((0..KEYS_MAX).all(|key| number(key) == key));
            assert!((KEYS_MAX..KEYS_MAX + 3).all(|key| number(key) == KEYS_MAX));
        }
        assert_eq!(known.len(), KEYS_MAX);
    }
}
