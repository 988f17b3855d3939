//! Queries and their results.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::time::Instant;
use crate::types::{Name, QueryId};

/// A query from any node, including this one. Answer it with [`Node::respond`](crate::Node::respond).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Query {
    /// Identifies the query.
    pub id: QueryId,
    /// Name of the query.
    pub name: Box<str>,
    /// Payload; opaque to the protocol.
    #[serde(serialize_with = "super::as_bytes")]
    pub payload: Bytes,
    /// Name of the requester. Empty from members of old versions.
    pub source: Box<str>,
    /// Address for the responses.
    pub source_addr: SocketAddr,
    /// When the query expires.
    pub deadline: Instant,
}

/// Final result of a query of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueryReport {
    /// The query.
    pub id: QueryId,
    /// Number of members that acked.
    pub acks: u32,
    /// Number of members that responded.
    pub responses: u32,
    /// Members that matched the filters, were alive when the query was sent, are not gone since, and did not respond.
    /// Empty if the query was ended before its deadline.
    pub silent: Vec<Name>,
    /// Whether all expected responses arrived before the deadline.
    pub complete: bool,
}

/// Operation on the keys of all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyOperation {
    /// Add a key for decryption.
    Install,
    /// Make an installed key the primary.
    Use,
    /// Remove a key.
    Remove,
    /// List the keys.
    List,
}

impl fmt::Display for KeyOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Install => "install-key",
            Self::Use => "use-key",
            Self::Remove => "remove-key",
            Self::List => "list-keys",
        })
    }
}

/// Answer of one member to a key operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyAnswer {
    /// The member.
    pub from: Name,
    /// Whether the operation succeeded.
    pub done: bool,
    /// Text from the member; may be empty.
    pub message: Box<str>,
    /// For a list: its keys in base64, the primary first.
    pub keys: Vec<Box<str>>,
    /// For a list: its primary key in base64.
    pub primary: Option<Box<str>>,
    /// Its total number of keys, if the list was cut to fit into the answer.
    pub cut_from: Option<u32>,
}

/// Result of a key operation on all members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyReport {
    /// The query that carried the operation.
    pub id: QueryId,
    /// The operation.
    pub operation: KeyOperation,
    /// Answers in order of arrival.
    pub answers: Vec<KeyAnswer>,
    /// Live members that did not answer.
    pub silent: Vec<Name>,
}

impl KeyReport {
    /// Whether the operation succeeded on every member.
    pub fn is_done(&self) -> bool {
        self.silent.is_empty() && self.answers.iter().all(|answer| answer.done)
    }

    /// Answers that report a failure.
    pub fn failures(&self) -> impl Iterator<Item = &KeyAnswer> {
        self.answers.iter().filter(|answer| !answer.done)
    }

    /// All keys that any member has, in base64, sorted.
    pub fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.answers.iter().flat_map(|answer| &answer.keys).map(|key| &**key).collect();
        keys.extend(self.answers.iter().filter_map(|answer| answer.primary.as_deref()));
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Members that have this key.
    pub fn holders<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Name> {
        self.answers.iter().filter(move |answer| answer.has(key)).map(|answer| &answer.from)
    }

    /// Members whose primary key is this one.
    pub fn users<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Name> {
        self.answers.iter().filter(move |answer| answer.primary.as_deref() == Some(key)).map(|answer| &answer.from)
    }

    /// Members that listed all their keys, without this one.
    pub fn lacking<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Name> {
        let lacks = move |answer: &&KeyAnswer| answer.done && answer.cut_from.is_none() && !answer.has(key);
        self.answers.iter().filter(lacks).map(|answer| &answer.from)
    }

    /// Members whose possession of this key is unknown: their list was cut, or they failed to answer.
    pub fn uncertain<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Name> {
        let unknown = move |answer: &&KeyAnswer| !answer.has(key) && (!answer.done || answer.cut_from.is_some());
        self.answers.iter().filter(unknown).map(|answer| &answer.from).chain(&self.silent)
    }
}

impl KeyAnswer {
    fn has(&self, key: &str) -> bool {
        self.primary.as_deref() == Some(key) || self.keys.iter().any(|other| **other == *key)
    }
}

/// Result of a vote on our name, which another node claims too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NameVote {
    /// Number of members that know the name at our address.
    pub for_us: u32,
    /// Number of members that know the name at another address.
    pub against: u32,
    /// The verdict.
    pub verdict: NameVerdict,
}

/// Verdict of a vote on our name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NameVerdict {
    /// The majority knows our address: we keep the name.
    Kept,
    /// The majority knows another address. This node should be shut down without a leave, because the leave would be
    /// for the other node's name.
    Lost,
    /// No majority, for example because no other member answered. Another vote follows if the conflict persists.
    Undecided,
}
