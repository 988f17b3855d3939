//! The queues of replies and records for clients.

use core::future::Future;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serf_tokio::Query;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::budget::{self, Budget, Room};
use crate::handler::{AgentEvent, EventFilter};
use crate::log::{FollowerId, Log};
use crate::rpc::{Encoder, ReplyHeader, encode_join_count, encode_log, encode_members};
use crate::tally::Tally;

/// The replies and records queued for one client. Replies are kept until they are read. The records of each stream and
/// of the monitor are bounded: a client that does not read loses its own newest records and no other client's.
pub(crate) struct ReplyQueue {
    /// The client's address.
    pub(crate) peer: String,
    log: Arc<Log>,
    tally: Arc<Tally>,
    /// Shared by the records of all clients.
    budget: Arc<Budget>,
    state: Mutex<State>,
    /// Notified when an item is queued.
    pub(crate) filled: Arc<Notify>,
    /// Notified when an item is taken.
    pub(crate) emptied: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Item>,
    queue_bytes: usize,
    /// The part of the queued bytes that are records of streams.
    stream_bytes: usize,
    streams: BTreeMap<u64, Stream>,
    monitor: Option<(FollowerId, u64)>,
    /// Queries received over streams, which the client may answer.
    queries: BTreeMap<u64, Query>,
    queries_bytes: usize,
    query_last: u64,
    /// The tasks that collect the answers to the client's queries.
    asked: JoinSet<()>,
    is_closing: bool,
}

struct Item {
    head: Vec<u8>,
    /// Shared by all streams that get the same record.
    body: Option<Arc<[u8]>>,
    /// The stream of the record.
    stream: Option<u64>,
    /// Its share of the room for all clients, unless it is within the client's guaranteed bytes.
    _room: Option<Room>,
}

struct Stream {
    filters: Vec<EventFilter>,
    queued: usize,
    /// Records dropped since there was last room.
    dropped: u64,
}

/// All clients that stream events.
pub(crate) struct Streams {
    clients: Mutex<Vec<std::sync::Weak<ReplyQueue>>>,
    budget: Arc<Budget>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { clients: Mutex::default(), budget: Budget::new(CLIENTS_BYTES_MAX) }
    }
}

impl Streams {
    fn add(&self, replies: &Arc<ReplyQueue>) {
        let mut all = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.strong_count() > 0);
        if !all.iter().any(|other| other.as_ptr() == Arc::as_ptr(replies)) {
            all.push(Arc::downgrade(replies));
        }
    }

    /// Bytes queued for clients beyond the guaranteed bytes of each.
    pub(crate) fn waiting(&self) -> budget::Level {
        self.budget.level()
    }

    /// Queues an event for every stream that matches.
    pub(crate) fn deliver(&self, event: &AgentEvent) {
        let all: Vec<_> = {
            let mut all = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|other| other.strong_count() > 0);
            all.iter().filter_map(std::sync::Weak::upgrade).collect()
        };
        // Encoded once for all streams, except queries, whose number differs per client.
        let mut shared = None;
        for replies in all {
            replies.deliver(event, &mut shared);
        }
    }
}

/// Why a stream was refused.
pub(crate) enum StreamError {
    /// A stream with this number exists.
    Exists,
    /// The client has [`STREAMS_MAX`].
    TooMany,
}

/// Why a monitor was refused.
pub(crate) struct MonitorExists;

impl ReplyQueue {
    pub(crate) fn new(peer: String, log: &Arc<Log>, tally: &Arc<Tally>, streams: &Streams) -> Arc<Self> {
        Arc::new(Self {
            peer,
            log: Arc::clone(log),
            tally: Arc::clone(tally),
            budget: Arc::clone(&streams.budget),
            state: Mutex::default(),
            filled: Arc::default(),
            emptied: Notify::new(),
        })
    }

    /// Queues a reply: a header, and a body if `body` writes one.
    pub(crate) fn reply(&self, seq: u64, error: &str, body: impl FnOnce(&mut Encoder<'_>)) {
        let item = Item::reply(seq, error, body);
        self.lock().push(item);
        self.filled.notify_one();
    }

    /// Refuses a request with too long a list. For some commands, clients read a body even after an error.
    pub(crate) fn refuse(&self, seq: u64, command: &str, why: &str) {
        self.reply(seq, why, |to| match command {
            "join" => encode_join_count(0, to),
            "members-filtered" => encode_members([].iter(), to),
            _ => {}
        });
    }

    /// Begins a stream. Queues the reply first.
    pub(crate) fn begin_stream(
        self: &Arc<Self>,
        streams: &Streams,
        seq: u64,
        filters: Vec<EventFilter>,
    ) -> Result<(), StreamError> {
        let mut state = self.lock();
        if state.streams.contains_key(&seq) {
            return Err(StreamError::Exists);
        }
        if state.streams.len() >= STREAMS_MAX {
            return Err(StreamError::TooMany);
        }
        // The reply first: a client would take an earlier record for the reply.
        state.push(Item::reply(seq, "", |_| {}));
        state.streams.insert(seq, Stream { filters, queued: 0, dropped: 0 });
        drop(state);
        self.filled.notify_one();
        streams.add(self);
        Ok(())
    }

    /// Begins the monitor with a follower of the log. Queues the reply first.
    pub(crate) fn begin_monitor(&self, seq: u64, level: crate::log::Level) -> Result<(), MonitorExists> {
        if self.lock().monitor.is_some() {
            return Err(MonitorExists);
        }
        self.reply(seq, "", |_| {});
        let follower = self.log.follow(level, Arc::clone(&self.filled));
        self.lock().monitor = Some((follower, seq));
        Ok(())
    }

    /// Ends the stream or the monitor with this number. Queued records of the stream are dropped.
    pub(crate) fn stop(&self, seq: u64) {
        let mut state = self.lock();
        if state.streams.remove(&seq).is_some() {
            state.retain(|item| item.stream != Some(seq));
        }
        if let Some((follower, _)) = state.monitor.take_if(|(_, monitor)| *monitor == seq) {
            drop(state);
            self.log.unfollow(follower);
        }
    }

    /// The query with this number in a record of the connection, unless it is over.
    pub(crate) fn query(&self, id: u64, is_open: impl Fn(&Query) -> bool) -> Option<Query> {
        let mut state = self.lock();
        state.queries.retain(|_, query| is_open(query));
        state.queries_bytes = state.queries.values().map(query_bytes).sum();
        state.queries.get(&id).cloned()
    }

    /// Whether the client may send one more query.
    pub(crate) fn may_ask(&self) -> bool {
        let mut state = self.lock();
        while state.asked.try_join_next().is_some() {}
        state.asked.len() < ASKED_MAX
    }

    /// Runs `collecting`, which collects answers to a query, until it ends or the client disconnects.
    pub(crate) fn collect(&self, collecting: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.lock();
        if !state.is_closing {
            state.asked.spawn(collecting);
        }
    }

    /// Takes up to `bytes_max` bytes, or one item, to write at once.
    pub(crate) fn take(&self, into: &mut Vec<u8>, bytes_max: usize) {
        let mut state = self.lock();
        while into.len() < bytes_max {
            let Some(item) = state.queue.pop_front() else { break };
            state.forget(&item);
            into.extend_from_slice(&item.head);
            into.extend_from_slice(item.body.as_deref().unwrap_or_default());
            if let Some(stream) = item.stream.and_then(|seq| state.streams.get_mut(&seq)) {
                stream.queued -= 1;
                stream.dropped = 0;
            }
        }
        let monitor = state.monitor.filter(|_| !state.is_closing);
        drop(state);
        self.emptied.notify_waiters();
        let Some((follower, seq)) = monitor else { return };
        while into.len() < bytes_max
            && let Some(record) = self.log.poll(follower)
        {
            let to = &mut Encoder::new(into);
            ReplyHeader { error: String::new(), seq }.encode(to);
            encode_log(&record, to);
        }
        // Reported when the client reads again, so that the notice is not dropped as well.
        let dropped = self.log.take_dropped(follower);
        if dropped > 0 {
            self.tally.monitor_records_dropped.add(dropped);
            let text = format_args!("Dropping logs to ipc.client: {} ({dropped} records)", self.peer);
            self.log.warn("agent.ipc", text);
        }
    }

    /// Waits until less than `bytes` bytes are queued.
    pub(crate) async fn below(&self, bytes: usize) {
        loop {
            let mut emptied = core::pin::pin!(self.emptied.notified());
            // Registers for the notification before the check, so that none in between is missed.
            emptied.as_mut().enable();
            if self.lock().queue_bytes < bytes {
                return;
            }
            emptied.await;
        }
    }

    /// Closes the queue: queued replies are still written, streams and the monitor end.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closing = true;
        state.retain(|item| item.stream.is_none());
        state.streams.clear();
        state.asked.abort_all();
        drop(state);
        self.filled.notify_one();
    }

    /// Whether it was closed.
    pub(crate) fn is_closing(&self) -> bool {
        self.lock().is_closing
    }

    fn deliver(&self, event: &AgentEvent, shared: &mut Option<Arc<[u8]>>) {
        let mut state = self.lock();
        let wanted = |stream: &Stream| stream.filters.iter().any(|filter| filter.matches(&event.data));
        let seqs: Vec<u64> = state.streams.iter().filter(|(_, stream)| wanted(stream)).map(|(seq, _)| *seq).collect();
        for seq in seqs {
            let has_place = state.streams.get(&seq).is_some_and(|stream| stream.queued < STREAM_RECORDS_MAX);
            if has_place && self.queue_record(&mut state, seq, event, shared) {
                continue;
            }
            let Some(stream) = state.streams.get_mut(&seq) else { continue };
            stream.dropped += 1;
            self.tally.stream_records_dropped.bump();
            if stream.dropped == 1 {
                self.log.warn("agent.ipc", format_args!("Dropping event to ipc.client: {}", self.peer));
            }
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Queues a record for a stream. Returns whether there was room.
    fn queue_record(&self, state: &mut State, seq: u64, event: &AgentEvent, shared: &mut Option<Arc<[u8]>>) -> bool {
        let mut head = Vec::new();
        let to = &mut Encoder::new(&mut head);
        ReplyHeader { error: String::new(), seq }.encode(to);
        let id = state.query_last + 1;
        let body = if event.query.is_some() {
            event.data.to_record(id).encode(to);
            None
        } else {
            let encode = || {
                let mut body = Vec::new();
                event.data.to_record(0).encode(&mut Encoder::new(&mut body));
                body.into()
            };
            Some(Arc::clone(shared.get_or_insert_with(encode)))
        };
        let mut item = Item { head, body, stream: Some(seq), _room: None };
        let bytes = item.bytes();
        if state.stream_bytes + bytes > CLIENT_BYTES_MAX {
            return false;
        }
        if state.stream_bytes + bytes > CLIENT_BYTES_SURE {
            let Some(room) = self.budget.take(bytes) else { return false };
            item._room = Some(room);
        }
        if let Some(query) = &event.query {
            state.remember(id, query.clone());
        }
        if let Some(stream) = state.streams.get_mut(&seq) {
            stream.queued += 1;
        }
        state.push(item);
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, item: Item) {
        self.queue_bytes += item.bytes();
        self.stream_bytes += item.stream_bytes();
        self.queue.push_back(item);
    }

    /// Updates the counters for an item taken from the queue.
    fn forget(&mut self, item: &Item) {
        self.queue_bytes -= item.bytes();
        self.stream_bytes -= item.stream_bytes();
    }

    fn retain(&mut self, keep: impl Fn(&Item) -> bool) {
        self.queue.retain(keep);
        self.queue_bytes = self.queue.iter().map(Item::bytes).sum();
        self.stream_bytes = self.queue.iter().map(Item::stream_bytes).sum();
    }

    /// Stores a query that the client can answer. Drops the oldest beyond the limit.
    fn remember(&mut self, id: u64, query: Query) {
        self.query_last = id;
        self.queries_bytes += query_bytes(&query);
        self.queries.insert(id, query);
        while (self.queries.len() > QUERIES_MAX || self.queries_bytes > QUERIES_BYTES_MAX)
            && let Some((_, oldest)) = self.queries.pop_first()
        {
            self.queries_bytes -= query_bytes(&oldest);
        }
    }
}

/// The size of a stored query, in bytes.
fn query_bytes(query: &Query) -> usize {
    ITEM_BYTES + query.name.len() + query.payload.len()
}

impl Item {
    fn reply(seq: u64, error: &str, body: impl FnOnce(&mut Encoder<'_>)) -> Self {
        let mut head = Vec::new();
        let to = &mut Encoder::new(&mut head);
        ReplyHeader { error: error.into(), seq }.encode(to);
        body(to);
        Self { head, body: None, stream: None, _room: None }
    }

    fn bytes(&self) -> usize {
        ITEM_BYTES + self.head.len() + self.body.as_ref().map_or(0, |body| body.len())
    }

    fn stream_bytes(&self) -> usize {
        if self.stream.is_some() { self.bytes() } else { 0 }
    }
}

impl Drop for ReplyQueue {
    fn drop(&mut self) {
        if let Some((follower, _)) = self.lock().monitor {
            self.log.unfollow(follower);
        }
    }
}

/// Limit on the records queued for a stream; newer events are dropped.
const STREAM_RECORDS_MAX: usize = 512;

/// Limit on the streams of one client; more are refused, because each stream's filters are evaluated for every event.
pub(crate) const STREAMS_MAX: usize = 64;

/// Limit on the bytes of the records queued for one client, over all its streams; newer events are dropped.
const CLIENT_BYTES_MAX: usize = 1 << 20;

/// Limit on the bytes of the records queued for all clients; newer events are dropped. Each client's first
/// [`CLIENT_BYTES_SURE`] are exempt, so that clients that read lose nothing because of those that do not.
const CLIENTS_BYTES_MAX: usize = 64 << 20;
const CLIENT_BYTES_SURE: usize = 16 * 1024;

/// Memory of an item besides its bytes.
const ITEM_BYTES: usize = 96;

/// Limit on queued replies before the next request is served, or the next answer to a query is forwarded.
pub(crate) const REPLY_BYTES_MAX: usize = 256 * 1024;

/// Limit on one client's queries in progress; more are refused. A node keeps 1024 in all, which one client must not use
/// up.
pub(crate) const ASKED_MAX: usize = 256;

/// Limit on the queries that a connection can answer; the oldest are dropped.
const QUERIES_MAX: usize = 4096;

/// Limit on the bytes of these queries; the oldest are dropped.
const QUERIES_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::Event;
    use crate::log::Level;

    fn log() -> Arc<Log> {
        Arc::new(Log::new(Level::Err, Box::new(std::io::sink())).expect("starts"))
    }

    fn event(payload_bytes: usize) -> AgentEvent {
        let (name, payload) = ("e".to_owned(), vec![b'x'; payload_bytes]);
        AgentEvent { data: Event::User { name, lamport: 1, payload, coalesce: false }, query: None }
    }

    fn client(streams: &Streams, tally: &Arc<Tally>, count: usize) -> Arc<ReplyQueue> {
        let client = ReplyQueue::new("@".into(), &log(), tally, streams);
        for seq in 0..count as u64 {
            assert!(client.begin_stream(streams, seq, vec![EventFilter::Any]).is_ok());
        }
        client
    }

    #[test]
    fn the_streams_of_a_client_are_bounded() {
        let (streams, tally) = (Streams::default(), Arc::default());
        let client = client(&streams, &tally, STREAMS_MAX);
        let begin = |seq| client.begin_stream(&streams, seq, vec![EventFilter::Any]);
        assert!(matches!(begin(0), Err(StreamError::Exists)));
        assert!(matches!(begin(64), Err(StreamError::TooMany)));
        client.stop(0);
        assert!(begin(64).is_ok());
    }

    #[test]
    fn what_a_client_does_not_read_is_bounded_in_bytes_over_all_its_streams() {
        let (streams, tally) = (Streams::default(), Arc::<Tally>::default());
        let client = client(&streams, &tally, STREAMS_MAX);
        for _ in 0..100 {
            streams.deliver(&event(9000));
        }
        let queued = client.lock().stream_bytes;
        assert!((CLIENT_BYTES_MAX - 10_000..=CLIENT_BYTES_MAX).contains(&queued), "{queued}");
        assert!(tally.stream_records_dropped.get() > 6000);
        // Reading makes room again.
        let mut bytes = Vec::new();
        client.take(&mut bytes, usize::MAX);
        let state = client.lock();
        assert_eq!((state.queue.len(), state.stream_bytes, state.queue_bytes), (0, 0, 0));
        drop(state);
        let before = tally.stream_records_dropped.get();
        streams.deliver(&event(9000));
        assert_eq!(tally.stream_records_dropped.get(), before);
        client.stop(0);
        client.close();
        assert_eq!(client.lock().stream_bytes, 0);
    }

    #[test]
    fn clients_that_do_not_read_take_nothing_from_those_that_do() {
        let (streams, tally) = (Streams::default(), Arc::default());
        let stalled: Vec<_> = (0..80).map(|_| client(&streams, &tally, STREAMS_MAX)).collect();
        (0..10).for_each(|_| streams.deliver(&event(9000)));
        let queued: usize = stalled.iter().map(|client| client.lock().stream_bytes).sum();
        assert!(queued <= CLIENTS_BYTES_MAX + stalled.len() * CLIENT_BYTES_SURE, "{queued}");
        assert!(queued > CLIENTS_BYTES_MAX - 20_000, "{queued}");
        let reading = client(&streams, &tally, 1);
        let mut bytes = Vec::new();
        for _ in 0..10 {
            streams.deliver(&event(9000));
            reading.take(&mut bytes, usize::MAX);
        }
        assert!(bytes.len() > 90_000, "none is lost: {}", bytes.len());
    }

    #[tokio::test]
    async fn what_a_client_has_asked_is_bounded_and_ends_with_it() {
        let (streams, tally) = (Streams::default(), Arc::default());
        let client = client(&streams, &tally, 1);
        let (held, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        for _ in 0..ASKED_MAX {
            assert!(client.may_ask());
            let held = held.clone();
            client.collect(async move {
                let _held = held;
                core::future::pending().await
            });
        }
        assert!(!client.may_ask());
        client.close();
        drop(held);
        assert_eq!(ended.recv().await, None, "all of them are gone");
    }
}
