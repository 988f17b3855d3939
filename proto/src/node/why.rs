//! Evidence: why a member is suspected, failed or left.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::Node;
use crate::event::{Evidence, Source, Status};
use crate::roster::MemberIdx;
use crate::types::Name;

/// Evidence for a member's suspicion or absence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Why {
    /// The status that was reported to the application. A suspect is alive until it is declared dead.
    pub status: Status,
    /// Incarnation of the accusation. The member refutes with a greater one.
    pub incarnation: u32,
    /// When and how this node learned of the suspicion. `None` if the member was declared dead, or left, without one.
    pub suspected: Option<Evidence>,
    /// Names in the accusations, in order of arrival, without duplicates. Our own name stands for our probe, or for a
    /// state in a push/pull. Limited to the accusers that the suspicion counts.
    pub accusers: Vec<Name>,
    /// When and how this node learned that the member is dead or left. `None` while it is only suspected.
    pub gone: Option<Evidence>,
    /// The accuser of the death: the member's own name if it left, ours if it did not refute in time.
    pub said_by: Option<Name>,
}

impl Node {
    /// Evidence why a member is suspected, failed or left. `None` if it is alive or unknown, or if the record was
    /// evicted by more recent cases.
    pub fn why(&self, name: &str) -> Option<Why> {
        let idx = self.core.roster.find(name)?;
        let status = self.serf.member(&self.core, idx)?.status();
        let accused = self.swim.accused(idx)?;
        let (gone, said_by) = accused.gone.clone().unzip();
        Some(Why {
            status,
            incarnation: accused.incarnation,
            suspected: accused.suspected.clone().map(|evidence| self.with_member(evidence)),
            accusers: accused.accusers.clone(),
            gone: gone.map(|evidence| self.with_member(evidence)),
            said_by,
        })
    }

    /// Adds the name of the member that the evidence came from.
    fn with_member(&self, mut evidence: Evidence) -> Evidence {
        match &mut evidence.source {
            Source::Gossip { from, member } => *member = self.only_member(|addr| addr == *from),
            Source::PushPull { with, member } => {
                // A push/pull comes from an ephemeral port; the IP alone identifies the member if only one has it.
                let exact = self.only_member(|addr| addr == *with);
                *member = exact.or_else(|| self.only_member(|addr| addr.ip() == with.ip()));
            }
            Source::OwnProbe | Source::OwnTimer | Source::Ourselves => {}
        }
        evidence
    }

    /// The member that matches an address, if exactly one does.
    fn only_member(&self, is_there: impl Fn(SocketAddr) -> bool) -> Option<Name> {
        let count = u32::try_from(self.core.roster.len()).unwrap_or(u32::MAX);
        let peers = (0..count).filter_map(|idx| self.core.roster.peer(MemberIdx(idx)));
        let mut there = peers.filter(|peer| is_there(peer.addr()));
        // Two matches are ambiguous: better no name than a wrong one.
        there.next().filter(|_| there.next().is_none()).map(|peer| peer.shared_name())
    }
}
