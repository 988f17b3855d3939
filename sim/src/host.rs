//! One simulated host: its node, if the process runs, and the simulator's state about it.

use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use serf_proto::{Instant, Node, Rng, Status};

use crate::app::Slot;
use crate::check::Checkers;
use crate::clock::HostClock;
use crate::command::{KeyChange, QueryParams};
use crate::digest::Digest;
use crate::disk::Disk;
use crate::hostile::Attacker;
use crate::net::Weather;
use crate::net::stream::Ends;
use crate::scheduled::{Key, Payload, Scheduled};
use crate::series::Meter;

/// One simulated host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) process: Process,
    /// The clock that its node reads.
    pub(crate) clock: HostClock,
    pub(crate) sockets: Sockets,
    pub(crate) checks: Checks,
    pub(crate) phase: PhaseCounts,
    pub(crate) orders: Orders,
    /// State that outlives the process.
    pub(crate) disk: Disk,
    /// The attacker, on the hostile host only.
    pub(crate) attacker: Option<Box<Attacker>>,
}

/// The process of a host.
#[derive(Debug)]
pub(crate) struct Process {
    /// The protocol state; `None` while the process does not run.
    pub(crate) node: Option<Node>,
    /// The application beside the node, if the world has applications.
    pub(crate) app: Option<Box<Slot>>,
    /// Number of starts of the process.
    pub(crate) lives: u32,
    /// Queued inputs of a stalled process; `None` while it runs.
    pub(crate) backlog: Option<Box<Backlog>>,
    /// The slow processor; `None` if inputs take no time.
    pub(crate) slow: Option<Box<SlowProcessor>>,
    /// Start of this life.
    pub(crate) born_at: Instant,
    /// Whether this life began without the snapshot of an earlier one.
    pub(crate) began_blank: bool,
    /// Time of the valid wake-up in the queue; wake-ups at other times are outdated.
    pub(crate) wake_at: Instant,
    /// Digest of all inputs.
    pub(crate) digest: Digest,
    /// Number of calls of the node.
    pub(crate) calls: u64,
}

impl Process {
    /// Returns the number of datagrams that wait in the socket buffer.
    pub(crate) fn datagrams_held(&self) -> usize {
        let stalled = self.backlog.iter().map(|backlog| backlog.datagrams());
        stalled.chain(self.slow.iter().map(|slow| slow.backlog.datagrams())).sum()
    }

    /// Returns when the node or the application has to be woken, by the host's clock; `None` while it does not run.
    pub(crate) fn due(&self) -> Option<Instant> {
        let timeout = self.node.as_ref()?.poll_timeout();
        let timer = self.app.as_ref().and_then(|slot| slot.due());
        timeout.into_iter().chain(timer).min()
    }
}

/// Network state of a host.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) uplink: Uplink,
    /// Its stream ends.
    pub(crate) ends: Ends,
}

/// Checker state of a node.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) checkers: Checkers,
    /// Members that are not alive according to its events.
    pub(crate) fallen: FallenMembers,
}

/// Contributions of a host to the goal of the phase.
#[derive(Debug, Default)]
pub(crate) struct PhaseCounts {
    /// Number of counted user events that it has delivered.
    pub(crate) heard: u32,
    /// Payloads of the events of [`Fault::Event`](crate::Fault::Event) that this life has delivered.
    pub(crate) loads: BTreeSet<Bytes>,
    /// Hosts whose answers to the phase's queries have arrived, if this host is the sender.
    pub(crate) answered: BTreeSet<u32>,
}

/// Standing commands of a host's operator, which are retried until they succeed.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// Hosts to join through, drawn if empty; `None`: rejoin through the members of the earlier life.
    pub(crate) contacts: Option<Vec<u32>>,
    /// Number of join attempts.
    pub(crate) joins_tried: u32,
    /// Parameters of its queries.
    pub(crate) query_params: QueryParams,
    /// The key operation that it sends to all.
    pub(crate) key_change: Option<KeyChange>,
}

/// Outbound side of a host: its network RNG, traffic counters, and the sequence number of its effects.
#[derive(Debug)]
pub(crate) struct Uplink {
    /// RNG for the fate of this host's packets, and for nothing else.
    pub(crate) rng: Rng,
    /// Whether the link is within a burst of loss.
    pub(crate) weather: Weather,
    /// When the link has sent all bytes written to streams.
    pub(crate) free_at: Instant,
    /// When the link has sent all datagrams, if they take time.
    pub(crate) datagrams_free_at: Instant,
    /// End of a block: what is sent before leaves then.
    pub(crate) blocked_until: Instant,
    /// Datagrams sent in this phase.
    pub(crate) datagrams: u64,
    /// Their bytes, without the 28 bytes of IP and UDP headers.
    pub(crate) datagram_bytes: u64,
    /// Bytes of these sent to addresses of non-members, while a datagram of the attacker is handled.
    pub(crate) stranger_bytes: Option<u64>,
    /// What it sends in the current second, for the run's time series.
    pub(crate) meter: Meter,
    caused: u32,
}

impl Uplink {
    const fn new(rng: Rng) -> Self {
        Self {
            rng,
            weather: Weather::CLEAR,
            free_at: Instant::ZERO,
            datagrams_free_at: Instant::ZERO,
            blocked_until: Instant::ZERO,
            datagrams: 0,
            datagram_bytes: 0,
            stranger_bytes: None,
            meter: Meter::NEW,
            caused: 0,
        }
    }

    /// Returns the key of the next effect of host `source`.
    pub(crate) const fn key(&mut self, source: u32, at: Instant) -> Key {
        self.caused += 1;
        Key { at, source, n: self.caused }
    }
}

impl Host {
    /// Prefetches the memory that the next event will read. The returned value only keeps the loads from being
    /// optimised away.
    pub(crate) fn prefetch(&self) -> u64 {
        let Process { node, wake_at, calls, .. } = &self.process;
        let here = wake_at.as_nanos() ^ self.sockets.uplink.datagrams ^ calls ^ u64::from(self.phase.heard);
        here ^ node.as_ref().map_or(0, Node::prefetch)
    }

    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            process: Process {
                node: None,
                app: None,
                lives: 0,
                backlog: None,
                slow: None,
                born_at: Instant::ZERO,
                began_blank: true,
                wake_at: Instant::MAX,
                digest: Digest::default(),
                calls: 0,
            },
            clock: HostClock::EXACT,
            sockets: Sockets { uplink: Uplink::new(rng), ends: Ends::default() },
            checks: Checks::default(),
            phase: PhaseCounts::default(),
            orders: Orders { contacts: Some(Vec::new()), ..Orders::default() },
            disk: Disk::default(),
            attacker: None,
        }
    }
}

/// Queued inputs of a stalled process, in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Whether only its packets are blocked.
    pub(crate) lets_timers_run: bool,
    pub(crate) held: VecDeque<Scheduled>,
    datagram_bytes: usize,
}

impl Backlog {
    /// Returns the backlog of a process whose packets alone are blocked.
    pub(crate) fn of_packets() -> Self {
        Self { lets_timers_run: true, ..Self::default() }
    }

    /// Queues an input, as the kernel would. Returns false if the socket buffer is full and a datagram is dropped.
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

    /// Returns the number of datagrams among the inputs.
    pub(crate) fn datagrams(&self) -> usize {
        self.held.iter().filter(|scheduled| scheduled.payload.is_datagram()).count()
    }

    /// Takes the oldest input.
    pub(crate) fn take(&mut self) -> Option<Scheduled> {
        let scheduled = self.held.pop_front()?;
        if let Payload::Datagram(bytes) = &scheduled.payload {
            self.datagram_bytes -= bytes.len();
        }
        Some(scheduled)
    }
}

/// A processor on which each input takes time. Meanwhile inputs are queued as the kernel would.
#[derive(Debug)]
pub(crate) struct SlowProcessor {
    /// Time that each input takes; zero while the queue drains after the slow time has ended.
    pub(crate) cost: Duration,
    /// End of the current input.
    pub(crate) busy_until: Instant,
    pub(crate) backlog: Backlog,
    /// Whether a [`Command::Proceed`](crate::command::Command::Proceed) is scheduled.
    pub(crate) is_scheduled: bool,
}

impl SlowProcessor {
    pub(crate) fn new(cost: Duration) -> Self {
        Self { cost, busy_until: Instant::ZERO, backlog: Backlog::default(), is_scheduled: false }
    }

    /// Whether an input must wait at `at`.
    pub(crate) fn is_busy(&self, at: Instant) -> bool {
        self.busy_until > at || !self.backlog.held.is_empty()
    }
}

/// Members that are not alive according to one node's events. Sparse: nearly all are alive.
#[derive(Debug, Default)]
pub(crate) struct FallenMembers(Vec<(u32, Status)>);

impl FallenMembers {
    /// Records the member's new status and returns the previous one; `None` if the member was new.
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
    fn the_previous_status_follows_from_the_events_alone() {
        let mut fallen = FallenMembers::default();
        assert_eq!(fallen.change(1, Status::Alive), None);
        assert_eq!(fallen.change(1, Status::Failed), Some(Status::Alive));
        assert_eq!(fallen.change(1, Status::Left), Some(Status::Failed));
        assert_eq!(fallen.change(1, Status::Alive), Some(Status::Left));
    }
}
