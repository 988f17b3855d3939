//! What becomes of a node's outputs: datagrams and streams go through the network.

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use serf_proto::{Instant, Node, StreamId};

use crate::addressing::node_at;
use crate::cell::Cell;
use crate::net::Fate;
use crate::net::stream::End;
use crate::scheduled::{Payload, Scheduled, Segment};
use crate::shard_queues::ShardQueues;
use crate::shared::Shared;
use crate::tally::{NetDrop, Tally};

/// Where and when something happens: one host, one moment.
#[derive(Debug)]
pub(crate) struct HostContext<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) queues: &'a mut ShardQueues,
    pub(crate) tally: &'a mut Tally,
    pub(crate) host: u32,
    pub(crate) at: Instant,
}

impl HostContext<'_> {
    /// Sends a datagram.
    pub(crate) fn send_datagram(&mut self, cell: &mut Cell, to: SocketAddr, bytes: Bytes) {
        let uplink = &mut cell.uplink;
        uplink.datagrams += 1;
        uplink.datagram_bytes += bytes.len() as u64;
        if let Some(said) = &mut uplink.stranger_bytes
            && !cell.node.as_ref().is_some_and(|node| is_member(node, to))
        {
            *said += bytes.len() as u64;
        }
        match node_at(to, self.shared.hosts) {
            Some(target) => self.transmit(cell, target, || Payload::Datagram(bytes.clone())),
            None => self.tally.drop_datagram(NetDrop::NoHost),
        }
    }

    /// Sends a datagram of the attacker's that claims to come from `from`.
    pub(crate) fn send_forged(&mut self, cell: &mut Cell, from: SocketAddr, target: u32, bytes: &Bytes) {
        self.transmit(cell, target, || Payload::Forged(Box::new((from, bytes.clone()))));
    }

    /// Lets the network decide what becomes of a datagram.
    fn transmit(&mut self, cell: &mut Cell, target: u32, payload: impl Fn() -> Payload) {
        match self.shared.network.judge(&mut cell.uplink.rng, self.at, self.host, target) {
            Fate::Lost => self.tally.drop_datagram(NetDrop::Loss),
            Fate::Cut => self.tally.drop_datagram(NetDrop::Cut),
            Fate::Arrives { after, copy_after } => {
                if let Some(copy_after) = copy_after {
                    self.schedule(cell, target, self.at + copy_after, payload());
                }
                self.schedule(cell, target, self.at + after, payload());
            }
        }
    }

    /// Asks for a connection.
    pub(crate) fn connect(&mut self, cell: &mut Cell, stream: StreamId, to: SocketAddr) {
        let Some(target) = node_at(to, self.shared.hosts) else {
            let port = cell.ends.open(stream, self.host, None).port;
            let round_trip = 2 * self.shared.network.model.draw_latency(&mut cell.uplink.rng);
            self.schedule(cell, self.host, self.at + round_trip, Payload::Segment(Segment::Reset { port }));
            return;
        };
        let port = cell.ends.open(stream, target, None).port;
        self.send_segment(cell, target, Segment::Syn { port });
    }

    /// Writes to a stream. A stream that has ended meanwhile swallows it.
    pub(crate) fn write(&mut self, cell: &mut Cell, stream: StreamId, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let Some(end) = cell.ends.by_stream(stream) else { return };
            let Some(peer_port) = end.peer_port else {
                end.early.push(bytes);
                return;
            };
            let (port, peer) = (end.port, end.peer);
            let len = (1 + cell.uplink.rng.below(CHUNK_BYTES_MAX) as usize).min(bytes.len());
            let chunk = bytes.split_to(len);
            let model = &self.shared.network.model;
            let departs = cell.uplink.free_at.max(self.at) + model.transmission_time(len);
            cell.uplink.free_at = departs;
            if cell.uplink.rng.chance(model.stream_reset_ppm()) {
                self.break_stream(cell, port, peer, peer_port);
                return;
            }
            self.send_in_order(cell, port, departs, Segment::Data { port: peer_port, bytes: chunk });
        }
    }

    /// Closes a stream after all that was written to it.
    pub(crate) fn close(&mut self, cell: &mut Cell, stream: StreamId) {
        let Some(end) = cell.ends.by_stream(stream) else { return };
        // A connection given up before it was accepted: the answer will find the port closed and reset it.
        if let (port, Some(peer_port)) = (end.port, end.peer_port) {
            self.send_in_order(cell, port, self.at, Segment::Fin { port: peer_port });
        }
        cell.ends.close_stream(stream);
    }

    /// Tells the other end that this one is no more.
    pub(crate) fn reset_peer(&mut self, cell: &mut Cell, end: &End) {
        if let (Some(port), false) = (end.peer_port, end.stalled) {
            self.send_segment(cell, end.peer, Segment::Reset { port });
        }
    }

    /// Sends a part of a stream that no other part must precede.
    pub(crate) fn send_segment(&mut self, cell: &mut Cell, target: u32, segment: Segment) -> Option<Instant> {
        let network = &self.shared.network;
        let Some(latency) = network.segment_latency(&mut cell.uplink.rng, self.at, self.host, target) else {
            self.tally.drop_datagram(NetDrop::Cut);
            return None;
        };
        let arrival = self.at + latency;
        self.schedule(cell, target, arrival, Payload::Segment(segment));
        Some(arrival)
    }

    /// Sends a part of the stream at `port`, to arrive after all earlier parts.
    fn send_in_order(&mut self, cell: &mut Cell, port: u32, departs: Instant, segment: Segment) {
        let Cell { ends, uplink, .. } = cell;
        let Some(end) = ends.by_port(port).filter(|end| !end.stalled) else { return };
        let network = &self.shared.network;
        let Some(latency) = network.segment_latency(&mut uplink.rng, self.at, self.host, end.peer) else {
            end.stalled = true;
            self.tally.drop_datagram(NetDrop::Cut);
            return;
        };
        let arrival = (departs + latency).max(end.last_arrival);
        end.last_arrival = arrival;
        let target = end.peer;
        self.schedule(cell, target, arrival, Payload::Segment(segment));
    }

    /// Breaks a stream in the middle: both ends learn of it after a one-way latency.
    fn break_stream(&mut self, cell: &mut Cell, port: u32, peer: u32, peer_port: u32) {
        if let Some(end) = cell.ends.by_port(port) {
            end.stalled = true;
        }
        self.send_segment(cell, peer, Segment::Reset { port: peer_port });
        let latency = self.shared.network.model.draw_latency(&mut cell.uplink.rng);
        self.schedule(cell, self.host, self.at + latency, Payload::Segment(Segment::Reset { port }));
    }

    /// Lets something happen to this host later.
    pub(crate) fn schedule_here(&mut self, cell: &mut Cell, after: Duration, payload: Payload) {
        self.schedule(cell, self.host, self.at + after, payload);
    }

    pub(crate) fn schedule(&mut self, cell: &mut Cell, target: u32, at: Instant, payload: Payload) {
        let key = cell.uplink.key(self.host, at);
        self.queues.send(Scheduled { key, target, payload });
    }
}

/// Whether a member that the node knows, in whatever status, listens at this address.
fn is_member(node: &Node, addr: SocketAddr) -> bool {
    node.members().any(|member| member.addr() == addr)
}

/// What one write to a socket takes at the most.
const CHUNK_BYTES_MAX: u32 = 64 * 1024;
