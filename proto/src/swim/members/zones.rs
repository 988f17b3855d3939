//! Zones: which members are near, and whether this node is a bridge.
//!
//! The value of a tag names the zone of a member. Probes, gossip and push/pulls stay in the own zone, except for a share:
//! half of those of a *bridge*, and 1/64 of those of any other member. The bridges of a zone are its first few alive
//! members in the order of the hashes of their names, so that all members compute the same bridges without a message. The
//! small share of the others keeps zones together when bridges stall, or when a hostile member claims their place.
//!
//! A member without the tag is near to every member, and is probed as if there were no zones.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::limits::ZONES_MAX;
use crate::rng::Rng;
use crate::roster::{MemberIdx, Roster};
use crate::types;
use crate::wire::swim::State;

/// The zones of all members.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::swim) struct Zones {
    /// Name of the tag; empty if zones are off. Then nothing below is ever filled.
    tag: Box<str>,
    bridges_max: u32,
    /// Zones by number; [`UNZONED`] first, [`CROWD`] second. The places of zones without members are used again.
    table: Vec<Zone>,
    /// Zone of each member that is counted, by index.
    of: Vec<u16>,
    own: u16,
    /// Hash of the own name.
    own_hash: u64,
    /// Number of other alive members of the own zone whose hashes are less. A bridge has a rank below `bridges_max`.
    rank: u32,
}

/// A zone, and the number of its members by state, this node included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::swim) struct Zone {
    name: Box<str>,
    alive: u32,
    suspect: u32,
    dead: u32,
}

impl Zone {
    const fn live(&self) -> u32 {
        self.alive + self.suspect
    }

    const fn known(&self) -> u32 {
        self.live() + self.dead
    }

    /// Whether so many of its members are suspect or dead that the zone may be cut off. Its members are then probed as
    /// if they were near: at the pace of the bridges it would take minutes to find all of them.
    const fn is_in_doubt(&self) -> bool {
        let gone = self.suspect + self.dead;
        gone >= DOUBT_LEAST && gone.saturating_mul(DOUBT_PART) >= self.known()
    }

    fn count_mut(&mut self, state: State) -> Option<&mut u32> {
        match state {
            State::Alive => Some(&mut self.alive),
            State::Suspect => Some(&mut self.suspect),
            State::Dead => Some(&mut self.dead),
            State::Left => None,
        }
    }
}

impl Zones {
    pub(in crate::swim) fn new(tag: &str, bridges_max: u32) -> Self {
        if tag.is_empty() {
            return Self::default();
        }
        let crowd = Zone { name: String::from("*").into(), ..Zone::default() };
        let table = alloc::vec![Zone::default(), crowd];
        Self { tag: tag.into(), bridges_max, table, ..Self::default() }
    }

    const fn is_on(&self) -> bool {
        !self.tag.is_empty()
    }

    /// Counts a member that had no state before, with the zone that its record names.
    pub(super) fn add(&mut self, roster: &Roster, idx: MemberIdx, state: Option<State>) {
        let Some(state) = state.filter(|state| self.is_on() && *state != State::Left) else { return };
        let zone = self.zone_of(roster, idx);
        if self.of.len() <= idx.at() {
            self.of.resize(idx.at() + 1, UNZONED);
        }
        self.of[idx.at()] = zone;
        self.count(roster, idx, state, 1);
    }

    /// Ends the count of a member.
    pub(super) fn remove(&mut self, roster: &Roster, idx: MemberIdx, state: Option<State>) {
        if let Some(state) = state.filter(|state| self.is_on() && *state != State::Left) {
            self.count(roster, idx, state, -1);
        }
    }

    fn count(&mut self, roster: &Roster, idx: MemberIdx, state: State, by: i32) {
        let zone = self.of[idx.at()];
        if let Some(count) = self.table[usize::from(zone)].count_mut(state) {
            *count = count.checked_add_signed(by).expect("a member is counted before it is removed");
        }
        if state == State::Alive && zone == self.own && self.precedes(roster, idx) {
            self.rank = self.rank.checked_add_signed(by).expect("a member is counted before it is removed");
        }
    }

    /// Sets the zone of this node. `alive` are all alive members, this node included, which are counted already.
    pub(super) fn set_own(&mut self, roster: &Roster, me: MemberIdx, alive: impl Iterator<Item = MemberIdx>) {
        if !self.is_on() {
            return;
        }
        self.own = self.of.get(me.at()).copied().unwrap_or(UNZONED);
        self.own_hash = roster.hashes(me).map_or(0, |hashes| hashes.name);
        let rank = alive.filter(|&idx| self.of[idx.at()] == self.own && self.precedes(roster, idx)).count();
        self.rank = u32::try_from(rank).unwrap_or(u32::MAX);
    }

    /// Whether a member precedes this node in the order of bridges. False for this node.
    fn precedes(&self, roster: &Roster, idx: MemberIdx) -> bool {
        roster.hashes(idx).is_some_and(|hashes| hashes.name < self.own_hash)
    }

    /// The zone that a member's record names. Takes a free place for a new one; at the limit it is the crowd.
    fn zone_of(&mut self, roster: &Roster, idx: MemberIdx) -> u16 {
        let name = roster.peer(idx).and_then(|peer| types::tag(peer.meta(), &self.tag)).unwrap_or_default();
        if name.is_empty() {
            return UNZONED;
        }
        let named = self.table.iter().skip(FIRST).position(|zone| zone.known() > 0 && *zone.name == *name);
        let free = || self.table.iter().skip(FIRST).position(|zone| zone.known() == 0);
        let at = match named {
            Some(at) => at + FIRST,
            None => {
                let at = free().map_or(self.table.len(), |at| at + FIRST);
                if at >= FIRST + ZONES_MAX {
                    return CROWD;
                }
                if at == self.table.len() {
                    self.table.push(Zone::default());
                }
                self.table[at].name = name.into();
                at
            }
        };
        u16::try_from(at).unwrap_or(CROWD)
    }

    /// Whether a counted member is near: in the own zone, or in none. Every member is near to a node without a zone.
    pub(in crate::swim) fn is_near(&self, idx: MemberIdx) -> bool {
        if self.own == UNZONED {
            return true;
        }
        let zone = self.of.get(idx.at()).copied().unwrap_or(UNZONED);
        zone == self.own || zone == UNZONED
    }

    /// Whether this node is a bridge of its zone.
    const fn is_bridge(&self) -> bool {
        self.rank < self.bridges_max
    }

    /// Numbers of other live members that are near and far; `None` while none is far.
    fn others(&self) -> Option<(u32, u32)> {
        if self.own == UNZONED {
            return None;
        }
        let live = self.table.iter().map(Zone::live).sum::<u32>();
        let near = self.table[usize::from(self.own)].live() + self.table[usize::from(UNZONED)].live();
        // This node is counted in its zone, except after its leave.
        (live > near).then(|| (near.saturating_sub(1), live - near))
    }

    /// Whether any live member is far.
    pub(in crate::swim) fn are_far_apart(&self) -> bool {
        self.others().is_some()
    }

    /// Share of the far among the targets of this node, in parts per million: never more than without zones.
    fn far_ppm(&self, near: u32, far: u32) -> u32 {
        let role = if self.is_bridge() { BRIDGE_FAR_PPM } else { MEMBER_FAR_PPM };
        role.min(ppm(far, near + far))
    }

    /// How many of `count` targets are to be far; `None` if it does not matter.
    pub(in crate::swim) fn far_targets(&self, rng: &mut Rng, count: usize) -> Option<usize> {
        let (near, far) = self.others()?;
        let parts = u64::from(self.far_ppm(near, far)) * count as u64;
        let rest = u32::try_from(parts % MILLION).unwrap_or_default();
        let whole = usize::try_from(parts / MILLION).unwrap_or(count);
        Some(whole + usize::from(rng.chance(rest)))
    }

    /// Whether the member whose turn it is in the order of probes is probed. All near members are. Of the far ones, those
    /// of a zone in doubt are, and as many others as give the share of this node.
    pub(in crate::swim) fn takes_turn(&self, rng: &mut Rng, idx: MemberIdx) -> bool {
        if self.is_near(idx) {
            return true;
        }
        let Some((near, far)) = self.others() else { return true };
        if near == 0 || self.table[usize::from(self.of[idx.at()])].is_in_doubt() {
            return true;
        }
        // far · chance = share / (1 - share) · near
        let share = u64::from(self.far_ppm(near, far));
        let chance = MILLION * share * u64::from(near) / ((MILLION - share).max(1) * u64::from(far));
        rng.chance(u32::try_from(chance).unwrap_or(u32::MAX))
    }

    /// Checks counts and rank against the states of all members.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self, roster: &Roster, me: MemberIdx, states: &[(MemberIdx, Option<State>)]) {
        if !self.is_on() {
            return;
        }
        let mut rebuilt = Self::new(&self.tag, self.bridges_max);
        states.iter().for_each(|(idx, state)| rebuilt.add(roster, *idx, *state));
        let alive = states.iter().filter(|(_, state)| *state == Some(State::Alive));
        rebuilt.set_own(roster, me, alive.map(|(idx, _)| *idx));
        let sorted = |zones: &Self| {
            let mut table: Vec<Zone> = zones.table.iter().filter(|zone| zone.known() > 0).cloned().collect();
            table.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            table
        };
        assert_eq!((sorted(self), self.rank), (sorted(&rebuilt), rebuilt.rank));
    }
}

/// `part / whole` in parts per million; `whole` is above zero.
fn ppm(part: u32, whole: u32) -> u32 {
    u32::try_from(MILLION * u64::from(part) / u64::from(whole)).unwrap_or(u32::MAX)
}

const MILLION: u64 = 1_000_000;

/// Share of a bridge's targets that are far.
const BRIDGE_FAR_PPM: u32 = 500_000;

/// Share of any other member's targets that are far: 1/64.
const MEMBER_FAR_PPM: u32 = 1_000_000 / 64;

/// A zone is in doubt from this number of suspect and dead members on, if these are at least one part of
/// [`DOUBT_PART`].
const DOUBT_LEAST: u32 = 3;
const DOUBT_PART: u32 = 32;

/// Number of the members without a zone, and of those in zones beyond the limit.
const UNZONED: u16 = 0;
const CROWD: u16 = 1;

/// Place of the first named zone.
const FIRST: usize = 2;

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::roster::{Directory, Identity};
    use crate::{Seed, Tags};

    /// A roster of members `m0`, `m1`, … in these zones; an empty name is none.
    fn roster(zones: &[&str]) -> Roster {
        let identity = |(n, zone): (usize, &&str)| {
            let tags: Tags = if zone.is_empty() { Tags::default() } else { [("zone", *zone)].into() };
            let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
            Identity::new(&format!("m{n}"), ([10, 0, high, low], 7946).into(), &tags).unwrap()
        };
        Roster::new(Directory::new(zones.iter().enumerate().map(identity)), 1)
    }

    fn indices(roster: &Roster) -> impl Iterator<Item = MemberIdx> + Clone + use<> {
        (0..u32::try_from(roster.len()).unwrap()).map(MemberIdx)
    }

    /// The zones as `me` sees them, with all members alive.
    fn seen_by(roster: &Roster, me: MemberIdx, bridges: u32) -> Zones {
        let mut zones = Zones::new("zone", bridges);
        indices(roster).for_each(|idx| zones.add(roster, idx, Some(State::Alive)));
        zones.set_own(roster, me, indices(roster));
        zones
    }

    fn shift(zones: &mut Zones, roster: &Roster, idx: MemberIdx, from: State, to: State) {
        zones.remove(roster, idx, Some(from));
        zones.add(roster, idx, Some(to));
    }

    fn rng() -> Rng {
        Rng::stream(&Seed::from_u64(1), 0)
    }

    /// Far targets of `draws` targets, drawn three at a time.
    fn far_of(zones: &Zones, draws: usize) -> usize {
        let mut rng = rng();
        (0..draws / 3).map(|_| zones.far_targets(&mut rng, 3).unwrap()).sum()
    }

    fn bridges(roster: &Roster, zone: &str, count: u32) -> Vec<MemberIdx> {
        let of_zone = |idx: &MemberIdx| types::tag(roster.peer(*idx).unwrap().meta(), "zone") == Some(zone);
        indices(roster).filter(of_zone).filter(|me| seen_by(roster, *me, count).is_bridge()).collect()
    }

    #[test]
    fn all_members_compute_the_same_bridges_of_a_zone() {
        let names: Vec<&str> = (0..60).map(|n| ["a", "b", "c"][n % 3]).collect();
        let roster = roster(&names);
        for (zone, count) in [("a", 3), ("b", 3), ("c", 1), ("a", 0), ("b", 20), ("b", 50)] {
            assert_eq!(bridges(&roster, zone, count).len(), count.min(20) as usize, "{count} of {zone}");
        }
    }

    #[test]
    fn the_next_member_takes_the_place_of_a_bridge_that_is_suspected() {
        let roster = roster(&["a"; 20]);
        let first = bridges(&roster, "a", 1)[0];
        let heir = bridges(&roster, "a", 2).into_iter().find(|idx| *idx != first).unwrap();
        let mut zones = seen_by(&roster, heir, 1);
        assert!(!zones.is_bridge());
        shift(&mut zones, &roster, first, State::Alive, State::Suspect);
        assert!(zones.is_bridge());
        shift(&mut zones, &roster, first, State::Suspect, State::Alive);
        assert!(!zones.is_bridge(), "it refuted");
    }

    #[test]
    fn a_bridge_sends_half_to_other_zones_and_another_member_a_64th() {
        let names: Vec<&str> = (0..300).map(|n| ["a", "b", "c"][n % 3]).collect();
        let roster = roster(&names);
        let bridge = bridges(&roster, "a", 1)[0];
        let other = indices(&roster).step_by(3).find(|idx| *idx != bridge).unwrap();
        let shares = [bridge, other].map(|me| far_of(&seen_by(&roster, me, 1), 60_000));
        assert!((29_500..30_500).contains(&shares[0]) && (850..1030).contains(&shares[1]), "{shares:?}");
    }

    #[test]
    fn no_member_sends_more_to_a_small_zone_than_without_zones() {
        let mut names = alloc::vec!["a"; 297];
        names.extend(["b"; 3]);
        let roster = roster(&names);
        for me in [bridges(&roster, "a", 3)[0], MemberIdx(0)] {
            let far = far_of(&seen_by(&roster, me, 3), 60_000);
            assert!((480..720).contains(&far), "3 of 300 are 1 %: {far}");
        }
    }

    #[test]
    fn probes_of_far_members_have_the_share_that_gossip_has() {
        let names: Vec<&str> = (0..300).map(|n| ["a", "b", "c"][n % 3]).collect();
        let roster = roster(&names);
        for (bridges_max, expected) in [(100, 0.5), (0, 1.0 / 64.0)] {
            let (zones, mut rng) = (seen_by(&roster, MemberIdx(0), bridges_max), rng());
            let mut probed = [0_u32; 2];
            for _ in 0..500 {
                for idx in indices(&roster).filter(|idx| idx.0 > 0) {
                    if zones.takes_turn(&mut rng, idx) {
                        probed[usize::from(zones.is_near(idx))] += 1;
                    }
                }
            }
            let share = f64::from(probed[0]) / f64::from(probed[0] + probed[1]);
            assert!((share / expected - 1.0).abs() < 0.1, "{share} instead of {expected}");
            assert_eq!(probed[1], 500 * 99, "no near member is left out");
        }
    }

    #[test]
    fn a_zone_of_which_many_are_gone_is_probed_as_if_it_were_near() {
        let names: Vec<&str> = (0..300).map(|n| ["a", "b", "c"][n % 3]).collect();
        let roster = roster(&names);
        let (mut zones, mut rng) = (seen_by(&roster, MemberIdx(0), 0), rng());
        let mut all_take_turns =
            |zones: &Zones, first| (0_u32..100).all(|n| zones.takes_turn(&mut rng, MemberIdx(first + 3 * (n % 100))));
        for gone in 0..4 {
            assert!(!all_take_turns(&zones, 1), "{gone} of 100 may be accidents");
            shift(&mut zones, &roster, MemberIdx(1 + 3 * gone), State::Alive, State::Suspect);
        }
        assert!(all_take_turns(&zones, 1) && !all_take_turns(&zones, 2), "the other zone is not in doubt");
        shift(&mut zones, &roster, MemberIdx(1), State::Suspect, State::Dead);
        assert!(all_take_turns(&zones, 1), "the dead count");
        for gone in [4, 7, 10] {
            shift(&mut zones, &roster, MemberIdx(gone), State::Suspect, State::Alive);
        }
        assert!(!all_take_turns(&zones, 1), "they refuted");
    }

    #[test]
    fn members_without_a_zone_are_near_and_so_are_all_to_a_node_without_one() {
        let roster = roster(&["a", "b", "", "b"]);
        let near = |me| indices(&roster).map(|idx| seen_by(&roster, me, 3).is_near(idx)).collect::<Vec<_>>();
        assert_eq!(near(MemberIdx(0)), [true, false, true, false]);
        assert_eq!(near(MemberIdx(1)), [false, true, true, true]);
        assert_eq!(near(MemberIdx(2)), [true; 4]);
        assert_eq!(seen_by(&roster, MemberIdx(2), 3).far_targets(&mut rng(), 3), None);
    }

    #[test]
    fn one_zone_alone_is_as_without_zones() {
        let roster = roster(&["a", "a", "a"]);
        assert!(!seen_by(&roster, MemberIdx(0), 3).are_far_apart());
    }

    #[test]
    fn zones_beyond_the_limit_are_one_crowd_and_places_are_used_again() {
        let names: Vec<_> = (0..ZONES_MAX + 2).map(|n| format!("z{n}")).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let roster = roster(&names);
        let mut zones = seen_by(&roster, MemberIdx(0), 3);
        let last = u32::try_from(ZONES_MAX).unwrap();
        assert_eq!(zones.of[last as usize - 1..], [u16::try_from(ZONES_MAX).unwrap() + 1, CROWD, CROWD]);
        assert!(!zones.is_near(MemberIdx(last)));
        zones.remove(&roster, MemberIdx(5), Some(State::Alive));
        zones.remove(&roster, MemberIdx(last), Some(State::Alive));
        zones.add(&roster, MemberIdx(last), Some(State::Alive));
        assert_eq!(zones.of[last as usize], 7, "the place of the fifth zone");
    }
}
