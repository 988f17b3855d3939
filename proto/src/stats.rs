//! Counters. Plain integers: cheap to read, and a simulation can sum them.

mod histogram;
mod metric;
mod usage;
mod view;

use serde::{Deserialize, Serialize};

pub use self::histogram::Histogram;
pub use self::metric::Metric;
pub use self::usage::Usage;
pub use self::view::{Clocks, MemberCounts, QueueDepths};
use crate::named::named;
use crate::wire::MessageKind;

named! {
    /// Why an input was dropped. Counted in [`Stats::dropped`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[repr(u8)]
    #[non_exhaustive]
    pub enum DropReason {
        /// Checksum mismatch.
        Checksum = "checksum",
        /// A compound packet that is truncated, nested, or has an empty part.
        Compound = "compound",
        /// A message that does not decode.
        Malformed = "malformed",
        /// A frame in a codec that this node does not read.
        Codec = "codec",
        /// A message kind that is not valid in its context.
        Unexpected = "unexpected",
        /// A ping that names another node.
        NotForUs = "not_for_us",
        /// An incarnation or Lamport time that is out of range.
        OutOfRange = "absurd",
        /// Incompatible protocol versions.
        Versions = "versions",
        /// A limit of [`limits`](crate::limits) was reached.
        Limit = "limit",
        /// An alive message for a name that a node at another address holds.
        NameConflict = "name_conflict",
        /// A user event or query that is too old to tell whether it is a repeat.
        OldEvent = "old_event",
        /// A wrong or missing label.
        Label = "label",
        /// Plaintext, or data that can only be plaintext, while encryption is required.
        Unencrypted = "unencrypted",
        /// Data that no key decrypts: another key, or a forgery.
        Key = "key",
        /// Compressed data that does not inflate, or exceeds its limit.
        Inflate = "inflate",
        /// A member or a merge that the application's [`Policy`](crate::Policy) vetoed.
        Vetoed = "vetoed",
        /// A datagram, a stream or a member whose address is in none of the networks of
        /// [`cidrs_allowed`](crate::TransportOptions::cidrs_allowed).
        Network = "network",
    }
}

impl DropReason {
    /// The reason's bit in a bit set.
    pub(crate) const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// Amount of data sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sent {
    /// Number of messages.
    pub messages: u64,
    /// Their size in bytes, before compression and without framing.
    pub bytes: u64,
}

impl Sent {
    /// Adds `more` to the sums.
    pub const fn add(&mut self, more: Self) {
        self.messages += more.messages;
        self.bytes += more.bytes;
    }
}

/// Broadcasts of a queue that were removed before they were sent often enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pruned {
    /// Pruned at the queue's limit, those with the most transmits first.
    pub full: u64,
    /// Larger than our packets: sent by a member with a larger packet size.
    pub too_large: u64,
}

impl Pruned {
    /// The sum of both reasons.
    pub const fn total(self) -> u64 {
        self.full + self.too_large
    }
}

/// Declares the struct of counters together with their list, so that the two cannot get out of sync.
macro_rules! counters {
    (
        $(#[$meta:meta])*
        pub struct Stats {
            $($(#[doc = $help:literal])+ pub $name:ident: u64,)*
            ..
            $($(#[doc = $more_help:literal])+ pub $more:ident: $More:ty,)*
        }
    ) => {
        $(#[$meta])*
        pub struct Stats {
            $($(#[doc = $help])+ pub $name: u64,)*
            $($(#[doc = $more_help])+ pub $more: $More,)*
            /// Bit set of the reasons for drops since it was last taken.
            #[serde(skip)]
            pub(crate) dropped_lately: u32,
        }

        impl Stats {
            fn plain(&self) -> impl Iterator<Item = Metric> + use<> {
                [$(Metric::plain(stringify!($name), concat!($($help),+), self.$name)),*].into_iter()
            }
        }
    };
}

counters! {
    /// Counters of a node since its creation. They only grow.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[non_exhaustive]
    pub struct Stats {
        /// Received datagrams.
        pub datagrams_in: u64,
        /// Bytes of the received datagrams.
        pub bytes_in: u64,
        /// Sent datagrams.
        pub datagrams_out: u64,
        /// Bytes of the sent datagrams.
        pub bytes_out: u64,
        /// Messages in the received datagrams; the parts of a compound count separately.
        pub messages_in: u64,
        /// Received alive messages and join intents that were known already.
        pub repeats_in: u64,
        /// Bytes received on streams.
        pub stream_bytes_in: u64,
        /// Bytes written to streams.
        pub stream_bytes_out: u64,
        /// Push/pulls started by this node.
        pub push_pulls_out: u64,
        /// Push/pulls answered by this node.
        pub push_pulls_in: u64,
        /// Digests of other members that were compared.
        pub digests_compared: u64,
        /// Of those, digests that differed.
        pub digests_differed: u64,
        /// Reconciliations started by this node.
        pub reconciliations: u64,
        /// Reconciliations of other members answered by this node.
        pub reconciliations_answered: u64,
        /// Rows sent in reconciliations.
        pub rows_reconciled: u64,
        /// Reconciliations of recent user events started by this node.
        pub event_reconciliations: u64,
        /// Probes started.
        pub probes: u64,
        /// Probes without any ack.
        pub probes_failed: u64,
        /// Probes that were acked over a stream only: a sign that datagrams do not get through.
        pub probes_saved_by_stream: u64,
        /// Suspicions started by our own probes.
        pub suspicions_raised: u64,
        /// Refuted accusations of this node.
        pub refutations: u64,
        /// Members declared dead by our own suspicion timer.
        pub deaths_declared: u64,
        /// Members that joined, including this node and members that returned.
        pub member_joins: u64,
        /// Members that left gracefully.
        pub member_leaves: u64,
        /// Members that failed.
        pub member_failures: u64,
        /// Members whose tags or address changed.
        pub member_updates: u64,
        /// Members that were reaped.
        pub member_reaps: u64,
        /// Members removed at the memory limit to admit a newcomer, because they had never answered or were gone.
        pub evictions: u64,
        /// Members that returned within the flap timeout of their failure.
        pub member_flaps: u64,
        /// User events sent by this node.
        pub user_events_sent: u64,
        /// User events delivered to the application, including our own.
        pub user_events: u64,
        /// Received user events that had been received before.
        pub user_event_repeats: u64,
        /// Queries sent by this node, including internal ones.
        pub queries_asked: u64,
        /// Queries delivered to the application, including our own.
        pub queries: u64,
        /// Received queries that had been received before.
        pub query_repeats: u64,
        /// Acks of our queries, once per member.
        pub query_acks: u64,
        /// Responses to our queries, once per member.
        pub query_responses: u64,
        /// Queries with acks that reached their deadline before all expected members had acked.
        pub disseminations_incomplete: u64,
        /// Received acks that had been received before.
        pub query_duplicate_acks: u64,
        /// Received responses that had been received before.
        pub query_duplicate_responses: u64,
        /// Received acks and responses of queries that had ended or were never sent.
        pub query_late: u64,
        /// Large answers that members offered to our queries, once per member.
        pub query_offers: u64,
        /// Of those, answers that were fetched. They count as responses, too, unless they are dropped.
        pub query_fetches: u64,
        /// Of those, answers that could not be fetched, or were too large.
        pub query_fetches_failed: u64,
        /// Large answers of this node that members fetched.
        pub query_answers_served: u64,
        /// Responses of other members that this node relayed.
        pub query_relays: u64,
        /// Probe acks that updated our coordinate.
        pub coordinate_updates: u64,
        /// Total distance that our coordinate has moved, in nanoseconds: the sum of the distances between the positions
        /// before and after each update.
        pub coordinate_moved_nanos: u64,
        /// Probe acks whose coordinate or round-trip time was out of range.
        pub coordinates_rejected: u64,
        /// Probe acks with a round-trip time of zero.
        pub coordinates_zero_rtt: u64,
        /// Resets of our coordinate to the origin, because it was out of range.
        pub coordinate_resets: u64,
        ..
        /// Messages in sent datagrams, by kind; see [`Stats::sent`].
        pub messages_out: [Sent; MessageKind::ALL.len()],
        /// Pruned join and leave intents.
        pub intents_pruned: Pruned,
        /// Pruned queries.
        pub queries_pruned: Pruned,
        /// Pruned user events.
        pub events_pruned: Pruned,
        /// Dropped inputs, by [`DropReason`]; see [`Stats::dropped`].
        pub dropped: [u64; DropReason::ALL.len()],
        /// Round trips of our probes that were acked directly, by a datagram within the probe timeout.
        pub probe_round_trips: Histogram,
        /// Times from a query of this node until a member acked it, per member. This node is left out.
        pub dissemination_times: Histogram,
        /// Times from a query of this node until the last of the expected members had acked it.
        pub dissemination_all_times: Histogram,
    }
}

impl Stats {
    /// Amount of one kind of message that was sent in datagrams.
    pub const fn sent(&self, kind: MessageKind) -> Sent {
        self.messages_out[kind as usize]
    }

    /// Counts outgoing messages. Runs of one kind are summed up and added at once.
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

    /// The total of pruned broadcasts, over all queues and reasons.
    pub const fn broadcasts_pruned(&self) -> u64 {
        self.intents_pruned.total() + self.queries_pruned.total() + self.events_pruned.total()
    }

    /// All counters with their names and help texts, for display or export. Those of one name are adjacent and differ
    /// in their label.
    ///
    /// ```
    /// # use serf_proto::Stats;
    /// for counter in Stats::default().counters() {
    ///     match counter.label {
    ///         Some((label, value)) => println!("serf_{}_total{{{label}={value:?}}} {}", counter.name, counter.value),
    ///         None => println!("serf_{}_total {}", counter.name, counter.value),
    ///     }
    /// }
    /// ```
    pub fn counters(&self) -> impl Iterator<Item = Metric> + use<> {
        self.plain().chain(self.by_kind()).chain(self.by_queue()).chain(self.by_reason())
    }

    fn by_kind(&self) -> impl Iterator<Item = Metric> + use<> {
        let of = |name, help, kind: MessageKind, value| Metric::labelled(name, help, ("kind", kind.name()), value);
        let messages = MessageKind::ALL
            .map(|kind| of("messages_out", "Messages in the sent datagrams.", kind, self.sent(kind).messages));
        let bytes = MessageKind::ALL.map(|kind| {
            let help = "Bytes of those messages, before compression and without the packet layers.";
            of("messages_out_bytes", help, kind, self.sent(kind).bytes)
        });
        messages.into_iter().chain(bytes)
    }

    fn by_queue(&self) -> impl Iterator<Item = Metric> + use<> {
        let queues =
            [("intents", self.intents_pruned), ("queries", self.queries_pruned), ("events", self.events_pruned)];
        let full = queues.map(|(queue, pruned)| {
            let help = "Broadcasts dropped because their queue was full.";
            Metric::labelled("broadcasts_pruned_full", help, ("queue", queue), pruned.full)
        });
        let too_large = queues.map(|(queue, pruned)| {
            let help = "Broadcasts dropped because they do not fit into a packet.";
            Metric::labelled("broadcasts_pruned_too_large", help, ("queue", queue), pruned.too_large)
        });
        full.into_iter().chain(too_large)
    }

    fn by_reason(&self) -> impl Iterator<Item = Metric> + use<> {
        let dropped = DropReason::ALL.map(|reason| {
            Metric::labelled("dropped", "Dropped inputs.", ("reason", reason.name()), self.dropped(reason))
        });
        dropped.into_iter()
    }

    /// Number of inputs dropped for `reason`.
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    pub(crate) fn drop(&mut self, reason: DropReason) {
        self.dropped_lately |= reason.bit();
        self.drop_expected(reason);
    }

    /// Counts a drop that healthy peers cause too, so that no complaint is made.
    pub(crate) fn drop_expected(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
        tracing::debug!(reason = reason.name(), "input dropped");
    }

    /// Counts `count` such drops with one log record: a few compressed bytes can expand to millions of them.
    pub(crate) fn drop_many_expected(&mut self, reason: DropReason, count: u64) {
        self.dropped[reason as usize] += count;
        tracing::debug!(reason = reason.name(), count, "inputs dropped");
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn every_counter_is_listed_once_with_its_value_and_what_it_counts() {
        let mut stats = Stats { probes: 7, query_acks: 9, ..Stats::default() };
        stats.messages_out[MessageKind::Join as usize] = Sent { messages: 3, bytes: 40 };
        stats.queries_pruned = Pruned { full: 1, too_large: 2 };
        stats.drop(DropReason::Inflate);
        let counters: Vec<Metric> = stats.counters().collect();
        let names: BTreeSet<_> = counters.iter().map(|counter| (counter.name, counter.label)).collect();
        assert_eq!(names.len(), counters.len(), "no two are the same");
        assert!(counters.iter().all(|counter| counter.help.ends_with('.') && !counter.help.starts_with(' ')));
        let nonzero: BTreeSet<_> = counters
            .iter()
            .filter(|counter| counter.value > 0)
            .map(|counter| (counter.name, counter.label.map(|(_, value)| value), counter.value))
            .collect();
        let expected = [
            ("broadcasts_pruned_full", Some("queries"), 1),
            ("broadcasts_pruned_too_large", Some("queries"), 2),
            ("dropped", Some("inflate"), 1),
            ("messages_out", Some("join"), 3),
            ("messages_out_bytes", Some("join"), 40),
            ("probes", None, 7),
            ("query_acks", None, 9),
        ];
        assert_eq!(nonzero, expected.into());
    }
}
