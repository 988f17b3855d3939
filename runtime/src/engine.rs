//! The node under its lock, and what becomes of its outputs.

use core::convert::Infallible;
use core::sync::atomic::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_channel::Sender;
use bytes::Bytes;
use serf_proto::limits::{STREAM_MESSAGE_BYTES_MAX, STREAMS_INBOUND_MAX};
use serf_proto::{Event, Instant, JoinId, JoinReport, KeyReport, LeaveReport, Node, Output, QueryId, StreamId};

use crate::desk::Desk;
use crate::dials::Dials;
use crate::driver::Shared;
use crate::end::End;
use crate::events::Subscribers;
use crate::net::Net;
use crate::stream::{Carrier, Start};

/// Everything behind the lock. The lock is never held across an await, nor while a packet is sent.
pub(crate) struct Engine<N: Net> {
    pub(crate) node: Node,
    /// None once the node has stopped.
    pub(crate) running: Option<Running<N>>,
    pub(crate) subscribers: Subscribers,
    /// Who waits for the end of a join.
    pub(crate) joins: BTreeMap<JoinId, Sender<JoinReport>>,
    /// How the streams were opened that joins wait for.
    pub(crate) dials: Dials,
    /// Who waits for the end of an operation on keys.
    pub(crate) keys: BTreeMap<QueryId, Sender<KeyReport>>,
    pub(crate) leave: Leave,
    /// Why the node ends or has ended, if not by a command.
    pub(crate) end: Option<End>,
    /// When the timekeeper will wake.
    pub(crate) wake_at: Instant,
}

/// What there is while the node runs. Dropping it ends all tasks and closes all sockets.
pub(crate) struct Running<N: Net> {
    pub(crate) udp: Arc<N::Udp>,
    pub(crate) loops: Vec<N::Task>,
    streams: BTreeMap<StreamId, Carrier<N>>,
    /// How many of the streams peers have opened.
    inbound: usize,
    /// The bytes of the answers on those streams, until the streams are closed.
    answers_bytes: usize,
    /// Every task holds a clone: when all are gone, so are the sockets.
    pub(crate) alive: Sender<Infallible>,
}

/// Who waits for our leave, and how it went.
#[derive(Debug, Default)]
pub(crate) struct Leave {
    pub(crate) waiting: Vec<Sender<LeaveReport>>,
    pub(crate) report: Option<LeaveReport>,
}

impl<N: Net> Running<N> {
    pub(crate) const fn new(udp: Arc<N::Udp>, alive: Sender<Infallible>) -> Self {
        Self { udp, loops: Vec::new(), streams: BTreeMap::new(), inbound: 0, answers_bytes: 0, alive }
    }

    /// Makes room for one more stream of a peer; says whether one was cut off for it. `proto` forgets a stream when it has
    /// answered; here it counts until the answer is read, so that peers which do not read cannot make it many. Of too many the one
    /// goes that has been answered for the longest; while none has, the node decides.
    pub(crate) fn make_room(&mut self) -> bool {
        self.inbound >= STREAMS_INBOUND_MAX && self.cut_off_oldest()
    }

    /// Notes what is written to a stream; says how many were cut off, so that unread answers do not fill the memory.
    pub(crate) fn write(&mut self, stream: StreamId, bytes: Bytes) -> u64 {
        let Some(carrier) = self.streams.get_mut(&stream) else { return 0 };
        if carrier.is_inbound() {
            self.answers_bytes += bytes.len();
        }
        carrier.write(bytes);
        let mut cut = 0;
        while self.answers_bytes > ANSWERS_BYTES_MAX && self.cut_off_oldest() {
            cut += 1;
        }
        cut
    }

    fn cut_off_oldest(&mut self) -> bool {
        let is_answered = |carrier: &Carrier<N>| carrier.is_inbound() && carrier.written_bytes() > 0;
        let oldest = self.streams.iter().find(|(_, carrier)| is_answered(carrier)).map(|(id, _)| *id);
        oldest.and_then(|oldest| self.close(oldest)).is_some()
    }

    /// Gives a stream a task of its own.
    pub(crate) fn open(&mut self, shared: &Arc<Shared<N>>, stream: StreamId, start: Start<N>) {
        self.inbound += usize::from(start.is_inbound());
        self.streams.insert(stream, Carrier::spawn(shared, stream, start, self.alive.clone()));
    }

    /// Forgets a stream whose task is at its end.
    pub(crate) fn close(&mut self, stream: StreamId) -> Option<Carrier<N>> {
        let carrier = self.streams.remove(&stream)?;
        if carrier.is_inbound() {
            self.inbound -= 1;
            self.answers_bytes -= carrier.written_bytes();
        }
        Some(carrier)
    }
}

impl<N: Net> Engine<N> {
    pub(crate) fn new(node: Node, running: Running<N>) -> Self {
        Self {
            node,
            running: Some(running),
            subscribers: Subscribers::default(),
            joins: BTreeMap::new(),
            dials: Dials::default(),
            keys: BTreeMap::new(),
            leave: Leave::default(),
            end: None,
            wake_at: Instant::MAX,
        }
    }

    /// Does everything that the node wants done, in order; datagrams are laid aside, to be sent without the lock.
    pub(crate) fn route(&mut self, shared: &Arc<Shared<N>>, desk: &mut Desk) {
        while let Some(output) = desk.out.pop() {
            match output {
                Output::Datagram { to, bytes } => desk.mail.push((to, bytes)),
                Output::Event(event) => self.tell(event),
                Output::Connect { stream, to } => {
                    if let Some(running) = &mut self.running {
                        running.open(shared, stream, Start::Dial(to));
                    }
                }
                Output::Write { stream, bytes } => {
                    let cut = self.running.as_mut().map_or(0, |running| running.write(stream, bytes));
                    shared.counters.streams_refused.fetch_add(cut, Ordering::Relaxed);
                }
                Output::Close { stream } => {
                    if let Some(carrier) = self.carrier(stream) {
                        carrier.close();
                    }
                }
                Output::Persist(record) => {
                    if let Some(snapshot) = &shared.files.snapshot {
                        snapshot.append(&record);
                    }
                }
                Output::Keyring { change, keys } => {
                    let taken = shared.files.keyring.as_ref().map_or(Ok(()), |file| file.write_later(change, keys));
                    if let Err(why) = taken {
                        self.node.keyring_written(shared.net.now(), change, Err(&why), &mut desk.out);
                    }
                }
                other => debug_assert!(false, "nobody does {other:?}"),
            }
        }
    }

    fn carrier(&self, stream: StreamId) -> Option<&Carrier<N>> {
        self.running.as_ref()?.streams.get(&stream)
    }

    fn tell(&mut self, event: Event) {
        self.subscribers.publish(&event);
        match event {
            // Whoever asked may have stopped waiting.
            Event::Joined(report) => {
                if let Some(waiting) = self.joins.remove(&report.id) {
                    _ = waiting.try_send(report);
                }
            }
            Event::Keys(report) => {
                if let Some(waiting) = self.keys.remove(&report.id) {
                    _ = waiting.try_send(report);
                }
            }
            Event::LeftCluster(report) => {
                self.leave.report = Some(report);
                self.end.get_or_insert(End::Left(report));
                for waiting in self.leave.waiting.drain(..) {
                    _ = waiting.try_send(report);
                }
            }
            _ => {}
        }
    }
}

/// What the answers on the streams of peers may have together, in bytes, until they are read. Ours: three of the longest. Beyond, the
/// streams are cut off that have waited for the longest.
const ANSWERS_BYTES_MAX: usize = 3 * STREAM_MESSAGE_BYTES_MAX;
