//! Counters of one shard during one phase. Their sums are independent of the number of threads.

use std::collections::{BTreeMap, BTreeSet};

use serf_proto::Instant;

use crate::check::Violation;
use crate::histogram::Histogram;

/// Reason for which the network did not deliver a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum NetDrop {
    /// Lost at random.
    Loss,
    /// Dropped by a rule, such as a partition.
    Cut,
    /// The receiver's process is down.
    Down,
    /// The receiver stalls and its socket buffer is full.
    Overflow,
    /// No host has this address.
    NoHost,
    /// It waited too long at the sender's link.
    Congestion,
    /// It is larger than the path carries.
    TooLarge,
}

impl NetDrop {
    pub(crate) const ALL: [Self; 7] =
        [Self::Loss, Self::Cut, Self::Down, Self::Overflow, Self::NoHost, Self::Congestion, Self::TooLarge];

    /// Returns a stable name for reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Cut => "partition",
            Self::Down => "receiver_down",
            Self::Overflow => "socket_buffer_full",
            Self::NoHost => "no_such_host",
            Self::Congestion => "congestion",
            Self::TooLarge => "larger_than_mtu",
        }
    }
}

/// False alarms by observer and member, for phases whose subjects cause them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blame {
    /// About subjects.
    pub(crate) of_subjects: u64,
    /// About others, raised by subjects.
    pub(crate) by_subjects: u64,
    /// About others, raised by others.
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

/// Traffic that the attacker's datagrams cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Echo {
    /// Datagrams of the attacker that nodes handled.
    pub(crate) datagrams: u64,
    /// Their bytes.
    pub(crate) bytes_in: u64,
    /// Bytes that nodes sent in the same calls.
    pub(crate) bytes_out: u64,
    /// The datagram with the largest amplification towards non-members: its bytes, and the bytes of the answers.
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

    /// Compares without division, so that all platforms agree.
    fn note(&mut self, (bytes_in, bytes_out): (u64, u64)) {
        if bytes_out * self.worst.0.max(1) > self.worst.1 * bytes_in.max(1) {
            self.worst = (bytes_in, bytes_out);
        }
    }
}

/// When others noticed what happened to a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Noticed {
    /// The first suspicion.
    pub(crate) suspected_at: Option<Instant>,
    /// The first verdict that the step waits for, and its observer.
    pub(crate) first: Option<(Instant, u32)>,
    /// The last one.
    pub(crate) last_at: Option<Instant>,
    /// Number of observers with a verdict.
    pub(crate) observers: u64,
}

impl Noticed {
    pub(crate) fn suspicion(&mut self, at: Instant) {
        self.suspected_at = Some(self.suspected_at.map_or(at, |first| first.min(at)));
    }

    pub(crate) fn verdict(&mut self, at: Instant, observer: u32) {
        self.observers += 1;
        self.note((at, observer), at);
    }

    /// Of verdicts at the same time the one of the smaller number counts as the first, for any number of threads.
    fn note(&mut self, first: (Instant, u32), last_at: Instant) {
        self.first = Some(self.first.map_or(first, |known| known.min(first)));
        self.last_at = self.last_at.max(Some(last_at));
    }

    fn merge(&mut self, other: &Self) {
        if let Some(at) = other.suspected_at {
            self.suspicion(at);
        }
        self.observers += other.observers;
        if let Some((first, last_at)) = other.first.zip(other.last_at) {
            self.note(first, last_at);
        }
    }
}

/// Counters of a shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Completed part of the phase's goal.
    pub(crate) done: i64,
    /// Completion times.
    pub(crate) times: Histogram,
    /// Suspicions of nodes that were up, one per observer.
    pub(crate) false_suspicions: u64,
    /// Nodes suspected in this way.
    pub(crate) falsely_suspected: BTreeSet<u32>,
    /// Nodes that were up and were declared failed, one per observer.
    pub(crate) false_failures: u64,
    /// Nodes declared failed in this way.
    pub(crate) falsely_failed: BTreeSet<u32>,
    /// False suspicions by observer and member.
    pub(crate) suspicion_blame: Blame,
    /// False failures by observer and member.
    pub(crate) failure_blame: Blame,
    /// Failures of nodes that were down or unreachable, one per observer.
    pub(crate) true_failures: u64,
    /// When others noticed what happened to the subjects, where the step waits for that.
    pub(crate) noticed: BTreeMap<u32, Noticed>,
    /// Queries that ended.
    pub(crate) queries: u64,
    /// Answers to these, one per node and query.
    pub(crate) query_answers: u64,
    /// Datagrams that reached a node.
    pub(crate) delivered: u64,
    /// Stream bytes that reached nodes.
    pub(crate) stream_bytes: u64,
    /// Undelivered datagrams and stream segments, by [`NetDrop`].
    pub(crate) drops: [u64; NetDrop::ALL.len()],
    /// Traffic that the attacker's datagrams caused.
    pub(crate) hostile: Echo,
    /// The first violations.
    pub(crate) violations: Vec<Violation>,
    /// Number of violations.
    pub(crate) violation_count: u64,
}

impl Tally {
    /// Counts progress towards the goal.
    pub(crate) fn progress(&mut self, since: Instant, at: Instant, delta: i64) {
        self.done += delta;
        self.times.add(at - since, delta);
    }

    /// Counts an undelivered datagram or stream segment.
    pub(crate) fn count_drop(&mut self, reason: NetDrop) {
        self.drops[reason as usize] += 1;
    }

    pub(crate) fn violate(&mut self, violation: Violation) {
        self.violation_count += 1;
        if self.violations.len() < VIOLATIONS_KEPT {
            self.violations.push(violation);
        }
    }

    /// Adds all counters of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.done += other.done;
        self.times.merge(&other.times);
        self.merge_counts(other);
    }

    /// Adds the counters of `other` except its progress, which is towards another goal.
    pub(crate) fn merge_counts(&mut self, other: &Self) {
        self.false_suspicions += other.false_suspicions;
        self.falsely_suspected.extend(&other.falsely_suspected);
        self.false_failures += other.false_failures;
        self.falsely_failed.extend(&other.falsely_failed);
        self.suspicion_blame.merge(&other.suspicion_blame);
        self.failure_blame.merge(&other.failure_blame);
        self.true_failures += other.true_failures;
        for (subject, noticed) in &other.noticed {
            self.noticed.entry(*subject).or_default().merge(noticed);
        }
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

/// Enough to see the pattern; a violated rule tends to be violated often.
const VIOLATIONS_KEPT: usize = 20;
