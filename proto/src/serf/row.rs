//! One row of the member table, and the content of an intent.

use serde::{Deserialize, Serialize};

use crate::event::Status;
use crate::limits::LAMPORT_TIME_MAX;

/// The state of one member, packed into 64 bits: a simulation holds members times nodes of these.
///
/// From the lowest bit: Lamport time of the newest intent (52 bits), status (3), the intent that is gossiped or,
/// without a status, the early intent (2), transmit count plus one (6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub(super) struct Row(u64);

/// The content of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Join,
    Leave { prune: bool },
}

impl Intent {
    pub(super) const fn is_leave(self) -> bool {
        matches!(self, Self::Leave { .. })
    }
}

const STATUS_SHIFT: u32 = 52;
const INTENT_SHIFT: u32 = 55;
const SENDS_SHIFT: u32 = 57;
const SENDS_BITS: u64 = 0x3f;

impl Row {
    /// Lamport time of the newest intent; 0 if none.
    pub(super) const fn ltime(self) -> u64 {
        self.0 & LAMPORT_TIME_MAX
    }

    pub(super) fn set_ltime(&mut self, ltime: u64) {
        debug_assert!(ltime <= LAMPORT_TIME_MAX, "the clock refuses greater times");
        self.0 = (self.0 & !LAMPORT_TIME_MAX) | ltime;
    }

    /// The status; `None` if this is not a member.
    pub(super) const fn status(self) -> Option<Status> {
        match (self.0 >> STATUS_SHIFT) & 7 {
            1 => Some(Status::Alive),
            2 => Some(Status::Leaving),
            3 => Some(Status::Left),
            4 => Some(Status::Failed),
            _ => None,
        }
    }

    /// Whether this is a member that is alive or leaving.
    pub(super) const fn is_live(self) -> bool {
        matches!(self.status(), Some(Status::Alive | Status::Leaving))
    }

    pub(super) fn set_status(&mut self, status: Status) {
        self.0 = (self.0 & !(7 << STATUS_SHIFT)) | (status as u64) << STATUS_SHIFT;
    }

    /// The intent to gossip, or the early intent of a name that is not a member.
    pub(super) const fn intent(self) -> Option<Intent> {
        match (self.0 >> INTENT_SHIFT) & 3 {
            1 => Some(Intent::Join),
            2 => Some(Intent::Leave { prune: false }),
            3 => Some(Intent::Leave { prune: true }),
            _ => None,
        }
    }

    pub(super) fn set_intent(&mut self, intent: Option<Intent>) {
        let bits = match intent {
            None => 0,
            Some(Intent::Join) => 1,
            Some(Intent::Leave { prune: false }) => 2,
            Some(Intent::Leave { prune: true }) => 3,
        };
        self.0 = (self.0 & !(3 << INTENT_SHIFT)) | bits << INTENT_SHIFT;
    }

    /// Transmit count of the intent; `None` if it is not queued.
    pub(super) const fn sends(self) -> Option<u64> {
        match (self.0 >> SENDS_SHIFT) & SENDS_BITS {
            0 => None,
            more => Some(more - 1),
        }
    }

    pub(super) fn set_sends(&mut self, sends: Option<u64>) {
        // Stored plus one, so that 0 is "not queued". Saturates; `transmit_limit` stays below.
        let bits = sends.map_or(0, |sends| (sends + 1).min(SENDS_BITS));
        self.0 = (self.0 & !(SENDS_BITS << SENDS_SHIFT)) | bits << SENDS_SHIFT;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_parts_of_a_row_do_not_touch_each_other(ltime in 0..=LAMPORT_TIME_MAX, status in 1_u8..5, intent in 0_u8..4, sends in prop::option::of(0_u64..60)) {
            let status = [Status::Alive, Status::Leaving, Status::Left, Status::Failed][usize::from(status) - 1];
            let intent = [None, Some(Intent::Join), Some(Intent::Leave { prune: false }), Some(Intent::Leave { prune: true })][usize::from(intent)];
            let mut row = Row::default();
            row.set_sends(sends);
            row.set_intent(intent);
            row.set_status(status);
            row.set_ltime(ltime);
            prop_assert_eq!((row.ltime(), row.status(), row.intent(), row.sends()), (ltime, Some(status), intent, sends));
        }
    }
}
