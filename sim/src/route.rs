//! Routes a node's outputs: datagrams and streams go through the network.

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use serf_proto::{Instant, Node, StreamId};

use crate::addressing::{name_of, node_at};
use crate::host::{Host, Sockets, Uplink};
use crate::net::Fate;
use crate::net::stream::End;
use crate::notes::Notes;
use crate::scheduled::{Payload, Scheduled, Segment};
use crate::shard_queues::ShardQueues;
use crate::shared::Shared;
use crate::tally::{NetDrop, Tally};

/// Context of a call: one host at one time.
#[derive(Debug)]
pub(crate) struct HostContext<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) queues: &'a mut ShardQueues,
    pub(crate) tally: &'a mut Tally,
    pub(crate) notes: &'a mut Notes,
    pub(crate) id: u32,
    pub(crate) at: Instant,
}

impl HostContext<'_> {
    /// Sends a datagram.
    pub(crate) fn send_datagram(&mut self, host: &mut Host, to: SocketAddr, bytes: Bytes) {
        let uplink = &mut host.sockets.uplink;
        self.notes.witness.datagrams.sent += 1;
        uplink.datagrams += 1;
        uplink.datagram_bytes += bytes.len() as u64;
        uplink.meter.datagram(self.at, bytes.len(), &mut self.notes.ledger);
        if let Some(said) = &mut uplink.stranger_bytes
            && !host.process.node.as_ref().is_some_and(|node| knows(node, to, self.shared.hosts))
        {
            *said += bytes.len() as u64;
        }
        match node_at(to, self.shared.hosts) {
            Some(target) => {
                if self.crosses(target) {
                    self.notes.crossed.datagram(bytes.len());
                }
                self.transmit(host, target, bytes.len(), || Payload::Datagram(bytes.clone()));
            }
            None => self.drop_datagram(NetDrop::NoHost),
        }
    }

    /// Sends a datagram of the attacker with the forged source `from`.
    pub(crate) fn send_forged(&mut self, host: &mut Host, from: SocketAddr, target: u32, bytes: &Bytes) {
        self.notes.witness.datagrams.forged += 1;
        self.transmit(host, target, bytes.len(), || Payload::Forged(Box::new((from, bytes.clone()))));
    }

    /// Passes a datagram to the network, which decides its fate.
    fn transmit(&mut self, host: &mut Host, target: u32, len: usize, payload: impl Fn() -> Payload) {
        let (model, uplink) = (&self.shared.network.model, &mut host.sockets.uplink);
        if !model.fits(len) {
            return self.drop_datagram(NetDrop::TooLarge);
        }
        let Some(departs) = model.datagram_departure(self.at, uplink.datagrams_free_at, len) else {
            return self.drop_datagram(NetDrop::Congestion);
        };
        uplink.datagrams_free_at = departs;
        let departs = departs.max(uplink.blocked_until);
        let Uplink { rng, weather, .. } = &mut host.sockets.uplink;
        match self.shared.network.judge(rng, weather, self.at, self.id, target) {
            Fate::Lost => self.drop_datagram(NetDrop::Loss),
            Fate::Cut => self.drop_datagram(NetDrop::Cut),
            Fate::Arrives { after, copy_after } => {
                if let Some(copy_after) = copy_after {
                    self.notes.witness.datagrams.copied += 1;
                    self.schedule(host, target, departs + copy_after, payload());
                }
                self.schedule(host, target, departs + after, payload());
            }
        }
    }

    /// Whether a node is of another group than this host.
    fn crosses(&self, target: u32) -> bool {
        let layout = &self.shared.layout;
        !layout.group_of.is_empty() && layout.group(self.id) != layout.group(target)
    }

    fn drop_datagram(&mut self, reason: NetDrop) {
        self.tally.count_drop(reason);
        self.notes.witness.datagrams.drop(reason);
    }

    /// Opens a connection.
    pub(crate) fn connect(&mut self, host: &mut Host, stream: StreamId, to: SocketAddr) {
        let Some(target) = node_at(to, self.shared.hosts) else {
            let port = host.sockets.ends.open(stream, self.id, None).port;
            let round_trip = 2 * self.shared.network.model.draw_latency(&mut host.sockets.uplink.rng);
            self.schedule(host, self.id, self.at + round_trip, Payload::Segment(Segment::Reset { port }));
            return;
        };
        let port = host.sockets.ends.open(stream, target, None).port;
        self.send_segment(host, target, Segment::Syn { port });
    }

    /// Writes to a stream. Bytes for an ended stream are discarded.
    pub(crate) fn write(&mut self, host: &mut Host, stream: StreamId, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let Some(end) = host.sockets.ends.by_stream(stream) else { return };
            let Some(peer_port) = end.peer_port else {
                end.early.push(bytes);
                return;
            };
            let (port, peer) = (end.port, end.peer);
            let len = (1 + host.sockets.uplink.rng.below(CHUNK_BYTES_MAX) as usize).min(bytes.len());
            let chunk = bytes.split_to(len);
            let model = &self.shared.network.model;
            let departs = host.sockets.uplink.free_at.max(self.at) + model.transmission_time(len);
            host.sockets.uplink.free_at = departs;
            host.sockets.uplink.meter.stream(self.at, len, &mut self.notes.ledger);
            if self.crosses(peer) {
                self.notes.crossed.stream(len);
            }
            if host.sockets.uplink.rng.chance(model.stream_reset_ppm()) {
                self.break_stream(host, port, peer, peer_port);
                return;
            }
            self.send_in_order(host, port, departs, Segment::Data { port: peer_port, bytes: chunk });
        }
    }

    /// Closes a stream after all bytes written to it.
    pub(crate) fn close(&mut self, host: &mut Host, stream: StreamId) {
        let Some(end) = host.sockets.ends.by_stream(stream) else { return };
        // A connection abandoned before its acceptance: the answer will find the port closed and reset it.
        if let (port, Some(peer_port)) = (end.port, end.peer_port) {
            self.send_in_order(host, port, self.at, Segment::Fin { port: peer_port });
        }
        host.sockets.ends.close_stream(stream);
    }

    /// Sends a reset to the peer's end.
    pub(crate) fn reset_peer(&mut self, host: &mut Host, end: &End) {
        if let (Some(port), false) = (end.peer_port, end.stalled) {
            self.send_segment(host, end.peer, Segment::Reset { port });
        }
    }

    /// Sends a stream segment without an ordering constraint.
    pub(crate) fn send_segment(&mut self, host: &mut Host, target: u32, segment: Segment) -> Option<Instant> {
        let network = &self.shared.network;
        let Some(latency) = network.segment_latency(&mut host.sockets.uplink.rng, self.at, self.id, target) else {
            self.tally.count_drop(NetDrop::Cut);
            return None;
        };
        let arrival = self.at.max(host.sockets.uplink.blocked_until) + latency;
        self.schedule(host, target, arrival, Payload::Segment(segment));
        Some(arrival)
    }

    /// Sends a segment of the stream at `port`, to arrive after all earlier segments.
    fn send_in_order(&mut self, host: &mut Host, port: u32, departs: Instant, segment: Segment) {
        let Sockets { ends, uplink } = &mut host.sockets;
        let Some(end) = ends.by_port(port).filter(|end| !end.stalled) else { return };
        let network = &self.shared.network;
        let Some(latency) = network.segment_latency(&mut uplink.rng, self.at, self.id, end.peer) else {
            end.stalled = true;
            self.tally.count_drop(NetDrop::Cut);
            return;
        };
        let arrival = (departs.max(uplink.blocked_until) + latency).max(end.last_arrival);
        end.last_arrival = arrival;
        let target = end.peer;
        self.schedule(host, target, arrival, Payload::Segment(segment));
    }

    /// Breaks a stream in the middle: both ends are notified after a one-way latency.
    fn break_stream(&mut self, host: &mut Host, port: u32, peer: u32, peer_port: u32) {
        if let Some(end) = host.sockets.ends.by_port(port) {
            end.stalled = true;
        }
        self.send_segment(host, peer, Segment::Reset { port: peer_port });
        let latency = self.shared.network.model.draw_latency(&mut host.sockets.uplink.rng);
        self.schedule(host, self.id, self.at + latency, Payload::Segment(Segment::Reset { port }));
    }

    /// Schedules a payload for this host.
    pub(crate) fn schedule_here(&mut self, host: &mut Host, after: Duration, payload: Payload) {
        self.schedule(host, self.id, self.at + after, payload);
    }

    pub(crate) fn schedule(&mut self, host: &mut Host, target: u32, at: Instant, payload: Payload) {
        let key = host.sockets.uplink.key(self.id, at);
        self.queues.send(Scheduled { key, target, payload });
    }
}

/// Whether a member known to the node, in any status, has this address.
fn is_member(node: &Node, addr: SocketAddr) -> bool {
    node.members().any(|member| member.addr() == addr)
}

/// Whether an address is that of a member, or of one that Serf has pruned and membership still remembers: such a member
/// is asked whether its leave was its own.
fn knows(node: &Node, addr: SocketAddr, hosts: u32) -> bool {
    is_member(node, addr) || node_at(addr, hosts).is_some_and(|host| node.incarnation_of(&name_of(host)).is_some())
}

/// Maximum size of one write to a socket.
const CHUNK_BYTES_MAX: u32 = 64 * 1024;
