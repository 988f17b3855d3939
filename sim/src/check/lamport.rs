use serf_proto::Clocks;

use super::Finding;

/// Checks that Lamport clocks never go back within one process life.
#[derive(Debug, Default)]
pub(super) struct LamportCheck {
    last: Clocks,
}

impl LamportCheck {
    pub(super) fn observe(&mut self, clocks: Clocks) -> Option<Finding> {
        let last = core::mem::replace(&mut self.last, clocks);
        [
            ("member", last.member, clocks.member),
            ("event", last.event, clocks.event),
            ("query", last.query, clocks.query),
        ]
        .into_iter()
        .find(|(_, from, to)| to < from)
        .map(|(clock, from, to)| Finding::ClockWentBack { clock, from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(member: u64, event: u64) -> Clocks {
        let mut clocks = Clocks::default();
        (clocks.member, clocks.event) = (member, event);
        clocks
    }

    #[test]
    fn a_clock_that_goes_back_is_found() {
        let mut check = LamportCheck::default();
        assert_eq!(check.observe(clocks(5, 5)), None);
        assert_eq!(check.observe(clocks(5, 4)), Some(Finding::ClockWentBack { clock: "event", from: 5, to: 4 }));
        assert_eq!(check.observe(clocks(4, 4)), Some(Finding::ClockWentBack { clock: "member", from: 5, to: 4 }));
    }
}
