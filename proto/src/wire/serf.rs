//! Messages of the Serf layer, independent of the codec. They are sent as the body of user messages.
//!
//! Some are nested in others: a conflict response or a key response is the payload of a query response, a key request
//! is the payload of a query, and a relay contains a complete response.
//!
//! The serde derives define the native codec. Fields that they skip are encoded after the rest of the message, where
//! the codec decodes them without copying.

use core::net::SocketAddr;
use core::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Versions;
use super::hashicorp::form::{Array, ArrayOrNil, Boolean, Bytes, BytesOrNil, Float, Name, Text, Uint};
use super::hashicorp::message::message;
pub use super::list::{Item, Iter, List};
use super::name::{member_name, short_name};

/// Name prefix of internal queries, which are not delivered to the application (`InternalQueryPrefix` in serf's
/// internal_query.go).
pub(crate) const INTERNAL_PREFIX: &str = "_serf_";

/// A message of the Serf layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A leave intent.
    Leave(Leave<'a>),
    /// A join intent.
    Join(Join<'a>),
    /// A user event.
    UserEvent(UserEvent<'a>),
    /// A query.
    Query(Query<'a>),
    /// A response or ack of a query.
    QueryResponse(QueryResponse<'a>),
    /// The responder's record of the name in question; `None` if it has none.
    ConflictResponse(Option<MemberRecord<'a>>),
    /// A key operation.
    KeyRequest(KeyRequest<'a>),
    /// The result of a key operation.
    KeyResponse(KeyResponse<'a>),
    /// A message to forward.
    Relay(Relay<'a>),
}

message! {
    /// Leave intent: `node` leaves at `ltime`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Leave<'a> {
        /// Lamport time of the intent.
        pub ltime: u64 = b"LTime" as Uint,
        /// Name of the member.
        #[serde(deserialize_with = "member_name")]
        pub node: &'a str = b"Node" as Text,
        /// Whether to remove the member at once.
        pub prune: bool = b"Prune" as Boolean,
    }
}

message! {
    /// Join intent: `node` joined at `ltime`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Join<'a> {
        /// Lamport time of the intent.
        pub ltime: u64 = b"LTime" as Uint,
        /// Name of the member.
        #[serde(deserialize_with = "member_name")]
        pub node: &'a str = b"Node" as Text,
    }
}

message! {
    /// A user event.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct UserEvent<'a> {
        /// Lamport time of the event.
        pub ltime: u64 = b"LTime" as Uint,
        /// Name of the event.
        pub name: &'a str = b"Name" as Text,
        /// Payload.
        pub payload: &'a [u8] = b"Payload" as BytesOrNil,
        /// Whether the event may be coalesced.
        pub coalesce: bool = b"CC" as Boolean,
    }
}

/// A query (`messageQuery` in serf). Identified by its Lamport time and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query<'a> {
    /// Lamport time of the query.
    pub ltime: u64,
    /// Random id; distinguishes queries of one time.
    pub id: u32,
    /// The requester, and the address for responses.
    #[serde(borrow)]
    pub source: Source<'a>,
    /// [`FLAG_ACK`](Self::FLAG_ACK) and [`FLAG_NO_BROADCAST`](Self::FLAG_NO_BROADCAST); other bits are reserved.
    pub flags: u32,
    /// Number of members that relay each response, in addition to the direct one.
    pub relay_factor: u8,
    /// How long after its arrival the query may be answered. On the wire in nanoseconds, at most 2⁶³ − 1; negative
    /// values decode as zero.
    #[serde(serialize_with = "write_nanos", deserialize_with = "read_nanos")]
    pub timeout: Duration,
    /// Name of the query.
    pub name: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// Filters; only members that match all of them respond.
    #[serde(skip)]
    pub filters: List<'a, Filter<'a>>,
}

impl Query<'_> {
    /// Members that deliver the query ack it.
    pub const FLAG_ACK: u32 = 1;
    /// Members that receive the query do not re-broadcast it.
    pub const FLAG_NO_BROADCAST: u32 = 2;

    /// Whether members that deliver the query should ack it.
    pub const fn wants_acks(&self) -> bool {
        self.flags & Self::FLAG_ACK != 0
    }

    /// Whether the query should not be re-broadcast.
    pub const fn is_not_for_broadcast(&self) -> bool {
        self.flags & Self::FLAG_NO_BROADCAST != 0
    }
}

/// The requester, and the address for responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source<'a> {
    /// The address that the requester announces.
    pub addr: SocketAddr,
    /// Name of the requester. Empty from members of old versions.
    #[serde(deserialize_with = "short_name")]
    pub node: &'a str,
}

/// A filter of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter<'a> {
    /// Members with one of these names.
    Nodes(List<'a, &'a str>),
    /// Members whose tag matches; a tag that is not set has an empty value.
    Tag {
        /// Name of the tag.
        tag: &'a str,
        /// Regular expression in Go's dialect; may match anywhere in the value.
        expr: &'a str,
    },
    /// A filter that does not decode, as bytes of HashiCorp's codec. Matches no member.
    Unreadable(&'a [u8]),
}

message! {
    /// A response or ack of a query (`messageQueryResponse` in serf).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct QueryResponse<'a> {
        /// Lamport time of the query.
        pub ltime: u64 = b"LTime" as Uint,
        /// Id of the query.
        pub id: u32 = b"ID" as Uint,
        /// Name of the responder.
        #[serde(deserialize_with = "short_name")]
        pub from: &'a str = b"From" as Name,
        /// [`FLAG_ACK`](Self::FLAG_ACK); other bits are reserved.
        pub flags: u32 = b"Flags" as Uint,
        /// The response; empty in an ack.
        pub payload: &'a [u8] = b"Payload" as BytesOrNil,
    }
}

impl QueryResponse<'_> {
    /// The message is an ack, not a response.
    pub const FLAG_ACK: u32 = 1;

    /// The message has no payload, because that is large: the requester fetches it over a stream. Ours; sent to members
    /// that read the native codec only. Far from the bits that Serf assigns, which are those of queries.
    pub const FLAG_OFFER: u32 = 1 << 16;

    /// Whether the response is an offer of a large one.
    pub const fn is_offer(&self) -> bool {
        self.flags & Self::FLAG_OFFER != 0
    }

    /// Whether this is an ack, not a response.
    pub const fn is_ack(&self) -> bool {
        self.flags & Self::FLAG_ACK != 0
    }
}

/// Another node's record of a member (`Member` in serf), in a conflict response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord<'a> {
    /// Protocol versions that the member supports and speaks.
    pub versions: Versions,
    /// Name of the member.
    #[serde(deserialize_with = "short_name")]
    pub name: &'a str,
    /// Address of the member, if known.
    pub addr: Option<SocketAddr>,
    /// 0 none, 1 alive, 2 leaving, 3 left, 4 failed.
    pub status: u8,
    /// Tags, in any order.
    #[serde(skip)]
    pub tags: List<'a, (&'a str, &'a str)>,
}

/// Encodes a timeout: nanoseconds within the range of an `i64`.
pub(super) fn nanos(timeout: Duration) -> u64 {
    const MAX: u64 = i64::MAX as u64;
    u64::try_from(timeout.as_nanos()).unwrap_or(MAX).min(MAX)
}

fn write_nanos<S: Serializer>(timeout: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    nanos(*timeout).serialize(serializer)
}

fn read_nanos<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let nanos = u64::deserialize(deserializer)?;
    // HashiCorp's codec cannot represent a longer one.
    i64::try_from(nanos).map_err(D::Error::custom)?;
    Ok(Duration::from_nanos(nanos))
}

message! {
    /// A key operation (`keyRequest` in serf). The operation is the name of the query that carries it.
    #[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub struct KeyRequest<'a> {
        /// The key; empty for a list.
        pub key: &'a [u8] = b"Key" as Bytes,
    }
}

impl core::fmt::Debug for KeyRequest<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Never log key material.
        write!(f, "KeyRequest {{ key: {} bytes }}", self.key.len())
    }
}

message! {
    /// The result of a key operation (`nodeKeyResponse` in serf).
    #[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub struct KeyResponse<'a> {
        /// Whether the operation succeeded.
        pub result: bool = b"Result" as Boolean,
        /// Text for the operator.
        pub message: &'a str = b"Message" as Text,
        /// For a list: the keys in base64.
        #[serde(skip)]
        pub keys: List<'a, &'a str> = b"Keys" as ArrayOrNil<Text>,
        /// For a list: the primary key in base64.
        pub primary_key: &'a str = b"PrimaryKey" as Text,
    }
}

impl core::fmt::Debug for KeyResponse<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { result, message, keys, .. } = self;
        write!(f, "KeyResponse {{ result: {result}, message: {message:?}, {} keys }}", keys.len())
    }
}

/// A message to forward (`relayHeader` in serf, and what follows it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay<'a> {
    /// Address to forward to.
    pub addr: SocketAddr,
    /// Name of the member at that address.
    #[serde(deserialize_with = "short_name")]
    pub node: &'a str,
    /// A complete message of the Serf layer with its type byte. Only query responses should be forwarded.
    #[serde(skip)]
    pub inner: &'a [u8],
}

message! {
    /// A network coordinate, the payload of an ack (`Coordinate` in serf's coordinate package). In seconds, except the
    /// error. Values are not validated; infinities and NaN decode.
    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Coordinate<'a> {
        /// Position in the Euclidean space.
        #[serde(skip)]
        pub vec: List<'a, f64> = b"Vec" as Array<Float>,
        /// Relative error of the estimates.
        pub error: f64 = b"Error" as Float,
        /// Offset added to estimates, for what the Euclidean space cannot represent.
        pub adjustment: f64 = b"Adjustment" as Float,
        /// Distance to the Euclidean space, such as the latency of the access link.
        pub height: f64 = b"Height" as Float,
    }
}

/// Lamport clocks at the head of Serf's part of a push/pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Clock of join and leave intents.
    pub member: u64,
    /// Clock of user events.
    pub event: u64,
    /// Clock of queries.
    pub query: u64,
}

/// Serf's state of one member in a push/pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberTime<'a> {
    /// Name of the member; not validated as UTF-8.
    pub node: &'a [u8],
    /// Lamport time of its newest known intent.
    pub ltime: u64,
    /// Whether the member left.
    pub left: bool,
}
