//! What the application asks for. Misuse is an error and changes nothing; progress comes as events.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use super::join::{self, Contact, Join};
use super::{Node, NodeState, OldEvents};
use crate::core::Notification;
use crate::limits::{META_BYTES_MAX, NAME_BYTES_MAX};
use crate::outbox::Outbox;
use crate::serf::{Exhausted, SendError};
use crate::time::Instant;
use crate::types::{JoinId, Tags};
use crate::wire::swim::PeerRef;

impl Node {
    /// Joins a cluster through `seeds`, of which up to [`SEEDS_AT_ONCE_MAX`](crate::limits::SEEDS_AT_ONCE_MAX) are asked at one
    /// time. [`Event::Joined`](crate::Event::Joined) follows when the last of them has answered or failed; the join succeeded if
    /// any answered.
    ///
    /// # Errors
    ///
    /// When no seed is given, or the node has begun to leave.
    pub fn join(
        &mut self,
        now: Instant,
        seeds: &[SocketAddr],
        old: OldEvents,
        out: &mut Outbox,
    ) -> Result<JoinId, JoinError> {
        self.join_through(now, join::given(seeds), out, |seeds| Join::all(seeds, old))
    }

    /// Joins the cluster of an earlier life, which [`Start::with_snapshot`](super::Start::with_snapshot) told of: through the
    /// members that were alive, in random order, a few at a time until one answers; after them those that had failed, which
    /// may be the only ones left where everybody has moved. [`Event::Joined`](crate::Event::Joined) follows. When nobody was
    /// contacted, the node goes on looking for them by itself, like one that has lost everybody.
    ///
    /// Each is pinged by name before states are exchanged, so that a node of another cluster that has its address now is left
    /// alone ([`SeedFailureCause::OtherNode`](crate::SeedFailureCause::OtherNode)). HashiCorp's asks whichever node is there.
    ///
    /// # Errors
    ///
    /// When no member of an earlier life is known, or the node has begun to leave.
    pub fn rejoin(&mut self, now: Instant, old: OldEvents, out: &mut Outbox) -> Result<JoinId, JoinError> {
        let previous = self.joins.previous().to_vec();
        self.join_through(now, previous, out, |seeds| Join::until_one_answers(seeds, old).rejoin())
    }

    fn join_through(
        &mut self,
        now: Instant,
        seeds: Vec<Contact>,
        out: &mut Outbox,
        join: impl FnOnce(Vec<Contact>) -> Join,
    ) -> Result<JoinId, JoinError> {
        if self.leave.has_begun() {
            return Err(JoinError::Leaving);
        }
        if seeds.is_empty() {
            return Err(JoinError::NoSeeds);
        }
        Ok(self.command(now, out, |node, _| node.begin_join(join(seeds))))
    }

    /// Sends a user event to every member, ourselves included. A node that leaves or has left still sends, as long as it runs (so does
    /// serf's `UserEvent`, which asks for no state): a farewell of the application must not fail because ours has begun.
    ///
    /// # Errors
    ///
    /// When the event is too large, or the node's clock is at its end.
    pub fn user_event(
        &mut self,
        now: Instant,
        name: &str,
        payload: &[u8],
        coalesce: bool,
        out: &mut Outbox,
    ) -> Result<(), UserEventError> {
        let payload_max = self.user_event_payload_max(name);
        let sent = self.command(now, out, |node, _| node.serf.user_event(&mut node.core, name, payload, coalesce));
        sent.map_err(|error| match error {
            SendError::TooLarge { bytes, limit } => UserEventError::TooLarge { bytes, limit, payload_max },
            SendError::Exhausted => UserEventError::ClockExhausted,
        })
    }

    /// The largest payload that a user event of this name may have, in bytes; `None` when not even an empty one may. The event's
    /// Lamport time is part of it, and takes a few bytes more as it grows.
    pub fn user_event_payload_max(&self, name: &str) -> Option<usize> {
        self.serf.user_event_payload_max(&self.core, name)
    }

    /// Replaces our tags and announces them.
    ///
    /// # Errors
    ///
    /// When the tags are too large, or the node has begun to leave.
    pub fn set_tags(&mut self, now: Instant, tags: &Tags, out: &mut Outbox) -> Result<(), SetTagsError> {
        if self.leave.has_begun() {
            return Err(SetTagsError::Leaving);
        }
        let meta = tags.encode();
        if meta.len() > META_BYTES_MAX {
            return Err(SetTagsError::TooLarge { bytes: meta.len(), limit: META_BYTES_MAX });
        }
        self.command(now, out, |node, _| {
            let (me, local) = (node.swim.me(), node.local().clone());
            if local.meta() != meta {
                node.core.roster.set_peer(me, PeerRef { meta: &meta, ..local.announced() });
                node.core.notify(Notification::Updated(me));
            }
            node.swim.announce();
        });
        Ok(())
    }

    /// Declares that a member which failed is gone for good. A live member refutes. With `prune` it is forgotten at once.
    ///
    /// # Errors
    ///
    /// When the name is ours or nobody's, or the node's clock is at its end.
    pub fn force_leave(
        &mut self,
        now: Instant,
        name: &str,
        prune: bool,
        out: &mut Outbox,
    ) -> Result<(), ForceLeaveError> {
        if self.local().name() == name {
            return Err(ForceLeaveError::Ourselves);
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(ForceLeaveError::Nobody { bytes: name.len(), limit: NAME_BYTES_MAX });
        }
        let told = self.command(now, out, |node, _| node.serf.force_leave(&mut node.core, name, prune));
        told.map_err(|Exhausted| ForceLeaveError::ClockExhausted)
    }

    /// Leaves the cluster gracefully. Keep the node running until [`Event::LeftCluster`](crate::Event::LeftCluster): it tells
    /// the others, and answers their probes until they know. There is no way back; to return, start a new node.
    ///
    /// # Errors
    ///
    /// When a leave has begun before.
    pub fn leave(&mut self, now: Instant, out: &mut Outbox) -> Result<(), LeaveError> {
        match self.leave.state() {
            NodeState::Alive => {}
            NodeState::Leaving => return Err(LeaveError::InProgress),
            NodeState::Left => return Err(LeaveError::Left),
        }
        self.command(now, out, Self::begin_leave);
        Ok(())
    }
}

/// Why a join was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The node has begun to leave.
    Leaving,
    /// There is nobody to join through.
    NoSeeds,
}

/// Why a user event was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserEventError {
    /// Name and payload, or the event as HashiCorp's nodes encode it, exceed the limit.
    TooLarge {
        /// The size.
        bytes: usize,
        /// The limit.
        limit: usize,
        /// The largest payload that an event of this name may have; `None` when the name alone is too long.
        payload_max: Option<usize>,
    },
    /// Our clock of events is at its end ([`limits::LAMPORT_TIME_MAX`](crate::limits::LAMPORT_TIME_MAX)): every node would refuse the
    /// event.
    ClockExhausted,
}

/// Why tags were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetTagsError {
    /// The node has begun to leave.
    Leaving,
    /// The tags do not fit into a message.
    TooLarge {
        /// Their encoded size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

/// Why a forced leave was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForceLeaveError {
    /// The name is our own; [`Node::leave`] is for that.
    Ourselves,
    /// No node can have this name: it is empty, or too long.
    Nobody {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Our clock of intents is at its end ([`limits::LAMPORT_TIME_MAX`](crate::limits::LAMPORT_TIME_MAX)): every node would refuse
    /// the intent.
    ClockExhausted,
}

/// Why a leave was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaveError {
    /// It has begun before and is not complete.
    InProgress,
    /// It is complete.
    Left,
}

const LEAVING: &str = "the node has begun to leave the cluster";
const CLOCK_EXHAUSTED: &str = "the Lamport clock is at its end";

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leaving => LEAVING,
            Self::NoSeeds => "a join needs the address of at least one member",
        })
    }
}

impl fmt::Display for UserEventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, limit, payload_max: Some(payload_max) } => write!(
                f,
                "the user event takes {bytes} bytes, the limit is {limit}; with this name its payload may have {payload_max}"
            ),
            Self::TooLarge { bytes, limit, payload_max: None } => {
                write!(f, "the user event takes {bytes} bytes, the limit is {limit}; its name alone is too long")
            }
            Self::ClockExhausted => f.write_str(CLOCK_EXHAUSTED),
        }
    }
}

impl fmt::Display for SetTagsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaving => f.write_str(LEAVING),
            Self::TooLarge { bytes, limit } => write!(f, "the tags take {bytes} bytes encoded, the limit is {limit}"),
        }
    }
}

impl fmt::Display for ForceLeaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ourselves => f.write_str("a node does not force itself to leave; it leaves"),
            Self::Nobody { bytes, limit } => {
                write!(f, "no node has a name of {bytes} bytes, they have from 1 to {limit}")
            }
            Self::ClockExhausted => f.write_str(CLOCK_EXHAUSTED),
        }
    }
}

impl fmt::Display for LeaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InProgress => "a leave is already in progress",
            Self::Left => "the node has already left the cluster",
        })
    }
}

impl core::error::Error for JoinError {}
impl core::error::Error for UserEventError {}
impl core::error::Error for SetTagsError {}
impl core::error::Error for ForceLeaveError {}
impl core::error::Error for LeaveError {}
