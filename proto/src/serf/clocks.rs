//! The three Lamport clocks of a node.

use serde::{Deserialize, Serialize};

use super::lamport::LamportClock;
use crate::core::Core;
use crate::fingerprint::Fingerprint;
use crate::stats::{Clocks, DropReason};
use crate::types::{JoinId, Snapshot};
use crate::wire::serf;

/// One clock for join and leave intents, one for user events, one for queries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct LamportClocks {
    pub(super) member: LamportClock,
    pub(super) event: LamportClock,
    pub(super) query: LamportClock,
    /// The first of our joins that reached a member.
    first_join: Option<JoinId>,
}

impl LamportClocks {
    pub(super) const fn times(&self) -> Clocks {
        Clocks { member: self.member.time(), event: self.event.time(), query: self.query.time() }
    }

    /// Advances each clock past its time in the snapshot.
    pub(super) fn resume(&mut self, snapshot: &Snapshot) {
        self.member.resume(snapshot.clock());
        self.event.resume(snapshot.event_clock());
        self.query.resume(snapshot.query_clock());
    }

    /// Follows the clocks of the remote side of a push/pull. The first `join` that reaches a member adopts the remote
    /// times however far ahead they are: they are the cluster's. Later joins and exchanges are bound by the budget. A
    /// refused clock does not affect the other two.
    pub(super) fn witness_all(&mut self, core: &mut Core, theirs: serf::Clocks, join: Option<JoinId>) {
        // Recorded on first use: only exchanges of that one join may adopt.
        let adopts = join.is_some_and(|id| *self.first_join.get_or_insert(id) == id);
        let ours = [&mut self.member, &mut self.event, &mut self.query];
        for (clock, time) in ours.into_iter().zip([theirs.member, theirs.event, theirs.query]) {
            // A clock shows the time of its next message; the last time seen is one less. 0 would be a clock that has
            // not started.
            let Some(seen) = time.checked_sub(1) else { continue };
            if !(adopts && clock.adopt(seen).is_ok()) && clock.follow(core.now, seen).is_err() {
                core.stats.drop(DropReason::OutOfRange);
            }
        }
    }

    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { member, event, query, first_join } = self;
        [member, event, query].into_iter().for_each(|clock| clock.fingerprint(to));
        to.put(first_join);
    }
}
