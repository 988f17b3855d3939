//! Log of accusations for operators: who accuses a member, and how this node learned of it.
//!
//! The protocol does not need this once it has decided, and reaps the dead after half a minute. Operators ask later, so
//! a bounded log is kept beside the rows.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::event::Evidence;
use crate::roster::MemberIdx;
use crate::types::Name;

/// Accusations of one member. The evidence holds addresses; the node adds the members' names when it is read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Accused {
    /// Incarnation of the accusation.
    pub(crate) incarnation: u32,
    /// Names of the accusers, in order of arrival; limited to those that the suspicion counts.
    pub(crate) accusers: Vec<Name>,
    pub(crate) suspected: Option<Evidence>,
    /// Evidence of death or leave, and the name in the message: the member's own in a leave broadcast.
    pub(crate) gone: Option<(Evidence, Name)>,
}

/// The most recently accused members, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct AccusationLog(Vec<(MemberIdx, Box<Accused>)>);

impl AccusationLog {
    pub(super) fn get(&self, idx: MemberIdx) -> Option<&Accused> {
        self.0.iter().find(|(of, _)| *of == idx).map(|(_, accused)| &**accused)
    }

    /// Adds a new suspect.
    pub(super) fn suspect(&mut self, idx: MemberIdx, incarnation: u32, accuser: Name, evidence: Evidence) {
        self.add(idx, Accused { incarnation, accusers: vec![accuser], suspected: Some(evidence), gone: None });
    }

    /// Adds an accuser to an entry.
    pub(super) fn confirm(&mut self, idx: MemberIdx, accuser: Name) {
        if let Some(accused) = self.get_mut(idx) {
            accused.accusers.push(accuser);
        }
    }

    /// Records that a member is dead or left.
    pub(super) fn declare_dead(&mut self, idx: MemberIdx, incarnation: u32, said_by: Name, evidence: Evidence) {
        let gone = Some((evidence, said_by));
        match self.get_mut(idx) {
            Some(accused) => (accused.incarnation, accused.gone) = (incarnation, gone),
            None => self.add(idx, Accused { incarnation, accusers: Vec::new(), suspected: None, gone }),
        }
    }

    /// Removes a member that is alive again.
    pub(super) fn remove(&mut self, idx: MemberIdx) {
        if !self.0.is_empty() {
            self.0.retain(|(of, _)| *of != idx);
        }
    }

    fn get_mut(&mut self, idx: MemberIdx) -> Option<&mut Accused> {
        self.0.iter_mut().find(|(of, _)| *of == idx).map(|(_, accused)| &mut **accused)
    }

    fn add(&mut self, idx: MemberIdx, accused: Accused) {
        // At most one entry per member.
        self.remove(idx);
        if self.0.len() == ACCUSED_MAX {
            self.0.remove(0);
        }
        self.0.push((idx, Box::new(accused)));
    }
}

/// Number of entries. Ours. A new entry evicts the oldest; only what is shown to operators depends on it.
const ACCUSED_MAX: usize = 32;
