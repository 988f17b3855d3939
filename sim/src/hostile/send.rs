//! Sends the attacker's messages into the network. Its streams are separate from those of the host's node.

use serf_proto::Instant;

use super::attack_message::{AttackMessage, Dial};
use crate::host::Host;
use crate::route::HostContext;
use crate::scheduled::{Payload, Segment};

impl HostContext<'_> {
    /// Sends composed messages.
    pub(crate) fn send_messages(&mut self, host: &mut Host, messages: Vec<AttackMessage>) {
        for message in messages {
            match message {
                AttackMessage::Datagram { from, to, bytes } => self.send_forged(host, from, to, &bytes),
                AttackMessage::Stream { to, bytes, closes } => {
                    let port = host.sockets.ends.reserve_port();
                    if let Some(attacker) = &mut host.attacker {
                        attacker.dials.0.insert(port, Dial { to, bytes, closes });
                    }
                    self.send_segment(host, to, Segment::Syn { port });
                }
            }
        }
    }

    /// Continues an accepted stream of the attacker. Returns false if the port has none.
    pub(crate) fn continue_stream(&mut self, host: &mut Host, port: u32, peer_port: u32) -> bool {
        let Some(Dial { to, mut bytes, closes }) = host.attacker.as_mut().and_then(|a| a.dials.0.remove(&port)) else {
            return false;
        };
        let mut last = Instant::ZERO;
        while !bytes.is_empty() {
            let chunk = bytes.split_to(bytes.len().min(CHUNK_BYTES));
            let departs =
                host.sockets.uplink.free_at.max(self.at) + self.shared.network.model.transmission_time(chunk.len());
            host.sockets.uplink.free_at = departs;
            let what = Segment::Data { port: peer_port, bytes: chunk };
            let Some(arrival) = self.send_segment_after(host, to, departs, last, what) else { return true };
            last = arrival;
        }
        if closes {
            self.send_segment_after(host, to, self.at, last, Segment::Fin { port: peer_port });
        }
        true
    }

    fn send_segment_after(
        &mut self,
        host: &mut Host,
        to: u32,
        departs: Instant,
        last: Instant,
        segment: Segment,
    ) -> Option<Instant> {
        let network = &self.shared.network;
        let latency = network.segment_latency(&mut host.sockets.uplink.rng, self.at, self.id, to)?;
        let arrival = (departs + latency).max(last);
        self.schedule(host, to, arrival, Payload::Segment(segment));
        Some(arrival)
    }
}

/// Typical size of one write to a socket.
const CHUNK_BYTES: usize = 64 * 1024;
