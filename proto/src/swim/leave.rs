//! Our own graceful leave, as far as membership goes.

use super::Swim;
use crate::core::{Core, Notification, Origin};
use crate::wire::swim::Accusation;

/// Whether we have said farewell, and how often.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Farewell {
    said: bool,
    copies: u32,
}

impl Farewell {
    pub(super) const fn is_said(self) -> bool {
        self.said
    }

    pub(super) fn count_copy(&mut self) {
        self.copies += 1;
    }
}

impl Swim {
    /// Declares ourselves left. [`Notification::FarewellSent`] follows when every copy of that is sent, which is at once
    /// when nobody is there to be told. There is no way back (`Leave` in memberlist).
    pub(crate) fn leave(&mut self, core: &mut Core) {
        if self.farewell.said {
            return;
        }
        self.farewell.said = true;
        let me = core.roster.name(self.me);
        self.dead(core, Origin::Local, &Accusation { incarnation: self.own.incarnation, node: &me, from: &me });
        if self.others_live() == 0 {
            core.notify(Notification::FarewellSent);
        }
    }

    /// How many copies of our farewell have been sent.
    pub(crate) const fn farewells_sent(&self) -> u32 {
        self.farewell.copies
    }
}
