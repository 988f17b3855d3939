//! Ends of virtual streams. A node's stream is a port here, connected to a port of another node; segments between two
//! ports arrive in order.

use bytes::Bytes;
use serf_proto::{Instant, StreamId};

/// Stream ends of one node. Few at a time, so a linear search suffices.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    ends: Vec<End>,
    ports_given: u32,
}

/// One end of a stream.
#[derive(Debug)]
pub(crate) struct End {
    /// The simulator's identifier of this end.
    pub(crate) port: u32,
    /// The node's identifier of this end.
    pub(crate) stream: StreamId,
    /// The node at the other end.
    pub(crate) peer: u32,
    /// The port of the other end; `None` before the connection is accepted.
    pub(crate) peer_port: Option<u32>,
    /// Arrival time of the last segment sent from here: later segments must not overtake it.
    pub(crate) last_arrival: Instant,
    /// Whether a segment from here was dropped by a partition. Then no later segment arrives either, and the nodes' own
    /// timeouts must end the stream. (Real TCP would continue after a short partition; this is the harder case.)
    pub(crate) stalled: bool,
    /// Bytes written before the connection was accepted.
    pub(crate) early: Vec<Bytes>,
}

impl Ends {
    /// Adds an end with a port that was never used before, not even in an earlier life of the node.
    pub(crate) fn open(&mut self, stream: StreamId, peer: u32, peer_port: Option<u32>) -> &mut End {
        let port = self.reserve_port();
        debug_assert!(self.by_stream(stream).is_none(), "a node does not use a stream's name twice");
        let at = self.ends.len();
        self.ends.push(End {
            port,
            stream,
            peer,
            peer_port,
            last_arrival: Instant::ZERO,
            stalled: false,
            early: Vec::new(),
        });
        &mut self.ends[at]
    }

    /// Reserves a port without a stream, for example for a connection to an address without a host.
    pub(crate) fn reserve_port(&mut self) -> u32 {
        self.ports_given = self.ports_given.wrapping_add(1);
        self.ports_given
    }

    pub(crate) fn by_port(&mut self, port: u32) -> Option<&mut End> {
        self.ends.iter_mut().find(|end| end.port == port)
    }

    pub(crate) fn by_stream(&mut self, stream: StreamId) -> Option<&mut End> {
        self.ends.iter_mut().find(|end| end.stream == stream)
    }

    /// Removes the end at `port`: later segments for it are ignored.
    pub(crate) fn close_port(&mut self, port: u32) -> Option<End> {
        let at = self.ends.iter().position(|end| end.port == port)?;
        Some(self.ends.swap_remove(at))
    }

    /// Removes the end of `stream`.
    pub(crate) fn close_stream(&mut self, stream: StreamId) -> Option<End> {
        let at = self.ends.iter().position(|end| end.stream == stream)?;
        Some(self.ends.swap_remove(at))
    }

    /// Removes all ends, as when the process dies.
    pub(crate) fn close_all(&mut self) -> Vec<End> {
        core::mem::take(&mut self.ends)
    }
}
