//! The ends of virtual streams. A node's stream is a port here, connected to a port of another node; parts travel
//! between ports in order, never before an earlier part.

use bytes::Bytes;
use serf_proto::{Instant, StreamId};

/// One node's ends of streams. Few at a time, so a list is searched, not a table.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    ends: Vec<End>,
    ports_given: u32,
}

/// One end of a stream.
#[derive(Debug)]
pub(crate) struct End {
    /// The simulator's name of this end.
    pub(crate) port: u32,
    /// The node's name of this end.
    pub(crate) stream: StreamId,
    /// The node at the other end.
    pub(crate) peer: u32,
    /// The other end's port; none while the connection is not accepted.
    pub(crate) peer_port: Option<u32>,
    /// When the last part sent from here arrives: later parts must not overtake it.
    pub(crate) last_arrival: Instant,
    /// Whether a part from here met a partition. Nothing behind it gets through either; the nodes' own timeouts
    /// must end the stream. (Real TCP would go on after a short partition; this is the harder case.)
    pub(crate) stalled: bool,
    /// What was written before the connection was accepted.
    pub(crate) early: Vec<Bytes>,
}

impl Ends {
    /// Adds an end and gives it a port that was never used before, not even in an earlier life of the node.
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

    /// A port for something that is no stream of ours, such as a connection to nowhere.
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

    /// Forgets the end at `port`: whatever still comes for it is ignored.
    pub(crate) fn close_port(&mut self, port: u32) -> Option<End> {
        let at = self.ends.iter().position(|end| end.port == port)?;
        Some(self.ends.swap_remove(at))
    }

    /// Forgets the end of `stream`.
    pub(crate) fn close_stream(&mut self, stream: StreamId) -> Option<End> {
        let at = self.ends.iter().position(|end| end.stream == stream)?;
        Some(self.ends.swap_remove(at))
    }

    /// Forgets every end, as when the process dies.
    pub(crate) fn close_all(&mut self) -> Vec<End> {
        core::mem::take(&mut self.ends)
    }
}
