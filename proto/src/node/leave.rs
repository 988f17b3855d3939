//! Graceful leave, in steps: broadcast the leave intent (Serf), broadcast the leave (`dead` about ourselves,
//! membership), then linger and ack probes until no member can take us for failed.

use alloc::collections::BTreeSet;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Node, NodeState};
use crate::broadcast::transmit_limit;
use crate::core::Core;
use crate::event::{Event, LeaveReport};
use crate::fingerprint::Fingerprint;
use crate::outbox::{Outbox, Output};
use crate::swim::Swim;
use crate::time::Instant;
use crate::timer::NodeTimer;

/// State of our own leave, and the members that were sent it. They gossip it further.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Leave {
    step: Step,
    /// When the current step began.
    since: Instant,
    intent_peers: BTreeSet<SocketAddr>,
    leave_broadcast_peers: BTreeSet<SocketAddr>,
}

/// Step of a leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Hash)]
enum Step {
    #[default]
    No,
    /// Broadcasts the leave intent.
    Intent {
        waited: bool,
    },
    /// Broadcasts the leave itself. `complete`: the intent reached enough members.
    LeaveBroadcast {
        complete: bool,
        sent: bool,
        waited: bool,
    },
    /// All broadcasts are sent; probes are still acked.
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
            Step::Intent { .. } | Step::LeaveBroadcast { .. } | Step::Lingering { .. } => NodeState::Leaving,
        }
    }

    /// Whether the node is leaving or has left.
    pub(super) const fn has_begun(&self) -> bool {
        !matches!(self.step, Step::No)
    }

    /// Records that the leave broadcast has used up its retransmits.
    pub(super) const fn leave_broadcast_sent(&mut self) {
        if let Step::LeaveBroadcast { sent, .. } = &mut self.step {
            *sent = true;
        }
    }

    /// Records that the time limit of the current step has passed.
    pub(super) fn time_is_up(&mut self) {
        match &mut self.step {
            Step::Intent { waited } | Step::LeaveBroadcast { waited, .. } | Step::Lingering { waited, .. } => {
                *waited = true
            }
            Step::No | Step::Left => debug_assert!(false, "only a leave sets this timer"),
        }
    }

    /// Records whether a packet to `to` carried our leave intent, and our leave broadcast.
    pub(super) fn note_sent(&mut self, to: SocketAddr, intent: bool, broadcast: bool) {
        if !self.has_begun() {
            return;
        }
        if intent {
            self.intent_peers.insert(to);
        }
        if broadcast {
            self.leave_broadcast_peers.insert(to);
        }
    }

    fn begin(&mut self, step: Step, now: Instant) {
        (self.step, self.since) = (step, now);
    }

    /// Whether a leave broadcast has spread far enough to go on: enough copies, to enough different members, and twice
    /// the time that all retransmits would take on empty queues. The last retransmit in a busy cluster may leave the
    /// queue long after all members have the news. The time limit is needed too: without it the leave broadcast would
    /// overtake the intent at many members, which would report a failure first.
    pub(super) fn is_enough(&self, core: &Core, swim: &Swim, copies: u32, peers: &BTreeSet<SocketAddr>) -> bool {
        let cfg = &core.cfg;
        let ticks =
            transmit_limit(cfg.swim().retransmit_mult, swim.members_known()).div_ceil(cfg.swim().gossip_nodes as usize);
        let spread = cfg.swim().gossip_interval.saturating_mul(u32::try_from(SPREAD_SHARE * ticks).unwrap_or(u32::MAX));
        let enough_peers = peers.len() >= COPIES_ENOUGH.min(swim.others_live()) as usize;
        copies >= COPIES_ENOUGH && enough_peers && core.now - self.since >= spread
    }

    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { step, since, intent_peers, leave_broadcast_peers } = self;
        to.put((step, intent_peers, leave_broadcast_peers));
        if self.has_begun() {
            to.age(*since);
        }
    }
}

impl Node {
    /// Whether no other member is live. When a whole cluster stops, the remaining retransmits have no receiver, and the
    /// last node would wait for the broadcast timeout.
    fn has_no_receiver(&self) -> bool {
        self.swim.others_live() == 0
    }

    /// Starts a leave. Records it in the snapshot first, so that the failures that follow are not recorded as the
    /// cluster's.
    pub(super) fn begin_leave(&mut self, out: &mut Outbox) {
        if let Some(record) = self.serf.record_leave() {
            out.push(Output::Persist(record));
        }
        let has_receiver = self.serf.leave(&mut self.core);
        self.core.arm(self.core.cfg.serf().broadcast_timeout, NodeTimer::Leave);
        self.leave.begin(Step::Intent { waited: !has_receiver }, self.core.now);
    }

    /// Advances the leave by every step that is possible now.
    pub(super) fn proceed_leave(&mut self, out: &mut Outbox) {
        if let Step::Intent { waited } = self.leave.step {
            let done = self.serf.leave_is_sent()
                || self.leave.is_enough(&self.core, &self.swim, self.serf.leaves_sent(), &self.leave.intent_peers)
                || self.has_no_receiver();
            if !done && !waited {
                return;
            }
            // `begin` before `Swim::leave`: `leave_broadcast_sent` is recorded in this step only.
            self.leave.begin(Step::LeaveBroadcast { complete: done, sent: false, waited: false }, self.core.now);
            self.core.arm(self.core.cfg.serf().broadcast_timeout, NodeTimer::Leave);
            self.swim.leave(&mut self.core);
            // `Swim::leave` may notify that the broadcast is already done; without this the next step would wait for a
            // later settle.
            self.deliver_notifications(out);
        }
        if let Step::LeaveBroadcast { complete, sent, waited } = self.leave.step {
            let done =
                sent || self.leave.is_enough(
                    &self.core,
                    &self.swim,
                    self.swim.leave_broadcasts_sent(),
                    &self.leave.leave_broadcast_peers,
                ) || self.has_no_receiver();
            if !done && !waited {
                return;
            }
            self.leave.begin(Step::Lingering { complete: complete && done, waited: false }, self.core.now);
            self.core.arm(self.core.cfg.serf().leave_propagate_delay, NodeTimer::Leave);
        }
        if let Step::Lingering { complete, waited: true } = self.leave.step {
            self.leave.begin(Step::Left, self.core.now);
            self.core.events.push(Event::LeftCluster(LeaveReport {
                intents_sent: self.serf.leaves_sent(),
                intent_peers: count(&self.leave.intent_peers),
                leave_broadcasts_sent: self.swim.leave_broadcasts_sent(),
                leave_broadcast_peers: count(&self.leave.leave_broadcast_peers),
                complete,
            }));
        }
    }
}

/// Factor on the time that all retransmits take on empty queues.
const SPREAD_SHARE: usize = 2;

fn count(peers: &BTreeSet<SocketAddr>) -> u32 {
    u32::try_from(peers.len()).unwrap_or(u32::MAX)
}

/// How many copies, each to another member if there are as many, complete a step of the leave. Ours: at 10 % loss all
/// six get lost once in a million times, and the remaining retransmits are still sent.
const COPIES_ENOUGH: u32 = 6;
