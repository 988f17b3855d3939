//! Counters. Plain numbers, so that reading them costs nothing and a simulation can add them up.

use serde::{Deserialize, Serialize};

use crate::wire::MessageKind;

/// Why something that came from the network was not used. Each is counted in [`Stats::dropped`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
#[non_exhaustive]
pub enum DropReason {
    /// The checksum did not match.
    Checksum,
    /// A compound packet was cut short, nested too deep or had an empty part.
    Compound,
    /// A message could not be decoded.
    Malformed,
    /// A frame in a codec that we do not speak.
    Codec,
    /// A message of a kind that does not belong where it came.
    Unexpected,
    /// A ping for another node.
    NotForUs,
    /// An incarnation or Lamport time that is out of all proportion.
    Absurd,
    /// Versions that do not go with ours.
    Versions,
    /// A bound of [`limits`](crate::limits) was reached.
    Limit,
    /// An alive message for a name that another address holds.
    NameConflict,
    /// A user event or query too old to know whether we have had it.
    OldEvent,
    /// A label that is not ours, or none where we have one.
    Label,
    /// Something that was not encrypted, or could be nothing but that, while we demand encryption.
    Unencrypted,
    /// Something encrypted that none of our keys opens: other keys, or a forgery.
    Key,
    /// Something compressed that cannot be inflated, or not within its limit.
    Inflate,
}

impl DropReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Checksum,
        Self::Compound,
        Self::Malformed,
        Self::Codec,
        Self::Unexpected,
        Self::NotForUs,
        Self::Absurd,
        Self::Versions,
        Self::Limit,
        Self::NameConflict,
        Self::OldEvent,
        Self::Label,
        Self::Unencrypted,
        Self::Key,
        Self::Inflate,
    ];

    /// A short name for reports: lower case, words joined by underscores.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checksum => "checksum",
            Self::Compound => "compound",
            Self::Malformed => "malformed",
            Self::Codec => "codec",
            Self::Unexpected => "unexpected",
            Self::NotForUs => "not_for_us",
            Self::Absurd => "absurd",
            Self::Versions => "versions",
            Self::Limit => "limit",
            Self::NameConflict => "name_conflict",
            Self::OldEvent => "old_event",
            Self::Label => "label",
            Self::Unencrypted => "unencrypted",
            Self::Key => "key",
            Self::Inflate => "inflate",
        }
    }
}

/// How much was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sent {
    /// How many messages.
    pub messages: u64,
    /// Their bytes, before compression and without what is around them.
    pub bytes: u64,
}

impl Sent {
    /// Adds as much again as `more` says.
    pub const fn add(&mut self, more: Self) {
        self.messages += more.messages;
        self.bytes += more.bytes;
    }
}

/// What a node has done since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams handed to us.
    pub datagrams_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Datagrams that we asked to be sent.
    pub datagrams_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// The messages in those, by their kind; see [`Stats::sent`].
    pub messages_out: [Sent; MessageKind::ALL.len()],
    /// Messages in the datagrams handed to us, compounds taken apart.
    pub messages_in: u64,
    /// Alive messages that told us nothing new.
    pub repeats_in: u64,
    /// Bytes that came on streams.
    pub stream_bytes_in: u64,
    /// Bytes that we wrote to streams.
    pub stream_bytes_out: u64,
    /// Push/pulls begun by us.
    pub push_pulls_out: u64,
    /// Push/pulls answered by us.
    pub push_pulls_in: u64,
    /// Probes begun.
    pub probes: u64,
    /// Probes that nobody answered.
    pub probes_failed: u64,
    /// Probes that only a stream could answer: a sign that datagrams do not get through.
    pub probes_saved_by_stream: u64,
    /// Suspicions that our own probes raised.
    pub suspicions_raised: u64,
    /// Accusations against us that we refuted.
    pub refutations: u64,
    /// Times a member was declared dead by our own timer.
    pub deaths_declared: u64,
    /// User events delivered to the application.
    pub user_events: u64,
    /// Members that joined, ourselves and those that came back included.
    pub member_joins: u64,
    /// Members that left gracefully.
    pub member_leaves: u64,
    /// Members that failed.
    pub member_failures: u64,
    /// Members whose tags or address changed.
    pub member_updates: u64,
    /// Members that were forgotten.
    pub member_reaps: u64,
    /// Members that came back within the flap timeout of their failure.
    pub member_flaps: u64,
    /// Answers to our probes whose coordinate or round-trip time was out of bounds.
    pub coordinates_rejected: u64,
    /// Answers to our probes that took no time at all.
    pub coordinates_zero_rtt: u64,
    /// Times our own coordinate went out of bounds and we began anew at the origin.
    pub coordinate_resets: u64,
    /// Queries delivered to the application.
    pub queries: u64,
    /// Acknowledgements of our queries, each member's once.
    pub query_acks: u64,
    /// Answers to our queries, each member's once.
    pub query_responses: u64,
    /// Acknowledgements and answers that had come before, by another way.
    pub query_duplicates: u64,
    /// Acknowledgements and answers to queries that were over, or that we never asked.
    pub query_late: u64,
    /// Answers of others that we passed on.
    pub query_relays: u64,
    /// Broadcasts thrown away because a queue was full, or because no packet of ours has room for them.
    pub broadcasts_pruned: u64,
    /// Inputs that were not used, by [`DropReason`].
    pub dropped: [u64; DropReason::ALL.len()],
}

impl Stats {
    /// How much of one kind of message was sent in datagrams.
    pub const fn sent(&self, kind: MessageKind) -> Sent {
        self.messages_out[kind as usize]
    }

    /// Counts messages that go out. Mostly many of one kind stand together, and are added at once.
    pub(crate) fn count_out<'a>(&mut self, frames: impl Iterator<Item = &'a [u8]>) {
        let (mut kind, mut run) = (MessageKind::Alive, Sent::default());
        for frame in frames {
            let next = MessageKind::of(frame);
            if next as u8 != kind as u8 {
                self.messages_out[kind as usize].add(run);
                (kind, run) = (next, Sent::default());
            }
            run.add(Sent { messages: 1, bytes: frame.len() as u64 });
        }
        self.messages_out[kind as usize].add(run);
    }

    /// How often inputs were dropped for `reason`.
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    pub(crate) fn drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
        tracing::debug!(reason = reason.name(), "input dropped");
    }
}
