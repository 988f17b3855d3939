//! What must always hold, whatever the network does. Each checker is fed with what one node says and does, and answers
//! with a [`Finding`] when a rule is broken.

mod agreement;
mod departure;
mod event;
mod incarnation;
mod lamport;
mod query;
mod queue;
mod resurrection;

use core::fmt;
use core::net::SocketAddr;

use serf_proto::{Event, Instant, MemberEvent, MemberEventKind, Node, QueryId, Status, UserEvent};

pub(crate) use self::agreement::disagreement;
use self::event::EventCheck;
use self::incarnation::IncarnationCheck;
use self::lamport::LamportCheck;
use self::query::QueryCheck;
pub(crate) use self::queue::QueueBounds;
pub(crate) use self::resurrection::Moment;
use self::resurrection::ResurrectionCheck;
use crate::addressing::name_of;
use crate::shared::Shared;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A node's own incarnation went back.
    IncarnationWentBack {
        /// What it was.
        from: u32,
        /// What it is now.
        to: u32,
    },
    /// A Lamport clock went back.
    ClockWentBack {
        /// Which clock.
        clock: &'static str,
        /// What it showed.
        from: u64,
        /// What it shows now.
        to: u64,
    },
    /// A member that had failed or left is alive again without a newer incarnation.
    Resurrected {
        /// The member.
        member: u32,
        /// The incarnation at which it failed or left.
        fell_at: u32,
        /// The incarnation that it has now.
        rose_at: u32,
    },
    /// A node delivered one user event twice.
    EventTwice {
        /// The event's name.
        name: Box<str>,
        /// Its Lamport time.
        ltime: u64,
    },
    /// A node delivered one query twice.
    QueryTwice {
        /// The query.
        id: QueryId,
    },
    /// A node told one member's answer to a query twice, or after the end of the query.
    AnswerTwice {
        /// The query.
        id: QueryId,
        /// The member.
        from: Box<str>,
    },
    /// A query ended twice, or with wrong numbers.
    QueryEndWrong {
        /// The query.
        id: QueryId,
        /// How many answers were told one by one.
        told: usize,
        /// How many were counted at the end.
        counted: u32,
    },
    /// A queue is longer than its bound.
    QueueTooLong {
        /// Which queue.
        queue: &'static str,
        /// How many wait in it.
        depth: usize,
        /// How many may.
        bound: usize,
    },
    /// A member is said to have left, but it never did.
    NeverLeft {
        /// The member.
        member: u32,
    },
    /// The highest incarnation that anybody knows of a node went back.
    IncarnationForgotten {
        /// The member.
        member: u32,
        /// What it was.
        from: u32,
        /// What it is now.
        to: u32,
    },
    /// A node has other keys than it should.
    WrongKeys {
        /// How many it has.
        count: usize,
        /// Whether it encrypts with the right one.
        is_primary_right: bool,
    },
    /// Nodes dropped what they could not decrypt although nobody's keys were in the way.
    Undecryptable {
        /// How many packets.
        packets: u64,
    },
    /// Estimated round-trip times are further from the true ones than they may be.
    RoundTripsWrong {
        /// The median of the relative errors, in thousandths.
        median_per_mille: u32,
        /// What it may be, in thousandths.
        bound_per_mille: u32,
    },
    /// Faults are over, the time to settle too, and a node still knows a member's name at another address.
    AddressDisagrees {
        /// The member.
        member: u32,
        /// Where the node knows it.
        seen: SocketAddr,
    },
    /// What a node remembers is more than it may be. See [`World::content_bytes`](crate::World::content_bytes).
    ContentTooLarge {
        /// How many bytes.
        bytes: usize,
        /// How many may be.
        bound: usize,
    },
    /// A datagram of the attacker's was answered with more bytes than it has, to addresses of no member.
    Amplified {
        /// The datagram's bytes.
        bytes_in: u64,
        /// The bytes of the answers to it.
        bytes_out: u64,
    },
    /// A vote on its name says that a node should end, and only the attacker claimed it.
    VotedOut {
        /// How many members knew it at its own address.
        for_us: u32,
        /// How many knew it elsewhere.
        against: u32,
    },
    /// Nodes that were up were held for failed although nothing was wrong any more.
    FailedInPeace {
        /// How many.
        members: usize,
        /// How often, each observer counted.
        times: u64,
    },
    /// A node that was up all the time never delivered events that another such node delivered.
    EventsMissed {
        /// How many.
        events: usize,
    },
    /// A node did not answer a query within the time in which it must, though it was asked several times.
    NoAnswer {
        /// Who asked.
        asker: u32,
    },
    /// A node did not see a crash within the time in which it must.
    CrashUnseen {
        /// The member that crashed.
        member: u32,
    },
    /// Faults are over, the time to settle too, and a node still sees other tags of a member than those that it announces.
    TagsDisagree {
        /// The member.
        member: u32,
    },
    /// Faults are over, the time to settle too, and a node still sees a member otherwise than it is.
    Disagreement {
        /// The member.
        member: u32,
        /// How the node sees it.
        seen: Option<Status>,
        /// How it should.
        expected: Option<Status>,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IncarnationWentBack { from, to } => write!(f, "its incarnation went back from {from} to {to}"),
            Self::ClockWentBack { clock, from, to } => write!(f, "its {clock} clock went back from {from} to {to}"),
            Self::Resurrected { member, fell_at, rose_at } => {
                write!(f, "sees {} alive at incarnation {rose_at} although it fell at {fell_at}", name_of(*member))
            }
            Self::EventTwice { name, ltime } => write!(f, "delivered event {name:?} of Lamport time {ltime} twice"),
            Self::QueryTwice { id } => write!(f, "delivered query {id} twice"),
            Self::AnswerTwice { id, from } => write!(f, "told of {from}'s answer to query {id} twice or too late"),
            Self::QueryEndWrong { id, told, counted } => {
                write!(f, "ended query {id} with {counted} answers, of which it told {told}")
            }
            Self::QueueTooLong { queue, depth, bound } => {
                write!(f, "its {queue} queue holds {depth}, the bound is {bound}")
            }
            Self::IncarnationForgotten { member, from, to } => {
                write!(f, "{}'s highest incarnation anywhere went back from {from} to {to}", name_of(*member))
            }
            Self::WrongKeys { count, is_primary_right } => {
                let primary =
                    if *is_primary_right { "encrypts with the right one" } else { "encrypts with a wrong one" };
                write!(f, "has {count} keys instead of one and {primary}")
            }
            Self::Undecryptable { packets } => write!(f, "and others dropped {packets} packets that no key opened"),
            Self::RoundTripsWrong { median_per_mille, bound_per_mille } => write!(
                f,
                "and others estimate round trips with a median error of {median_per_mille} per mille, it may be {bound_per_mille}"
            ),
            Self::AddressDisagrees { member, seen } => {
                write!(f, "knows {} at {seen}, where it is not", name_of(*member))
            }
            Self::ContentTooLarge { bytes, bound } => write!(f, "remembers {bytes} bytes, the bound is {bound}"),
            Self::Amplified { bytes_in, bytes_out } => {
                write!(f, "or another answered {bytes_in} bytes with {bytes_out} to strangers")
            }
            Self::VotedOut { for_us, against } => {
                write!(f, "was told to give its name up, by {against} votes against {for_us}")
            }
            Self::FailedInPeace { members, times } => {
                write!(f, "and others held {members} nodes that were up for failed, {times} times, with nothing wrong")
            }
            Self::EventsMissed { events } => {
                write!(f, "was up all the time and missed {events} events that another delivered")
            }
            Self::NoAnswer { asker } => write!(f, "did not answer the query of {}", name_of(*asker)),
            Self::CrashUnseen { member } => write!(f, "did not see in time that {} crashed", name_of(*member)),
            Self::TagsDisagree { member } => write!(f, "sees other tags of {} than it announces", name_of(*member)),
            Self::NeverLeft { member } => write!(f, "says that {} left, which it did not", name_of(*member)),
            Self::Disagreement { member, seen, expected } => {
                write!(f, "sees {} as {}, it should be {}", name_of(*member), shown(*seen), shown(*expected))
            }
        }
    }
}

fn shown(status: Option<Status>) -> String {
    status.map_or_else(|| "unknown".to_owned(), |status| status.to_string())
}

/// A broken rule, and where and when it was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The virtual time.
    pub at: Instant,
    /// The node at which it showed.
    pub node: u32,
    /// What happened.
    pub finding: Finding,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:.6} s {}: {}", self.at.as_secs_f64(), name_of(self.node), self.finding)
    }
}

/// Watches one life of one node with all the checkers.
#[derive(Debug, Default)]
pub(crate) struct Checkers {
    incarnation: IncarnationCheck,
    lamport: LamportCheck,
    resurrection: ResurrectionCheck,
    events: EventCheck,
    queries: QueryCheck,
}

impl Checkers {
    /// The process ends. What it delivered counts for the next life too, unless that knows nothing of this one.
    pub(crate) fn end_life(&mut self) {
        let Self { events, queries, .. } = core::mem::take(self);
        (self.events, self.queries) = (events, queries);
    }

    /// Looks at the node after a call.
    pub(crate) fn after_call(&mut self, node: &Node) -> Option<Finding> {
        self.incarnation.observe(node.incarnation()).or_else(|| self.lamport.observe(node.clocks()))
    }

    /// Looks at one event. `member` is whom a member event is about.
    pub(crate) fn event(
        &mut self,
        node: &Node,
        shared: &Shared,
        moment: Moment,
        event: &Event,
        member: Option<u32>,
    ) -> Option<Finding> {
        match (event, member) {
            (Event::Member(event), Some(member)) => self.member_event(node, shared, moment, event, member),
            (Event::User(UserEvent { ltime, name, payload, .. }), _) => self.events.deliver(*ltime, name, payload),
            (Event::Query(query), _) => self.queries.deliver(query.id),
            (Event::QueryResponse { id, from, .. }, _) => self.queries.answer(*id, from),
            (Event::QueryEnded(report), _) => self.queries.end(report),
            _ => None,
        }
    }

    fn member_event(
        &mut self,
        node: &Node,
        shared: &Shared,
        moment: Moment,
        event: &MemberEvent,
        member: u32,
    ) -> Option<Finding> {
        let incarnation = || node.incarnation_of(event.member.name()).unwrap_or(0);
        let addr = event.member.addr();
        match event.kind {
            MemberEventKind::Join => {
                let memory = shared.settings.of(0).gossip_to_the_dead_time;
                self.resurrection.rise(member, addr, moment, memory, incarnation)
            }
            MemberEventKind::Failed => {
                self.resurrection.fall(member, addr, moment, incarnation());
                None
            }
            MemberEventKind::Leave => {
                self.resurrection.fall(member, addr, moment, incarnation());
                // What a hostile member says in the name of another is believed until the other hears of it.
                if shared.hostile().is_some() { None } else { departure::check(&shared.truth, member) }
            }
            MemberEventKind::Reap => {
                self.resurrection.forget(member);
                None
            }
            MemberEventKind::Update => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_delivered_counts_for_the_next_life_and_what_was_said_does_not() {
        let mut checkers = Checkers::default();
        assert_eq!(checkers.events.deliver(1, "deploy", b"v1"), None);
        assert_eq!(checkers.incarnation.observe(7), None);
        checkers.end_life();
        let twice = Finding::EventTwice { name: "deploy".into(), ltime: 1 };
        assert_eq!(checkers.events.deliver(1, "deploy", b"v1"), Some(twice));
        assert_eq!(checkers.incarnation.observe(1), None, "a new process begins with the first incarnation");
    }
}
