//! What a campaign must have seen: its coverage by "sometimes" assertions. A rule about a situation that never came up was
//! not tested, however many worlds ran.
//!
//! Each sight has a rarity: at least one of so many worlds of a swarm shows it. So a campaign of `n` worlds misses a sight of
//! rarity `r` with a probability of at most `(1 - 1/r)^n`, which is below `e^-14`, less than one in a million, from
//! `n = 14 r` on. There are fewer than a hundred sights: a campaign in which everything is possible fails for a sight that it
//! missed less often than once in ten thousand times. The rarities are measured, and rounded up by a factor of at least two.

use std::collections::BTreeSet;

use serde::Serialize;
use serf_proto::internals::Sometimes;
use serf_proto::{CodecChoice, DropReason};

use super::world::ChaosWorld;
use crate::hostile::Attack;
use crate::tally::NetDrop;
use crate::witness::Witness;
use crate::world::Fault;

/// Something that a campaign must have seen.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// What it is.
    pub name: &'static str,
    /// At least one of so many worlds shows it.
    pub one_in: u32,
    is_seen: fn(&Facts<'_>) -> bool,
}

/// A sight that a campaign missed although it was long enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// What it is.
    pub name: &'static str,
    /// At least one of so many worlds shows it.
    pub one_in: u32,
}

/// A world after its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) drawn: &'a ChaosWorld,
    pub(super) witness: &'a Witness,
}

impl Facts<'_> {
    fn counted(&self, name: &str) -> bool {
        self.witness.count(name) > 0
    }

    fn dropped(&self, reason: DropReason) -> bool {
        self.witness.count_of("dropped", reason.name()) > 0
    }

    fn lost(&self, reason: NetDrop) -> bool {
        self.witness.datagrams.dropped[reason as usize] > 0
    }

    fn torn(&self, kind: &str) -> bool {
        self.witness.torn.contains_key(kind)
    }

    fn met(&self, situation: Sometimes) -> bool {
        self.witness.has_met(situation)
    }

    fn attacked(&self, attack: Attack) -> bool {
        self.drawn.hostile.is_some() && self.drawn.attacks().contains(&attack)
    }

    fn while_partitioned(&self, fault: &Fault) -> bool {
        self.witness.while_partitioned.contains_key(fault.kind())
    }
}

/// Returns the names of what a world showed.
pub(super) fn seen(facts: &Facts<'_>) -> BTreeSet<&'static str> {
    SIGHTS.iter().filter(|sight| (sight.is_seen)(facts)).map(|sight| sight.name).collect()
}

impl Sight {
    /// Returns all sights.
    pub const fn all() -> &'static [Self] {
        SIGHTS
    }

    /// Returns the sights that a swarm of `worlds` worlds should have seen and has not. `count` returns how many worlds
    /// showed a sight.
    pub fn missed(worlds: u64, count: impl Fn(&str) -> u64) -> Vec<Unseen> {
        let is_due = |sight: &&Self| worlds >= u64::from(sight.one_in) * RARITIES;
        let missed = SIGHTS.iter().filter(is_due).filter(|sight| count(sight.name) == 0);
        missed.map(|sight| Unseen { name: sight.name, one_in: sight.one_in }).collect()
    }
}

/// How many times its rarity a campaign must be long before a sight is due.
const RARITIES: u64 = 14;

const fn sight(name: &'static str, one_in: u32, is_seen: fn(&Facts<'_>) -> bool) -> Sight {
    Sight { name, one_in, is_seen }
}

/// All sights.
const SIGHTS: &[Sight] = &[
    // The worlds.
    sight("a world of native nodes only", 10, |of| of.drawn.options.transport.codec == CodecChoice::Native),
    sight("a world of HashiCorp's codec only", 10, |of| of.drawn.options.transport.codec == CodecChoice::HashiCorp),
    sight("a world of both codecs", 20, |of| of.drawn.mixed_codecs),
    sight("a world without digests", 20, |of| !of.drawn.options.transport.digests),
    sight("an encrypted world", 10, |of| of.drawn.key.is_some()),
    sight("a compressed world", 10, |of| of.drawn.options.transport.compression),
    sight("a world with a policy", 20, |of| of.drawn.has_policy),
    sight("a world with snapshots", 10, |of| of.drawn.options.serf.snapshot),
    sight("a world with short queues", 50, |of| of.drawn.options.serf.queue_depth_max < 100),
    sight("a world of more than 100 nodes", 100, |of| of.drawn.nodes > 100),
    sight("a world of more than 500 nodes", 2_000, |of| of.drawn.nodes > 500),
    sight("a world whose gone members were forgotten", 50, |of| of.drawn.awaits_reaping && of.counted("member_reaps")),
    // Failure detection.
    sight("an accusation was refuted", 5, |of| of.counted("refutations")),
    sight("a refutation came too late", 10, |of| of.witness.late_refutations > 0),
    sight("a member was declared dead by a node's own timer", 5, |of| of.counted("deaths_declared")),
    sight("a probe was saved by its stream", 10, |of| of.counted("probes_saved_by_stream")),
    sight("a member flapped", 10, |of| of.counted("member_flaps")),
    sight("a node lost all others and searched for them", 10, |of| of.met(Sometimes::Searched)),
    sight("a join reached no node", 20, |of| of.witness.joins_in_vain > 0),
    sight("an incarnation at the bound", 100, |of| of.witness.greatest_incarnations > 0),
    sight("an accusation at the bound was dropped", 100, |of| of.met(Sometimes::AccusedInVain)),
    sight("a member returned at the greatest incarnation", 500, |of| of.met(Sometimes::ReturnedAtTheEnd)),
    // Names.
    sight("a name moved to a new address", 200, |of| of.met(Sometimes::NameMoved)),
    sight("the holder of a name answered for it", 200, |of| of.met(Sometimes::NameDefended)),
    sight("a vote about a name was won", 200, |of| of.witness.name_votes[0] > 0),
    sight("a vote about a name was lost", 1_000, |of| of.witness.name_votes[1] > 0),
    sight("a vote about a name was undecided", 1_000, |of| of.witness.name_votes[2] > 0),
    sight("a leave was checked with the member", 100, |of| of.met(Sometimes::LeaveVerified)),
    // Partitions.
    sight("a leave while partitioned", 20, |of| of.while_partitioned(&Fault::Leave(0))),
    sight("a crash while partitioned", 20, |of| of.while_partitioned(&Fault::Crash(0))),
    sight("a return from a snapshot while partitioned", 20, |of| of.while_partitioned(&Fault::Return(0))),
    sight("an event while partitioned", 20, |of| of.while_partitioned(&Fault::Event(0))),
    sight("a key rotation while partitioned", 100, |of| {
        let rotation = Fault::Rotate { node: 0, operation: serf_proto::KeyOperation::Use, key: 0 };
        of.while_partitioned(&rotation)
    }),
    // Disks.
    sight("a snapshot torn at a member", 50, |of| of.torn("alive")),
    sight("a snapshot torn at a member that is gone", 100, |of| of.torn("not-alive")),
    sight("a snapshot torn at a failed member", 100, |of| of.torn("failed")),
    sight("a snapshot torn at the clock of members", 100, |of| of.torn("clock")),
    sight("a snapshot torn at the clock of events", 100, |of| of.torn("event-clock")),
    sight("a snapshot torn at the clock of queries", 200, |of| of.torn("query-clock")),
    sight("a power failure that lost whole records", 50, |of| of.witness.records_lost > 0),
    // Anti-entropy.
    sight("digests that differed", 5, |of| of.counted("digests_differed")),
    sight("a reconciliation sent rows", 10, |of| of.counted("rows_reconciled")),
    sight("a push/pull on a stream because much differed", 50, |of| of.met(Sometimes::MuchDiffers)),
    sight("a push/pull on a stream because only clocks differed", 500, |of| of.met(Sometimes::ClocksDiffer)),
    sight("a push/pull on a stream because a bucket was too large", 5_000, |of| of.met(Sometimes::BucketTooLarge)),
    sight("an answer to a reconciliation was refused by its rate", 200, |of| of.met(Sometimes::AnswerRefused)),
    sight("a user event was found by the digest of events", 20, |of| of.met(Sometimes::EventByDigest)),
    // Serf.
    sight("a response was relayed", 10, |of| of.counted("query_relays")),
    sight("a response came twice", 10, |of| of.counted("query_duplicate_responses")),
    sight("a response came too late", 50, |of| of.counted("query_late")),
    sight("a broadcast was dropped from a full queue", 300, |of| of.counted("broadcasts_pruned_full")),
    sight("a coordinate was rejected", 200, |of| of.counted("coordinates_rejected")),
    // Inputs that nodes refused.
    sight("dropped: malformed", 50, |of| of.dropped(DropReason::Malformed)),
    sight("dropped: a ping for another node", 50, |of| of.dropped(DropReason::NotForUs)),
    sight("dropped: out of range", 50, |of| of.dropped(DropReason::OutOfRange)),
    sight("dropped: a limit was reached", 50, |of| of.dropped(DropReason::Limit)),
    sight("dropped: a name conflict", 100, |of| of.dropped(DropReason::NameConflict)),
    sight("dropped: an old event", 50, |of| of.dropped(DropReason::OldEvent)),
    sight("dropped: an unexpected message", 50, |of| of.dropped(DropReason::Unexpected)),
    sight("dropped: vetoed by the policy", 100, |of| of.dropped(DropReason::Vetoed)),
    sight("a stream was closed to make room", 100, |of| of.met(Sometimes::StreamEvicted)),
    // The network.
    sight("a datagram was lost", 5, |of| of.lost(NetDrop::Loss)),
    sight("a datagram was cut off by a partition", 5, |of| of.lost(NetDrop::Cut)),
    sight("a datagram for a process that was down", 5, |of| of.lost(NetDrop::Down)),
    sight("a datagram for an address without a host", 50, |of| of.lost(NetDrop::NoHost)),
    // The attacks.
    sight("attack: accuse", 100, |of| of.attacked(Attack::Accuse)),
    sight("attack: exalt", 100, |of| of.attacked(Attack::Exalt)),
    sight("attack: clocks", 100, |of| of.attacked(Attack::Clocks)),
    sight("attack: bombs", 100, |of| of.attacked(Attack::Bombs)),
    sight("attack: crowds", 100, |of| of.attacked(Attack::Crowds)),
    sight("attack: ghosts", 100, |of| of.attacked(Attack::Ghosts)),
    sight("attack: denial", 100, |of| of.attacked(Attack::Denial)),
    sight("attack: replays", 100, |of| of.attacked(Attack::Replays)),
    sight("attack: pings", 100, |of| of.attacked(Attack::Pings)),
    sight("attack: relays", 100, |of| of.attacked(Attack::Relays)),
    sight("attack: leaves", 100, |of| of.attacked(Attack::Leaves)),
    sight("attack: thefts", 100, |of| of.attacked(Attack::Thefts)),
    sight("attack: conflicts", 100, |of| of.attacked(Attack::Conflicts)),
    sight("attack: filters", 100, |of| of.attacked(Attack::Filters)),
    sight("attack: askers", 100, |of| of.attacked(Attack::Askers)),
    sight("attack: nested", 100, |of| of.attacked(Attack::Nested)),
    sight("attack: silence", 100, |of| of.attacked(Attack::Silence)),
    sight("attack: digests", 50, |of| of.attacked(Attack::Digests)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sight_is_due_after_fourteen_times_its_rarity_and_missed_only_then() {
        let rare = SIGHTS.iter().max_by_key(|sight| sight.one_in).expect("there are some");
        let due = u64::from(rare.one_in) * RARITIES;
        let unseen = |worlds, missing: &'static str| {
            Sight::missed(worlds, |name| u64::from(name != missing)).into_iter().map(|unseen| unseen.name).collect()
        };
        let (before, after): (Vec<&str>, Vec<&str>) = (unseen(due - 1, rare.name), unseen(due, rare.name));
        assert_eq!((before, after), (vec![], vec![rare.name]));
        assert_eq!(Sight::missed(u64::MAX, |_| 0).len(), SIGHTS.len());
    }

    #[test]
    fn every_sight_has_a_name_of_its_own_and_every_drawn_attack_is_one() {
        let names: BTreeSet<&str> = SIGHTS.iter().map(|sight| sight.name).collect();
        assert_eq!(names.len(), SIGHTS.len());
        let attacks = Attack::DRAWN.into_iter().chain([Attack::Digests]);
        assert!(attacks.map(|attack| format!("attack: {}", attack.name())).all(|name| names.contains(&*name)));
    }
}
