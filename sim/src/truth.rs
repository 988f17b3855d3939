//! Ground truth: the state of every host, and the pairs of nodes that a phase waits for. Invisible to the nodes; their
//! views are checked against it. Changes only between windows.

use serf_proto::{Instant, MemberEventKind, Status};

use crate::net::NodeSet;

/// True state of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostState {
    /// Has not started yet.
    Unborn,
    /// Runs.
    Up,
    /// Stalls.
    Paused,
    /// Leaving.
    Leaving,
    /// Left; its process has ended.
    Left,
    /// Crashed.
    Crashed,
}

/// True state of all hosts.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    states: Vec<HostState>,
    /// Whether a node ever began to leave: late messages about it are legitimate.
    ever_left: Vec<bool>,
    /// Whether a node was ever down since its start. A stalled process counts as up.
    ever_down: Vec<bool>,
    /// Whether a node is a subject of the current phase.
    subjects: Vec<bool>,
    /// Whether a partition separates the subjects from the others.
    is_split: bool,
    /// Partitions and cut links of a timeline, by a number of the caller.
    cuts: Vec<Cut>,
    /// Time of each node's crash, and the fault that caused it, for crashes that others are to detect.
    crashes: Vec<Option<(Instant, usize)>>,
}

/// Packets from one set of nodes to another that are dropped.
#[derive(Clone, Debug)]
struct Cut {
    at: Instant,
    fault: usize,
    from: NodeSet,
    to: NodeSet,
}

impl Truth {
    pub(crate) fn new(nodes: u32) -> Self {
        let nodes = nodes as usize;
        Self {
            states: vec![HostState::Unborn; nodes],
            ever_left: vec![false; nodes],
            ever_down: vec![false; nodes],
            subjects: vec![false; nodes],
            is_split: false,
            cuts: Vec::new(),
            crashes: vec![None; nodes],
        }
    }

    /// Records that packets between two sets of nodes are dropped in at least one direction.
    pub(crate) fn cut(&mut self, at: Instant, fault: usize, from: NodeSet, to: NodeSet) {
        self.cuts.push(Cut { at, fault, from, to });
    }

    /// Records the end of the cuts of a fault.
    pub(crate) fn mend(&mut self, fault: usize) {
        self.cuts.retain(|cut| cut.fault != fault);
    }

    /// Records a crash that others are to detect.
    pub(crate) fn set_crashed(&mut self, node: u32, at: Instant, fault: usize) {
        self.crashes[node as usize] = Some((at, fault));
    }

    /// Returns when a node crashed, and the fault; `None` unless [`set_crashed`](Self::set_crashed) recorded it.
    pub(crate) fn crash_of(&self, node: u32) -> Option<(Instant, usize)> {
        *self.crashes.get(node as usize)?
    }

    /// Returns since when two nodes have been cut from each other, and the fault.
    pub(crate) fn cut_of(&self, observer: u32, member: u32) -> Option<(Instant, usize)> {
        self.cut_between(observer, member).map(|cut| (cut.at, cut.fault))
    }

    fn cut_between(&self, observer: u32, member: u32) -> Option<&Cut> {
        self.cuts.iter().find(|Cut { from, to, .. }| {
            from.contains(observer) && to.contains(member) || from.contains(member) && to.contains(observer)
        })
    }

    pub(crate) fn set(&mut self, node: u32, state: HostState) {
        self.states[node as usize] = state;
        if state == HostState::Leaving {
            self.ever_left[node as usize] = true;
        }
        if !matches!(state, HostState::Up | HostState::Paused) {
            self.ever_down[node as usize] = true;
        }
    }

    /// Makes exactly these nodes the subjects of the phase.
    pub(crate) fn set_subjects(&mut self, subjects: &[u32]) {
        self.subjects.fill(false);
        for &node in subjects {
            self.subjects[node as usize] = true;
        }
    }

    /// Makes these nodes subjects, too.
    pub(crate) fn add_subjects(&mut self, subjects: &[u32]) {
        subjects.iter().for_each(|node| self.subjects[*node as usize] = true);
    }

    /// Records the start or end of a partition between subjects and others.
    pub(crate) const fn set_split(&mut self, is_split: bool) {
        self.is_split = is_split;
    }

    /// Returns the true state of a node. The hostile host counts as never started, so that no rule applies to it.
    pub(crate) fn state(&self, node: u32) -> HostState {
        self.states.get(node as usize).copied().unwrap_or(HostState::Unborn)
    }

    pub(crate) fn is_up(&self, node: u32) -> bool {
        self.state(node) == HostState::Up
    }

    pub(crate) fn ever_left(&self, node: u32) -> bool {
        self.ever_left[node as usize]
    }

    /// Returns the nodes that were up throughout.
    pub(crate) fn always_up(&self) -> impl Iterator<Item = u32> + '_ {
        self.all(HostState::Up).filter(|node| self.never_down(*node))
    }

    /// Whether a node has been up since its start. A stalled process counts as up.
    pub(crate) fn never_down(&self, node: u32) -> bool {
        !self.ever_down[node as usize]
    }

    pub(crate) fn is_subject(&self, node: u32) -> bool {
        self.subjects.get(node as usize).is_some_and(|is_subject| *is_subject)
    }

    /// Whether declaring `member` failed is wrong: it runs, and no partition separates it from `observer`.
    pub(crate) fn is_alarm_false(&self, observer: u32, member: u32) -> bool {
        self.is_up(member)
            && !(self.is_split && self.is_subject(observer) != self.is_subject(member))
            && self.cut_between(observer, member).is_none()
    }

    /// Returns the nodes in this state, in order.
    pub(crate) fn all(&self, state: HostState) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).zip(&self.states).filter(move |(_, is)| **is == state).map(|(node, _)| node)
    }

    /// Returns the status that members should have for `node`; `None` if they need not know it.
    pub(crate) fn expected_status(&self, node: u32) -> Option<Status> {
        match self.state(node) {
            HostState::Unborn => None,
            HostState::Up | HostState::Paused => Some(Status::Alive),
            HostState::Leaving | HostState::Left => Some(Status::Left),
            HostState::Crashed => Some(Status::Failed),
        }
    }
}

/// Goal of a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Goal {
    pub(crate) aim: Aim,
    /// Number of pairs, or deliveries, that complete it.
    pub(crate) total: i64,
    /// Start of the phase.
    pub(crate) since: Instant,
}

/// What counts towards a goal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Nothing: only time passes.
    Nothing,
    /// Every watched pair: the first node sees the second in this status.
    Views { status: Status, watch: Watch },
    /// Every node delivers this number of the counted user events.
    Events { count: u32 },
    /// Every node's answer to a query reaches its sender.
    Answers { asker: u32 },
    /// Every node completes the sender's key operation, and the sender knows.
    Keys { asker: u32 },
}

/// Watched pairs of an observer and a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// All pairs, including a node and itself.
    Everyone,
    /// Subjects, as seen by the others that are up.
    SubjectsByOthers,
    /// Subjects, as seen by all that are up, and all that are up, as seen by the subjects.
    SubjectsAndAll,
    /// Others that are up, as seen by the subjects that are up, and the reverse: the two sides of a partition.
    OtherSide,
    /// All that are up, as seen by each other, including a node and itself.
    AllUp,
}

impl Watch {
    pub(crate) fn covers(self, truth: &Truth, observer: u32, member: u32) -> bool {
        match self {
            Self::Everyone => true,
            Self::SubjectsByOthers => truth.is_subject(member) && !truth.is_subject(observer) && truth.is_up(observer),
            Self::SubjectsAndAll => {
                (truth.is_subject(member) || truth.is_subject(observer)) && truth.is_up(observer) && truth.is_up(member)
            }
            Self::OtherSide => {
                truth.is_subject(member) != truth.is_subject(observer) && truth.is_up(observer) && truth.is_up(member)
            }
            Self::AllUp => truth.is_up(observer) && truth.is_up(member),
        }
    }
}

impl Goal {
    pub(crate) const fn none(since: Instant) -> Self {
        Self { aim: Aim::Nothing, total: 0, since }
    }
}

/// Returns the member's status after an event; `None` if the event does not change it.
pub(crate) const fn status_after(kind: MemberEventKind) -> Option<Status> {
    match kind {
        MemberEventKind::Join => Some(Status::Alive),
        MemberEventKind::Leave => Some(Status::Left),
        MemberEventKind::Failed => Some(Status::Failed),
        MemberEventKind::Update | MemberEventKind::Reap => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_watched_by_those_that_are_up() {
        let mut truth = Truth::new(4);
        for node in 0..4 {
            truth.set(node, HostState::Up);
        }
        truth.set(2, HostState::Crashed);
        truth.set(3, HostState::Left);
        truth.set_subjects(&[2]);
        let watch = Watch::SubjectsByOthers;
        assert!(watch.covers(&truth, 0, 2));
        assert!(!watch.covers(&truth, 0, 1), "not about the living");
        assert!(!watch.covers(&truth, 2, 2), "not by the dead");
        assert!(!watch.covers(&truth, 3, 2), "not by those that left");
    }

    #[test]
    fn a_return_is_watched_from_both_sides() {
        let mut truth = Truth::new(3);
        truth.set(0, HostState::Up);
        truth.set(1, HostState::Up);
        truth.set(2, HostState::Left);
        truth.set_subjects(&[1]);
        let watch = Watch::SubjectsAndAll;
        assert!(watch.covers(&truth, 0, 1) && watch.covers(&truth, 1, 0) && watch.covers(&truth, 1, 1));
        assert!(!watch.covers(&truth, 0, 0) && !watch.covers(&truth, 1, 2));
    }

    #[test]
    fn a_partition_is_watched_across_and_makes_alarms_across_true() {
        let mut truth = Truth::new(4);
        for node in 0..4 {
            truth.set(node, HostState::Up);
        }
        truth.set_subjects(&[2, 3]);
        assert!(Watch::OtherSide.covers(&truth, 0, 2) && Watch::OtherSide.covers(&truth, 3, 1));
        assert!(!Watch::OtherSide.covers(&truth, 0, 1) && !Watch::OtherSide.covers(&truth, 2, 3));
        assert!(truth.is_alarm_false(0, 2), "no partition yet");
        truth.set_split(true);
        assert!(!truth.is_alarm_false(0, 2) && !truth.is_alarm_false(2, 0));
        assert!(truth.is_alarm_false(0, 1) && truth.is_alarm_false(2, 3), "within a side");
        truth.set(1, HostState::Crashed);
        assert!(!truth.is_alarm_false(0, 1) && !Watch::AllUp.covers(&truth, 0, 1));
    }

    #[test]
    fn having_left_is_never_forgotten() {
        let mut truth = Truth::new(1);
        truth.set(0, HostState::Leaving);
        truth.set(0, HostState::Up);
        assert!(truth.ever_left(0));
    }
}
