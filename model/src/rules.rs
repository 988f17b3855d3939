//! The rules that hold in every state, whatever the network does.

use std::fmt;
use std::net::SocketAddr;

use serf_proto::internals::envelope;
use serf_proto::internals::state::{KnownMember, known_members};
use serf_proto::internals::wire::Codec;
use serf_proto::internals::wire::swim::{Accusation, Message, State};
use serf_proto::{Node, NodeState};

use crate::world::World;

/// Declares the rules, each with its name, so that none is left out of a list.
macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $name:literal,)*) => {
        /// A rule of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $($(#[$doc])* $rule,)*
        }

        impl Rule {
            /// All rules.
            pub const ALL: &[Self] = &[$(Self::$rule),*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)*
                }
            }

            /// All rules, each with the condition that a state keeps it, for a model of type `M`.
            pub(crate) fn conditions<M>() -> Vec<(Self, fn(&M, &World) -> bool)> {
                vec![$((Self::$rule, |_, world| !world.breaks(Self::$rule))),*]
            }
        }
    };
}

rules! {
    /// A member that was declared dead or left is alive again only with a greater incarnation, for as long as the observer
    /// remembers it.
    NoResurrection = "no resurrection",
    /// A member that hears an accusation of itself lives on only with a greater incarnation.
    NoLifeAfterDeath = "no life after a death at the same incarnation",
    /// A node that has left is alive to none that has heard of it, and itself never again.
    LeaveIsFinal = "a leave is final",
    /// A node delivers a user event at most once.
    EventOnce = "an event at most once",
    /// Of two nodes with one name, at most one loses the vote.
    OneKeepsItsName = "a name conflict does not stop both",
    /// Digests are equal if and only if views are.
    DigestIsView = "digests are equal if and only if views are",
    /// A live member that is accused is seen alive again, in a run without faults.
    Refutable = "an accusation can be refuted",
    /// After the faults, all views agree with the truth.
    Agreement = "agreement after the faults",
    /// No call panics.
    NoPanic = "no call panics",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The first violation on the way to a state.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What was seen.
    pub what: String,
}

/// What a node knows of a member, with its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What membership knows.
    pub member: KnownMember,
    /// The address under which Serf lists it; none if it does not.
    pub addr: Option<SocketAddr>,
}

impl Known {
    /// All that a node knows.
    pub fn all(node: &Node) -> Vec<Self> {
        known_members(node)
            .map(|member| {
                let addr = node.member(&member.name).map(|member| member.addr());
                Self { member, addr }
            })
            .collect()
    }

    /// What is known of the member with this name.
    pub fn of<'a>(known: &'a [Self], name: &str) -> Option<&'a Self> {
        known.iter().find(|known| *known.member.name == *name)
    }

    /// Whether the member counts as live: alive or suspected.
    pub const fn is_live(&self) -> bool {
        matches!(self.member.state, State::Alive | State::Suspect)
    }

    pub(crate) const fn is_accused(&self) -> bool {
        matches!(self.member.state, State::Suspect | State::Dead)
    }
}

/// Checks what one node knows after a call against what it knew before. `left_at` returns, for the address of a node
/// that has declared its leave and was not started again, the least incarnation at which a view shows this leave, not an
/// earlier one.
pub fn check_changes(
    before: &[Known],
    after: &[Known],
    left_at: impl Fn(SocketAddr) -> Option<u32>,
) -> Option<Finding> {
    after.iter().filter(|now| now.is_live()).find_map(|now| {
        let was = before.iter().find(|was| was.member.name == now.member.name && was.addr == now.addr)?;
        let (name, fell, rose) = (&now.member.name, was.member.incarnation, now.member.incarnation);
        if was.is_live() {
            return None;
        }
        if was.member.state == State::Left && now.addr.and_then(&left_at).is_some_and(|left| left <= fell) {
            let what = format!("{name} left at incarnation {fell} and is alive again at {rose}");
            return Some(Finding { rule: Rule::LeaveIsFinal, what });
        }
        (rose <= fell).then(|| {
            let what = format!("{name} was gone at incarnation {fell} and is alive at {rose}");
            Finding { rule: Rule::NoResurrection, what }
        })
    })
}

/// The greatest incarnation at which the frames of an opened packet accuse `name`.
pub fn accusation_of(packet: &[u8], name: &str) -> Option<u32> {
    let accused = |frame| match Codec::decode(frame) {
        Ok(
            Message::Suspect(Accusation { incarnation, node, .. })
            | Message::Dead(Accusation { incarnation, node, .. }),
        ) if node == name => Some(incarnation),
        _ => None,
    };
    envelope::split(packet).ok()?.filter_map(accused).max()
}

/// Checks that a member that hears an accusation of itself at `accused_at` has a greater incarnation afterwards.
pub fn check_refuted(node: &Node, accused_at: Option<u32>) -> Option<Finding> {
    let (accused_at, incarnation) = (accused_at?, node.incarnation());
    (node.state() == NodeState::Alive && incarnation <= accused_at).then(|| {
        let what =
            format!("{} was accused at incarnation {accused_at} and stays at {incarnation}", node.local().name());
        Finding { rule: Rule::NoLifeAfterDeath, what }
    })
}

/// Checks that a node whose leave has begun does not return.
pub fn check_own_leave(before: NodeState, after: NodeState, own: Option<(&Known, &Known)>) -> Option<Finding> {
    let order = |state| match state {
        NodeState::Alive => 0,
        NodeState::Leaving => 1,
        NodeState::Left => 2,
    };
    let is_revoked = order(after) < order(before)
        || own.is_some_and(|(was, is)| was.member.state == State::Left && is.member.state != State::Left);
    is_revoked.then(|| Finding { rule: Rule::LeaveIsFinal, what: "its own leave is revoked".into() })
}
