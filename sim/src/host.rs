//! One simulated host: a node, if its process runs, and what the simulator keeps about it.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use serf_proto::{Instant, Node, Rng, Status};

use crate::check::Checkers;
use crate::command::{KeyChange, QueryParams};
use crate::digest::Digest;
use crate::disk::Disk;
use crate::hostile::Attacker;
use crate::net::stream::Ends;
use crate::scheduled::{Key, Payload, Scheduled};

/// One simulated host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) process: Process,
    pub(crate) sockets: Sockets,
    pub(crate) checks: Checks,
    pub(crate) phase: PhaseCounts,
    pub(crate) orders: Orders,
    /// What outlives the process.
    pub(crate) disk: Disk,
    /// The attacker, on the hostile host.
    pub(crate) attacker: Option<Box<Attacker>>,
}

/// The process of a host, and what was done to it.
#[derive(Debug)]
pub(crate) struct Process {
    /// The protocol's state; none before the start of the process and after its end.
    pub(crate) node: Option<Node>,
    /// How often the process has started.
    pub(crate) lives: u32,
    /// What waits for a stalled process; none while it runs.
    pub(crate) backlog: Option<Box<Backlog>>,
    /// The time of the wake-up that is in the queue and counts; any other is outdated.
    pub(crate) wake_at: Instant,
    /// All inputs so far.
    pub(crate) digest: Digest,
    /// How often the node was called.
    pub(crate) calls: u64,
}

/// What a host sends and receives by.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) uplink: Uplink,
    /// Its ends of streams.
    pub(crate) ends: Ends,
}

/// What the checkers know of a node.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) checkers: Checkers,
    /// Which members its events say are not alive.
    pub(crate) fallen: FallenMembers,
}

/// What a host has done towards the goal of the phase.
#[derive(Debug, Default)]
pub(crate) struct PhaseCounts {
    /// How many of the events that are listened for it has delivered.
    pub(crate) heard: u32,
    /// The payloads of the events of [`Fault::Event`](crate::Fault::Event) that this life has delivered.
    pub(crate) loads: BTreeSet<Bytes>,
    /// The hosts whose answers to the phase's queries have come, while this is the asker.
    pub(crate) answered: BTreeSet<u32>,
}

/// The orders of the operator of a host, which are repeated while they fail.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// The hosts through which it joins, drawn when empty; none: through the members of its earlier life.
    pub(crate) contacts: Option<Vec<u32>>,
    /// How often it tried to join.
    pub(crate) joins_tried: u32,
    /// How it asks.
    pub(crate) query_params: QueryParams,
    /// What it asks all to do to their keys.
    pub(crate) key_change: Option<KeyChange>,
}

/// The way out of a host: its RNG for the network, its traffic, and the count that orders what it causes.
#[derive(Debug)]
pub(crate) struct Uplink {
    /// Every draw about what this host sends comes from here, and nothing else does.
    pub(crate) rng: Rng,
    /// When the link has sent all that was written to streams.
    pub(crate) free_at: Instant,
    /// Datagrams sent in this phase.
    pub(crate) datagrams: u64,
    /// Their bytes, without the 28 bytes of IP and UDP headers.
    pub(crate) datagram_bytes: u64,
    /// Of these, what went to addresses of no live member, while a datagram of the attacker's is handled.
    pub(crate) stranger_bytes: Option<u64>,
    caused: u32,
}

impl Uplink {
    const fn new(rng: Rng) -> Self {
        Self { rng, free_at: Instant::ZERO, datagrams: 0, datagram_bytes: 0, stranger_bytes: None, caused: 0 }
    }

    /// The key of the next thing that host `source` causes.
    pub(crate) const fn key(&mut self, source: u32, at: Instant) -> Key {
        self.caused += 1;
        Key { at, source, n: self.caused }
    }
}

impl Host {
    /// Prefetches the memory that the next event will read. The result means nothing.
    pub(crate) fn prefetch(&self) -> u64 {
        let Process { node, wake_at, calls, .. } = &self.process;
        let here = wake_at.as_nanos() ^ self.sockets.uplink.datagrams ^ calls ^ u64::from(self.phase.heard);
        here ^ node.as_ref().map_or(0, Node::prefetch)
    }

    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            process: Process {
                node: None,
                lives: 0,
                backlog: None,
                wake_at: Instant::MAX,
                digest: Digest::default(),
                calls: 0,
            },
            sockets: Sockets { uplink: Uplink::new(rng), ends: Ends::default() },
            checks: Checks::default(),
            phase: PhaseCounts::default(),
            orders: Orders { contacts: Some(Vec::new()), ..Orders::default() },
            disk: Disk::default(),
            attacker: None,
        }
    }
}

/// What waits for a stalled process, in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    pub(crate) held: VecDeque<Scheduled>,
    datagram_bytes: usize,
}

impl Backlog {
    /// Keeps what arrives, as the kernel would. False when the socket's buffer is full and a datagram is lost.
    pub(crate) fn hold(&mut self, scheduled: Scheduled) -> bool {
        if let Payload::Datagram(bytes) = &scheduled.payload {
            if self.datagram_bytes + bytes.len() > SOCKET_BUFFER_BYTES {
                return false;
            }
            self.datagram_bytes += bytes.len();
        }
        self.held.push_back(scheduled);
        true
    }
}

/// What one node's events say about members that are not alive. Sparse: nearly all are.
#[derive(Debug, Default)]
pub(crate) struct FallenMembers(Vec<(u32, Status)>);

impl FallenMembers {
    /// Notes the member's new status and returns the one before; `None` when the member was new.
    pub(crate) fn change(&mut self, member: u32, status: Status) -> Option<Status> {
        match (self.0.binary_search_by_key(&member, |(fallen, _)| *fallen), status) {
            (Ok(at), Status::Alive) => Some(self.0.remove(at).1),
            (Ok(at), _) => Some(core::mem::replace(&mut self.0[at].1, status)),
            (Err(_), Status::Alive) => None,
            (Err(at), _) => {
                self.0.insert(at, (member, status));
                Some(Status::Alive)
            }
        }
    }
}

/// A common size of a UDP socket's receive buffer for a server that asks for it; memberlist asks for 2 MiB.
const SOCKET_BUFFER_BYTES: usize = 2 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stalled_process_loses_datagrams_beyond_its_socket_buffer() {
        let mut backlog = Backlog::default();
        let datagram = |n| Scheduled {
            key: Key { at: Instant::ZERO, source: 0, n },
            target: 0,
            payload: Payload::Datagram(Bytes::from(vec![0; 1024])),
        };
        let held = (0..3_000).filter(|n| backlog.hold(datagram(*n))).count();
        assert_eq!(held, 2_048);
    }

    #[test]
    fn the_status_before_is_told_from_the_events_alone() {
        let mut fallen = FallenMembers::default();
        assert_eq!(fallen.change(1, Status::Alive), None);
        assert_eq!(fallen.change(1, Status::Failed), Some(Status::Alive));
        assert_eq!(fallen.change(1, Status::Left), Some(Status::Failed));
        assert_eq!(fallen.change(1, Status::Alive), Some(Status::Left));
    }
}
