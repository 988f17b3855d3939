//! The node under its lock, and what becomes of its outputs.

use core::convert::Infallible;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_channel::Sender;
use serf_proto::limits::STREAMS_INBOUND_MAX;
use serf_proto::{Event, Instant, JoinId, JoinReport, KeyReport, LeaveReport, Node, Output, QueryId, StreamId};

use crate::desk::Desk;
use crate::dials::Dials;
use crate::driver::Shared;
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
        Self { udp, loops: Vec::new(), streams: BTreeMap::new(), inbound: 0, alive }
    }

    /// Whether one more stream may come in. `proto` forgets a stream when it has answered; here it counts until the answer
    /// is written, so that peers which do not read cannot make it many.
    pub(crate) const fn has_room(&self) -> bool {
        self.inbound < STREAMS_INBOUND_MAX
    }

    /// Gives a stream a task of its own.
    pub(crate) fn open(&mut self, shared: &Arc<Shared<N>>, stream: StreamId, start: Start<N>) {
        self.inbound += usize::from(start.is_inbound());
        self.streams.insert(stream, Carrier::spawn(shared, stream, start, self.alive.clone()));
    }

    /// Forgets a stream whose task is at its end.
    pub(crate) fn close(&mut self, stream: StreamId) -> Option<Carrier<N>> {
        let carrier = self.streams.remove(&stream)?;
        self.inbound -= usize::from(carrier.is_inbound());
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
                    if let Some(carrier) = self.carrier(stream) {
                        carrier.write(bytes);
                    }
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
                Output::Keyring { change, keys } => desk.keyrings.push((change, keys)),
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
                for waiting in self.leave.waiting.drain(..) {
                    _ = waiting.try_send(report);
                }
            }
            _ => {}
        }
    }
}
