//! What is queued for a client.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serf_tokio::Query;
use tokio::sync::Notify;

use crate::agent::{Happening, Tally};
use crate::handler::EventFilter;
use crate::log::{FollowerId, Log};
use crate::rpc::{Encoder, ReplyHeader, encode_log};

/// What waits to be written to one client. Answers wait until they are taken; of each stream and of the monitor only so much
/// is kept, and a client that does not read loses its own newest records and nobody else's.
pub(crate) struct Outbox {
    /// The client's address.
    pub(crate) peer: String,
    log: Arc<Log>,
    tally: Arc<Tally>,
    state: Mutex<State>,
    /// Something was queued.
    pub(crate) filled: Arc<Notify>,
    /// Something was taken.
    pub(crate) emptied: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Item>,
    queue_bytes: usize,
    streams: BTreeMap<u64, Stream>,
    monitor: Option<(FollowerId, u64)>,
    queries: BTreeMap<u64, Query>,
    query_last: u64,
    is_closing: bool,
}

struct Item {
    head: Vec<u8>,
    /// Shared by all who get the same record.
    body: Option<Arc<[u8]>>,
    /// The stream that it is a record of.
    stream: Option<u64>,
}

struct Stream {
    filters: Vec<EventFilter>,
    queued: usize,
    /// Dropped since there was room.
    dropped: u64,
}

/// All clients that stream events.
#[derive(Default)]
pub(crate) struct Streams(Mutex<Vec<std::sync::Weak<Outbox>>>);

impl Streams {
    fn add(&self, outbox: &Arc<Outbox>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.strong_count() > 0);
        if !all.iter().any(|other| other.as_ptr() == Arc::as_ptr(outbox)) {
            all.push(Arc::downgrade(outbox));
        }
    }

    /// Gives an event to every stream that wants it.
    pub(crate) fn deliver(&self, happening: &Happening) {
        let all: Vec<_> = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|other| other.strong_count() > 0);
            all.iter().filter_map(std::sync::Weak::upgrade).collect()
        };
        // Encoded once for all, but for queries, which have a number for each.
        let mut shared = None;
        for outbox in all {
            outbox.deliver(happening, &mut shared);
        }
    }
}

/// Why a stream was not begun.
pub(crate) struct StreamExists;

/// Why a monitor was not begun.
pub(crate) struct MonitorExists;

impl Outbox {
    pub(crate) fn new(peer: String, log: Arc<Log>, tally: Arc<Tally>) -> Arc<Self> {
        Arc::new(Self { peer, log, tally, state: Mutex::default(), filled: Arc::default(), emptied: Notify::new() })
    }

    /// Queues an answer: a header, and a body if `body` writes one.
    pub(crate) fn reply(&self, seq: u64, error: &str, body: impl FnOnce(&mut Encoder<'_>)) {
        let item = Item::reply(seq, error, body);
        self.lock().push(item);
        self.filled.notify_one();
    }

    /// Begins a stream, after an answer that is queued first.
    pub(crate) fn begin_stream(
        self: &Arc<Self>,
        streams: &Streams,
        seq: u64,
        filters: Vec<EventFilter>,
    ) -> Result<(), StreamExists> {
        let mut state = self.lock();
        if state.streams.contains_key(&seq) {
            return Err(StreamExists);
        }
        // The answer first: a record in front of it would be taken for the answer.
        state.push(Item::reply(seq, "", |_| {}));
        state.streams.insert(seq, Stream { filters, queued: 0, dropped: 0 });
        drop(state);
        self.filled.notify_one();
        streams.add(self);
        Ok(())
    }

    /// Begins the monitor with a follower of the log, after an answer that is queued first.
    pub(crate) fn begin_monitor(&self, seq: u64, level: crate::log::Level) -> Result<(), MonitorExists> {
        if self.lock().monitor.is_some() {
            return Err(MonitorExists);
        }
        self.reply(seq, "", |_| {});
        let follower = self.log.follow(level, Arc::clone(&self.filled));
        self.lock().monitor = Some((follower, seq));
        Ok(())
    }

    /// Ends the stream and the monitor of this number. What is queued of the stream is dropped.
    pub(crate) fn stop(&self, seq: u64) {
        let mut state = self.lock();
        if state.streams.remove(&seq).is_some() {
            state.queue.retain(|item| item.stream != Some(seq));
            state.queue_bytes = state.queue.iter().map(Item::bytes).sum();
        }
        if let Some((follower, _)) = state.monitor.take_if(|(_, monitor)| *monitor == seq) {
            drop(state);
            self.log.unfollow(follower);
        }
    }

    /// The query that a record of this connection named so, unless it is over.
    pub(crate) fn query(&self, id: u64, is_open: impl Fn(&Query) -> bool) -> Option<Query> {
        let mut state = self.lock();
        state.queries.retain(|_, query| is_open(query));
        state.queries.get(&id).cloned()
    }

    /// Takes up to `bytes_max` bytes, or one item, to be written at once.
    pub(crate) fn take(&self, into: &mut Vec<u8>, bytes_max: usize) {
        let mut state = self.lock();
        while into.len() < bytes_max {
            let Some(item) = state.queue.pop_front() else { break };
            state.queue_bytes -= item.bytes();
            into.extend_from_slice(&item.head);
            into.extend_from_slice(item.body.as_deref().unwrap_or_default());
            if let Some(stream) = item.stream.and_then(|seq| state.streams.get_mut(&seq)) {
                stream.queued -= 1;
                stream.dropped = 0;
            }
        }
        let monitor = state.monitor.filter(|_| !state.is_closing);
        drop(state);
        self.emptied.notify_one();
        let Some((follower, seq)) = monitor else { return };
        while into.len() < bytes_max
            && let Some(record) = self.log.poll(follower)
        {
            let to = &mut Encoder::new(into);
            ReplyHeader { error: String::new(), seq }.encode(to);
            encode_log(&record, to);
        }
        // Told when the client reads again, so that the notice does not drown with the rest.
        let dropped = self.log.take_dropped(follower);
        if dropped > 0 {
            self.tally.monitor_records_dropped.add(dropped);
            let text = format_args!("Dropping logs to ipc.client: {} ({dropped} records)", self.peer);
            self.log.warn("agent.ipc", text);
        }
    }

    /// Waits until less than `bytes` are queued.
    pub(crate) async fn below(&self, bytes: usize) {
        loop {
            let emptied = self.emptied.notified();
            if self.lock().queue_bytes < bytes {
                return;
            }
            emptied.await;
        }
    }

    /// Nothing more is to come: answers that are queued go out, streams and the monitor end.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closing = true;
        state.queue.retain(|item| item.stream.is_none());
        state.queue_bytes = state.queue.iter().map(Item::bytes).sum();
        state.streams.clear();
        drop(state);
        self.filled.notify_one();
    }

    /// Whether it was closed.
    pub(crate) fn is_closing(&self) -> bool {
        self.lock().is_closing
    }

    fn deliver(&self, happening: &Happening, shared: &mut Option<Arc<[u8]>>) {
        let mut state = self.lock();
        let wanted = |stream: &Stream| stream.filters.iter().any(|filter| filter.matches(&happening.event));
        let seqs: Vec<u64> = state.streams.iter().filter(|(_, stream)| wanted(stream)).map(|(seq, _)| *seq).collect();
        for seq in seqs {
            let Some(stream) = state.streams.get_mut(&seq) else { continue };
            if stream.queued >= STREAM_RECORDS_MAX {
                stream.dropped += 1;
                self.tally.stream_records_dropped.bump();
                if stream.dropped == 1 {
                    self.log.warn("agent.ipc", format_args!("Dropping event to ipc.client: {}", self.peer));
                }
                continue;
            }
            stream.queued += 1;
            let mut head = Vec::new();
            let to = &mut Encoder::new(&mut head);
            ReplyHeader { error: String::new(), seq }.encode(to);
            let body = if let Some(query) = &happening.query {
                state.query_last += 1;
                let id = state.query_last;
                if state.queries.len() >= QUERIES_MAX {
                    state.queries.pop_first();
                }
                state.queries.insert(id, query.clone());
                happening.event.to_record(id).encode(to);
                None
            } else {
                let encode = || {
                    let mut body = Vec::new();
                    happening.event.to_record(0).encode(&mut Encoder::new(&mut body));
                    body.into()
                };
                Some(Arc::clone(shared.get_or_insert_with(encode)))
            };
            state.push(Item { head, body, stream: Some(seq) });
        }
        drop(state);
        self.filled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, item: Item) {
        self.queue_bytes += item.bytes();
        self.queue.push_back(item);
    }
}

impl Item {
    fn reply(seq: u64, error: &str, body: impl FnOnce(&mut Encoder<'_>)) -> Self {
        let mut head = Vec::new();
        let to = &mut Encoder::new(&mut head);
        ReplyHeader { error: error.into(), seq }.encode(to);
        body(to);
        Self { head, body: None, stream: None }
    }

    fn bytes(&self) -> usize {
        self.head.len() + self.body.as_ref().map_or(0, |body| body.len())
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if let Some((follower, _)) = self.lock().monitor {
            self.log.unfollow(follower);
        }
    }
}

/// Queued for a stream; newer events are dropped beyond.
const STREAM_RECORDS_MAX: usize = 512;

/// Queries that a connection can answer; the oldest are forgotten beyond.
const QUERIES_MAX: usize = 4096;
