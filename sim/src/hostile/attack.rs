/// A kind of attack. Every message of it is well-formed and could come from a member; only its content is extreme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Attack {
    /// Accusations at incarnations at and next to every bound, mostly to the accused itself.
    Accuse,
    /// Alive messages about others, at their own address, at such incarnations and with other tags.
    Exalt,
    /// Events, queries and intents at Lamport times far ahead.
    Clocks,
    /// User events and queries of up to mebibytes on streams.
    Bombs,
    /// Push/pulls with many of the longest events, members and names of those who left.
    Crowds,
    /// Members that do not exist, in gossip, in push/pulls and in intents, not many more than there are nodes.
    Ghosts,
    /// So many of them that the nodes are lost among them, and that in a small world no push/pull can tell all. In no world unless
    /// it is asked for: to find each other again takes longer than anybody waits, since every node probes one member at a time, and
    /// tells what it finds to members drawn from all.
    Hordes,
    /// Push/pulls that hold everyone for failed, suspect or left, at extreme incarnations, with extreme clocks.
    Denial,
    /// Packets that were heard, again.
    Replays,
    /// Pings, also for third parties and from forged addresses.
    Pings,
    /// Requests to ping third parties.
    Relays,
    /// Leave intents and farewells in the name of others.
    Leaves,
    /// A farewell in the name of another, and then its name at another address.
    Thefts,
    /// Claims to the name of a live member, and votes of invented members on it.
    Conflicts,
    /// Queries with costly filters.
    Filters,
    /// Queries that name a third party as the asker, and unsolicited answers.
    Askers,
    /// Compounds within compounds, compressed.
    Nested,
    /// Streams that say nothing, half a message, or announce more than they send.
    Silence,
}

impl Attack {
    /// All that worlds draw from.
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

    /// A stable name for reports and the command line.
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
        }
    }

    /// The attack of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|attack| attack.name() == name)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::DRAWN.into_iter().chain([Self::Hordes])
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
