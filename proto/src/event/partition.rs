//! The signal that a part of the cluster is missing.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::Members;

/// How many members are alive, against the largest number that were alive for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PartitionShare {
    /// Whether so many members are missing that the cluster may be partitioned:
    /// [`partition_lost_percent`](crate::SerfOptions::partition_lost_percent) or more.
    pub split: bool,
    /// Members that are alive or leaving, including this node.
    pub alive: u32,
    /// The largest number of these that did not change for
    /// [`partition_stable_after`](crate::SerfOptions::partition_stable_after), less those that have left or were reaped
    /// since. 0 before the first.
    pub largest: u32,
}

impl PartitionShare {
    /// Whether more than half of the members are on this side. At most one side of a partition has the majority.
    pub const fn has_majority(&self) -> bool {
        self.alive as u64 * 2 > self.largest as u64
    }

    /// Members that are missing.
    pub const fn lost(&self) -> u32 {
        self.largest.saturating_sub(self.alive)
    }
}

/// `3 of 9 members are alive, a minority`.
impl fmt::Display for PartitionShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { alive, largest, .. } = self;
        let side = if self.has_majority() { "a majority" } else { "a minority" };
        write!(f, "{alive} of {largest} members are alive, {side}")
    }
}

/// A part of the cluster is missing, or is there again. Local: each node judges its own view, and sends nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PartitionReport {
    /// The numbers. Of the end of a partition, `split` is false.
    pub share: PartitionShare,
    /// The members that are alive or leaving: this side.
    pub this_side: Members,
    /// Zones of which no member is alive, sorted. Empty unless [`zone_tag`](crate::SwimOptions::zone_tag) is set.
    pub zones_lost: Vec<String>,
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn a_majority_is_more_than_half() {
        let share = |alive, largest| PartitionShare { split: true, alive, largest };
        for (alive, largest, has_majority) in
            [(0, 0, false), (1, 1, true), (1, 2, false), (2, 3, true), (5, 10, false), (6, 10, true), (7, 3, true)]
        {
            assert_eq!(share(alive, largest).has_majority(), has_majority, "{alive} of {largest}");
        }
        assert!(share(1 << 31, u32::MAX - 1).has_majority(), "no overflow");
        assert_eq!(share(3, 9).to_string(), "3 of 9 members are alive, a minority");
        assert_eq!((share(3, 9).lost(), share(9, 3).lost()), (6, 0));
    }
}
