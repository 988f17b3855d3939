//! What is pending in the simulated world, and the order in which it happens.

use core::net::SocketAddr;

use bytes::Bytes;
use serf_proto::Instant;

use crate::command::Command;

/// The total order of everything that happens. It depends on who caused what and when, never on which thread ran first:
/// `n` counts what `source` has caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) at: Instant,
    pub(crate) source: u32,
    pub(crate) n: u32,
}

/// Something that will happen to node `target`.
#[derive(Debug)]
pub(crate) struct Scheduled {
    pub(crate) key: Key,
    pub(crate) target: u32,
    pub(crate) payload: Payload,
}

/// What will happen. 40 bytes, so that a `Scheduled` is one cache line.
#[derive(Debug)]
pub(crate) enum Payload {
    /// The node asked to be woken.
    Wake,
    /// A datagram from the key's source arrives.
    Datagram(Bytes),
    /// A datagram of the attacker arrives, which claims to come from this address.
    Forged(Box<(SocketAddr, Bytes)>),
    /// A part of a virtual stream arrives.
    Segment(Segment),
    /// The simulator does something to the node.
    Command(Box<Command>),
}

/// A part of a virtual stream. Ports are the simulator's own names of stream ends: unlike the nodes' stream numbers
/// they stay unique when a node restarts.
#[derive(Debug)]
pub(crate) enum Segment {
    /// The source's port asks for a connection.
    Syn { port: u32 },
    /// The target's port is now connected to the source's.
    Accepted { port: u32, peer_port: u32 },
    /// Bytes for the target's port.
    Data { port: u32, bytes: Bytes },
    /// The source closed its end.
    Fin { port: u32 },
    /// The connection was refused, or the source's end is no more.
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
