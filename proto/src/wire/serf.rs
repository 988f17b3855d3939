//! The messages of the Serf layer, as they are meant, whatever the codec. They travel inside user messages.
//!
//! Some travel inside others: a conflict response or a key response is the payload of a query response, a key request that
//! of a query, and a relay carries a whole response.
//!
//! serde's derives are the native codec's. A field that they skip stands behind the rest of the message, where its codec can
//! read it without a copy.

use core::net::SocketAddr;
use core::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Versions;
use super::hashicorp::form::{Array, ArrayOrNil, Boolean, Bytes, BytesOrNil, Float, Name, Text, Uint};
use super::hashicorp::message::message;
pub use super::list::{Item, Iter, List};
use super::name::{member_name, short_name};

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

message! {
    /// `node` leaves at `ltime`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Leave<'a> {
        /// The Lamport time.
        pub ltime: u64 = b"LTime" as Uint,
        /// The name of the member.
        #[serde(deserialize_with = "member_name")]
        pub node: &'a str = b"Node" as Text,
        /// Whether to forget it at once.
        pub prune: bool = b"Prune" as Boolean,
    }
}

message! {
    /// `node` joined at `ltime`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Join<'a> {
        /// The Lamport time.
        pub ltime: u64 = b"LTime" as Uint,
        /// The name of the member.
        #[serde(deserialize_with = "member_name")]
        pub node: &'a str = b"Node" as Text,
    }
}

message! {
    /// A user event.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct UserEvent<'a> {
        /// The Lamport time.
        pub ltime: u64 = b"LTime" as Uint,
        /// The name of the event.
        pub name: &'a str = b"Name" as Text,
        /// Its payload.
        pub payload: &'a [u8] = b"Payload" as BytesOrNil,
        /// Whether it may be coalesced.
        pub coalesce: bool = b"CC" as Boolean,
    }
}

/// A query (`messageQuery` in serf). Who may answer it and until when is in it; it is known by its time and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query<'a> {
    /// The Lamport time.
    pub ltime: u64,
    /// Tells queries of one time apart; random.
    pub id: u32,
    /// Who asks, and where the answers should go.
    #[serde(borrow)]
    pub source: Source<'a>,
    /// [`FLAG_ACK`](Self::FLAG_ACK) and [`FLAG_NO_BROADCAST`](Self::FLAG_NO_BROADCAST); other bits mean nothing yet.
    pub flags: u32,
    /// Over how many other members each answer should go besides the direct way.
    pub relay_factor: u8,
    /// How long after its arrival it may be answered. On the wire in nanoseconds, at most 2⁶³ − 1; what is negative there is
    /// zero here.
    #[serde(serialize_with = "write_nanos", deserialize_with = "read_nanos")]
    pub timeout: Duration,
    /// Its name.
    pub name: &'a str,
    /// Its payload.
    pub payload: &'a [u8],
    /// Whom it is for: those who pass every filter.
    #[serde(skip)]
    pub filters: List<'a, Filter<'a>>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source<'a> {
    /// The address that the asker announces.
    pub addr: SocketAddr,
    /// Its name. Empty from members of old versions.
    #[serde(deserialize_with = "short_name")]
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

message! {
    /// The acknowledgement of a query, or its answer (`messageQueryResponse` in serf).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct QueryResponse<'a> {
        /// The time of the query.
        pub ltime: u64 = b"LTime" as Uint,
        /// The number of the query.
        pub id: u32 = b"ID" as Uint,
        /// The name of the member that answers.
        #[serde(deserialize_with = "short_name")]
        pub from: &'a str = b"From" as Name,
        /// [`FLAG_ACK`](Self::FLAG_ACK); other bits mean nothing yet.
        pub flags: u32 = b"Flags" as Uint,
        /// The answer; empty in an acknowledgement.
        pub payload: &'a [u8] = b"Payload" as BytesOrNil,
    }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord<'a> {
    /// The versions that it understands and speaks.
    pub versions: Versions,
    /// Its name.
    #[serde(deserialize_with = "short_name")]
    pub name: &'a str,
    /// Its address, when there is one.
    pub addr: Option<SocketAddr>,
    /// 0 none, 1 alive, 2 leaving, 3 left, 4 failed.
    pub status: u8,
    /// Its tags, in any order.
    #[serde(skip)]
    pub tags: List<'a, (&'a str, &'a str)>,
}

/// A timeout as it is written: nanoseconds that a signed number holds.
pub(super) fn nanos(timeout: Duration) -> u64 {
    const MAX: u64 = i64::MAX as u64;
    u64::try_from(timeout.as_nanos()).unwrap_or(MAX).min(MAX)
}

fn write_nanos<S: Serializer>(timeout: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    nanos(*timeout).serialize(serializer)
}

fn read_nanos<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let nanos = u64::deserialize(deserializer)?;
    // HashiCorp's codec could not write a longer one.
    i64::try_from(nanos).map_err(D::Error::custom)?;
    Ok(Duration::from_nanos(nanos))
}

message! {
    /// Something to be done with a key (`keyRequest` in serf): what, is the name of the query that this is the payload of.
    #[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub struct KeyRequest<'a> {
        /// The key; empty when it is about all keys.
        pub key: &'a [u8] = b"Key" as Bytes,
    }
}

impl core::fmt::Debug for KeyRequest<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // A key does not belong into any log.
        write!(f, "KeyRequest {{ key: {} bytes }}", self.key.len())
    }
}

message! {
    /// What came of a key request (`nodeKeyResponse` in serf).
    #[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub struct KeyResponse<'a> {
        /// Whether it was done.
        pub result: bool = b"Result" as Boolean,
        /// What to tell the operator.
        pub message: &'a str = b"Message" as Text,
        /// The keys in use, in base64, when they were asked for.
        #[serde(skip)]
        pub keys: List<'a, &'a str> = b"Keys" as ArrayOrNil<Text>,
        /// The primary key, in base64, when the keys were asked for.
        pub primary_key: &'a str = b"PrimaryKey" as Text,
    }
}

impl core::fmt::Debug for KeyResponse<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { result, message, keys, .. } = self;
        write!(f, "KeyResponse {{ result: {result}, message: {message:?}, {} keys }}", keys.len())
    }
}

/// A message to be passed on (`relayHeader` in serf, and what follows it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay<'a> {
    /// Where to.
    pub addr: SocketAddr,
    /// The name of the member there.
    #[serde(deserialize_with = "short_name")]
    pub node: &'a str,
    /// A whole message of the Serf layer, type byte and all. Only a query response should be passed on.
    #[serde(skip)]
    pub inner: &'a [u8],
}

message! {
    /// A network coordinate, as the payload of an ack (`Coordinate` in serf's package of that name). In seconds, but for the
    /// error. Any number may come, also infinite ones and those that are none.
    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Coordinate<'a> {
        /// The place in Euclidean space.
        #[serde(skip)]
        pub vec: List<'a, f64> = b"Vec" as Array<Float>,
        /// How far the estimates are off, as a share of them.
        pub error: f64 = b"Error" as Float,
        /// What is added to estimates, to make up for what the space cannot say.
        pub adjustment: f64 = b"Adjustment" as Float,
        /// What it takes to get into the space.
        pub height: f64 = b"Height" as Float,
    }
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
