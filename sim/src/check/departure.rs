use super::Finding;
use crate::truth::Truth;

/// Checks that only nodes that leave are reported as left.
pub(super) fn check(truth: &Truth, member: u32) -> Option<Finding> {
    (!truth.ever_left(member)).then_some(Finding::NeverLeft { member })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::HostState;

    #[test]
    fn a_leave_of_a_member_that_did_not_leave_is_found() {
        let mut truth = Truth::new(3);
        truth.set(0, HostState::Up);
        truth.set(1, HostState::Crashed);
        truth.set(2, HostState::Leaving);
        assert_eq!(check(&truth, 0), Some(Finding::NeverLeft { member: 0 }));
        assert_eq!(check(&truth, 1), Some(Finding::NeverLeft { member: 1 }), "a crash is not a leave");
        assert_eq!(check(&truth, 2), None);
    }
}
