use core::ops::Range;
use core::time::Duration;

use serf_proto::Instant;

/// An exception to the link model: what happens to packets from some nodes to others, for a time. A partition is two
/// rules that drop, a one-way partition is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whose packets.
    pub from: NodeSet,
    /// To whom.
    pub to: NodeSet,
    /// What happens to them.
    pub effect: Effect,
    /// From when to before when; always when `None`. What counts is when the packet is sent.
    pub during: Option<(Instant, Instant)>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing gets through. Streams stall.
    Drop,
    /// Datagrams are lost, besides those that the link model loses.
    Loss {
        /// How many of a million.
        ppm: u32,
    },
    /// Packets and parts of streams take longer by this.
    Delay(Duration),
}

/// Some of the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// Whether `node` is one of them.
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
    /// The two rules that keep `a` and `b` apart in both directions.
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
