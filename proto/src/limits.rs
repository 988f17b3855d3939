//! Every bound that more than one module knows, with its unit, its origin and what happens at it.

use core::time::Duration;

/// Encoded metadata (tags) of a member, in bytes. Origin: `MetaMaxSize` in memberlist. Checked for our own tags;
/// more from a peer is refused and counted as malformed.
pub const META_BYTES_MAX: usize = 512;

/// A node's name, in bytes. Ours: memberlist has no bound, but a name beyond the packet budget could never be
/// gossiped. Longer names from a peer are refused and counted as malformed.
pub const NAME_BYTES_MAX: usize = 255;

/// The name of a user event together with its payload, in bytes, whatever the configuration says. Origin:
/// `UserEventSizeLimit` in serf.
pub const USER_EVENT_BYTES_MAX: usize = 9 * 1024;

/// One message of the Serf layer, in bytes, in a packet or on a stream. Origin: HashiCorp's nodes send them in packets only, whatever
/// limits they are configured with. A longer one is refused and counted.
pub const SERF_MESSAGE_BYTES_MAX: usize = PACKET_BYTES_MAX;

/// The user events that a node remembers, to know one that comes again and to tell newcomers, in bytes: names, payloads and
/// [`ITEM_BYTES`] for each. Origin: serf remembers 512 by default, of 9 KiB at the most. For more the oldest are forgotten, and
/// what is as old as they is refused and counted as an old event.
pub const EVENT_RING_BYTES_MAX: usize = 512 * (USER_EVENT_BYTES_MAX + ITEM_BYTES);

/// User events in one push/pull. Ours: twice of what a node of ours remembers. More makes the state malformed.
pub const PUSH_PULL_EVENTS_MAX: usize = 1 << 16;

/// User events, or queries, that wait to be gossiped, in bytes: the messages and [`ITEM_BYTES`] for each. Ours: about the 4096
/// messages of `MaxQueueDepth` in serf as they fit into packets of a LAN. For more those sent most often are thrown away and counted.
pub const BROADCAST_QUEUE_BYTES_MAX: usize = 8 << 20;

/// Intents that wait for members that we do not know yet. Ours: each takes a place in the roster. One more is refused and counted.
pub const EARLY_INTENTS_MAX: usize = 1 << 16;

/// The names of those intents, in bytes, with [`ITEM_BYTES`] for each. Ours. One more is refused and counted.
pub const EARLY_INTENTS_BYTES_MAX: usize = 8 << 20;

/// User events that a coalescer holds back, in bytes, with [`ITEM_BYTES`] for each. Ours: serf has no bound. What makes it more
/// closes the window at once.
pub const COALESCED_BYTES_MAX: usize = 4 << 20;

/// What an item in one of these collections takes besides its text. Ours, about.
pub const ITEM_BYTES: usize = 96;

/// Keys that are taken of one member's answer when keys are listed. Ours: a packet of HashiCorp's nodes holds fewer. The rest is left out.
pub const KEYS_TOLD_MAX: usize = 1024;

/// One message on a stream, in bytes. Origin: `maxPushStateBytes` in memberlist. A longer one closes the stream.
pub const STREAM_MESSAGE_BYTES_MAX: usize = 20 * 1024 * 1024;

/// Member states in one push/pull. Origin: memberlist's limit since v0.6. More closes the stream.
pub const PUSH_PULL_NODES_MAX: usize = 1 << 20;

/// Streams that peers have opened to us and that are not finished, whether they have said anything or not. Origin: ours.
/// memberlist refuses the 128th concurrent push/pull and has no limit for streams that say nothing, so that idle ones keep
/// nobody out. For one more the slowest is closed and counted, so that no number of idle streams keeps a peer out.
pub const STREAMS_INBOUND_MAX: usize = 512;

/// Of those, the streams of one source: an IPv4 address, or an IPv6 /64, which is what one host usually has for itself. Ours:
/// half, so that one source leaves room for the others, and hundreds of nodes on one host or behind one NAT can still join
/// at once. For one more the slowest of that source is closed and counted.
pub const STREAMS_PER_SOURCE_MAX: usize = STREAMS_INBOUND_MAX / 2;

/// How long a stream that a peer has opened may be silent. Ours: the request follows the handshake at once; 2 s are enough for
/// one retransmission of it. A stream that is silent for longer is closed.
pub const STREAM_SILENT_MAX: Duration = Duration::from_secs(2);

/// What all unfinished messages on streams together may have, in bytes, in both directions and as they came: nothing in them
/// is authenticated. Ours: three of the longest fit, so that an honest one of
/// [`STREAM_MESSAGE_BYTES_MAX`] has room beside hostile ones. Beyond, the stream is closed and counted that holds the
/// most for the longest.
pub const STREAMS_UNFINISHED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Seeds of one join that are asked at one time. Ours: serf asks one after the other; each takes a socket, and a list may have
/// thousands. The next is asked when one has answered or failed.
pub const SEEDS_AT_ONCE_MAX: usize = 16;

/// Seeds of all joins together that are asked at one time. Ours, so that many joins at once take no more sockets than a few. The
/// join that waits for the fewest asks next.
pub const SEEDS_AT_ONCE_TOTAL_MAX: usize = 64;

/// Messages in one compound packet: its count is one byte.
pub const COMPOUND_PARTS_MAX: usize = 255;

/// Pings and requests for pings in one packet that are answered. Ours: HashiCorp's nodes and ours put one into a packet, and more
/// would make us an amplifier for an attacker that forges the sender. More are refused and counted.
pub const ANSWERS_PER_PACKET_MAX: u32 = 1;

/// Bytes of the buffer in which one packet is composed: the largest UDP payload.
pub const PACKET_BYTES_MAX: usize = 65_507;

/// Peers that the log complains of at one time, each with a line when it begins, summaries, and a line at the end. Ours, against
/// floods of forged sources. Those beyond are counted together, in one line for each kind of complaint.
pub const COMPLAINT_PEERS_MAX: usize = 64;

/// The same for one kind of complaint, so that a flood of one does not hide the others.
pub const COMPLAINT_PEERS_OF_ONE_KIND_MAX: usize = 16;

/// What a line of complaint quotes of the peer or of the operating system, in bytes. Ours. The rest is cut off.
pub const COMPLAINT_DETAIL_BYTES_MAX: usize = 200;

/// Probes that we relay for others at one time. Ours: each holds a timer. One more is refused and counted.
pub const RELAYS_MAX: usize = 1024;

/// Members and names that one node remembers at one time. Ours, at memberlist's bound on one push/pull, so that
/// a hostile peer cannot grow our tables without end. One more is ignored and counted.
pub const MEMBERS_MAX: usize = PUSH_PULL_NODES_MAX;

/// What the members that one node remembers cost, in bytes: for each 160, three times its name and once its metadata, which
/// is no less than what stands of it in a push/pull in HashiCorp's codec, and a third or more of what it takes in memory. Ours: two
/// MiB less than [`STREAM_MESSAGE_BYTES_MAX`], so that all that a node knows always fits into a push/pull. Enough for 25 000 members with names of
/// 20 bytes and the longest tags. Beyond, a newcomer must answer a ping, and displaces a member that never answered us; see
/// `swim/room.rs`.
pub const MEMBERS_BYTES_MAX: usize = STREAM_MESSAGE_BYTES_MAX - 2 * 1024 * 1024;

/// Failed members whose addresses a snapshot keeps, to rejoin through when nobody else answers. Ours: serf keeps none.
/// Beyond, the oldest is forgotten.
pub const FAILED_REMEMBERED_MAX: usize = 64;

/// A regular expression, in bytes. Ours: the default limit of a whole query in serf. A longer one matches nobody.
pub const PATTERN_BYTES_MAX: usize = 1024;

/// A compiled regular expression, in bytes. Ours: RE2's own limit is for servers, and a peer may send us one in every packet. A
/// larger one matches no node. The classes of letters and numbers of Unicode, and dots repeated up to 64 times, fit.
pub const PATTERN_PROGRAM_BYTES_MAX: usize = 40 * 1024;

/// A compiled regular expression that is not large, in bytes. Ours: nearly all take less than 2 KiB.
pub const PATTERN_PROGRAM_BYTES_SMALL: usize = 4 * 1024;

/// Characters in the wide sets of a regular expression that ignores case. Ours: each costs a few nanoseconds when the set is
/// extended by the other cases. Letters and numbers of Unicode fit. One with more matches no node.
pub const PATTERN_WIDE_CHARS_MAX: usize = 320_000;

/// Wide sets in a regular expression. Ours: each takes time to compile. One with more matches no node.
pub const PATTERN_WIDE_SETS_MAX: usize = 16;

/// Repetitions and alternatives in a regular expression. Ours: the time to compile grows with their square where they can be
/// empty. One with more matches no node.
pub const PATTERN_OPERATORS_MAX: usize = 128;

/// Filters of one query: one for names, and one for each tag. Ours: serf has no bound, and each costs time at every member. A
/// question with more is refused; a query with more is ignored and counted.
pub const QUERY_FILTERS_MAX: usize = 16;

/// Large expressions in one query, of [`PATTERN_PROGRAM_BYTES_SMALL`] or more. Ours, as for filters. All expressions of a query
/// together have at most [`PATTERN_BYTES_MAX`].
pub const QUERY_PATTERNS_LARGE_MAX: usize = 2;

/// Characters in the wide sets of all expressions of one query that ignore case. Ours, as for filters.
pub const QUERY_PATTERNS_WIDE_MAX: usize = PATTERN_WIDE_CHARS_MAX;

/// Units of work for expressions of others that may be compiled at once: one for a small expression, and one more for every 16
/// operators or two wide sets, eight for a large one. Ours: a packet may hold hundreds of queries. For what is beyond a query is
/// for nobody, and counted; expressions that were compiled a short while ago cost nothing.
pub const PATTERN_UNITS_BURST: u32 = 64;

/// How many of these units come back, a second. Ours: about 2 % of a slow processor.
pub const PATTERN_UNITS_PER_SEC: u32 = 256;

/// How long a query can be answered. Ours: serf has no bound, and a query of a year takes a place among those under way for a year. A
/// question with more is refused; a query with more is answered until then.
pub const QUERY_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// How far ahead of our clock a Lamport time from a peer may be when its budget is whole, in times. Ours: HashiCorp's nodes follow
/// any step, so that their whole time can be used up by one message; what they have followed we must be able to follow. One
/// further ahead is refused and counted as absurd; a push/pull is followed as far as the budget goes. Two nodes of the same
/// history come together within `LAMPORT_BURST_MAX` / [`LAMPORT_RATE_PER_SEC`] = 256 s.
pub const LAMPORT_BURST_MAX: u64 = 1 << 34;

/// How much of the budget of a Lamport clock comes back, in times a second. Ours: no cluster sends 67 million events a second, and
/// at this rate it takes two years of attack to use up [`LAMPORT_TIME_MAX`].
pub const LAMPORT_RATE_PER_SEC: u64 = 1 << 26;

/// The first join that reaches a member takes over the cluster's clocks if they are below this, whatever the budget. Ours: a node that
/// starts must believe the cluster, which may have been driven for long; a year of attack is left above it. A greater
/// time is refused and counted as absurd.
pub const LAMPORT_JOIN_MAX: u64 = 1 << 51;

/// The greatest Lamport time: times share a word with other fields of a member's row.
pub const LAMPORT_TIME_MAX: u64 = (1 << 52) - 1;

/// How far above a member's last alive message an accusation of it may be, and about how far accusations may raise our own
/// incarnation within a probe interval. Ours: memberlist has no bound, and at the greatest number nothing can be refuted any more.
/// More is refused and counted as absurd; a member that makes such a claim about us is asked for its states.
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

/// Largest inflated size of a compressed message on a stream, in bytes. Origin: twice `maxPushStateBytes` in memberlist. More
/// closes the stream.
pub const STREAM_INFLATED_BYTES_MAX: usize = 2 * STREAM_MESSAGE_BYTES_MAX;

/// Inflated size that a compressed message on a stream may have however short it is, in bytes; beyond it
/// [`STREAM_INFLATION_MAX`] applies. Ours: LZW reaches 1280 to 1, so 16 KiB on the wire would cost the time of 20 MiB. An honest
/// state inflates that far only by its ring of 512 user events of 9 KiB, 4.6 MiB when their payloads are all zeros.
pub const STREAM_INFLATED_FREE_BYTES: usize = 5 << 20;

/// How many bytes each compressed byte of a stream's message may stand for, beyond [`STREAM_INFLATED_FREE_BYTES`]. Ours: rows of
/// members that differ in name and address only compress to about a fiftieth. More closes the stream.
pub const STREAM_INFLATION_MAX: usize = 64;

/// Queries of our own that are under way at one time. Ours; one more is refused.
pub const QUERIES_ASKED_MAX: usize = 1024;

/// Queries of others that can still be answered, at one time. Ours: the oldest is forgotten for one more.
pub const QUERIES_OPEN_MAX: usize = 1024;
