//! Why a member is thought to be in trouble, or gone.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::Node;
use crate::event::{Evidence, Source, Status};
use crate::roster::MemberIdx;
use crate::types::Name;

/// Why a member is suspected, failed or left, as far as we know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Why {
    /// What the application is told of the member. A suspect is alive until it is declared dead.
    pub status: Status,
    /// The incarnation at which the member is accused. It refutes with a greater one.
    pub incarnation: u32,
    /// Since when we suspected it, and how we learned of the suspicion. None when it was declared dead, or left, without one.
    pub suspected: Option<Evidence>,
    /// Who suspects it: the names in the accusations, in the order in which they came, each once. Our own stands for our probe, or
    /// for what another member's state said of it. Beyond what the suspicion counts, no more are kept.
    pub accusers: Vec<Name>,
    /// Since when it is dead or left, and how we learned of that. None while it is only suspected.
    pub gone: Option<Evidence>,
    /// Who says that it is gone: its own name when it said farewell, ours when it did not refute in time.
    pub said_by: Option<Name>,
}

impl Node {
    /// Why a member is suspected, failed or left. `None` when it is simply alive, when nobody of that name is known, and when so
    /// many others got into trouble since that its case was forgotten.
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

    /// Fills in the member that evidence came from.
    fn with_member(&self, mut evidence: Evidence) -> Evidence {
        match &mut evidence.source {
            Source::Gossip { from, member } => *member = self.only_member(|addr| addr == *from),
            Source::PushPull { with, member } => {
                let exact = self.only_member(|addr| addr == *with);
                *member = exact.or_else(|| self.only_member(|addr| addr.ip() == with.ip()));
            }
            Source::OwnProbe | Source::OwnTimer | Source::Ourselves => {}
        }
        evidence
    }

    /// The member at an address, if there is just one.
    fn only_member(&self, is_there: impl Fn(SocketAddr) -> bool) -> Option<Name> {
        let count = u32::try_from(self.core.roster.len()).unwrap_or(u32::MAX);
        let peers = (0..count).filter_map(|idx| self.core.roster.peer(MemberIdx(idx)));
        let mut there = peers.filter(|peer| is_there(peer.addr()));
        there.next().filter(|_| there.next().is_none()).map(|peer| peer.shared_name())
    }
}
