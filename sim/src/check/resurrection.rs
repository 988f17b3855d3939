use core::net::SocketAddr;
use core::time::Duration;

use serf_proto::Instant;

use super::Finding;

/// Checks that a failed or left member returns only with a newer incarnation, as long as the observer's SWIM layer
/// remembers it: memberlist forgets the dead after a while (`GossipToTheDeadTime`) and then has no incarnation to
/// compare with. A name at a new address belongs to a new member with unrelated incarnations (`aliveNode` in state.go).
///
/// Stores only members that are down, so that a healthy cluster costs nothing per pair.
#[derive(Debug, Default)]
pub(super) struct ResurrectionCheck {
    /// Sorted by member.
    deaths: Vec<Death>,
}

#[derive(Clone, Copy, Debug)]
struct Death {
    member: u32,
    addr: SocketAddr,
    incarnation: u32,
    moment: Moment,
}

/// Time of an event at one observer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    /// Number of the node's call: the events of one call are seen only after it.
    pub(crate) call: u64,
}

impl ResurrectionCheck {
    /// Records that the member failed or left.
    pub(super) fn record_death(&mut self, member: u32, addr: SocketAddr, moment: Moment, incarnation: u32) {
        match self.find(member) {
            // A failed member whose leave becomes known: the newer incarnation and its call count, but the observer's
            // memory may date from the earlier moment.
            Ok(at) => {
                let death = &mut self.deaths[at];
                (death.addr, death.incarnation, death.moment.call) = (addr, incarnation, moment.call);
            }
            Err(at) => self.deaths.insert(at, Death { member, addr, incarnation, moment }),
        }
    }

    /// Checks a member that became alive. The observer remembers dead members for `memory`.
    pub(super) fn check_return(
        &mut self,
        member: u32,
        addr: SocketAddr,
        moment: Moment,
        memory: Duration,
        incarnation: impl FnOnce() -> u32,
    ) -> Option<Finding> {
        let at = self.find(member).ok()?;
        let fell = self.deaths.remove(at);
        // If both happened in one call, only the final incarnation is visible.
        if fell.addr != addr || fell.moment.call == moment.call || moment.at - fell.moment.at > memory {
            return None;
        }
        // Nothing exceeds the greatest incarnation: there a fall is undone by the member's own message.
        if fell.incarnation == u32::MAX {
            return None;
        }
        let rose_at = incarnation();
        (rose_at <= fell.incarnation).then_some(Finding::Resurrected { member, fell_at: fell.incarnation, rose_at })
    }

    /// Records that the observer has forgotten the member.
    pub(super) fn forget(&mut self, member: u32) {
        if let Ok(at) = self.find(member) {
            self.deaths.remove(at);
        }
    }

    fn find(&self, member: u32) -> Result<usize, usize> {
        self.deaths.binary_search_by_key(&member, |death| death.member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Duration = Duration::from_secs(30);
    const HOME: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 1);
    const ELSEWHERE: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 2);

    fn moment(call: u64) -> Moment {
        Moment { at: Instant::ZERO + Duration::from_secs(call), call }
    }

    #[test]
    fn rising_at_the_incarnation_of_the_fall_is_found() {
        let mut check = ResurrectionCheck::default();
        check.record_death(7, HOME, moment(1), 4);
        let finding = Finding::Resurrected { member: 7, fell_at: 4, rose_at: 4 };
        assert_eq!(check.check_return(7, HOME, moment(2), MEMORY, || 4), Some(finding));
    }

    #[test]
    fn a_name_at_another_address_begins_anew() {
        let mut check = ResurrectionCheck::default();
        check.record_death(7, HOME, moment(1), 4);
        assert_eq!(check.check_return(7, ELSEWHERE, moment(2), MEMORY, || 1), None);
    }

    #[test]
    fn a_fall_at_the_greatest_incarnation_may_be_undone() {
        let mut check = ResurrectionCheck::default();
        check.record_death(7, HOME, moment(1), u32::MAX);
        assert_eq!(check.check_return(7, HOME, moment(2), MEMORY, || u32::MAX), None);
    }

    #[test]
    fn rising_with_a_newer_incarnation_or_without_a_fall_is_fine() {
        let mut check = ResurrectionCheck::default();
        assert_eq!(check.check_return(7, HOME, moment(1), MEMORY, || 0), None, "a first join");
        check.record_death(7, HOME, moment(2), 4);
        check.record_death(3, HOME, moment(2), 1);
        assert_eq!(check.check_return(7, HOME, moment(3), MEMORY, || 5), None);
        assert_eq!(check.check_return(7, HOME, moment(4), MEMORY, || 5), None, "the fall is over");
        check.forget(3);
        assert_eq!(check.check_return(3, HOME, moment(5), MEMORY, || 1), None, "forgotten members may come as new");
    }

    #[test]
    fn a_leave_that_becomes_known_late_does_not_make_the_memory_longer() {
        let mut check = ResurrectionCheck::default();
        check.record_death(7, HOME, moment(1), 4);
        check.record_death(7, HOME, moment(20), 5);
        assert!(check.check_return(7, HOME, moment(25), MEMORY, || 5).is_some(), "still remembered");
        check.record_death(7, HOME, moment(26), 5);
        check.record_death(7, HOME, moment(50), 5);
        assert_eq!(check.check_return(7, HOME, moment(57), MEMORY, || 5), None, "31 s after the failure");
    }

    #[test]
    fn rising_after_the_observer_may_have_forgotten_is_fine() {
        let mut check = ResurrectionCheck::default();
        check.record_death(7, HOME, moment(1), 4);
        assert_eq!(check.check_return(7, HOME, moment(32), MEMORY, || 4), None);
    }
}
