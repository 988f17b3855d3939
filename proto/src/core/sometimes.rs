//! Rare situations inside a node, for test campaigns.

use crate::named::named;

named! {
    /// A rare situation inside a node. A test campaign counts the situations that it met: the rules about one that never
    /// came up were not tested.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[repr(u8)]
    #[non_exhaustive]
    pub enum Sometimes {
        /// The rows of a bucket fit into no packet, so whole states are exchanged.
        BucketTooLarge = "bucket_too_large",
        /// Too many buckets differ, so whole states are exchanged.
        MuchDiffers = "much_differs",
        /// Views differ in nothing but the Lamport clocks, so whole states are exchanged.
        ClocksDiffer = "clocks_differ",
        /// An answer to a reconciliation, or the comparison of a salted digest, exceeded its rate.
        AnswerRefused = "answer_refused",
        /// A digest of recent user events showed that a peer lacked one.
        EventByDigest = "event_by_digest",
        /// Another address took over the name of a member.
        NameMoved = "name_moved",
        /// The holder of a name answered while another address claimed it.
        NameDefended = "name_defended",
        /// An accusation at the greatest incarnation was dropped, because nothing could refute it.
        AccusedInVain = "accused_in_vain",
        /// A member returned at the greatest incarnation.
        ReturnedAtTheEnd = "returned_at_the_end",
        /// This node lost all other members and began to search for them.
        Searched = "searched",
        /// A stream was closed to make room for another.
        StreamEvicted = "stream_evicted",
        /// A member that counted as left was sent its leave broadcast, to refute it if it is forged.
        LeaveVerified = "leave_verified",
    }
}

/// The situations that a node has met.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Met(u32);

impl Met {
    pub(crate) const fn note(&mut self, situation: Sometimes) {
        self.0 |= 1 << situation as u8;
    }

    pub(crate) const fn has(self, situation: Sometimes) -> bool {
        self.0 & (1 << situation as u8) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_situation_that_was_met_is_noted_and_no_other_is() {
        for situation in Sometimes::ALL {
            let mut met = Met::default();
            met.note(situation);
            assert!(Sometimes::ALL.iter().all(|other| met.has(*other) == (*other == situation)));
        }
    }
}
