//! What is pending in the simulated world, and the order in which it happens.

use core::net::SocketAddr;

use bytes::Bytes;
use serf_proto::{Instant, QueryId};

use crate::hostile::Attack;
use crate::world::{KeyChange, QueryParams};

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

/// What the simulator does to a node. Only the node itself is touched, so no thread needs another's nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// The process starts.
    Start(StartFrom),
    /// Join through these nodes, or through drawn ones when there are none.
    Join { contacts: Vec<u32> },
    /// Find the cluster of the earlier life again, or join through drawn nodes when none of it is known.
    Rejoin,
    /// Send a user event.
    UserEvent { name: String, payload: Vec<u8> },
    /// Ask these nodes, or all when there are none.
    Query { query_params: QueryParams, nodes: Vec<String> },
    /// Answer a query with so many bytes.
    Respond { to: QueryId, bytes: u32 },
    /// Ask all to do something to their keys.
    ChangeKeys(KeyChange),
    /// Announce another role.
    SetRole(u32),
    /// Send what an attack consists of. Only for the hostile host.
    Assault(Attack),
    /// Leave gracefully.
    Leave,
    /// The process dies; its host stays up and refuses connections.
    Crash,
    /// The process stalls: nothing is handled until it resumes.
    Pause,
    /// The process goes on.
    Resume,
}

/// What a process knows when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartFrom {
    /// Nothing.
    Blank,
    /// Everybody.
    Converged,
    /// What the disk says of its earlier life.
    FromDisk,
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
