//! Access for programs that explore the states of small clusters: what decides a node's behaviour, and its choices.

use alloc::vec::Vec;
use core::hash::Hasher;

use super::Node;
use crate::fingerprint::Fingerprint;
use crate::rng::Seed;
use crate::types::Name;
use crate::wire::swim::State;

/// What a node knows about one member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct KnownMember {
    /// Its name.
    pub name: Name,
    /// Its state, as membership sees it.
    pub state: State,
    /// The greatest incarnation that the node has heard of.
    pub incarnation: u32,
}

/// What two nodes must agree on, with all parts that [`Node::digest`] hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct View {
    /// The members that membership considers live: record and incarnation, in order.
    pub live: Vec<(Vec<u8>, u32)>,
    /// The members that Serf considers live: name, Lamport time of the newest intent, whether that is a leave; in order.
    pub intents: Vec<(Name, u64, bool)>,
    /// The Lamport clocks, rounded.
    pub clocks: [u64; 3],
}

impl Node {
    /// Feeds everything that decides how this node behaves from now on, with times relative to its clock. Left out:
    /// statistics, logs, caches, the RNG, and the configuration. Sequence numbers and stream numbers are relative to
    /// the last ones, except in armed timers; see [`numbers`](Self::numbers).
    pub(crate) fn fingerprint(&self, hasher: &mut dyn Hasher) {
        let Self { core, swim, serf, envelope, streams, joins, leave, isolation, partition, gossip, tapped: _ } = self;
        let to = &mut Fingerprint::new(hasher, core.now);
        core.fingerprint(to);
        swim.fingerprint(core, to);
        serf.fingerprint(to);
        envelope.fingerprint(to);
        streams.fingerprint(to);
        joins.fingerprint(to);
        leave.fingerprint(to);
        isolation.fingerprint(to);
        partition.fingerprint(to);
        gossip.fingerprint(core, to);
    }

    /// The last sequence number of a ping and the number of the last stream. They decide which messages in transit this
    /// node takes for answers to its own.
    pub(crate) const fn numbers(&self) -> (u32, u64) {
        (self.swim.last_seq(), self.streams.last())
    }

    /// Replaces the RNG streams: the next call draws from `seed`.
    pub(crate) fn reseed(&mut self, seed: &Seed) {
        self.core.reseed(seed);
    }

    /// Whether anything was drawn since [`reseed`](Self::reseed) with this seed.
    pub(crate) fn has_drawn(&self, seed: &Seed) -> bool {
        self.core.has_drawn(seed)
    }

    /// The members that membership knows, in any state.
    pub(crate) fn known_members(&self) -> impl Iterator<Item = KnownMember> + '_ {
        let rows = self.swim.known_rows();
        rows.map(|(idx, state, incarnation)| KnownMember { name: self.core.roster.name(idx), state, incarnation })
    }

    /// What [`digest`](Self::digest) hashes, in full.
    pub(crate) fn view(&self) -> View {
        let mut live: Vec<_> = self
            .swim
            .known_rows()
            .filter(|(idx, ..)| self.swim.is_live(*idx))
            .map(|(idx, _, incarnation)| (self.core.roster.record(idx).to_vec(), incarnation))
            .collect();
        live.sort_unstable();
        let mut intents: Vec<_> = self
            .serf
            .live_intents()
            .map(|(idx, ltime, leaving)| (self.core.roster.name(idx), ltime, leaving))
            .collect();
        intents.sort_unstable();
        View { live, intents, clocks: super::anti_entropy::rounded(self.serf.times()) }
    }
}
