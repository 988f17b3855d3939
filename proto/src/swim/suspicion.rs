//! Suspicion timeouts: SWIM §4.2, with the dynamic timeout of Lifeguard §IV-B (LHA-Suspicion).

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::members::Row;
use super::{Swim, evidence};
use crate::config::SwimOptions;
use crate::core::{Core, Origin};
use crate::event::{Event, Source};
use crate::fingerprint::Fingerprint;
use crate::roster::MemberIdx;
use crate::time::Instant;
use crate::timer::SwimTimer;
use crate::types::Name;
use crate::wire::swim::{Accusation, State};

/// A suspicion in progress. Each confirmation by another member shortens its timeout.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Suspicion {
    started: Instant,
    /// Number of confirmations that reduce the timeout to its minimum.
    wanted: u32,
    least: Duration,
    most: Duration,
    /// Number of accusers that a verdict needs.
    accusers_min: u32,
    /// The accusers, including the first.
    accusers: Vec<Name>,
}

impl Suspicion {
    pub(super) fn new(options: &SwimOptions, members: u32, started: Instant, accuser: Name) -> Self {
        let least = least_timeout(options, members);
        let wanted = options.suspicion_mult.saturating_sub(2);
        Self {
            started,
            // In a cluster too small for that many confirmations, start at the minimum.
            wanted: if members.saturating_sub(2) < wanted { 0 } else { wanted },
            least,
            most: least.saturating_mul(options.suspicion_max_timeout_mult),
            accusers_min: options.accusers_min,
            accusers: vec![accuser],
        }
    }

    fn confirmations(&self) -> u32 {
        u32::try_from(self.accusers.len()).unwrap_or(u32::MAX) - 1
    }

    /// Counts an accuser. False if it is known already, or enough are known.
    pub(super) fn confirm(&mut self, accuser: Name) -> bool {
        let counted_max = self.wanted.max(self.accusers_min.saturating_sub(1));
        if self.confirmations() >= counted_max || self.accusers.contains(&accuser) {
            return false;
        }
        self.accusers.push(accuser);
        true
    }

    /// Whether the timeout has passed.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.deadline() <= now
    }

    /// Whether enough members accuse the suspect for a verdict, if `observers` could.
    fn is_accused_by_enough(&self, observers: u32) -> bool {
        self.confirmations() + 1 >= self.accusers_min.min(observers)
    }

    /// When the suspect is declared dead, unless it refutes. Each confirmation moves it earlier.
    pub(super) fn deadline(&self) -> Instant {
        self.started + timeout(self.confirmations(), self.wanted, self.least, self.most)
    }

    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { started, wanted, accusers_min, least, most, accusers } = self;
        to.age(*started);
        to.put((wanted, accusers_min, least, most, accusers));
    }
}

impl Swim {
    pub(super) fn begin_suspicion(&mut self, core: &mut Core, origin: Origin, idx: MemberIdx, by: &Accusation<'_>) {
        let deadline = self.members.suspect(core, idx, by, evidence(core, origin, Source::OwnProbe));
        core.timers.set(SwimTimer::Suspicion(idx), deadline);
        self.queue_broadcast(core, idx);
        let (member, accuser) = (core.roster.peer(idx).cloned(), self.members.accuser(idx).cloned());
        core.events.extend(member.zip(accuser).map(|(member, accuser)| Event::Suspected { member, accuser }));
    }

    pub(super) fn confirm_suspicion(&mut self, core: &mut Core, origin: Origin, idx: MemberIdx, by: &Accusation<'_>) {
        let Some(deadline) = self.members.confirm(core, idx, by) else { return };
        let alive = self.members.count(State::Alive);
        let enough = self.members.suspicion(idx).is_some_and(|suspicion| suspicion.is_accused_by_enough(alive));
        // A confirmation may move the deadline into the past.
        if deadline <= core.now && enough {
            return self.suspicion_due(core, origin, idx);
        }
        // After the deadline it has a timer already.
        if deadline > core.now {
            core.timers.set(SwimTimer::Suspicion(idx), deadline);
        }
        // Gossiped again only if the accuser counted, as in memberlist's `suspectNode`.
        self.queue_broadcast(core, idx);
    }

    /// Handles the timer of a suspicion: declares the suspect dead. Ignores the timer of a suspicion that was refuted
    /// or restarted.
    pub(super) fn suspicion_due(&mut self, core: &mut Core, origin: Origin, idx: MemberIdx) {
        let Some(suspicion) = self.members.suspicion(idx).filter(|suspicion| suspicion.is_over(core.now)) else {
            return;
        };
        if !suspicion.is_accused_by_enough(self.members.count(State::Alive)) {
            // It stays suspect, and is judged again at each accusation and after each least suspicion timeout.
            let again = suspicion.least;
            return core.arm(again, SwimTimer::Suspicion(idx));
        }
        let (confirmations, Row { incarnation, state, .. }) = (suspicion.confirmations(), self.members.row(idx));
        debug_assert_eq!(state, Some(State::Suspect), "only suspects have a suspicion");
        core.stats.deaths_declared += 1;
        let (node, me) = (core.roster.name(idx), core.roster.name(self.me()));
        tracing::info!(member = &*node, confirmations, "suspect did not refute in time: it is dead");
        self.dead(core, origin, &Accusation { incarnation, node: &node, from: &me });
    }
}

/// The minimum timeout (`suspicionTimeout` in memberlist's util.go). Computed from a factor in per mille, as
/// HashiCorp's does, for equal rounding.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a logarithm of a count, below 20 000")]
pub(super) fn least_timeout(options: &SwimOptions, members: u32) -> Duration {
    let scale = libm::log10(f64::from(members.max(1))).max(1.0);
    let per_mille = (1000.0 * scale) as u32;
    options.probe_interval.saturating_mul(options.suspicion_mult).saturating_mul(per_mille) / 1000
}

/// The timeout since the start of the suspicion (`remainingSuspicionTime` in memberlist's suspicion.go). Falls from
/// `most` to `least` with the logarithm of the confirmations.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds of a bounded duration")]
fn timeout(confirmations: u32, wanted: u32, least: Duration, most: Duration) -> Duration {
    if wanted < 1 {
        return least;
    }
    let share = libm::log(f64::from(confirmations) + 1.0) / libm::log(f64::from(wanted) + 1.0);
    let seconds = most.as_secs_f64() - share * (most.as_secs_f64() - least.as_secs_f64());
    Duration::from_millis(libm::floor(seconds * 1000.0).max(0.0) as u64).max(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Options;

    #[test]
    fn one_confirmation_is_enough_where_one_is_wanted_and_none_where_none_is() {
        let of = |confirmations, wanted| {
            timeout(confirmations, wanted, Duration::from_secs(4), Duration::from_secs(24)).as_secs()
        };
        assert_eq!((of(0, 0), of(0, 1), of(1, 1), of(0, 2), of(2, 2)), (4, 24, 4, 24, 4));
    }

    #[test]
    fn the_least_timeout_is_memberlists() {
        let lan = Options::lan().swim;
        let ms = |n| least_timeout(&lan, n).as_millis();
        let expected = [(1, 4000), (9, 4000), (10, 4000), (33, 6072), (64, 7224), (65, 7248), (99, 7980), (100, 8000)];
        for (members, timeout) in expected {
            assert_eq!(ms(members), timeout, "{members} members");
        }
        for (members, timeout) in [(129, 8440), (999, 11_996), (1000, 12_000), (5000, 14_792), (10_000, 16_000)] {
            assert_eq!(ms(members), timeout, "{members} members");
        }
    }

    #[test]
    fn confirmations_shorten_the_wait_as_memberlists_do() {
        let (least, most) = (Duration::from_secs(4), Duration::from_secs(24));
        let table = |wanted| (0..=wanted).map(|c| timeout(c, wanted, least, most).as_millis()).collect::<Vec<_>>();
        assert_eq!(table(2), [24_000, 11_381, 4000]);
        assert_eq!(table(3), [24_000, 14_000, 8150, 4000]);
        assert_eq!(table(4), [24_000, 15_386, 10_347, 6772, 4000]);
        assert_eq!(table(0), [4000]);
    }

    #[test]
    fn an_accuser_counts_once_and_no_more_than_wanted_count() {
        let mut suspicion = Suspicion::new(&Options::lan().swim, 100, Instant::ZERO, "a".into());
        assert!(!suspicion.confirm("a".into()));
        assert!(suspicion.confirm("b".into()));
        assert!(!suspicion.confirm("b".into()));
        assert!(suspicion.confirm("c".into()));
        assert!(!suspicion.confirm("d".into()), "two confirmations are all that lan wants");
    }

    #[test]
    fn a_verdict_needs_as_many_accusers_as_are_set_or_as_could_accuse() {
        let options = Options::lan().with(|options| options.swim.accusers_min = 5).swim;
        let mut suspicion = Suspicion::new(&options, 100, Instant::ZERO, "a".into());
        for (accuser, is_enough) in [("a", false), ("b", false), ("c", false), ("d", false), ("e", true)] {
            suspicion.confirm(accuser.into());
            assert_eq!(suspicion.is_accused_by_enough(99), is_enough, "{accuser}");
        }
        assert!(!suspicion.confirm("f".into()), "five are all that count");
        let lone = Suspicion::new(&options, 100, Instant::ZERO, "a".into());
        assert!(lone.is_accused_by_enough(1) && !lone.is_accused_by_enough(2));
    }

    #[test]
    fn a_cluster_of_three_does_not_wait_for_confirmations() {
        let suspicion = Suspicion::new(&Options::lan().swim, 3, Instant::ZERO, "a".into());
        assert_eq!(suspicion.deadline(), Instant::ZERO + Duration::from_secs(4));
        let suspicion = Suspicion::new(&Options::lan().swim, 4, Instant::ZERO, "a".into());
        assert_eq!(suspicion.deadline(), Instant::ZERO + Duration::from_secs(24));
    }
}
