//! How what the attacker composes gets onto the network. It has streams of its own, apart from those of the host's node.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use bytes::Bytes;
use serf_proto::Instant;

use crate::cell::Cell;
use crate::route::HostContext;
use crate::scheduled::{Payload, Segment};

/// Something that the attacker sends.
#[derive(Clone, Debug)]
pub(crate) enum Shot {
    /// A datagram that claims to come from `from`.
    Datagram { from: SocketAddr, to: u32, bytes: Bytes },
    /// A stream with `bytes` on it. TCP's handshake does not let it lie about its source.
    Stream { to: u32, bytes: Bytes, closes: bool },
}

/// Streams that are not accepted yet, by their port.
#[derive(Debug, Default)]
pub(super) struct Dials(BTreeMap<u32, Dial>);

#[derive(Debug)]
struct Dial {
    to: u32,
    bytes: Bytes,
    closes: bool,
}

impl HostContext<'_> {
    /// Sends what the attacker composed.
    pub(crate) fn shoot(&mut self, cell: &mut Cell, shots: Vec<Shot>) {
        for shot in shots {
            match shot {
                Shot::Datagram { from, to, bytes } => self.send_forged(cell, from, to, &bytes),
                Shot::Stream { to, bytes, closes } => {
                    let port = cell.ends.reserve_port();
                    if let Some(attacker) = &mut cell.attacker {
                        attacker.dials.0.insert(port, Dial { to, bytes, closes });
                    }
                    self.send_segment(cell, to, Segment::Syn { port });
                }
            }
        }
    }

    /// Goes on with a stream of the attacker's that was accepted. False when there is none at this port.
    pub(crate) fn shoot_on(&mut self, cell: &mut Cell, port: u32, peer_port: u32) -> bool {
        let Some(Dial { to, mut bytes, closes }) = cell.attacker.as_mut().and_then(|a| a.dials.0.remove(&port)) else {
            return false;
        };
        let mut last = Instant::ZERO;
        while !bytes.is_empty() {
            let chunk = bytes.split_to(bytes.len().min(CHUNK_BYTES));
            let departs = cell.uplink.free_at.max(self.at) + self.shared.network.model.transmission_time(chunk.len());
            cell.uplink.free_at = departs;
            let what = Segment::Data { port: peer_port, bytes: chunk };
            let Some(arrival) = self.send_segment_after(cell, to, departs, last, what) else { return true };
            last = arrival;
        }
        if closes {
            self.send_segment_after(cell, to, self.at, last, Segment::Fin { port: peer_port });
        }
        true
    }

    fn send_segment_after(
        &mut self,
        cell: &mut Cell,
        to: u32,
        departs: Instant,
        last: Instant,
        segment: Segment,
    ) -> Option<Instant> {
        let network = &self.shared.network;
        let latency = network.segment_latency(&mut cell.uplink.rng, self.at, self.host, to)?;
        let arrival = (departs + latency).max(last);
        self.schedule(cell, to, arrival, Payload::Segment(segment));
        Some(arrival)
    }
}

/// As much as a write to a socket takes at a time.
const CHUNK_BYTES: usize = 64 * 1024;
