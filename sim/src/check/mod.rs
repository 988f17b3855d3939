//! Invariants that hold under any network behaviour. Each checker observes the events and calls of one node and returns
//! a [`Finding`] when a rule is violated.

mod agreement;
mod departure;
mod event;
mod incarnation;
mod lamport;
mod query;
mod queue;
pub(crate) mod reconciliation;
mod resurrection;

use core::fmt;
use core::net::SocketAddr;

use serf_proto::internals::Sometimes;
use serf_proto::{Event, Instant, Member, MemberEventKind, Node, QueryId, Status, UserEvent};

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

/// A violated rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A node's own incarnation decreased.
    IncarnationWentBack {
        /// The earlier value.
        from: u32,
        /// The current value.
        to: u32,
    },
    /// A Lamport clock went back.
    ClockWentBack {
        /// The clock.
        clock: &'static str,
        /// The earlier value.
        from: u64,
        /// The current value.
        to: u64,
    },
    /// A member that had failed or left is alive again without a newer incarnation.
    Resurrected {
        /// The member.
        member: u32,
        /// The incarnation at which it failed or left.
        fell_at: u32,
        /// Its current incarnation.
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
    /// A node reported a member's answer to a query twice, or after the end of the query.
    AnswerTwice {
        /// The query.
        id: QueryId,
        /// The member.
        from: Box<str>,
    },
    /// A query ended twice, or with a wrong count of answers.
    QueryEndWrong {
        /// The query.
        id: QueryId,
        /// Number of answers reported one by one.
        answers: usize,
        /// Number of answers in the report.
        counted: u32,
    },
    /// A queue exceeds its bound.
    QueueTooLong {
        /// The queue.
        queue: &'static str,
        /// Its length.
        depth: usize,
        /// The bound.
        bound: usize,
    },
    /// A member that never left is reported as left.
    NeverLeft {
        /// The member.
        member: u32,
    },
    /// The highest incarnation of a node that any member knows decreased.
    IncarnationForgotten {
        /// The member.
        member: u32,
        /// The earlier value.
        from: u32,
        /// The current value.
        to: u32,
    },
    /// A node has the wrong keys.
    WrongKeys {
        /// Number of its keys.
        count: usize,
        /// Whether its primary key is right.
        is_primary_right: bool,
    },
    /// Nodes dropped packets as undecryptable although all keys matched.
    Undecryptable {
        /// Number of packets.
        packets: u64,
    },
    /// The error of the estimated round-trip times exceeds the bound.
    RoundTripsWrong {
        /// Median of the relative errors, in thousandths.
        median_per_mille: u32,
        /// The bound, in thousandths.
        bound_per_mille: u32,
    },
    /// After the faults and the settling time, a node still has a wrong address for a member.
    AddressDisagrees {
        /// The member.
        member: u32,
        /// The address that the node has.
        seen: SocketAddr,
    },
    /// A node's state exceeds its bound. See [`World::content_bytes`](crate::World::content_bytes).
    ContentTooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The bound in bytes.
        bound: usize,
    },
    /// Nodes answered a datagram of the attacker with more bytes than it had, to addresses of non-members.
    Amplified {
        /// The datagram's bytes.
        bytes_in: u64,
        /// The bytes of the answers to it.
        bytes_out: u64,
    },
    /// A node lost the vote about its name, although only the attacker claimed it.
    VotedOut {
        /// Members that knew it at its own address.
        for_us: u32,
        /// Members that knew the name at another address.
        against: u32,
    },
    /// Nodes that were up were declared failed although all faults were over.
    FailedInPeace {
        /// Number of nodes.
        members: usize,
        /// Number of reports, summed over observers.
        times: u64,
    },
    /// A node that was up throughout missed events that another such node delivered.
    EventsMissed {
        /// Number of events.
        events: usize,
    },
    /// A node did not answer a query within the bound, in several rounds.
    NoAnswer {
        /// The sender of the query.
        asker: u32,
    },
    /// A node did not detect a crash within the bound.
    CrashUnseen {
        /// The member that crashed.
        member: u32,
    },
    /// A sight that counts as a violation, to try the shrinking.
    Rejected {
        /// The sight.
        sight: Box<str>,
    },
    /// All members that knew a node have forgotten it, although it runs.
    Forgotten {
        /// The member.
        member: u32,
    },
    /// The digests of two nodes are equal and their views are not, or the reverse.
    DigestWrong {
        /// The other node.
        other: u32,
    },
    /// A bounded collection of a node exceeds its limit.
    UsageExceeded {
        /// The collection.
        of: &'static str,
        /// What it holds.
        used: u64,
        /// Its limit.
        limit: u64,
    },
    /// A node's own network coordinate, or one that it stores, is out of bounds.
    CoordinateWrong {
        /// The member.
        member: Box<str>,
    },
    /// Anti-entropy cost a node more than its rates allow.
    TooManyReconciliations {
        /// What was counted.
        what: &'static str,
        /// Its number.
        count: u64,
        /// The bound.
        bound: u64,
    },
    /// Datagrams are missing, or there are too many: those that were sent are neither delivered, nor dropped for a reason,
    /// nor on their way.
    DatagramsUnbalanced {
        /// How many should be on their way; `None` if more arrived than were sent.
        expected: Option<u64>,
        /// How many are.
        on_their_way: u64,
    },
    /// The nodes' counters differ from what the network has counted.
    CountersWrong {
        /// The counter.
        counter: &'static str,
        /// Its sum over all nodes.
        counted: u64,
        /// What the network has counted.
        actual: u64,
    },
    /// A node's snapshot differs from what the node knows.
    SnapshotDiffers {
        /// A name or clock that differs.
        what: Box<str>,
    },
    /// A node still remembers a member that has been gone for longer than its timeout.
    NotReaped {
        /// The member.
        member: Box<str>,
    },
    /// After the faults and the settling time, a node still has outdated tags of a member.
    TagsDisagree {
        /// The member.
        member: u32,
    },
    /// After the faults and the settling time, a node still sees a member in a wrong state.
    Disagreement {
        /// The member.
        member: u32,
        /// The state at the node.
        seen: Option<Status>,
        /// The true state.
        expected: Option<Status>,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IncarnationWentBack { from, to } => write!(f, "its incarnation went back from {from} to {to}"),
            Self::ClockWentBack { clock, from, to } => write!(f, "its {clock} clock went back from {from} to {to}"),
            Self::Resurrected { member, fell_at, rose_at } => {
                write!(
                    f,
                    "sees {} alive at incarnation {rose_at} although it failed or left at {fell_at}",
                    name_of(*member)
                )
            }
            Self::EventTwice { name, ltime } => write!(f, "delivered event {name:?} of Lamport time {ltime} twice"),
            Self::QueryTwice { id } => write!(f, "delivered query {id} twice"),
            Self::AnswerTwice { id, from } => {
                write!(f, "reported {from}'s answer to query {id} twice or after its end")
            }
            Self::QueryEndWrong { id, answers, counted } => {
                write!(f, "ended query {id} with {counted} answers, but reported {answers}")
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
            Self::Undecryptable { packets } => write!(f, "and others dropped {packets} undecryptable packets"),
            Self::RoundTripsWrong { median_per_mille, bound_per_mille } => write!(
                f,
                "and others estimate round trips with a median error of {median_per_mille} per mille, the bound is {bound_per_mille}"
            ),
            Self::AddressDisagrees { member, seen } => {
                write!(f, "knows {} at the wrong address {seen}", name_of(*member))
            }
            Self::ContentTooLarge { bytes, bound } => write!(f, "has a state of {bytes} bytes, the bound is {bound}"),
            Self::Amplified { bytes_in, bytes_out } => {
                write!(f, "or another answered {bytes_in} bytes with {bytes_out} to non-members")
            }
            Self::VotedOut { for_us, against } => {
                write!(f, "lost the vote about its name, {against} against {for_us}")
            }
            Self::FailedInPeace { members, times } => {
                write!(f, "and others declared {members} nodes failed that were up, {times} times, without faults")
            }
            Self::EventsMissed { events } => {
                write!(f, "was up throughout and missed {events} events that another node delivered")
            }
            Self::NoAnswer { asker } => write!(f, "did not answer the query of {}", name_of(*asker)),
            Self::CrashUnseen { member } => write!(f, "did not detect the crash of {} in time", name_of(*member)),
            Self::Rejected { sight } => write!(f, "and others showed what this run rejects: {sight}"),
            Self::Forgotten { member } => {
                write!(f, "and others forgot {}, which runs and which they knew", name_of(*member))
            }
            Self::DigestWrong { other } => {
                write!(f, "and {}: only the digests or only the views of the two are equal", name_of(*other))
            }
            Self::UsageExceeded { of, used, limit } => write!(f, "holds {used} {of}, the limit is {limit}"),
            Self::CoordinateWrong { member } => write!(f, "has a coordinate out of bounds for {member}"),
            Self::TooManyReconciliations { what, count, bound } => {
                write!(f, "counted {count} {what}, its rates allow {bound}")
            }
            Self::DatagramsUnbalanced { expected: Some(expected), on_their_way } => {
                write!(f, "and others: {on_their_way} datagrams are on their way, it should be {expected}")
            }
            Self::DatagramsUnbalanced { expected: None, .. } => {
                write!(f, "and others received or lost more datagrams than were sent")
            }
            Self::CountersWrong { counter, counted, actual } => {
                write!(f, "and others count {counted} {counter}, the network counts {actual}")
            }
            Self::SnapshotDiffers { what } => write!(f, "has a snapshot that differs from its view: {what}"),
            Self::NotReaped { member } => write!(f, "still remembers {member}, which has been gone for too long"),
            Self::TagsDisagree { member } => write!(f, "has outdated tags of {}", name_of(*member)),
            Self::NeverLeft { member } => write!(f, "reports that {} left, which it did not", name_of(*member)),
            Self::Disagreement { member, seen, expected } => {
                write!(f, "sees {} as {}, it should be {}", name_of(*member), shown(*seen), shown(*expected))
            }
        }
    }
}

fn shown(status: Option<Status>) -> String {
    status.map_or_else(|| "unknown".to_owned(), |status| status.to_string())
}

impl Finding {
    /// Returns the name of the rule: equal for findings that differ only in nodes and numbers.
    pub fn rule(&self) -> String {
        variant(self)
    }
}

/// Returns the name of a value's variant.
pub(crate) fn variant(value: &impl fmt::Debug) -> String {
    format!("{value:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// A violation of a rule, with its place and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The virtual time.
    pub at: Instant,
    /// The node that violated it.
    pub node: u32,
    /// The violated rule.
    pub finding: Finding,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:.6} s {}: {}", self.at.as_secs_f64(), name_of(self.node), self.finding)
    }
}

/// All checkers of one process life of a node.
#[derive(Debug, Default)]
pub(crate) struct Checkers {
    incarnation: IncarnationCheck,
    lamport: LamportCheck,
    resurrection: ResurrectionCheck,
    events: EventCheck,
    queries: QueryCheck,
}

impl Checkers {
    /// Ends the process life. Delivered events count for the next life too, unless it starts without this one's state.
    pub(crate) fn end_life(&mut self) {
        let Self { events, queries, .. } = core::mem::take(self);
        (self.events, self.queries) = (events, queries);
    }

    /// Checks the node after a call.
    pub(crate) fn after_call(&mut self, node: &Node) -> Option<Finding> {
        self.incarnation.observe(node.incarnation()).or_else(|| self.lamport.observe(node.clocks()))
    }

    /// Checks one event that is not about members.
    pub(crate) fn event(&mut self, event: &Event) -> Option<Finding> {
        match event {
            Event::User(UserEvent { ltime, name, payload, .. }) => self.events.deliver(*ltime, name, payload),
            Event::Query(query) => self.queries.deliver(query.id),
            Event::QueryResponse { id, from, .. } => self.queries.answer(*id, from),
            Event::QueryEnded(report) => self.queries.end(report),
            _ => None,
        }
    }

    /// Another address took the name of this host. Its incarnations are unrelated to those before and after.
    pub(crate) fn name_moved(&mut self, id: u32) {
        self.resurrection.forget(id);
    }

    /// Looks at what happened to one member, with the number of its host.
    pub(crate) fn member_event(
        &mut self,
        node: &Node,
        shared: &Shared,
        moment: Moment,
        kind: MemberEventKind,
        (id, member): (u32, &Member),
    ) -> Option<Finding> {
        let incarnation = || node.incarnation_of(member.name()).unwrap_or(0);
        let addr = member.addr();
        match kind {
            MemberEventKind::Join => {
                let memory = shared.settings.of(0).swim().gossip_to_the_dead_time;
                // An accusation may have raised the record of the fallen to the greatest incarnation, at which the member's
                // own address decides. Its return is no violation then, and the record shows the lower one again.
                let is_free = node.has_met(Sometimes::ReturnedAtTheEnd);
                self.resurrection.check_return(id, addr, moment, memory, incarnation).filter(|_| !is_free)
            }
            MemberEventKind::Failed => {
                self.resurrection.record_death(id, addr, moment, incarnation());
                None
            }
            MemberEventKind::Leave => {
                self.resurrection.record_death(id, addr, moment, incarnation());
                // Forged leaves by the hostile member are believed until the victim refutes them.
                if shared.hostile().is_some() { None } else { departure::check(&shared.truth, id) }
            }
            MemberEventKind::Reap => {
                self.resurrection.forget(id);
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
    fn delivered_events_and_not_merely_sent_ones_count_for_the_next_run() {
        let mut checkers = Checkers::default();
        assert_eq!(checkers.events.deliver(1, "deploy", b"v1"), None);
        assert_eq!(checkers.incarnation.observe(7), None);
        checkers.end_life();
        let twice = Finding::EventTwice { name: "deploy".into(), ltime: 1 };
        assert_eq!(checkers.events.deliver(1, "deploy", b"v1"), Some(twice));
        assert_eq!(checkers.incarnation.observe(1), None, "a new process begins with the first incarnation");
    }
}
