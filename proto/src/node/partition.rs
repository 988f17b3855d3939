//! The partition signal: reports when a large part of the cluster is missing, and when it is there again.
//!
//! A node cannot distinguish a partition from a failure of many nodes: it sees members that do not answer. It can report
//! how many are left of the largest membership that was stable for a while, and whether these are the majority. The
//! signal decides nothing: a node never leaves or stops because of it. The reasons are in `docs/partitions.md`.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Node;
use crate::event::{Event, Member, Members, PartitionReport, PartitionShare, Status};
use crate::fingerprint::Fingerprint;
use crate::stats::MemberCounts;
use crate::time::Instant;
use crate::timer::NodeTimer;

/// What the node has seen of the size of its cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Partition {
    seen: Option<MemberCounts>,
    /// When the members last changed.
    changed_at: Instant,
    /// Since when the members have been changing without a pause.
    unsettled_since: Instant,
    /// Size of the largest stable membership.
    largest: u32,
    /// The partition that was reported and is not over.
    reported: Option<PartitionShare>,
}

impl Partition {
    /// Notes the members after a call. Returns when they are to be judged, if they changed.
    fn note(&mut self, now: Instant, counts: MemberCounts, stable_after: Duration) -> Option<Instant> {
        if self.seen.as_ref() == Some(&counts) {
            return None;
        }
        if self.seen.is_none() || now - self.changed_at >= stable_after {
            self.unsettled_since = now;
        }
        self.seen = Some(counts);
        self.changed_at = now;
        // A cluster that never settles is judged, too.
        let latest = self.unsettled_since + stable_after.saturating_mul(UNSETTLED_PERIODS);
        Some((now + stable_after).min(latest.max(now)))
    }

    /// Judges the members. Returns what is to be reported.
    fn judge(&mut self, now: Instant, stable_after: Duration, lost_percent: u32) -> Option<PartitionShare> {
        let MemberCounts { live, failed, .. } = self.seen.as_ref()?;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (alive, known) = (count(*live), count(live + failed));
        if now - self.changed_at >= stable_after {
            self.largest = self.largest.max(alive);
        } else {
            self.unsettled_since = now;
        }
        // A member that left, or was reaped, is missing no more.
        self.largest = self.largest.min(known);
        let share = self.share(alive, lost_percent);
        if self.reported == share.split.then_some(share) {
            return None;
        }
        self.reported = share.split.then_some(share);
        Some(share)
    }

    /// Feeds the size of the cluster and since when it has been stable; nothing while the signal is off.
    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { seen, changed_at, unsettled_since, largest, reported } = self;
        if let Some(MemberCounts { live, failed, .. }) = seen {
            to.put((live, failed, largest, reported.map(|share| (share.alive, share.largest))));
            to.age(*changed_at);
            to.age(*unsettled_since);
        }
    }

    const fn share(&self, alive: u32, lost_percent: u32) -> PartitionShare {
        let mut share = PartitionShare { split: false, alive, largest: self.largest };
        let lost = share.lost() as u64;
        share.split = lost > 0 && lost * 100 >= self.largest as u64 * lost_percent as u64;
        share
    }
}

impl Node {
    /// Watches the number of members, if the signal is on. Constant time.
    pub(super) fn watch_partition(&mut self) {
        let stable_after = self.core.cfg.serf().partition_stable_after;
        if stable_after.is_zero() || self.leave.has_begun() {
            return;
        }
        if let Some(at) = self.partition.note(self.core.now, self.serf.counts(), stable_after) {
            self.core.timers.set(NodeTimer::Partition, at);
        }
    }

    /// Handles the timer: the members have not changed for a while, or have changed for too long.
    pub(super) fn judge_partition(&mut self) {
        let (now, options) = (self.core.now, self.core.cfg.serf());
        let (stable_after, lost_percent) = (options.partition_stable_after, options.partition_lost_percent);
        if self.leave.has_begun() {
            return;
        }
        if now - self.partition.changed_at < stable_after {
            self.core.timers.set(NodeTimer::Partition, self.partition.changed_at + stable_after);
        }
        let Some(share) = self.partition.judge(now, stable_after, lost_percent) else { return };
        let is_here = |member: &Member| matches!(member.status(), Status::Alive | Status::Leaving);
        let Some(this_side) = Members::of(self.members().filter(is_here).collect()) else { return };
        let zones_lost = self.zones_lost();
        if share.split {
            tracing::warn!(%share, ?zones_lost, "members are missing: the cluster may be partitioned");
        } else {
            tracing::info!(%share, "the missing members are back, or removed");
        }
        let report = PartitionReport { share, this_side, zones_lost };
        self.core.events.push(Event::Partition(report.into()));
    }

    /// Zones of which members failed and none is alive, sorted.
    fn zones_lost(&self) -> Vec<String> {
        let tag = &*self.core.cfg.swim().zone_tag;
        if tag.is_empty() {
            return Vec::new();
        }
        let zones_in = |wanted: fn(Status) -> bool| {
            let members = self.members().filter(|member| wanted(member.status()));
            let mut zones: Vec<String> = members.filter_map(|member| Some(member.tag(tag)?.to_string())).collect();
            zones.sort_unstable();
            zones.dedup();
            zones
        };
        let here = zones_in(|status| matches!(status, Status::Alive | Status::Leaving));
        let mut lost = zones_in(|status| status == Status::Failed);
        lost.retain(|zone| here.binary_search(zone).is_err());
        lost
    }

    /// The share of the members that are alive; `None` while
    /// [`partition_stable_after`](crate::SerfOptions::partition_stable_after) is zero. `split` is as last reported.
    pub fn partition(&self) -> Option<PartitionShare> {
        let is_on = !self.core.cfg.serf().partition_stable_after.is_zero();
        is_on.then(|| PartitionShare {
            split: self.partition.reported.is_some(),
            alive: u32::try_from(self.serf.counts().live).unwrap_or(u32::MAX),
            largest: self.partition.largest,
        })
    }
}

/// A cluster that changes without a pause is judged after this many stable periods.
const UNSETTLED_PERIODS: u32 = 4;
