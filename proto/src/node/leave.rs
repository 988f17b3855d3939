//! The steps of a graceful leave: tell Serf's members, tell membership, stay a little so that nobody takes us for failed.

use alloc::collections::BTreeSet;
use core::net::SocketAddr;

use super::{Node, NodeState};
use crate::broadcast::transmit_limit;
use crate::envelope::Packer;
use crate::event::{Event, LeaveReport};
use crate::outbox::{Outbox, Output};
use crate::time::Instant;
use crate::timer::NodeTimer;
use crate::wire::Codec;

/// Where a leave is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// The leave intent goes out.
    Intent {
        waited: bool,
    },
    /// The farewell goes out. `complete`: enough members were told of the intent.
    Farewell {
        complete: bool,
        sent: bool,
        waited: bool,
    },
    /// Everything is said; probes are still answered.
    Lingering {
        complete: bool,
        waited: bool,
    },
    Left,
}

impl Leaving {
    pub(super) const fn state(self) -> NodeState {
        match self {
            Self::No => NodeState::Alive,
            Self::Left => NodeState::Left,
            Self::Intent { .. } | Self::Farewell { .. } | Self::Lingering { .. } => NodeState::Leaving,
        }
    }

    pub(super) const fn farewell_sent(&mut self) {
        if let Self::Farewell { sent, .. } = self {
            *sent = true;
        }
    }
}

/// Who has been told of the leave. They tell the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// When the step of the leave that is under way began.
    pub(super) since: Instant,
    intent: BTreeSet<SocketAddr>,
    farewell: BTreeSet<SocketAddr>,
}

impl Node {
    /// Copies of our leave intent and of our farewell that have been sent.
    fn copies_sent(&self) -> (u32, u32) {
        (self.serf.leaves_sent(), self.swim.leave_broadcasts_sent())
    }

    /// Adds broadcasts to a packet for `to`, and notes whether it is told that we leave.
    pub(super) fn fill(&mut self, to: SocketAddr, codec: Codec, packer: &mut Packer<'_>) {
        let before = self.copies_sent();
        self.swim.fill(&mut self.core, codec, packer);
        self.serf.fill(&self.core, codec, packer);
        if self.leaving == Leaving::No {
            return;
        }
        let after = self.copies_sent();
        if after.0 > before.0 {
            self.told.intent.insert(to);
        }
        if after.1 > before.1 {
            self.told.farewell.insert(to);
        }
    }

    /// Whether so many copies went to so many different members that the news cannot get lost, and twice the time has passed in
    /// which all copies would go out if there were nothing else to tell. In a busy cluster the last copy may go out long after
    /// everybody knows. Without that time the farewell would overtake the intent at many members, and they would see a failure
    /// first.
    pub(super) fn is_enough(&self, copies: u32, told: &BTreeSet<SocketAddr>) -> bool {
        let cfg = &self.core.cfg;
        let ticks = transmit_limit(cfg.retransmit_mult, self.swim.members_known()).div_ceil(cfg.gossip_nodes as usize);
        let spread = cfg.gossip_interval.saturating_mul(u32::try_from(SPREAD_SHARE * ticks).unwrap_or(u32::MAX));
        let everybody = told.len() >= COPIES_ENOUGH.min(self.swim.others_live()) as usize;
        copies >= COPIES_ENOUGH && everybody && self.core.now - self.told.since >= spread
    }

    /// Whether all others have left or failed by now. Where a whole cluster is told to stop, the copies that are still to be sent
    /// would wait for a member that does not come, until the broadcast timeout.
    fn nobody_listens(&self) -> bool {
        self.swim.others_live() == 0
    }

    /// Begins to leave. The snapshot is told first: what follows is not the cluster's doing.
    pub(super) fn begin_leave(&mut self, out: &mut Outbox) {
        if let Some(record) = self.serf.record_leave() {
            out.push(Output::Persist(record));
        }
        let anybody = self.serf.leave(&mut self.core);
        self.core.arm(self.core.cfg.broadcast_timeout, NodeTimer::Leave);
        self.leaving = Leaving::Intent { waited: !anybody };
        self.told.since = self.core.now;
    }

    /// The time for a step is up.
    pub(super) fn leave_waited(&mut self) {
        match &mut self.leaving {
            Leaving::Intent { waited } | Leaving::Farewell { waited, .. } | Leaving::Lingering { waited, .. } => {
                *waited = true
            }
            Leaving::No | Leaving::Left => debug_assert!(false, "only a leave sets this timer"),
        }
    }

    /// Takes every step of the leave that can be taken now.
    pub(super) fn proceed_leave(&mut self, out: &mut Outbox) {
        if let Leaving::Intent { waited } = self.leaving {
            let enough = self.is_enough(self.serf.leaves_sent(), &self.told.intent);
            let told = self.serf.leave_is_told() || enough || self.nobody_listens();
            if !told && !waited {
                return;
            }
            self.leaving = Leaving::Farewell { complete: told, sent: false, waited: false };
            self.told.since = self.core.now;
            self.core.arm(self.core.cfg.broadcast_timeout, NodeTimer::Leave);
            self.swim.leave(&mut self.core);
            self.deliver_notifications(out);
        }
        if let Leaving::Farewell { complete, sent, waited } = self.leaving {
            let enough = self.is_enough(self.swim.leave_broadcasts_sent(), &self.told.farewell);
            let told = sent || enough || self.nobody_listens();
            if !told && !waited {
                return;
            }
            self.leaving = Leaving::Lingering { complete: complete && told, waited: false };
            self.core.arm(self.core.cfg.leave_propagate_delay, NodeTimer::Leave);
        }
        if let Leaving::Lingering { complete, waited: true } = self.leaving {
            self.leaving = Leaving::Left;
            self.core.events.push(Event::LeftCluster(LeaveReport {
                intents_sent: self.serf.leaves_sent(),
                intent_peers: count(&self.told.intent),
                farewells_sent: self.swim.leave_broadcasts_sent(),
                farewell_peers: count(&self.told.farewell),
                complete,
            }));
        }
    }
}

/// The time given to the news, in units of the time that all copies take when there is nothing else to tell.
const SPREAD_SHARE: usize = 2;

fn count(told: &BTreeSet<SocketAddr>) -> u32 {
    u32::try_from(told.len()).unwrap_or(u32::MAX)
}

/// So many copies, each to another member if there are so many, and a step of the leave goes on to the next. Ours: where one
/// packet in ten is lost, all six get lost once in a million times, and what is left to be sent still goes out.
const COPIES_ENOUGH: u32 = 6;
