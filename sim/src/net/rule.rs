use core::ops::Range;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use serf_proto::Instant;

/// An exception to the link model for packets between given nodes during a given time. A partition consists of two
/// dropping rules, a one-way partition of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Senders.
    pub from: NodeSet,
    /// Receivers.
    pub to: NodeSet,
    /// Effect on their packets.
    pub effect: Effect,
    /// Start (inclusive) and end (exclusive); always if `None`. The send time of a packet counts.
    pub during: Option<(Instant, Instant)>,
}

/// Effect of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Drops everything. Streams stall.
    Drop,
    /// Loses datagrams, in addition to the link model.
    Loss {
        /// Probability in parts per million.
        ppm: u32,
    },
    /// Delays packets and stream segments.
    Delay(Duration),
}

/// A set of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeSet {
    /// Every node.
    All,
    /// One node.
    One(u32),
    /// The nodes of a range.
    Range(Range<u32>),
    /// These nodes; see [`NodeSet::of`].
    Listed(Box<[u32]>),
}

impl NodeSet {
    /// These nodes.
    pub fn of(nodes: impl IntoIterator<Item = u32>) -> Self {
        let mut nodes: Vec<u32> = nodes.into_iter().collect();
        nodes.sort_unstable();
        Self::Listed(nodes.into())
    }

    /// Whether the set contains `node`.
    pub fn contains(&self, node: u32) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => *one == node,
            Self::Range(range) => range.contains(&node),
            Self::Listed(nodes) => nodes.binary_search(&node).is_ok(),
        }
    }
}

impl Rule {
    /// Returns the two rules that separate `a` and `b` in both directions.
    pub fn partition(a: NodeSet, b: NodeSet, during: Option<(Instant, Instant)>) -> [Self; 2] {
        let cut = |from, to| Self { from, to, effect: Effect::Drop, during };
        [cut(a.clone(), b.clone()), cut(b, a)]
    }

    pub(crate) fn applies(&self, now: Instant, from: u32, to: u32) -> bool {
        self.during.is_none_or(|(start, end)| start <= now && now < end)
            && self.from.contains(from)
            && self.to.contains(to)
    }
}
