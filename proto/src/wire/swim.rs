//! The messages of the membership layer, as they are meant, whatever the codec. serde's derives are the native codec's.

use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Versions;
use super::hashicorp::form::{BytesOrNil, Name, Uint};
use super::hashicorp::message::message;
use super::name::short_name;

/// A message in a packet, borrowing the buffer it was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Are you there?
    Ping(Ping<'a>),
    /// Ask another whether it is there.
    IndirectPing(IndirectPing<'a>),
    /// Yes, to the ping with this number.
    Ack(Ack<'a>),
    /// I asked for you and got no answer.
    Nack {
        /// The number of the request.
        seq: u32,
    },
    /// A member may have failed.
    Suspect(Accusation<'a>),
    /// A member is alive.
    Alive(Alive<'a>),
    /// A member failed, or left when it says so itself.
    Dead(Accusation<'a>),
    /// For the layer above.
    User(&'a [u8]),
}

/// Asks the node at the address whether it is `node` and there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping<'a> {
    /// The number that the answer echoes.
    pub seq: u32,
    /// Whom the ping is for; others must not answer. Empty: whoever gets it.
    #[serde(deserialize_with = "short_name")]
    pub node: &'a str,
    /// Where the answer should go.
    #[serde(borrow)]
    pub source: Option<Source<'a>>,
}

/// Asks a member to ping `node` at `target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndirectPing<'a> {
    /// The number that the answer echoes.
    pub seq: u32,
    /// Where the member to be pinged listens.
    pub target: SocketAddr,
    /// The name of the node meant.
    #[serde(deserialize_with = "short_name")]
    pub node: &'a str,
    /// Whether a nack is wanted when the target does not answer.
    pub nack: bool,
    /// Where the answer should go.
    #[serde(borrow)]
    pub source: Option<Source<'a>>,
}

/// Where the answer should go, when not to the address that the packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source<'a> {
    /// The address, as announced.
    pub addr: SocketAddr,
    /// The name of the node meant.
    #[serde(deserialize_with = "short_name")]
    pub node: &'a str,
}

message! {
    /// The answer to a ping.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Ack<'a> {
        /// The number that the answer echoes.
        pub seq: u32 = b"SeqNo" as Uint,
        /// For the layer above.
        pub payload: &'a [u8] = b"Payload" as BytesOrNil,
    }
}

message! {
    /// `from` says that `node`, at this incarnation, is suspect or dead.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Accusation<'a> {
        /// The incarnation of the member that this is about.
        pub incarnation: u32 = b"Incarnation" as Uint,
        /// The name of the node meant.
        #[serde(deserialize_with = "short_name")]
        pub node: &'a str = b"Node" as Name,
        /// Who says so.
        #[serde(deserialize_with = "short_name")]
        pub from: &'a str = b"From" as Name,
    }
}

/// A node says of itself that it is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alive<'a> {
    /// The incarnation of the member that this is about.
    pub incarnation: u32,
    /// What it announces.
    pub peer: PeerRef<'a>,
}

/// The incarnation with which a node begins. memberlist begins with it too; it never sends 0.
pub const FIRST_INCARNATION: u32 = 1;

/// What a node announces about itself: the native record. Versions and name come first, so that both can be read without the
/// rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRef<'a> {
    /// The versions that it understands and speaks.
    pub versions: Versions,
    /// Its name.
    pub name: &'a str,
    /// The address, as announced.
    pub addr: SocketAddr,
    /// Its metadata; for Serf the encoded tags.
    pub meta: &'a [u8],
}

/// The state of a member. The numbers are memberlist's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// It answers.
    Alive = 0,
    /// It may have failed.
    Suspect = 1,
    /// It failed.
    Dead = 2,
    /// It left gracefully.
    Left = 3,
}

impl State {
    /// The state with this number.
    pub const fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Alive),
            1 => Some(Self::Suspect),
            2 => Some(Self::Dead),
            3 => Some(Self::Left),
            _ => None,
        }
    }
}
