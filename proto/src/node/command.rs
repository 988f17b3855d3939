//! Commands of the application. Misuse returns an error and changes nothing; progress is reported by events.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use thiserror::Error;

use super::join::{self, Contact, Join};
use super::{Coalescing, Node, NodeState, OldEvents, Tombstone};
use crate::core::Notification;
use crate::input::Input;
use crate::limits::{META_BYTES_MAX, NAME_BYTES_MAX};
use crate::outbox::Outbox;
use crate::serf::{Exhausted, SendError};
use crate::time::Instant;
use crate::types::{JoinId, Tags};
use crate::wire::swim::PeerRef;

impl Node {
    /// Joins a cluster through `seeds`, up to [`SEEDS_AT_ONCE_MAX`](crate::limits::SEEDS_AT_ONCE_MAX) at one time.
    /// [`Event::Joined`](crate::Event::Joined) follows when the last seed has answered or failed. The join succeeded if
    /// any seed answered.
    ///
    /// # Errors
    ///
    /// If no seed is given, or the node has begun to leave.
    pub fn join(
        &mut self,
        now: Instant,
        seeds: &[SocketAddr],
        old: OldEvents,
        out: &mut Outbox,
    ) -> Result<JoinId, JoinError> {
        let input = || Input::Join { seeds: seeds.to_vec(), old };
        self.join_through(now, join::contacts(seeds), out, input, |seeds| Join::all(seeds, old))
    }

    /// Rejoins the cluster of an earlier run, from the members in
    /// [`Start::with_snapshot`](super::Start::with_snapshot). Contacts first the members that were alive, in random
    /// order, a few at a time until one answers; then those that had failed, because their addresses may be the only
    /// valid ones after a renumbering. [`Event::Joined`](crate::Event::Joined) follows. If no member answers, the node
    /// keeps searching, as an isolated node does.
    ///
    /// Each address is pinged with the member's name before states are exchanged. A node of another cluster that has
    /// the address by now does not answer ([`SeedFailureCause::OtherNode`](crate::SeedFailureCause::OtherNode)).
    /// HashiCorp's exchanges states with any node at the address.
    ///
    /// # Errors
    ///
    /// If no member of an earlier run is known, or the node has begun to leave.
    pub fn rejoin(&mut self, now: Instant, old: OldEvents, out: &mut Outbox) -> Result<JoinId, JoinError> {
        let previous = self.joins.previous().to_vec();
        let input = || Input::Rejoin { old };
        self.join_through(now, previous, out, input, |seeds| Join::until_one_answers(seeds, old).rejoin())
    }

    fn join_through(
        &mut self,
        now: Instant,
        seeds: Vec<Contact>,
        out: &mut Outbox,
        input: impl FnOnce() -> Input,
        join: impl FnOnce(Vec<Contact>) -> Join,
    ) -> Result<JoinId, JoinError> {
        if self.leave.has_begun() {
            return Err(JoinError::Leaving);
        }
        if seeds.is_empty() {
            return Err(JoinError::NoSeeds);
        }
        Ok(self.command(now, out, input, |node, _| node.begin_join(join(seeds))))
    }

    /// Broadcasts a user event to every member, including this node. Allowed in every state: `UserEvent` in serf.go
    /// does not check the state either, and an application may want to send a last event while the node leaves.
    ///
    /// # Errors
    ///
    /// If the event is too large, or the event clock is exhausted.
    pub fn user_event(
        &mut self,
        now: Instant,
        name: &str,
        payload: &[u8],
        coalescing: Coalescing,
        out: &mut Outbox,
    ) -> Result<(), UserEventError> {
        let payload_max = self.user_event_payload_max(name);
        let coalesce = coalescing == Coalescing::Allow;
        let input = || Input::UserEvent { name: name.into(), payload: payload.into(), coalescing };
        let sent =
            self.command(now, out, input, |node, _| node.serf.user_event(&mut node.core, name, payload, coalesce));
        sent.map_err(|error| match error {
            SendError::TooLarge { bytes, limit } => UserEventError::TooLarge { bytes, limit, payload_max },
            SendError::Exhausted => UserEventError::ClockExhausted,
        })
    }

    /// The largest payload of a user event of this name, in bytes; `None` if the name alone is too long. The encoded
    /// Lamport time counts too, so the limit shrinks by a few bytes as the clock grows.
    pub fn user_event_payload_max(&self, name: &str) -> Option<usize> {
        self.serf.user_event_payload_max(&self.core, name)
    }

    /// Replaces the tags of this node and announces them at a higher incarnation.
    ///
    /// # Errors
    ///
    /// If the encoded tags are too large, or the node has begun to leave.
    pub fn set_tags(&mut self, now: Instant, tags: &Tags, out: &mut Outbox) -> Result<(), SetTagsError> {
        if self.leave.has_begun() {
            return Err(SetTagsError::Leaving);
        }
        let meta = tags.encode();
        if meta.len() > META_BYTES_MAX {
            return Err(SetTagsError::TooLarge { bytes: meta.len(), limit: META_BYTES_MAX });
        }
        let input = || Input::SetTags(tags.iter().map(|(tag, value)| (tag.into(), value.into())).collect());
        self.command(now, out, input, |node, _| {
            let (me, local) = (node.swim.me(), node.local().clone());
            // Always announced, but an update event is emitted only for a change.
            if local.meta() != meta {
                node.swim.set_own_record(&mut node.core, PeerRef { meta: &meta, ..local.announced() });
                node.core.notify(Notification::Updated(me));
            }
            node.swim.announce(&node.core);
        });
        Ok(())
    }

    /// Broadcasts a leave intent on behalf of a failed member, so that it is `left` instead of `failed`. A member that
    /// is alive refutes it.
    ///
    /// # Errors
    ///
    /// If the name is this node's, empty or too long, or the intent clock is exhausted.
    pub fn force_leave(
        &mut self,
        now: Instant,
        name: &str,
        tombstone: Tombstone,
        out: &mut Outbox,
    ) -> Result<(), ForceLeaveError> {
        if self.local().name() == name {
            return Err(ForceLeaveError::Ourselves);
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(ForceLeaveError::Nobody { bytes: name.len(), limit: NAME_BYTES_MAX });
        }
        let prune = tombstone == Tombstone::Erase;
        let input = || Input::ForceLeave { name: name.into(), tombstone };
        let result = self.command(now, out, input, |node, _| node.serf.force_leave(&mut node.core, name, prune));
        result.map_err(|Exhausted| ForceLeaveError::ClockExhausted)
    }

    /// Leaves the cluster gracefully. Keep the node running until [`Event::LeftCluster`](crate::Event::LeftCluster): it
    /// broadcasts the leave, and acks probes until the broadcast has spread. A leave cannot be undone; to return, start
    /// a new node.
    ///
    /// # Errors
    ///
    /// If a leave has begun before.
    pub fn leave(&mut self, now: Instant, out: &mut Outbox) -> Result<(), LeaveError> {
        match self.leave.state() {
            NodeState::Alive => {}
            NodeState::Leaving => return Err(LeaveError::InProgress),
            NodeState::Left => return Err(LeaveError::Left),
        }
        self.command(now, out, || Input::Leave, Self::begin_leave);
        Ok(())
    }
}

/// Why [`Node::join`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The node is leaving or has left.
    #[error("{}", LEAVING)]
    Leaving,
    /// No seed was given.
    #[error("a join needs the address of at least one member")]
    NoSeeds,
}

/// Why [`Node::user_event`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserEventError {
    /// The name and payload, or HashiCorp's encoding of the event, exceed the limit.
    TooLarge {
        /// The size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
        /// The largest payload of an event of this name; `None` if the name alone is too long.
        payload_max: Option<usize>,
    },
    /// The event clock has reached [`limits::LAMPORT_TIME_MAX`](crate::limits::LAMPORT_TIME_MAX); every node would drop
    /// the event.
    ClockExhausted,
}

/// Why [`Node::set_tags`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SetTagsError {
    /// The node is leaving or has left.
    #[error("{}", LEAVING)]
    Leaving,
    /// The encoded tags exceed the limit.
    #[error("the tags take {bytes} bytes encoded, the limit is {limit}")]
    TooLarge {
        /// The encoded size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// Why [`Node::force_leave`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ForceLeaveError {
    /// The name is this node's own; use [`Node::leave`].
    #[error("a node cannot force itself to leave; call leave instead")]
    Ourselves,
    /// No node can have this name: it is empty or too long.
    #[error("the name has {bytes} bytes, it must have 1 to {limit}")]
    Nobody {
        /// The length of the name, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The intent clock has reached [`limits::LAMPORT_TIME_MAX`](crate::limits::LAMPORT_TIME_MAX); every node would
    /// drop the intent.
    #[error("{}", CLOCK_EXHAUSTED)]
    ClockExhausted,
}

/// Why [`Node::leave`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// A leave is in progress.
    #[error("a leave is already in progress")]
    InProgress,
    /// The leave is complete.
    #[error("the node has already left the cluster")]
    Left,
}

const LEAVING: &str = "the node has begun to leave the cluster";
const CLOCK_EXHAUSTED: &str = "the Lamport clock has reached its maximum";

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

impl core::error::Error for UserEventError {}
