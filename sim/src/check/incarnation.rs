use super::Finding;

/// Checks that a node's own incarnation never decreases within one process life.
#[derive(Debug, Default)]
pub(super) struct IncarnationCheck {
    last: u32,
}

impl IncarnationCheck {
    pub(super) fn observe(&mut self, incarnation: u32) -> Option<Finding> {
        let from = core::mem::replace(&mut self.last, incarnation);
        (incarnation < from).then_some(Finding::IncarnationWentBack { from, to: incarnation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_incarnation_is_found() {
        let mut check = IncarnationCheck::default();
        assert_eq!([1, 1, 4].map(|incarnation| check.observe(incarnation)), [None, None, None]);
        assert_eq!(check.observe(3), Some(Finding::IncarnationWentBack { from: 4, to: 3 }));
    }
}
