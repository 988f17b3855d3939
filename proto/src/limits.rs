//! Limits that more than one module uses, each with its unit, its origin, and the behaviour at the limit.

use core::time::Duration;

/// Encoded metadata (tags) of a member, in bytes. Origin: `MetaMaxSize` in memberlist. Checked for our own tags; a
/// peer's larger metadata is dropped as malformed.
pub const META_BYTES_MAX: usize = 512;

/// A node's name, in bytes. Ours: memberlist has no limit, but a name beyond the packet size could never be gossiped. A
/// peer's longer name is dropped as malformed.
pub const NAME_BYTES_MAX: usize = 255;

/// Name and payload of a user event, in bytes; an upper bound for the configured limit. Origin: `UserEventSizeLimit` in
/// serf.
pub const USER_EVENT_BYTES_MAX: usize = 9 * 1024;

/// A message of the Serf layer, in bytes, in a packet or on a stream. Origin: HashiCorp's nodes send them in packets
/// only, whatever their configured limits. Longer ones are dropped.
pub const SERF_MESSAGE_BYTES_MAX: usize = PACKET_BYTES_MAX;

/// Buffer of recent user events, for detecting repeats and for informing newcomers, in bytes: names, payloads, and
/// [`ITEM_BYTES`] per event. Origin: serf buffers 512 by default, of at most 9 KiB. At the limit the oldest are
/// evicted; events as old as those are dropped as old.
pub const EVENT_RING_BYTES_MAX: usize = 512 * (USER_EVENT_BYTES_MAX + ITEM_BYTES);

/// User events in a push/pull. Ours: twice what our nodes buffer. A state with more is malformed.
pub const PUSH_PULL_EVENTS_MAX: usize = 1 << 16;

/// Queue of user events, or of queries, in bytes: the messages, and [`ITEM_BYTES`] per message. Ours: about the 4096
/// messages of serf's `MaxQueueDepth` at the packet size of a LAN. At the limit those with the most transmits are
/// pruned and counted.
pub const BROADCAST_QUEUE_BYTES_MAX: usize = 8 << 20;

/// Buffered intents for members that are not known yet. Ours: each has a place in the roster. Further ones are dropped.
pub const EARLY_INTENTS_MAX: usize = 1 << 16;

/// Names of those intents, in bytes, plus [`ITEM_BYTES`] per intent. Ours. Further ones are dropped.
pub const EARLY_INTENTS_BYTES_MAX: usize = 8 << 20;

/// User events held by a coalescer, in bytes, plus [`ITEM_BYTES`] per event. Ours: serf has no limit. At the limit the
/// coalescer flushes at once.
pub const COALESCED_BYTES_MAX: usize = 4 << 20;

/// Estimated overhead of an item in these collections, in bytes. Ours.
pub const ITEM_BYTES: usize = 96;

/// Keys accepted from one member's answer to a list. Ours: packets of HashiCorp's nodes hold fewer. The rest is
/// ignored.
pub const KEYS_LISTED_MAX: usize = 1024;

/// A message on a stream, in bytes. Origin: `maxPushStateBytes` in memberlist. A longer one closes the stream.
pub const STREAM_MESSAGE_BYTES_MAX: usize = 20 * 1024 * 1024;

/// Member states in a push/pull. Origin: memberlist's limit since v0.6. More close the stream.
pub const PUSH_PULL_NODES_MAX: usize = 1 << 20;

/// Open inbound streams, idle ones included. Ours: memberlist refuses the 128th concurrent push/pull, and does not
/// limit idle streams. At the limit the slowest stream is evicted and counted, so that idle streams cannot block a
/// peer.
pub const STREAMS_INBOUND_MAX: usize = 512;

/// Open inbound streams per source: an IPv4 address, or an IPv6 /64, the usual allocation of one host. Ours: half of
/// all streams, so that one source leaves room for others, while hundreds of nodes on one host or behind one NAT can
/// join at once. At the limit the slowest stream of that source is evicted and counted.
pub const STREAMS_PER_SOURCE_MAX: usize = STREAMS_INBOUND_MAX / 2;

/// How long an inbound stream may be idle. Ours: the request follows the handshake at once, and 2 s allow for one
/// retransmission. A stream that is idle for longer is closed.
pub const STREAM_SILENT_MAX: Duration = Duration::from_secs(2);

/// Buffered bytes of incomplete messages on all streams, in both directions, as received: their content is not
/// authenticated yet. Ours: room for three messages of [`STREAM_MESSAGE_BYTES_MAX`], so that an honest one fits beside
/// hostile ones. At the limit the stream that has held the most for the longest is evicted and counted.
pub const STREAMS_UNFINISHED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Concurrent seeds of one join. Ours: serf contacts one at a time. Each takes a socket, and a list may have thousands.
/// Another is contacted when one has answered or failed.
pub const SEEDS_AT_ONCE_MAX: usize = 16;

/// Concurrent seeds of all joins. Ours, to bound the sockets of concurrent joins. The join with the fewest pending
/// seeds goes next.
pub const SEEDS_AT_ONCE_TOTAL_MAX: usize = 64;

/// Messages in one compound packet: its count is one byte.
pub const COMPOUND_PARTS_MAX: usize = 255;

/// Pings and indirect pings per packet that are answered. Ours: HashiCorp's nodes and ours send one per packet. More
/// would allow amplification towards a forged source address. Further ones are dropped.
pub const ANSWERS_PER_PACKET_MAX: u32 = 1;

/// Size of a packet buffer, in bytes: the largest UDP payload.
pub const PACKET_BYTES_MAX: usize = 65_507;

/// Peers with open complaints. Each costs a line at the start, summaries, and a line at the end. Ours, against floods
/// of forged sources. Further peers are summarised in one line per kind of complaint.
pub const COMPLAINT_PEERS_MAX: usize = 64;

/// Peers with open complaints of one kind, so that a flood of one kind does not hide the others.
pub const COMPLAINT_PEERS_OF_ONE_KIND_MAX: usize = 16;

/// Text that a complaint quotes from the peer or the operating system, in bytes. Ours. The rest is cut.
pub const COMPLAINT_DETAIL_BYTES_MAX: usize = 200;

/// Concurrent relayed pings. Ours: each holds a timer. Further ones are dropped.
pub const RELAYS_MAX: usize = 1024;

/// Members and names that a node remembers. Ours, equal to memberlist's limit on a push/pull, so that a hostile peer
/// cannot grow the tables without bound. Further ones are dropped.
pub const MEMBERS_MAX: usize = PUSH_PULL_NODES_MAX;

/// Zones that a node distinguishes. Ours: no cluster has as many, and each tag of a hostile peer could name another.
/// Members of further ones count as one far zone.
pub const ZONES_MAX: usize = 256;

/// Memory cost of all members that a node remembers, in bytes. A member costs 160, three times its name, and once its
/// metadata. That is at least its size in a push/pull in HashiCorp's codec, and at least a third of its size in memory.
/// Ours: two MiB below [`STREAM_MESSAGE_BYTES_MAX`], so that the full state always fits into a push/pull. Enough for 25
/// 000 members with names of 20 bytes and maximum tags. At the limit a newcomer must answer a ping, and evicts a member
/// that never answered us; see `swim/admission.rs`.
pub const MEMBERS_BYTES_MAX: usize = STREAM_MESSAGE_BYTES_MAX - 2 * 1024 * 1024;

/// Failed members whose addresses a snapshot keeps as a last resort for a rejoin. Ours: serf keeps none. At the limit
/// the oldest is evicted.
pub const FAILED_REMEMBERED_MAX: usize = 64;

/// A regular expression, in bytes. Ours: serf's default limit of a whole query. A longer one matches no node.
pub const PATTERN_BYTES_MAX: usize = 1024;

/// A compiled regular expression, in bytes. Ours: RE2's own limit is meant for servers, and a peer may send an
/// expression in every packet. A larger one matches no node. Unicode's classes of letters and numbers fit, and so do
/// dots repeated up to 64 times.
pub const PATTERN_PROGRAM_BYTES_MAX: usize = 40 * 1024;

/// A compiled regular expression that counts as small, in bytes. Ours: nearly all take less than 2 KiB.
pub const PATTERN_PROGRAM_BYTES_SMALL: usize = 4 * 1024;

/// Characters in the wide sets of a case-insensitive regular expression. Ours: case folding costs a few nanoseconds for
/// each. Unicode's letters and numbers fit. An expression with more matches no node.
pub const PATTERN_WIDE_CHARS_MAX: usize = 320_000;

/// Wide sets in a regular expression. Ours: each takes time to compile. An expression with more matches no node.
pub const PATTERN_WIDE_SETS_MAX: usize = 16;

/// Repetitions and alternatives in a regular expression. Ours: the compile time is quadratic in them if they can be
/// empty. An expression with more matches no node.
pub const PATTERN_OPERATORS_MAX: usize = 128;

/// Filters of a query: one for names, and one per tag. Ours: serf has no limit, and each costs time at every member. A
/// question with more is an error; a received query with more is dropped.
pub const QUERY_FILTERS_MAX: usize = 16;

/// Large expressions in a query, of [`PATTERN_PROGRAM_BYTES_SMALL`] or more. Ours, as for filters. All expressions of a
/// query together have at most [`PATTERN_BYTES_MAX`].
pub const QUERY_PATTERNS_LARGE_MAX: usize = 2;

/// Characters in the wide sets of all case-insensitive expressions of a query. Ours, as for filters.
pub const QUERY_PATTERNS_WIDE_MAX: usize = PATTERN_WIDE_CHARS_MAX;

/// Burst of the budget for compiling other nodes' expressions, in units: one per small expression, plus one per 16
/// operators or two wide sets; eight for a large one. Ours: a packet may hold hundreds of queries. Beyond the budget a
/// query matches no node, and is counted; cached expressions cost nothing.
pub const PATTERN_UNITS_BURST: u32 = 64;

/// Refill rate of that budget, in units per second. Ours: about 2 % of a slow processor.
pub const PATTERN_UNITS_PER_SEC: u32 = 256;

/// The timeout of a query. Ours: serf has no limit, and a query with a timeout of a year would stay open for a year. A
/// longer question is an error; a received query is open for at most this long.
pub const QUERY_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// How far a peer's Lamport time may be ahead of ours at full budget. Ours: HashiCorp's nodes follow any step, so one
/// message can exhaust their clocks, and we must be able to follow what they have followed. A time further ahead is
/// dropped as out of range; a push/pull is followed as far as the budget allows. Two nodes of the same history converge
/// within `LAMPORT_BURST_MAX` / [`LAMPORT_RATE_PER_SEC`] = 256 s.
pub const LAMPORT_BURST_MAX: u64 = 1 << 34;

/// Refill rate of a Lamport clock's budget, in ticks per second. Ours: no cluster sends 67 million events per second,
/// and at this rate an attack needs two years to reach [`LAMPORT_TIME_MAX`].
pub const LAMPORT_RATE_PER_SEC: u64 = 1 << 26;

/// The first join adopts the cluster's clocks up to this time, whatever the budget. Ours: a new node must accept the
/// clocks of a cluster under long attack; a year of attack remains above it. A greater time is dropped as out of range.
pub const LAMPORT_JOIN_MAX: u64 = 1 << 51;

/// The greatest Lamport time. Times share a word with other fields of a member's row.
pub const LAMPORT_TIME_MAX: u64 = (1 << 52) - 1;

/// How far an accusation may be above the member's last alive message, and about how much accusations may raise our own
/// incarnation per probe interval. Ours: memberlist has no limit, and at `u32::MAX` nothing can be refuted. Higher
/// accusations are dropped; a member that sends one about us is asked for its state.
pub const INCARNATION_AHEAD_MAX: u32 = 1 << 10;

/// A cluster's label, in bytes; its length is one byte. Origin: `LabelMaxSize` in memberlist. A longer one is a
/// configuration error.
pub const LABEL_BYTES_MAX: usize = 255;

/// Keys in a keyring. Ours: a packet that no key opens costs time per key. Further keys are refused.
pub const KEYS_MAX: usize = 32;

/// Inflated size of a compressed packet, in bytes. Ours: the largest UDP payload. HashiCorp's nodes fill packets before
/// they compress; their own limit is 40 MiB. A larger one is dropped before anything is written.
pub const PACKET_INFLATED_BYTES_MAX: usize = 1 << 16;

/// Inflated size of a compressed message on a stream, in bytes. Origin: twice `maxPushStateBytes` in memberlist. A
/// larger one closes the stream.
pub const STREAM_INFLATED_BYTES_MAX: usize = 2 * STREAM_MESSAGE_BYTES_MAX;

/// Inflated size that any compressed message on a stream may have, in bytes; beyond it [`STREAM_INFLATION_MAX`]
/// applies. Ours: LZW reaches 1280:1, so 16 KiB on the wire could cost the time of 20 MiB. An honest state reaches a
/// high ratio only with its buffer of 512 user events of 9 KiB: 4.6 MiB if all payloads are zeros.
pub const STREAM_INFLATED_FREE_BYTES: usize = 5 << 20;

/// Inflated bytes per compressed byte of a stream message, beyond [`STREAM_INFLATED_FREE_BYTES`]. Ours: members that
/// differ only in name and address compress about 50:1. A higher ratio closes the stream.
pub const STREAM_INFLATION_MAX: usize = 64;

/// Open queries of this node. Ours. Further ones are refused.
pub const QUERIES_ASKED_MAX: usize = 1024;

/// Open queries of other nodes. Ours. A new one evicts the oldest.
pub const QUERIES_OPEN_MAX: usize = 1024;

/// A large answer to a query, in bytes; an upper bound for the configured limit. Ours: sixteen times the default. One is
/// held at the responder until the query's deadline, and several are buffered at the requester.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Large answers that a node holds until the deadlines of their queries, in bytes. Ours: 64 of the default limit. At the
/// limit those that were fetched once are forgotten, then a further one is refused.
pub const ANSWERS_HELD_BYTES_MAX: usize = 4 << 20;

/// Those that one requester has not fetched, in bytes. Ours: a quarter, so that a requester that fetches none leaves room
/// for others. A further one is refused.
pub const ANSWERS_HELD_FOR_ONE_BYTES_MAX: usize = ANSWERS_HELD_BYTES_MAX / 4;

/// Concurrent fetches of large answers, over all queries of a node. Ours: each takes a stream and a buffer. Further offers
/// wait.
pub const FETCHES_MAX: usize = 32;

/// Concurrent fetches of large answers for one query. Ours: half of all, so that one query leaves room for others.
pub const FETCHES_PER_QUERY_MAX: usize = FETCHES_MAX / 2;

/// Tries to fetch one large answer. Ours: a loaded responder may close a stream, and a forged offer comes before there is
/// an answer. Then the member counts as silent.
pub const FETCH_TRIES_MAX: u32 = 12;

/// The pause after the first failure of a fetch; it doubles with each further one. Ours.
pub const FETCH_PAUSE: Duration = Duration::from_millis(100);

/// Answers that one query accepts, in bytes. Ours: 4096 large ones of the default limit. An application that collects all
/// answers needs as much memory. Further ones are dropped.
pub const QUERY_ANSWERS_BYTES_MAX: usize = 256 << 20;

/// Answers that all running queries of a node accept, in bytes. Ours. Further ones are dropped.
pub const ANSWERS_BYTES_MAX: usize = 2 * QUERY_ANSWERS_BYTES_MAX;

/// Buckets of a reconciliation, as a power of two. Ours: at 5000 members a bucket has 20 rows, and the hashes of all
/// buckets fit into one packet.
pub const BUCKETS_BITS_MAX: u32 = 8;

/// Lamport times in the digest of recent user events. Ours: a node that missed more is behind by more than a burst, and
/// gets the rest from a push/pull.
pub const EVENT_WINDOW_TIMES_MAX: u8 = 64;

/// Hashes of user events in one message. Ours: one packet. A node with more events in the window sends the newest.
pub const EVENT_HASHES_MAX: usize = 256;
