//! The steps of a graceful leave: tell Serf's members, tell membership, stay a little so that nobody takes us for failed.

use super::{Node, NodeState};
use crate::event::{Event, LeaveReport};
use crate::outbox::{Outbox, Output};
use crate::timer::Slot;

/// Where a leave is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// The leave intent goes out.
    Intent {
        waited: bool,
    },
    /// The farewell goes out. `complete`: the intent went out whole.
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

impl Node {
    /// Begins to leave. The snapshot is told first: what follows is not the cluster's doing.
    pub(super) fn begin_leave(&mut self, out: &mut Outbox) {
        if let Some(record) = self.serf.record_leave() {
            out.push(Output::Persist(record));
        }
        let anybody = self.serf.leave(&mut self.core);
        self.core.arm(self.core.cfg.broadcast_timeout, Slot::Leave);
        self.leaving = Leaving::Intent { waited: !anybody };
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
            let told = self.serf.leave_is_told();
            if !told && !waited {
                return;
            }
            self.leaving = Leaving::Farewell { complete: told, sent: false, waited: false };
            self.core.arm(self.core.cfg.broadcast_timeout, Slot::Leave);
            self.swim.leave(&mut self.core);
            self.deliver_notifications(out);
        }
        if let Leaving::Farewell { complete, sent, waited } = self.leaving
            && (sent || waited)
        {
            self.leaving = Leaving::Lingering { complete: complete && sent, waited: false };
            self.core.arm(self.core.cfg.leave_propagate_delay, Slot::Leave);
        }
        if let Leaving::Lingering { complete, waited: true } = self.leaving {
            self.leaving = Leaving::Left;
            self.core.events.push(Event::LeftCluster(LeaveReport {
                intents_sent: self.serf.leaves_sent(),
                farewells_sent: self.swim.farewells_sent(),
                complete,
            }));
        }
    }
}
