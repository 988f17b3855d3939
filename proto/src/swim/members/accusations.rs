//! Why members are not alive, for operators: who accuses a member, and how we learned of it.
//!
//! The protocol needs none of this once it has decided, and forgets the dead after half a minute; an operator asks later. So a
//! bounded log is kept beside the rows.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::event::Evidence;
use crate::roster::MemberIdx;
use crate::types::Name;

/// What one member is accused of. The evidence names no member yet, only its address.
#[derive(Clone, Debug)]
pub(crate) struct Accused {
    /// The incarnation at which it is accused.
    pub(crate) incarnation: u32,
    /// The members that suspect it, in the order in which their accusations came; as many as the suspicion counts.
    pub(crate) accusers: Vec<Name>,
    pub(crate) suspected: Option<Evidence>,
    /// That it is dead or left, and the name in the message that says so: its own in a leave broadcast.
    pub(crate) gone: Option<(Evidence, Name)>,
}

/// The members accused last, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct AccusationLog(Vec<(MemberIdx, Box<Accused>)>);

impl AccusationLog {
    pub(super) fn get(&self, idx: MemberIdx) -> Option<&Accused> {
        self.0.iter().find(|(of, _)| *of == idx).map(|(_, accused)| &**accused)
    }

    /// Adds a member that is suspected and was not before.
    pub(super) fn suspect(&mut self, idx: MemberIdx, incarnation: u32, accuser: Name, evidence: Evidence) {
        self.add(idx, Accused { incarnation, accusers: vec![accuser], suspected: Some(evidence), gone: None });
    }

    /// Adds another accuser.
    pub(super) fn confirm(&mut self, idx: MemberIdx, accuser: Name) {
        if let Some(accused) = self.get_mut(idx) {
            accused.accusers.push(accuser);
        }
    }

    /// Notes that a member is dead or left.
    pub(super) fn declare_dead(&mut self, idx: MemberIdx, incarnation: u32, said_by: Name, evidence: Evidence) {
        let gone = Some((evidence, said_by));
        match self.get_mut(idx) {
            Some(accused) => (accused.incarnation, accused.gone) = (incarnation, gone),
            None => self.add(idx, Accused { incarnation, accusers: Vec::new(), suspected: None, gone }),
        }
    }

    /// Forgets a member that is alive again.
    pub(super) fn remove(&mut self, idx: MemberIdx) {
        if !self.0.is_empty() {
            self.0.retain(|(of, _)| *of != idx);
        }
    }

    fn get_mut(&mut self, idx: MemberIdx) -> Option<&mut Accused> {
        self.0.iter_mut().find(|(of, _)| *of == idx).map(|(_, accused)| &mut **accused)
    }

    fn add(&mut self, idx: MemberIdx, accused: Accused) {
        self.remove(idx);
        if self.0.len() == ACCUSED_MAX {
            self.0.remove(0);
        }
        self.0.push((idx, Box::new(accused)));
    }
}

/// How many members the log holds. Ours. One more drops the oldest; only what an operator is shown depends on it.
const ACCUSED_MAX: usize = 32;
