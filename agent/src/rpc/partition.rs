//! The numbers of a partition signal.

use core::fmt;

/// How many members are alive, for handlers and streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionShare {
    /// Whether members are missing.
    pub split: bool,
    /// Members that are alive.
    pub alive: u32,
    /// Members of the largest stable membership, less those that have left since.
    pub largest: u32,
    /// Whether more than half of these are alive.
    pub majority: bool,
}

impl PartitionShare {
    /// `split` while members are missing, else `whole`.
    pub const fn state(&self) -> &'static str {
        if self.split { "split" } else { "whole" }
    }
}

/// `split, 3 of 9 members are alive, a minority`.
impl fmt::Display for PartitionShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.majority { "a majority" } else { "a minority" };
        write!(f, "{}, {} of {} members are alive, {side}", self.state(), self.alive, self.largest)
    }
}

impl From<serf_tokio::serf_proto::PartitionShare> for PartitionShare {
    fn from(share: serf_tokio::serf_proto::PartitionShare) -> Self {
        Self { split: share.split, alive: share.alive, largest: share.largest, majority: share.has_majority() }
    }
}
