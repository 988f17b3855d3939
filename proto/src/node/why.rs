//! Why a member is thought to be in trouble, or gone.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::Node;
use crate::event::Status;
use crate::roster::MemberIdx;
use crate::swim::{How, Learned};
use crate::time::Instant;
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

/// When and how something became known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// When.
    pub at: Instant,
    /// How.
    pub source: Source,
}

/// How something about a member became known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Our own probe of it was not answered, directly or over others.
    OwnProbe,
    /// It did not refute in time: our own timer ran out.
    OwnTimer,
    /// We said so: it is ourselves.
    Ourselves,
    /// A packet said so.
    Gossip {
        /// Where the packet came from.
        from: SocketAddr,
        /// The member that is there, if we know one.
        member: Option<Name>,
    },
    /// Another node's state said so.
    PushPull {
        /// The other end of the exchange. The port of a node that called us is not the one at which it listens.
        with: SocketAddr,
        /// The member that is there, if we know one, and only one of that address.
        member: Option<Name>,
    },
}

impl Node {
    /// Why a member is suspected, failed or left. `None` when it is simply alive, when nobody of that name is known, and when so
    /// many others got into trouble since that its case was forgotten.
    pub fn why(&self, name: &str) -> Option<Why> {
        let idx = self.core.roster.find(name)?;
        let status = self.serf.member(&self.core, idx)?.status();
        let case = self.swim.case(idx)?;
        let evidence = |learned: Learned| self.evidence(learned);
        Some(Why {
            status,
            incarnation: case.incarnation,
            suspected: case.suspected.map(evidence),
            accusers: case.accusers.clone(),
            gone: case.gone.as_ref().map(|gone| evidence(gone.learned)),
            said_by: case.gone.as_ref().map(|gone| Name::clone(&gone.said_by)),
        })
    }

    fn evidence(&self, Learned { at, how }: Learned) -> Evidence {
        let source = match how {
            How::OwnProbe => Source::OwnProbe,
            How::OwnTimer => Source::OwnTimer,
            How::Ourselves => Source::Ourselves,
            How::Packet(from) => Source::Gossip { from, member: self.only_member(|addr| addr == from) },
            How::Exchange(with) => {
                let exact = self.only_member(|addr| addr == with);
                Source::PushPull { with, member: exact.or_else(|| self.only_member(|addr| addr.ip() == with.ip())) }
            }
        };
        Evidence { at, source }
    }

    /// The member at an address, if there is just one.
    fn only_member(&self, is_there: impl Fn(SocketAddr) -> bool) -> Option<Name> {
        let count = u32::try_from(self.core.roster.len()).unwrap_or(u32::MAX);
        let peers = (0..count).filter_map(|idx| self.core.roster.peer(MemberIdx(idx)));
        let mut there = peers.filter(|peer| is_there(peer.addr()));
        there.next().filter(|_| there.next().is_none()).map(|peer| peer.shared_name())
    }
}
