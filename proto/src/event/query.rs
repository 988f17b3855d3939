//! Queries and what comes of them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::time::Instant;
use crate::types::{Name, QueryId};

/// A query that somebody asks, perhaps ourselves. [`Node::respond`](crate::Node::respond) answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Query {
    /// Which.
    pub id: QueryId,
    /// Its name.
    pub name: Box<str>,
    /// Its payload, opaque to us.
    #[serde(serialize_with = "super::as_bytes")]
    pub payload: Bytes,
    /// The name of the requester. Empty from members of old versions.
    pub source: Box<str>,
    /// Where the requester wants the answers.
    pub source_addr: SocketAddr,
    /// Until when it may be answered.
    pub deadline: Instant,
}

/// How a query of ours ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueryReport {
    /// Which.
    pub id: QueryId,
    /// How many members acknowledged it.
    pub acks: u32,
    /// How many members answered it.
    pub responses: u32,
    /// Those that were alive and met its filters when it was asked, have not gone since, and did not answer. None when it ended
    /// before its deadline.
    pub silent: Vec<Name>,
    /// Whether everybody had answered, so that the deadline was not waited for.
    pub complete: bool,
}

/// What is to be done with the keys of every member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyOperation {
    /// Add a key, so that what is encrypted with it can be read.
    Install,
    /// Encrypt with a key from now on.
    Use,
    /// Forget a key.
    Remove,
    /// Tell which keys there are.
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

/// What one member did with a key, or which keys it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyAnswer {
    /// The member.
    pub from: Name,
    /// Whether it was done.
    pub done: bool,
    /// What the member says about it; empty when there is nothing to say.
    pub message: Box<str>,
    /// Its keys in base64, the primary first, when they were asked for.
    pub keys: Vec<Box<str>>,
    /// Its primary key in base64, when the keys were asked for.
    pub primary: Option<Box<str>>,
    /// How many keys it has in all, when its list did not fit into the answer whole.
    pub cut_from: Option<u32>,
}

/// What came of an operation on the keys of every member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyReport {
    /// The query that carried it.
    pub id: QueryId,
    /// What was to be done.
    pub operation: KeyOperation,
    /// What each member answered, in the order in which the answers came.
    pub answers: Vec<KeyAnswer>,
    /// Members that were alive and did not answer.
    pub silent: Vec<Name>,
}

impl KeyReport {
    /// Whether every member did it.
    pub fn is_done(&self) -> bool {
        self.silent.is_empty() && self.answers.iter().all(|answer| answer.done)
    }

    /// The answers of those that did not do it.
    pub fn failures(&self) -> impl Iterator<Item = &KeyAnswer> {
        self.answers.iter().filter(|answer| !answer.done)
    }

    /// Every key that any member has, in base64, in the order of its letters.
    pub fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.answers.iter().flat_map(|answer| &answer.keys).map(|key| &**key).collect();
        keys.extend(self.answers.iter().filter_map(|answer| answer.primary.as_deref()));
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The members that have a key.
    pub fn holders<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Name> {
        self.answers.iter().filter(move |answer| answer.has(key)).map(|answer| &answer.from)
    }

    /// The members whose primary key this is.
    pub fn users<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Name> {
        self.answers.iter().filter(move |answer| answer.primary.as_deref() == Some(key)).map(|answer| &answer.from)
    }

    /// The members that told all their keys, and this is none of them.
    pub fn lacking<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Name> {
        let lacks = move |answer: &&KeyAnswer| answer.done && answer.cut_from.is_none() && !answer.has(key);
        self.answers.iter().filter(lacks).map(|answer| &answer.from)
    }

    /// The members of which it is not known whether they have a key: their lists did not fit into the answer, or they failed to
    /// answer.
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

/// What the others say about a name that somebody claims besides us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NameVote {
    /// How many members know the name at our address.
    pub for_us: u32,
    /// How many know it elsewhere.
    pub against: u32,
    /// What follows.
    pub verdict: NameVerdict,
}

/// What follows from a vote on our name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NameVerdict {
    /// The majority knows us: the name is ours.
    Kept,
    /// The majority knows another: this node should be shut down, without leaving, for its name is not its own.
    Lost,
    /// There is no majority, perhaps because nobody else is there. Nothing follows; there will be another vote if the conflict
    /// goes on.
    Undecided,
}
