//! Scheduled payloads and their total order.

use core::net::SocketAddr;

use bytes::Bytes;
use serf_proto::Instant;

use crate::command::Command;

/// Total order of all payloads. It depends on the source and the time only, never on the scheduling of threads: `n` is
/// the sequence number of the payload at `source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) at: Instant,
    pub(crate) source: u32,
    pub(crate) n: u32,
}

/// A payload scheduled for node `target`.
#[derive(Debug)]
pub(crate) struct Scheduled {
    pub(crate) key: Key,
    pub(crate) target: u32,
    pub(crate) payload: Payload,
}

/// A scheduled input of a node. 40 bytes, so that a `Scheduled` is one cache line.
#[derive(Debug)]
pub(crate) enum Payload {
    /// Timer wake-up requested by the node.
    Wake,
    /// A datagram from the key's source arrives.
    Datagram(Bytes),
    /// A datagram of the attacker arrives, with this forged source.
    Forged(Box<(SocketAddr, Bytes)>),
    /// A stream segment arrives.
    Segment(Segment),
    /// A command from the simulator.
    Command(Box<Command>),
}

impl Payload {
    pub(crate) const fn is_datagram(&self) -> bool {
        matches!(self, Self::Datagram(_) | Self::Forged(_))
    }
}

/// A segment of a virtual stream. Ports are the simulator's identifiers of stream ends: unlike the nodes' stream
/// numbers they stay unique when a node restarts.
#[derive(Debug)]
pub(crate) enum Segment {
    /// The source's port requests a connection.
    Syn { port: u32 },
    /// The target's port is now connected to the source's.
    Accepted { port: u32, peer_port: u32 },
    /// Bytes for the target's port.
    Data { port: u32, bytes: Bytes },
    /// The source has closed its end.
    Fin { port: u32 },
    /// The connection was refused, or the source's end no longer exists.
    Reset { port: u32 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduled_payload_is_one_cache_line() {
        assert!(size_of::<Scheduled>() <= 64, "{}", size_of::<Scheduled>());
    }

    #[test]
    fn time_goes_before_source_and_source_before_count() {
        let key = |at, source, n| Key { at: Instant::from_nanos(at), source, n };
        assert!(key(1, 9, 9) < key(2, 0, 0));
        assert!(key(1, 0, 9) < key(1, 1, 0));
        assert!(key(1, 1, 0) < key(1, 1, 1));
    }
}
