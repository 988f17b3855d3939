//! The RPC protocol between an agent and its clients: msgpack objects over TCP or a unix socket.
//!
//! Every request is a [`RequestHeader`] and, for most commands, a body; every answer a [`ReplyHeader`] and, for some, a
//! body. Subscriptions ([`Request::Stream`], [`Request::Monitor`], [`Request::Query`]) are answered and then send
//! records with the number of the request, each with a header of its own. HashiCorp calls this IPC; its version is 1 in
//! every release. One command is ours, [`Request::Why`], and one
//! record, [`EventRecord::Partition`]. Programs use [`Client`]; [`Encoder`], [`Decoder`] and
//! [`Framer`] serve both ends.

mod address;
mod client;
mod decode;
mod encode;
mod frame;
mod member;
mod partition;
mod reply;
mod request;
pub(crate) mod server;
mod why;
mod wire;

pub use self::address::{AddressError, RpcAddress};
pub use self::client::{Client, ClientError, ClientOptions, Record};
pub use self::decode::{DecodeError, Decoder, Head};
pub use self::encode::Encoder;
pub use self::frame::{FrameError, Framer};
pub use self::member::{Coordinate, Member, Versions};
pub use self::partition::PartitionShare;
pub use self::reply::{
    EventRecord, KeyReport, QueryRecord, ReplyHeader, Stats, decode_coordinate, decode_join_count, decode_log,
    decode_members, decode_stats, encode_coordinate, encode_join_count, encode_log, encode_members, encode_stats,
};
pub use self::request::{MemberFilter, Query, Request, RequestHeader, UserEvent};
pub use self::why::{Evidence, Why};

/// The version of this protocol, the only one that exists.
pub const IPC_VERSION: i64 = 1;

/// The group of [`Stats`] that has the members whose digests keep differing from the agent's, each with the number of
/// reconciliations since they last agreed. Ours; absent while there is none.
pub const DISAGREEMENTS: &str = "digests_differ";

/// The default address of an agent's RPC.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7373";

/// The error of a command sent before the token. After this error alone no body follows, whatever the command.
pub const AUTHENTICATION_REQUIRED: &str = "Authentication required";

/// The error of an unknown command, after which the agent closes the connection. HashiCorp's agents reply it to our
/// `why`.
pub const UNSUPPORTED_COMMAND: &str = "Unsupported command";
