//! Our own graceful leave, and an operator's word that another member is gone for good.

use super::Serf;
use super::intent::Via;
use super::lamport::Exhausted;
use super::member::Intent;
use crate::core::Core;
use crate::event::Status;

impl Serf {
    /// Announces that we leave. Returns whether anybody is there to be told.
    pub(crate) fn leave(&mut self, core: &mut Core) -> bool {
        self.leaving = true;
        let others_live = self.others_live();
        if let Ok(ltime) = self.clock.tick() {
            let me = core.roster.name(self.me);
            self.intent(core, &me, ltime, Intent::Leave { prune: false }, Via::Gossip);
        }
        if !others_live {
            self.cancel_intent(self.me);
        }
        others_live
    }

    /// Whether every copy of our leave intent has been sent. There is none when our clock is at its end.
    pub(crate) fn leave_is_told(&self) -> bool {
        let me = self.row(self.me);
        me.status() != Some(Status::Alive) && me.sends().is_none()
    }

    /// How many copies of our leave intent have been sent.
    pub(crate) const fn leaves_sent(&self) -> u32 {
        self.leaves_sent
    }

    /// Says of another member that it leaves (`RemoveFailedNode` in serf). A live one refutes.
    pub(crate) fn force_leave(&mut self, core: &mut Core, name: &str, prune: bool) -> Result<(), Exhausted> {
        let ltime = self.clock.tick()?;
        self.intent(core, name, ltime, Intent::Leave { prune }, Via::Gossip);
        Ok(())
    }

    /// Whether any other member is alive, even if it is about to leave. HashiCorp's: only if it stays; a member that leaves at the
    /// same time is then told our farewell without the intent, and its handlers see a failure.
    fn others_live(&self) -> bool {
        let is_live = |status| matches!(status, Some(Status::Alive | Status::Leaving));
        self.rows.iter().enumerate().any(|(idx, row)| idx != self.me.at() && is_live(row.status()))
    }
}
