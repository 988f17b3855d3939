//! What is remembered of members in trouble, for people: who accuses a member, and how we came to know.
//!
//! The protocol needs none of this once it has decided, and forgets the dead after half a minute; an operator asks later. So a
//! bounded number of cases is kept beside the rows.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::roster::MemberIdx;
use crate::time::Instant;
use crate::types::Name;

/// The trouble of one member.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The incarnation at which it is accused.
    pub(crate) incarnation: u32,
    /// Who suspects it, in the order in which they were heard of; as many as the suspicion counts.
    pub(crate) accusers: Vec<Name>,
    pub(crate) suspected: Option<Learned>,
    pub(crate) gone: Option<Gone>,
}

/// How it is known that a member is dead or left.
#[derive(Clone, Debug)]
pub(crate) struct Gone {
    pub(crate) learned: Learned,
    /// Who says so; the member's own name when it said farewell.
    pub(crate) said_by: Name,
}

/// When and how something became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Learned {
    pub(crate) at: Instant,
    pub(crate) how: How,
}

/// How something became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// We found out: our probe was not answered.
    OwnProbe,
    /// We decided: nobody refuted in time.
    OwnTimer,
    /// We said so ourselves.
    Ourselves,
    Packet(SocketAddr),
    Exchange(SocketAddr),
}

/// The cases of the members that got into trouble last, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Cases(Vec<(MemberIdx, Box<Case>)>);

impl Cases {
    pub(super) fn get(&self, idx: MemberIdx) -> Option<&Case> {
        self.0.iter().find(|(of, _)| *of == idx).map(|(_, case)| &**case)
    }

    /// A member is suspected, and was not before.
    pub(super) fn suspect(&mut self, idx: MemberIdx, incarnation: u32, accuser: Name, learned: Learned) {
        self.open(idx, Case { incarnation, accusers: vec![accuser], suspected: Some(learned), gone: None });
    }

    /// Somebody else suspects it too.
    pub(super) fn confirm(&mut self, idx: MemberIdx, accuser: Name) {
        if let Some((_, case)) = self.0.iter_mut().find(|(of, _)| *of == idx) {
            case.accusers.push(accuser);
        }
    }

    /// A member is dead or left.
    pub(super) fn bury(&mut self, idx: MemberIdx, incarnation: u32, gone: Gone) {
        match self.0.iter_mut().find(|(of, _)| *of == idx) {
            Some((_, case)) => (case.incarnation, case.gone) = (incarnation, Some(gone)),
            None => self.open(idx, Case { incarnation, accusers: Vec::new(), suspected: None, gone: Some(gone) }),
        }
    }

    /// A member is well.
    pub(super) fn close(&mut self, idx: MemberIdx) {
        if !self.0.is_empty() {
            self.0.retain(|(of, _)| *of != idx);
        }
    }

    fn open(&mut self, idx: MemberIdx, case: Case) {
        self.close(idx);
        if self.0.len() == CASES_MAX {
            self.0.remove(0);
        }
        self.0.push((idx, Box::new(case)));
    }
}

/// How many cases are kept. Ours. One more, and the oldest is forgotten; nothing but what an operator can be told depends on it.
const CASES_MAX: usize = 32;
