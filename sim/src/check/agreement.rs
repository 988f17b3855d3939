use serf_proto::Status;

use super::Finding;
use crate::truth::{HostState, Truth};

/// Convergence: after the faults and the settling time, every node sees every member in its true state. A member that
/// never started, or was forgotten, may be unknown. A node that was down when a member failed or left may not know of
/// it.
pub(crate) fn disagreement(truth: &Truth, member: u32, seen: Option<Status>) -> Option<Finding> {
    let expected = truth.expected_status(member);
    let fine = match truth.state(member) {
        HostState::Up | HostState::Paused => seen == Some(Status::Alive),
        HostState::Leaving => matches!(seen, None | Some(Status::Alive | Status::Leaving | Status::Left)),
        HostState::Left => matches!(seen, None | Some(Status::Left)),
        HostState::Crashed => matches!(seen, None | Some(Status::Failed)),
        HostState::Unborn => seen.is_none(),
    };
    (!fine).then_some(Finding::Disagreement { member, seen, expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_view_is_found() {
        let mut truth = Truth::new(2);
        truth.set(0, HostState::Up);
        truth.set(1, HostState::Crashed);
        assert_eq!(disagreement(&truth, 0, Some(Status::Alive)), None);
        assert_eq!(disagreement(&truth, 1, Some(Status::Failed)), None);
        for (member, seen) in [(0, Some(Status::Failed)), (0, None), (1, Some(Status::Alive)), (1, Some(Status::Left))]
        {
            let expected = truth.expected_status(member);
            let finding = Finding::Disagreement { member, seen, expected };
            assert_eq!(disagreement(&truth, member, seen), Some(finding));
        }
    }
}
