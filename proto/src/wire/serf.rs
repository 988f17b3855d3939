//! The messages of the Serf layer, as they are meant, whatever the codec. They travel inside user messages.
//!
//! Some travel inside others: a conflict response or a key response is the payload of a query response, a key request that
//! of a query, and a relay carries a whole response.

use core::net::SocketAddr;
use core::time::Duration;

use super::Versions;
pub use super::list::{Item, Iter, List};

/// A message of the Serf layer in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A member leaves, or was told to.
    Leave(Leave<'a>),
    /// A member joined.
    Join(Join<'a>),
    /// Something the application said.
    UserEvent(UserEvent<'a>),
    /// Something the application asks of everybody.
    Query(Query<'a>),
    /// One member's acknowledgement of a query, or its answer.
    QueryResponse(QueryResponse<'a>),
    /// What a member knows under the name asked for; `None` when nothing.
    ConflictResponse(Option<MemberRecord<'a>>),
    /// Something to be done with a key.
    KeyRequest(KeyRequest<'a>),
    /// What came of it.
    KeyResponse(KeyResponse<'a>),
    /// A message to be passed on.
    Relay(Relay<'a>),
}

/// `node` leaves at `ltime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave<'a> {
    /// The Lamport time.
    pub ltime: u64,
    /// The name of the member.
    pub node: &'a str,
    /// Whether to forget it at once.
    pub prune: bool,
}

/// `node` joined at `ltime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join<'a> {
    /// The Lamport time.
    pub ltime: u64,
    /// The name of the member.
    pub node: &'a str,
}

/// A user event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserEvent<'a> {
    /// The Lamport time.
    pub ltime: u64,
    /// The name of the event.
    pub name: &'a str,
    /// Its payload.
    pub payload: &'a [u8],
    /// Whether it may be coalesced.
    pub coalesce: bool,
}

/// A query (`messageQuery` in serf). Who may answer it and until when is in it; it is known by its time and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// The Lamport time.
    pub ltime: u64,
    /// Tells queries of one time apart; random.
    pub id: u32,
    /// Who asks, and where the answers should go.
    pub source: Source<'a>,
    /// Whom it is for: those who pass every filter.
    pub filters: List<'a, Filter<'a>>,
    /// [`FLAG_ACK`](Self::FLAG_ACK) and [`FLAG_NO_BROADCAST`](Self::FLAG_NO_BROADCAST); other bits mean nothing yet.
    pub flags: u32,
    /// Over how many other members each answer should go besides the direct way.
    pub relay_factor: u8,
    /// How long after its arrival it may be answered. On the wire in nanoseconds, at most 2⁶³ − 1; what is negative there is
    /// zero here.
    pub timeout: Duration,
    /// Its name.
    pub name: &'a str,
    /// Its payload.
    pub payload: &'a [u8],
}

impl Query<'_> {
    /// Whoever delivers the query acknowledges it.
    pub const FLAG_ACK: u32 = 1;
    /// Whoever receives the query does not pass it on.
    pub const FLAG_NO_BROADCAST: u32 = 2;

    /// Whether whoever delivers it should acknowledge it.
    pub const fn wants_acks(&self) -> bool {
        self.flags & Self::FLAG_ACK != 0
    }

    /// Whether it should not be passed on.
    pub const fn is_not_for_broadcast(&self) -> bool {
        self.flags & Self::FLAG_NO_BROADCAST != 0
    }
}

/// Who asks, and where the answers should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// The address that the asker announces.
    pub addr: SocketAddr,
    /// Its name. Empty from members of old versions.
    pub node: &'a str,
}

/// Whom a query is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter<'a> {
    /// Members with one of these names.
    Nodes(List<'a, &'a str>),
    /// Members whose value of a tag matches; one that is not set is empty.
    Tag {
        /// The name of the tag.
        tag: &'a str,
        /// A regular expression in Go's dialect, to be found anywhere in the value.
        expr: &'a str,
    },
    /// One that we cannot read, as HashiCorp's codec writes it. Nobody passes it.
    Unreadable(&'a [u8]),
}

/// The acknowledgement of a query, or its answer (`messageQueryResponse` in serf).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryResponse<'a> {
    /// The time of the query.
    pub ltime: u64,
    /// The number of the query.
    pub id: u32,
    /// The name of the member that answers.
    pub from: &'a str,
    /// [`FLAG_ACK`](Self::FLAG_ACK); other bits mean nothing yet.
    pub flags: u32,
    /// The answer; empty in an acknowledgement.
    pub payload: &'a [u8],
}

impl QueryResponse<'_> {
    /// This is an acknowledgement and no answer.
    pub const FLAG_ACK: u32 = 1;

    /// Whether this is an acknowledgement and no answer.
    pub const fn is_ack(&self) -> bool {
        self.flags & Self::FLAG_ACK != 0
    }
}

/// A member as another knows it (`Member` in serf), in a conflict response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberRecord<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its address, when there is one.
    pub addr: Option<SocketAddr>,
    /// Its tags, in any order.
    pub tags: List<'a, (&'a str, &'a str)>,
    /// 0 none, 1 alive, 2 leaving, 3 left, 4 failed.
    pub status: u8,
    /// The versions that it understands and speaks.
    pub versions: Versions,
}

/// A timeout as it is written: nanoseconds that a signed number holds.
pub(super) fn nanos(timeout: Duration) -> u64 {
    const MAX: u64 = i64::MAX as u64;
    u64::try_from(timeout.as_nanos()).unwrap_or(MAX).min(MAX)
}

/// Something to be done with a key (`keyRequest` in serf): what, is the name of the query that this is the payload of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyRequest<'a> {
    /// The key; empty when it is about all keys.
    pub key: &'a [u8],
}

impl core::fmt::Debug for KeyRequest<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // A key does not belong into any log.
        write!(f, "KeyRequest {{ key: {} bytes }}", self.key.len())
    }
}

/// What came of a key request (`nodeKeyResponse` in serf).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyResponse<'a> {
    /// Whether it was done.
    pub result: bool,
    /// What to tell the operator.
    pub message: &'a str,
    /// The keys in use, in base64, when they were asked for.
    pub keys: List<'a, &'a str>,
    /// The primary key, in base64, when the keys were asked for.
    pub primary_key: &'a str,
}

impl core::fmt::Debug for KeyResponse<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { result, message, keys, .. } = self;
        write!(f, "KeyResponse {{ result: {result}, message: {message:?}, {} keys }}", keys.len())
    }
}

/// A message to be passed on (`relayHeader` in serf, and what follows it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay<'a> {
    /// Where to.
    pub addr: SocketAddr,
    /// The name of the member there.
    pub node: &'a str,
    /// A whole message of the Serf layer, type byte and all. Only a query response should be passed on.
    pub inner: &'a [u8],
}

/// A network coordinate, as the payload of an ack (`Coordinate` in serf's package of that name). In seconds, but for the
/// error. Any number may come, also infinite ones and those that are none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinate<'a> {
    /// The place in Euclidean space.
    pub vec: List<'a, f64>,
    /// How far the estimates are off, as a share of them.
    pub error: f64,
    /// What is added to estimates, to make up for what the space cannot say.
    pub adjustment: f64,
    /// What it takes to get into the space.
    pub height: f64,
}

/// The clocks at the head of Serf's part of a push/pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Of join and leave intents.
    pub member: u64,
    /// Of user events.
    pub event: u64,
    /// Of queries.
    pub query: u64,
}

/// What a push/pull says of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberTime<'a> {
    /// The name of the member, which has not been found to be text.
    pub node: &'a [u8],
    /// The time of the newest intent known.
    pub ltime: u64,
    /// Whether it left.
    pub left: bool,
}
