//! Decisions that are the application's: whom to admit, with which cluster to merge, how long to remember whom.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::event::Member;
use crate::types::Tags;
use crate::wire::Versions;
use crate::wire::swim::PeerRef;

/// What an application decides for its node. Every decision has a default, so that an implementation needs only those that it
/// is about. Give it to the node with [`Start::with_policy`](crate::Start::with_policy).
///
/// A node without a policy asks nobody; one with a policy asks only when something would change. Packets that repeat what is
/// known are not asked about; what was vetoed is not known, and is asked about each time that it comes. The calls come from within the node: they should be quick, and for equal
/// arguments the same, or a recorded run would not play again as it was.
///
/// ```
/// use serf_proto::{Candidate, Policy, Veto};
///
/// /// Admits only members of one environment.
/// struct OnlyProduction;
///
/// impl Policy for OnlyProduction {
///     fn admits(&self, candidate: &Candidate<'_>) -> Result<(), Veto> {
///         match candidate.tags().get("env") {
///             Some("production") => Ok(()),
///             other => Err(Veto::new(&format!("its environment is {other:?}"))),
///         }
///     }
/// }
/// ```
pub trait Policy: Send + Sync {
    /// Whether a member may be what it announces (`NotifyAlive` of memberlist's alive delegate, through which serf asks its merge
    /// delegate). Asked when a member appears, comes back after it was dead or left, or announces something else.
    ///
    /// # Errors
    ///
    /// A veto leaves everything as it was: a stranger stays one, and a member keeps what it announced before. It can then not
    /// refute here either, because it refutes with what it announces now: once suspected it is found failed. It is counted as
    /// [`DropReason::Vetoed`](crate::DropReason::Vetoed).
    fn admits(&self, candidate: &Candidate<'_>) -> Result<(), Veto> {
        let _ = candidate;
        Ok(())
    }

    /// Whether to merge with the cluster of these members (`NotifyMerge` of serf's merge delegate). Asked of every exchange in
    /// which somebody joins, by either side; `others` are all that the other side knows, itself included.
    ///
    /// # Errors
    ///
    /// After a veto nothing is merged: whoever joins us is told so, and a join of ours ends with
    /// [`SeedFailureCause::Vetoed`](crate::SeedFailureCause::Vetoed). The other side of a join of ours may have merged us before we
    /// could decide, and will gossip to us: veto its members with [`admits`](Self::admits) too. It is counted as
    /// [`DropReason::Vetoed`](crate::DropReason::Vetoed).
    fn admits_merge(&self, others: &[Candidate<'_>]) -> Result<(), Veto> {
        let _ = others;
        Ok(())
    }

    /// How long a member that failed or left is remembered, and tried to be reached again if it failed (`ReconnectTimeout` of
    /// serf's overrider). `timeout` is what the options say for its status; [`Duration::MAX`] is for ever. Asked of each such
    /// member every [`reap_interval`](crate::Options::reap_interval).
    fn reconnect_timeout(&self, member: &Member, timeout: Duration) -> Duration {
        let _ = member;
        timeout
    }
}

/// A member as it announces itself, before it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    peer: PeerRef<'a>,
    left: bool,
}

impl<'a> Candidate<'a> {
    pub(crate) const fn new(peer: PeerRef<'a>, left: bool) -> Self {
        Self { peer, left }
    }

    /// Its name.
    pub const fn name(&self) -> &'a str {
        self.peer.name
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        crate::roster::canonical(self.peer.addr)
    }

    /// Its tags; empty when it announces something that is not tags.
    pub fn tags(&self) -> Tags {
        Tags::decode(self.peer.meta)
    }

    /// Its metadata as announced; for Serf the encoded tags.
    pub const fn meta(&self) -> &'a [u8] {
        self.peer.meta
    }

    /// The protocol versions that it understands and speaks.
    pub const fn versions(&self) -> Versions {
        self.peer.versions
    }

    /// Whether it is said to have left. Only in a merge: otherwise nobody asks about those who left.
    pub const fn has_left(&self) -> bool {
        self.left
    }
}

/// A decision against something, with the reason for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veto {
    reason: Box<str>,
}

impl Veto {
    /// For this reason.
    pub fn new(reason: &str) -> Self {
        Self { reason: reason.into() }
    }
}

impl fmt::Display for Veto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl core::error::Error for Veto {}

/// A policy that nodes and options share.
#[derive(Clone)]
pub struct SharedPolicy(Arc<dyn Policy>);

impl SharedPolicy {
    /// Shares a policy.
    pub fn new(policy: impl Policy + 'static) -> Self {
        Self(Arc::new(policy))
    }

    /// Whether a member may be what it announces.
    pub(crate) fn admits(&self, peer: PeerRef<'_>) -> bool {
        let verdict = self.0.admits(&Candidate::new(peer, false));
        if let Err(veto) = &verdict {
            tracing::debug!(member = peer.name, addr = %peer.addr, %veto, "a member is not admitted");
        }
        verdict.is_ok()
    }

    pub(crate) fn admits_merge(&self, others: &[Candidate<'_>]) -> bool {
        let verdict = self.0.admits_merge(others);
        if let Err(veto) = &verdict {
            tracing::debug!(members = others.len(), %veto, "a merge is not admitted");
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

/// The same policy, not one that decides alike.
impl PartialEq for SharedPolicy {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
