//! What is kept of one member, and what an intent says.

use crate::event::Status;
use crate::limits::LAMPORT_TIME_MAX;

/// What is kept of a member, in one word: in a simulation there are members times nodes of these.
///
/// From the lowest bit: the time of its newest intent (52 bits), its status (3), the intent that others are to be told or,
/// while the status is none, that waits for the member (2), how often they have been told (6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row(u64);

/// What an intent says.
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
    /// The time of the newest intent known; 0 when none.
    pub(super) const fn ltime(self) -> u64 {
        self.0 & LAMPORT_TIME_MAX
    }

    pub(super) fn set_ltime(&mut self, ltime: u64) {
        debug_assert!(ltime <= LAMPORT_TIME_MAX, "the clock refuses greater times");
        self.0 = (self.0 & !LAMPORT_TIME_MAX) | ltime;
    }

    /// The status; `None` when it is not a member.
    pub(super) const fn status(self) -> Option<Status> {
        match (self.0 >> STATUS_SHIFT) & 7 {
            1 => Some(Status::Alive),
            2 => Some(Status::Leaving),
            3 => Some(Status::Left),
            4 => Some(Status::Failed),
            _ => None,
        }
    }

    /// Whether it is a member that is alive or leaving.
    pub(super) const fn is_live(self) -> bool {
        matches!(self.status(), Some(Status::Alive | Status::Leaving))
    }

    pub(super) fn set_status(&mut self, status: Status) {
        self.0 = (self.0 & !(7 << STATUS_SHIFT)) | (status as u64) << STATUS_SHIFT;
    }

    /// The intent that others are to be told, or that waits for the member.
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

    /// How often others have been told of the intent; `None` when they need not be told.
    pub(super) const fn sends(self) -> Option<u64> {
        match (self.0 >> SENDS_SHIFT) & SENDS_BITS {
            0 => None,
            more => Some(more - 1),
        }
    }

    pub(super) fn set_sends(&mut self, sends: Option<u64>) {
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
