//! Every bound that more than one module knows, with its unit, its origin and what happens at it.

/// Encoded metadata (tags) of a member, in bytes. Origin: `MetaMaxSize` in memberlist. Checked for our own tags;
/// more from a peer is refused and counted as malformed.
pub const META_BYTES_MAX: usize = 512;

/// A node's name, in bytes. Ours: memberlist has no bound, but a name beyond the packet budget could never be
/// gossiped. Longer names from a peer are refused and counted as malformed.
pub const NAME_BYTES_MAX: usize = 255;

/// The name of a user event together with its payload, in bytes, whatever the configuration says. Origin:
/// `UserEventSizeLimit` in serf.
pub const USER_EVENT_BYTES_MAX: usize = 9 * 1024;

/// One message on a stream, in bytes. Origin: `maxPushStateBytes` in memberlist. A longer one closes the stream.
pub const STREAM_MESSAGE_BYTES_MAX: usize = 20 * 1024 * 1024;

/// Member states in one push/pull. Origin: memberlist's limit since v0.6. More closes the stream.
pub const PUSH_PULL_NODES_MAX: usize = 1 << 20;

/// Streams that peers have opened to us and that are not finished, whether they have said anything or not. Origin: ours.
/// memberlist refuses the 128th concurrent push/pull and has no limit for streams that say nothing, so that idle ones keep
/// nobody out. One more is refused at accept.
pub const STREAMS_INBOUND_MAX: usize = 512;

/// Messages in one compound packet: its count is one byte.
pub const COMPOUND_PARTS_MAX: usize = 255;

/// Pings and requests for pings in one packet that are answered. Ours: HashiCorp's nodes and ours put one into a packet, and more
/// would make us an amplifier for whoever forges the sender. More are refused and counted.
pub const ANSWERS_PER_PACKET_MAX: u32 = 1;

/// Bytes of the buffer in which one packet is composed: the largest UDP payload.
pub const PACKET_BYTES_MAX: usize = 65_507;

/// Probes that we relay for others at one time. Ours: each holds a timer. One more is refused and counted.
pub const RELAYS_MAX: usize = 1024;

/// Members and names that one node remembers at one time. Ours, at memberlist's bound on one push/pull, so that
/// a hostile peer cannot grow our tables without end. One more is ignored and counted.
pub const MEMBERS_MAX: usize = PUSH_PULL_NODES_MAX;

/// What the members that one node remembers cost, in bytes: for each 160, three times its name and once its metadata, which
/// is no less than what stands of it in a push/pull in HashiCorp's codec, and a third or more of what it takes in memory. Ours: two
/// MiB less than [`STREAM_MESSAGE_BYTES_MAX`], so that all that a node knows can always be told. Enough for 25 000 members with names of
/// 20 bytes and the longest tags. Beyond, a newcomer must answer a ping, and displaces a member that never answered us; see
/// `swim/room.rs`.
pub const MEMBERS_BYTES_MAX: usize = STREAM_MESSAGE_BYTES_MAX - 2 * 1024 * 1024;

/// What names cost of which nothing else is known, of intents that have overtaken the member, in bytes: for each 64 and itself. Ours.
/// Intents of more are dropped and counted.
pub const NAMES_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Failed members whose addresses a snapshot keeps, to rejoin through when nobody else answers. Ours: serf keeps none.
/// Beyond, the oldest is forgotten.
pub const FAILED_REMEMBERED_MAX: usize = 64;

/// A regular expression, in bytes. Ours: the default limit of a whole query in serf. A longer one matches nobody.
pub const PATTERN_BYTES_MAX: usize = 1024;

/// A compiled regular expression, in bytes. Ours: RE2's own limit is for servers, and a peer may send us one in every packet. A
/// larger one matches nobody.
pub const PATTERN_PROGRAM_BYTES_MAX: usize = 256 * 1024;

/// How far ahead of our clock a Lamport time from a peer may be before it is refused, so that no peer can wrap
/// everybody's clock.
pub const LAMPORT_AHEAD_MAX: u64 = 1 << 32;

/// The greatest Lamport time: times share a word with other fields of a member's row.
pub const LAMPORT_TIME_MAX: u64 = (1 << 52) - 1;

/// How far above a member's last alive message an accusation of it may be, and about how far accusations may raise our own
/// incarnation within a probe interval. Ours: memberlist has no bound, and at the greatest number nothing can be refuted any more.
/// More is refused and counted as absurd; about ourselves whoever says so is asked for its states.
pub const INCARNATION_AHEAD_MAX: u32 = 1 << 10;

/// A cluster's label, in bytes: its length is one byte. Origin: `LabelMaxSize` in memberlist. A longer one is refused
/// by the configuration.
pub const LABEL_BYTES_MAX: usize = 255;

/// Keys in one keyring. Ours: a packet that no key opens costs time for each. One more is refused.
pub const KEYS_MAX: usize = 32;

/// What all that a compressed packet inflates to may have, in bytes. Ours: the largest packet that a socket delivers. HashiCorp's
/// nodes fill packets before they compress them; their own limit is 40 MiB. More is refused and counted before
/// it is written anywhere.
pub const PACKET_INFLATED_BYTES_MAX: usize = 1 << 16;

/// What a compressed message on a stream may inflate to, in bytes. Origin: twice `maxPushStateBytes` in memberlist. More
/// closes the stream.
pub const STREAM_INFLATED_BYTES_MAX: usize = 2 * STREAM_MESSAGE_BYTES_MAX;
/// Queries of our own that are under way at one time. Ours; one more is refused.
pub const QUERIES_ASKED_MAX: usize = 1024;

/// Queries of others that can still be answered, at one time. Ours: the oldest is forgotten for one more.
pub const QUERIES_OPEN_MAX: usize = 1024;
