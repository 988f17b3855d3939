//! Policy of the application: which members to admit, which clusters to merge with, how long to remember members.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use thiserror::Error;

use crate::event::Member;
use crate::types::{self, Tags};
use crate::wire::Versions;
use crate::wire::swim::PeerRef;

/// Decisions that an application makes for its node. Every method has a default, so an implementation overrides only
/// what it needs. Install it with [`Start::with_policy`](crate::Start::with_policy).
///
/// The node calls a policy only if something would change. Packets that repeat known state cause no call. Vetoed state
/// is not stored, so it causes a call each time that it arrives. The calls are made from inside the node: they must be
/// fast and, for recorded runs to replay, deterministic.
///
/// ```
/// use serf_proto::{Candidate, Policy, Veto};
///
/// /// Admits only members of one environment.
/// struct OnlyProduction;
///
/// impl Policy for OnlyProduction {
///     fn admits(&self, candidate: &Candidate<'_>) -> Result<(), Veto> {
///         match candidate.tag("env") {
///             Some("production") => Ok(()),
///             other => Err(Veto::new(&format!("its environment is {other:?}"))),
///         }
///     }
/// }
/// ```
pub trait Policy: Send + Sync {
    /// Whether a member may have the record that it announces (`NotifyAlive` of memberlist's alive delegate, through
    /// which serf calls its merge delegate). Called when a member appears, returns after it was dead or left, or
    /// changes its record.
    ///
    /// # Errors
    ///
    /// A veto changes nothing: an unknown node stays unknown, and a member keeps its previous record. It then cannot
    /// refute here either, because it refutes with its current record; once suspected, it fails. Counted as
    /// [`DropReason::Vetoed`](crate::DropReason::Vetoed).
    fn admits(&self, candidate: &Candidate<'_>) -> Result<(), Veto> {
        let _ = candidate;
        Ok(())
    }

    /// Whether to merge with a cluster of these members (`NotifyMerge` of serf's merge delegate). Called for every
    /// exchange of states that is a join, by either side. `others` are all members that the other side knows, including
    /// itself.
    ///
    /// # Errors
    ///
    /// After a veto nothing is merged. A joining node gets an error reply; our own join ends with
    /// [`SeedFailureCause::Vetoed`](crate::SeedFailureCause::Vetoed). The other side of our join may have merged our
    /// state before, and will gossip to us; veto its members with [`admits`](Self::admits) too. Counted as
    /// [`DropReason::Vetoed`](crate::DropReason::Vetoed).
    fn admits_merge(&self, others: &[Candidate<'_>]) -> Result<(), Veto> {
        let _ = others;
        Ok(())
    }

    /// How long a member that failed or left is remembered; a failed one is also reconnected to that long
    /// (`ReconnectTimeout` of serf's override delegate). `timeout` is the configured value for its status;
    /// [`Duration::MAX`] means forever. Called for each such member every
    /// [`reap_interval`](crate::SerfOptions::reap_interval).
    fn reconnect_timeout(&self, member: &Member, timeout: Duration) -> Duration {
        let _ = member;
        timeout
    }
}

/// The announced record of a member, before it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    peer: PeerRef<'a>,
    left: bool,
}

impl<'a> Candidate<'a> {
    pub(crate) const fn new(peer: PeerRef<'a>, left: bool) -> Self {
        Self { peer, left }
    }

    /// The member's name.
    pub const fn name(&self) -> &'a str {
        self.peer.name
    }

    /// The member's address.
    pub fn addr(&self) -> SocketAddr {
        crate::roster::canonical(self.peer.addr)
    }

    /// The value of a tag, without a copy. `None` when there is no such tag, or its value is not UTF-8.
    pub fn tag(&self, key: &str) -> Option<&'a str> {
        types::tag(self.peer.meta, key)
    }

    /// The tags as key and value, in the order in which they are announced, without a copy. Metadata from before there were
    /// tags is a `role`. Those that are not UTF-8 are left out; [`to_tags`](Self::to_tags) has them with replacement characters.
    pub fn tags(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        types::tags(self.peer.meta)
    }

    /// Decodes the tags into a map of their own.
    pub fn to_tags(&self) -> Tags {
        Tags::decode(self.peer.meta)
    }

    /// The raw metadata; for Serf the encoded tags.
    pub const fn meta(&self) -> &'a [u8] {
        self.peer.meta
    }

    /// The protocol versions that the member supports and speaks.
    pub const fn versions(&self) -> Versions {
        self.peer.versions
    }

    /// Whether the other side lists the member as left. Only in [`Policy::admits_merge`].
    pub const fn has_left(&self) -> bool {
        self.left
    }
}

/// A veto, with its reason for the log.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Veto {
    reason: Box<str>,
}

impl Veto {
    /// A veto with this reason.
    pub fn new(reason: &str) -> Self {
        Self { reason: reason.into() }
    }
}

/// A policy that is shared between nodes and options.
#[derive(Clone)]
pub struct SharedPolicy(Arc<dyn Policy>);

impl SharedPolicy {
    /// Wraps a policy.
    pub fn new(policy: impl Policy + 'static) -> Self {
        Self(Arc::new(policy))
    }

    /// Calls [`Policy::admits`], and logs a veto.
    pub(crate) fn admits(&self, peer: PeerRef<'_>) -> bool {
        let verdict = self.0.admits(&Candidate::new(peer, false));
        if let Err(veto) = &verdict {
            tracing::debug!(member = peer.name, addr = %peer.addr, %veto, "the policy rejected a member");
        }
        verdict.is_ok()
    }

    pub(crate) fn admits_merge(&self, others: &[Candidate<'_>]) -> bool {
        let verdict = self.0.admits_merge(others);
        if let Err(veto) = &verdict {
            tracing::debug!(members = others.len(), %veto, "the policy rejected a merge");
        }
        verdict.is_ok()
    }

    pub(crate) fn reconnect_timeout(&self, member: &Member, timeout: Duration) -> Duration {
        self.0.reconnect_timeout(member, timeout)
    }
}

impl fmt::Debug for SharedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedPolicy")
    }
}

/// Compares by identity.
impl PartialEq for SharedPolicy {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
