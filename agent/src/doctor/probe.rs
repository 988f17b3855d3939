//! UDP: pings, as members send them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serf_tokio::serf_proto::diagnostics::{Ack, Caps, Envelope, Message, PacketBuffers, Ping, Source, split};
use serf_tokio::serf_proto::limits::PACKET_BYTES_MAX;
use serf_tokio::serf_proto::{Codec, EnvelopeConfig};

use super::fresh_seed;

/// A socket, and the node that it probes.
pub(super) struct Probe {
    socket: UdpSocket,
    to: SocketAddr,
    /// Our address, as the node would reach it.
    pub(super) local: SocketAddr,
    layers: EnvelopeConfig,
    envelope: Envelope,
    buffers: PacketBuffers,
    seq: u32,
    /// Packets of the node that could not be opened.
    pub(super) unreadable: u32,
}

/// The answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) seq: u32,
    /// Its source address.
    pub(super) from: SocketAddr,
}

impl Probe {
    /// Opens a socket to probe the node at `to`.
    ///
    /// # Errors
    ///
    /// The system provides no socket, or has no route.
    pub(super) fn new(to: SocketAddr, layers: &EnvelopeConfig) -> io::Result<Self> {
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        // Connecting sends nothing; it selects the local address of the route.
        let way = UdpSocket::bind((any, 0))?;
        way.connect(to)?;
        let ip = way.local_addr()?.ip();
        let socket = UdpSocket::bind((any, 0))?;
        let local = SocketAddr::new(ip, socket.local_addr()?.port());
        let seed = fresh_seed();
        // Differs from the numbers of an earlier run.
        let seq = u32::from(local.port()) << 8 | 1;
        let envelope = Envelope::new(layers.clone(), &seed);
        let layers = layers.clone();
        Ok(Self { socket, to, local, layers, envelope, buffers: PacketBuffers::new(), seq, unreadable: 0 })
    }

    /// Opens another socket to probe the same node, which has sent it nothing.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(super) fn another(&self) -> io::Result<Self> {
        Self::new(self.to, &self.layers)
    }

    /// The address of the node.
    pub(super) const fn to(&self) -> SocketAddr {
        self.to
    }

    /// Pings `node`, or any node when the name is empty, in a packet of at least `bytes` bytes. Returns the sequence
    /// number of the ping.
    pub(super) fn ping(&mut self, node: &str, bytes: usize) -> io::Result<u32> {
        let seq = self.next_seq();
        let datagram = self.padded(&Message::Ping(Ping { seq, node, source: None }), bytes);
        self.socket.send_to(&datagram, self.to)?;
        Ok(seq)
    }

    /// Pings the node and asks for the answer at `back`, another socket of this host.
    pub(super) fn ping_answered_at(&mut self, back: SocketAddr) -> io::Result<u32> {
        let seq = self.next_seq();
        let source = Some(Source { addr: back, node: "" });
        let datagram = self.padded(&Message::Ping(Ping { seq, node: "", source }), 0);
        self.socket.send_to(&datagram, self.to)?;
        Ok(seq)
    }

    /// Receives the next answer until `deadline`.
    pub(super) fn next(&mut self, deadline: Instant) -> Option<Heard> {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            _ = self.socket.set_read_timeout(Some(left));
            // The error is the timeout, or an ICMP message, which some systems report on any socket.
            let Ok((len, from)) = self.socket.recv_from(&mut buffer) else { continue };
            if let Some(heard) = self.read(&buffer[..len], from) {
                return Some(heard);
            }
        }
    }

    /// Whether the host reports that no socket is bound to the port. Only a connected socket gets that error.
    pub(super) fn is_refused(&mut self, timeout: Duration) -> bool {
        let any: IpAddr = if self.to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let seq = self.next_seq();
        let datagram = self.padded(&Message::Ping(Ping { seq, node: "", source: None }), 0);
        let refused = || -> io::Result<()> {
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(self.to)?;
            socket.set_read_timeout(Some(timeout))?;
            socket.send(&datagram)?;
            socket.recv(&mut [0; 64]).map(drop)
        };
        refused().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }

    fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1).max(1);
        self.seq
    }

    fn read(&mut self, datagram: &[u8], from: SocketAddr) -> Option<Heard> {
        let Ok(message) = self.envelope.open(datagram, &mut self.buffers) else {
            self.unreadable += 1;
            return None;
        };
        // Members attach gossip to acks; it is ignored here.
        split(message).ok()?.find_map(|frame| match Codec::decode(frame) {
            Ok(Message::Ack(ack)) => Some(Heard { seq: ack.seq, from }),
            _ => None,
        })
    }

    /// A datagram with the message, padded to `bytes` bytes by an ack with an unused sequence number.
    fn padded(&mut self, message: &Message<'_>, bytes: usize) -> Vec<u8> {
        let bare = self.datagram(message, None);
        if bare.len() >= bytes {
            return bare;
        }
        // The overhead of the padding depends on its length.
        let shortest = self.datagram(message, Some(0)).len();
        let mut pad = bytes.saturating_sub(shortest);
        loop {
            let datagram = self.datagram(message, Some(pad));
            if datagram.len() <= bytes || pad == 0 {
                return datagram;
            }
            pad = pad.saturating_sub(datagram.len() - bytes);
        }
    }

    fn datagram(&mut self, message: &Message<'_>, pad: Option<usize>) -> Vec<u8> {
        let room = u32::try_from(PACKET_BYTES_MAX).unwrap_or(u32::MAX);
        let mut packer = self.envelope.packer(&mut self.buffers, room);
        let mut fits = packer.frame(|w| Codec::HashiCorp.encode(message, w)).is_ok();
        if let Some(pad) = pad {
            let padding = Message::Ack(Ack { seq: UNUSED_SEQ, payload: &vec![0; pad] });
            fits &= packer.frame(|w| Codec::HashiCorp.encode(&padding, w)).is_ok();
        }
        debug_assert!(fits, "nothing sent here is as long as the longest packet");
        let packed = packer.finish();
        self.envelope.seal(packed, Caps { checksum: false }, &mut self.buffers).to_vec()
    }
}

/// A sequence number that no ping has: members count from 1.
const UNUSED_SEQ: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_pings_have_the_very_size_that_was_asked_for() {
        let to: SocketAddr = "127.0.0.1:9".parse().expect("is an address");
        let mut probe = Probe::new(to, &EnvelopeConfig::default()).expect("the loopback is there");
        let ping = Message::Ping(Ping { seq: 7, node: "", source: None });
        for bytes in [64, 255, 256, 1024, 1407, 9000] {
            let datagram = probe.padded(&ping, bytes);
            // A length field may be one byte longer than the padding saves.
            assert!((bytes - 2..=bytes).contains(&datagram.len()), "{} instead of {bytes}", datagram.len());
            let mut kinds = split(&datagram).expect("is a compound");
            assert_eq!(kinds.next().map(Codec::decode), Some(Ok(ping)));
        }
    }
}
