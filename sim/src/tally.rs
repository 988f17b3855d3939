//! What one shard counts during one phase. Sums over shards are the same for every number of threads.

use std::collections::BTreeSet;

use serf_proto::Instant;

use crate::check::Violation;
use crate::histogram::Histogram;

/// Why the network did not deliver a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum NetDrop {
    /// Lost by chance.
    Loss,
    /// Cut by a rule, such as a partition.
    Cut,
    /// The receiver's process is down.
    Down,
    /// The receiver stalls and its socket buffer is full.
    Overflow,
    /// Nobody has this address.
    NoHost,
}

impl NetDrop {
    pub(crate) const ALL: [Self; 5] = [Self::Loss, Self::Cut, Self::Down, Self::Overflow, Self::NoHost];

    /// A stable name for reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Cut => "partition",
            Self::Down => "receiver_down",
            Self::Overflow => "socket_buffer_full",
            Self::NoHost => "no_such_host",
        }
    }
}

/// False alarms by who raised them and about whom, where the subjects of a phase are the ones to blame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blame {
    /// About subjects.
    pub(crate) of_subjects: u64,
    /// About others, by subjects.
    pub(crate) by_subjects: u64,
    /// About others, by others.
    pub(crate) among_others: u64,
}

impl Blame {
    pub(crate) const fn count(&mut self, by_subject: bool, of_subject: bool) {
        match (of_subject, by_subject) {
            (true, _) => self.of_subjects += 1,
            (false, true) => self.by_subjects += 1,
            (false, false) => self.among_others += 1,
        }
    }

    const fn merge(&mut self, other: &Self) {
        self.of_subjects += other.of_subjects;
        self.by_subjects += other.by_subjects;
        self.among_others += other.among_others;
    }
}

/// What nodes send at once because of the attacker's datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Echo {
    /// How many datagrams of the attacker's nodes handled.
    pub(crate) datagrams: u64,
    /// Their bytes.
    pub(crate) bytes_in: u64,
    /// How many bytes nodes sent within the same calls.
    pub(crate) bytes_out: u64,
    /// The datagram that was answered with the most bytes a byte to addresses of no member: its bytes, and the answers'.
    pub(crate) worst: (u64, u64),
}

impl Echo {
    pub(crate) fn count(&mut self, bytes_in: u64, bytes_out: u64, to_strangers: u64) {
        self.datagrams += 1;
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
        self.note((bytes_in, to_strangers));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.datagrams += other.datagrams;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.note(other.worst);
    }

    /// Compares without division, so that every platform says the same.
    fn note(&mut self, (bytes_in, bytes_out): (u64, u64)) {
        if bytes_out * self.worst.0.max(1) > self.worst.1 * bytes_in.max(1) {
            self.worst = (bytes_in, bytes_out);
        }
    }
}

/// What a shard counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// How much of the phase's goal is done.
    pub(crate) done: i64,
    /// When it was done.
    pub(crate) times: Histogram,
    /// Suspicions of nodes that were up, one for each observer's.
    pub(crate) false_suspicions: u64,
    /// Who was so suspected.
    pub(crate) falsely_suspected: BTreeSet<u32>,
    /// Nodes that were up and were marked failed, one for each observer's.
    pub(crate) false_failures: u64,
    /// Who was so marked.
    pub(crate) falsely_failed: BTreeSet<u32>,
    /// Who raised those suspicions, about whom.
    pub(crate) suspicion_blame: Blame,
    /// Who marked them failed.
    pub(crate) failure_blame: Blame,
    /// Nodes that were marked failed and were not up, or out of reach; one for each observer's.
    pub(crate) true_failures: u64,
    /// Queries that ended.
    pub(crate) queries: u64,
    /// Answers to them, each node's once a query.
    pub(crate) query_answers: u64,
    /// Datagrams that reached a node.
    pub(crate) delivered: u64,
    /// Bytes that reached nodes on streams.
    pub(crate) stream_bytes: u64,
    /// Datagrams and stream parts that did not arrive, by [`NetDrop`].
    pub(crate) drops: [u64; NetDrop::ALL.len()],
    /// What the attacker's datagrams made nodes send.
    pub(crate) hostile: Echo,
    /// Rules that were broken, the first few of them.
    pub(crate) violations: Vec<Violation>,
    /// How many rules were broken.
    pub(crate) violation_count: u64,
}

impl Tally {
    /// Counts towards the goal.
    pub(crate) fn progress(&mut self, since: Instant, at: Instant, delta: i64) {
        self.done += delta;
        self.times.add(at - since, delta);
    }

    pub(crate) fn drop_datagram(&mut self, reason: NetDrop) {
        self.drops[reason as usize] += 1;
    }

    pub(crate) fn violate(&mut self, violation: Violation) {
        self.violation_count += 1;
        if self.violations.len() < VIOLATIONS_KEPT {
            self.violations.push(violation);
        }
    }

    /// Adds what `other` counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.done += other.done;
        self.times.merge(&other.times);
        self.merge_counts(other);
    }

    /// Adds what `other` counted but what it did towards its goal, which is another.
    pub(crate) fn merge_counts(&mut self, other: &Self) {
        self.false_suspicions += other.false_suspicions;
        self.falsely_suspected.extend(&other.falsely_suspected);
        self.false_failures += other.false_failures;
        self.falsely_failed.extend(&other.falsely_failed);
        self.suspicion_blame.merge(&other.suspicion_blame);
        self.failure_blame.merge(&other.failure_blame);
        self.true_failures += other.true_failures;
        self.queries += other.queries;
        self.query_answers += other.query_answers;
        self.delivered += other.delivered;
        self.stream_bytes += other.stream_bytes;
        for (mine, theirs) in self.drops.iter_mut().zip(other.drops) {
            *mine += theirs;
        }
        self.hostile.merge(&other.hostile);
        self.violation_count += other.violation_count;
        self.violations.extend_from_slice(&other.violations);
        self.violations.sort_by_key(|violation| (violation.at, violation.node));
        self.violations.truncate(VIOLATIONS_KEPT);
    }
}

/// Enough to see the pattern; a broken rule tends to break many times.
const VIOLATIONS_KEPT: usize = 20;
