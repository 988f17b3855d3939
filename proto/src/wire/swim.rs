//! Messages of the membership layer, independent of the codec. The serde derives define the native codec.

use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Versions;
use super::hashicorp::form::{BytesOrNil, Name, Uint};
use super::hashicorp::message::message;
use super::name::short_name;

/// A message in a packet, borrowed from the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Asks for an ack.
    Ping(Ping<'a>),
    /// Asks another member to ping a target.
    IndirectPing(IndirectPing<'a>),
    /// Acks the ping of this sequence number.
    Ack(Ack<'a>),
    /// The target of an indirect ping did not ack.
    Nack {
        /// Sequence number of the indirect ping.
        seq: u32,
    },
    /// Suspects a member.
    Suspect(Accusation<'a>),
    /// Announces a member.
    Alive(Alive<'a>),
    /// Announces a member and its join at a Lamport time; native codec only. Stands for an alive message and a join
    /// intent.
    Joined {
        /// The announcement.
        alive: Alive<'a>,
        /// Lamport time of the join.
        ltime: u64,
    },
    /// Declares a member dead, or left if it is its own accuser.
    Dead(Accusation<'a>),
    /// A message for the layer above.
    User(&'a [u8]),
}

/// Asks the node at the destination to ack, if its name is `node`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping<'a> {
    /// Sequence number; the ack echoes it.
    pub seq: u32,
    /// Name of the node that should ack; others must not. Empty: any node.
    #[serde(deserialize_with = "short_name")]
    pub node: &'a str,
    /// Address for the ack.
    #[serde(borrow)]
    pub source: Option<Source<'a>>,
}

/// Asks a member to ping `node` at `target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndirectPing<'a> {
    /// Sequence number; the ack echoes it.
    pub seq: u32,
    /// Address of the target.
    pub target: SocketAddr,
    /// Name of the target.
    #[serde(deserialize_with = "short_name")]
    pub node: &'a str,
    /// Whether to send a nack if the target does not ack.
    pub nack: bool,
    /// Address for the ack.
    #[serde(borrow)]
    pub source: Option<Source<'a>>,
}

/// Address for an answer, if it differs from the packet's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source<'a> {
    /// The address, as announced.
    pub addr: SocketAddr,
    /// Name of the sender.
    #[serde(deserialize_with = "short_name")]
    pub node: &'a str,
}

message! {
    /// Acks a ping.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Ack<'a> {
        /// Sequence number of the ping.
        pub seq: u32 = b"SeqNo" as Uint,
        /// Payload of the layer above.
        pub payload: &'a [u8] = b"Payload" as BytesOrNil,
    }
}

message! {
    /// Claim by `from` that `node` is suspect or dead at this incarnation.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Accusation<'a> {
        /// Incarnation of the accused.
        pub incarnation: u32 = b"Incarnation" as Uint,
        /// Name of the accused.
        #[serde(deserialize_with = "short_name")]
        pub node: &'a str = b"Node" as Name,
        /// Name of the accuser.
        #[serde(deserialize_with = "short_name")]
        pub from: &'a str = b"From" as Name,
    }
}

/// Announcement of a node by itself: it is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alive<'a> {
    /// Incarnation of the node.
    pub incarnation: u32,
    /// Record of the node.
    pub peer: PeerRef<'a>,
}

/// First incarnation of a node, as in memberlist. 0 is never sent.
pub(crate) const FIRST_INCARNATION: u32 = 1;

/// The record that a node announces, in its native layout. Versions and name come first, so that both can be read
/// without the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRef<'a> {
    /// Protocol versions that the node supports and speaks.
    pub versions: Versions,
    /// Name of the node.
    pub name: &'a str,
    /// Address, as announced.
    pub addr: SocketAddr,
    /// Metadata; for Serf the encoded tags.
    pub meta: &'a [u8],
}

/// State of a member, with memberlist's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// It acks.
    Alive = 0,
    /// It is suspected.
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
