use serde::{Deserialize, Serialize};

/// A kind of attack. Every message is well-formed and could come from a member; only its content is extreme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Attack {
    /// Accusations at incarnations at and next to every bound, mostly to the accused itself.
    Accuse,
    /// Alive messages about other members, with their own addresses, such incarnations and other tags.
    Exalt,
    /// Events, queries and intents at Lamport times far ahead.
    Clocks,
    /// User events and queries of up to mebibytes on streams.
    Bombs,
    /// Push/pulls with many of the longest events, members and names of left members.
    Crowds,
    /// Nonexistent members in gossip, push/pulls and intents, not many more than there are nodes.
    Ghosts,
    /// So many nonexistent members that they outnumber the nodes by far, and that in a small world no push/pull fits
    /// all. Only on request: recovery takes longer than a test may, because every node probes one member at a time and
    /// gossips the result to members drawn from all.
    Hordes,
    /// Push/pulls that report all members as failed, suspect or left, at extreme incarnations, with extreme clocks.
    Denial,
    /// Replayed packets.
    Replays,
    /// Pings, also for third parties and from forged addresses.
    Pings,
    /// Requests to ping third parties.
    Relays,
    /// Leave intents and leave broadcasts in the name of others.
    Leaves,
    /// A leave broadcast in the name of another member, then an alive message with its name and another address.
    Thefts,
    /// Claims to the name of a live member, and votes of nonexistent members.
    Conflicts,
    /// Queries with costly filters.
    Filters,
    /// Queries with a third party as their sender, and unsolicited answers.
    Askers,
    /// Compounds within compounds, compressed.
    Nested,
    /// Streams that send nothing, half a message, or less than announced.
    Silence,
    /// Digests that always differ, and answers to reconciliations that contradict each other, are as long as possible,
    /// or never come.
    Digests,
}

impl Attack {
    /// The attacks that drawn worlds combine. [`Attack::Digests`] is drawn besides, so that the worlds of older seeds keep
    /// their attacks.
    pub const DRAWN: [Self; 17] = [
        Self::Accuse,
        Self::Exalt,
        Self::Clocks,
        Self::Bombs,
        Self::Crowds,
        Self::Ghosts,
        Self::Denial,
        Self::Replays,
        Self::Pings,
        Self::Relays,
        Self::Leaves,
        Self::Thefts,
        Self::Conflicts,
        Self::Filters,
        Self::Askers,
        Self::Nested,
        Self::Silence,
    ];

    /// Returns a stable name for reports and the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accuse => "accuse",
            Self::Exalt => "exalt",
            Self::Clocks => "clocks",
            Self::Bombs => "bombs",
            Self::Crowds => "crowds",
            Self::Ghosts => "ghosts",
            Self::Hordes => "hordes",
            Self::Denial => "denial",
            Self::Replays => "replays",
            Self::Pings => "pings",
            Self::Relays => "relays",
            Self::Leaves => "leaves",
            Self::Thefts => "thefts",
            Self::Conflicts => "conflicts",
            Self::Filters => "filters",
            Self::Askers => "askers",
            Self::Nested => "nested",
            Self::Silence => "silence",
            Self::Digests => "digests",
        }
    }

    /// Returns the attack of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|attack| attack.name() == name)
    }

    /// Returns all attacks.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::DRAWN.into_iter().chain([Self::Digests, Self::Hordes])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attack_is_found_by_its_name() {
        for attack in Attack::all() {
            assert_eq!(Attack::named(attack.name()), Some(attack));
        }
    }
}
