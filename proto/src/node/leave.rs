//! The steps of a graceful leave: tell Serf's members, tell membership, stay a little so that no member takes us for failed.

use alloc::collections::BTreeSet;
use core::net::SocketAddr;

use super::{Node, NodeState};
use crate::broadcast::transmit_limit;
use crate::core::Core;
use crate::event::{Event, LeaveReport};
use crate::outbox::{Outbox, Output};
use crate::swim::Swim;
use crate::time::Instant;
use crate::timer::NodeTimer;

/// Our own leave, and which members have been told of it. They tell the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Leave {
    step: Step,
    /// When the step began.
    since: Instant,
    intent_peers: BTreeSet<SocketAddr>,
    farewell_peers: BTreeSet<SocketAddr>,
}

/// Where a leave is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
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

impl Leave {
    pub(super) const fn state(&self) -> NodeState {
        match self.step {
            Step::No => NodeState::Alive,
            Step::Left => NodeState::Left,
            Step::Intent { .. } | Step::Farewell { .. } | Step::Lingering { .. } => NodeState::Leaving,
        }
    }

    /// Whether the node leaves or has left.
    pub(super) const fn has_begun(&self) -> bool {
        !matches!(self.step, Step::No)
    }

    /// Every copy of the farewell was sent.
    pub(super) const fn farewell_sent(&mut self) {
        if let Step::Farewell { sent, .. } = &mut self.step {
            *sent = true;
        }
    }

    /// The time for a step is up.
    pub(super) fn time_is_up(&mut self) {
        match &mut self.step {
            Step::Intent { waited } | Step::Farewell { waited, .. } | Step::Lingering { waited, .. } => *waited = true,
            Step::No | Step::Left => debug_assert!(false, "only a leave sets this timer"),
        }
    }

    /// Notes whether a packet to `to` had a copy of our leave intent, and of our farewell.
    pub(super) fn note_sent(&mut self, to: SocketAddr, intent: bool, farewell: bool) {
        if !self.has_begun() {
            return;
        }
        if intent {
            self.intent_peers.insert(to);
        }
        if farewell {
            self.farewell_peers.insert(to);
        }
    }

    fn begin(&mut self, step: Step, now: Instant) {
        (self.step, self.since) = (step, now);
    }

    /// Whether so many copies went to so many different members that the news cannot get lost, and twice the time has passed in
    /// which all copies would go out if there were nothing else to tell. In a busy cluster the last copy may go out long after
    /// everybody knows. Without that time the farewell would overtake the intent at many members, and they would see a failure
    /// first.
    pub(super) fn is_enough(&self, core: &Core, swim: &Swim, copies: u32, told: &BTreeSet<SocketAddr>) -> bool {
        let cfg = &core.cfg;
        let ticks = transmit_limit(cfg.retransmit_mult, swim.members_known()).div_ceil(cfg.gossip_nodes as usize);
        let spread = cfg.gossip_interval.saturating_mul(u32::try_from(SPREAD_SHARE * ticks).unwrap_or(u32::MAX));
        let everybody = told.len() >= COPIES_ENOUGH.min(swim.others_live()) as usize;
        copies >= COPIES_ENOUGH && everybody && core.now - self.since >= spread
    }
}

impl Node {
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
        self.leave.begin(Step::Intent { waited: !anybody }, self.core.now);
    }

    /// Takes every step of the leave that can be taken now.
    pub(super) fn proceed_leave(&mut self, out: &mut Outbox) {
        if let Step::Intent { waited } = self.leave.step {
            let told = self.serf.leave_is_told()
                || self.leave.is_enough(&self.core, &self.swim, self.serf.leaves_sent(), &self.leave.intent_peers)
                || self.nobody_listens();
            if !told && !waited {
                return;
            }
            self.leave.begin(Step::Farewell { complete: told, sent: false, waited: false }, self.core.now);
            self.core.arm(self.core.cfg.broadcast_timeout, NodeTimer::Leave);
            self.swim.leave(&mut self.core);
            self.deliver_notifications(out);
        }
        if let Step::Farewell { complete, sent, waited } = self.leave.step {
            let told =
                sent || self.leave.is_enough(
                    &self.core,
                    &self.swim,
                    self.swim.leave_broadcasts_sent(),
                    &self.leave.farewell_peers,
                ) || self.nobody_listens();
            if !told && !waited {
                return;
            }
            self.leave.begin(Step::Lingering { complete: complete && told, waited: false }, self.core.now);
            self.core.arm(self.core.cfg.leave_propagate_delay, NodeTimer::Leave);
        }
        if let Step::Lingering { complete, waited: true } = self.leave.step {
            self.leave.begin(Step::Left, self.core.now);
            self.core.events.push(Event::LeftCluster(LeaveReport {
                intents_sent: self.serf.leaves_sent(),
                intent_peers: count(&self.leave.intent_peers),
                farewells_sent: self.swim.leave_broadcasts_sent(),
                farewell_peers: count(&self.leave.farewell_peers),
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
