//! The virtual network: decides the fate of each packet from the rules, the time and the sender's RNG.

mod model;
mod places;
mod rule;
pub(crate) mod stream;
mod topology;

use core::time::Duration;

use serf_proto::{Instant, Rng, Seed};

pub use self::model::{LinkModel, LinkModelError};
use self::places::Places;
pub use self::rule::{Effect, NodeSet, Rule};
pub(crate) use self::topology::Weather;
pub use self::topology::{Bursts, Latency, Link, Topology};

/// The network between the nodes. Changes only between windows.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) model: LinkModel,
    pub(crate) rules: Vec<Rule>,
    places: Places,
    topology: Option<Topology>,
}

/// Fate of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives after `after`, and a second time after `copy_after`.
    Arrives { after: Duration, copy_after: Option<Duration> },
    /// It is lost at random.
    Lost,
    /// A rule drops it.
    Cut,
}

impl Network {
    pub(crate) fn new(model: LinkModel, topology: Option<Topology>, nodes: u32, seed: &Seed) -> Self {
        let places = Places::draw(nodes, model.square_side(), seed);
        Self { model, rules: Vec::new(), places, topology }
    }

    /// Returns the minimum latency of all packets: the length of a window.
    pub(crate) fn latency_min(&self) -> Duration {
        self.topology.as_ref().map_or_else(|| self.model.latency_min(), Topology::latency_min)
    }

    /// Returns the mean round-trip time between two nodes, without the delays of rules.
    pub(crate) fn round_trip_mean(&self, a: u32, b: u32) -> Duration {
        let links = match &self.topology {
            Some(topology) => topology.link(a, b).latency.mean() + topology.link(b, a).latency.mean(),
            None => self.model.latency_min() + self.model.latency_max(),
        };
        links + 2 * self.places.between(a, b)
    }

    /// Returns the fate of a datagram sent now. Draws from the sender's RNG only, so that neither other nodes' traffic
    /// nor the number of threads affects it.
    pub(crate) fn judge(&self, rng: &mut Rng, weather: &mut Weather, now: Instant, from: u32, to: u32) -> Fate {
        let mut detour = self.places.between(from, to);
        for effect in self.effects(now, from, to) {
            match effect {
                Effect::Drop => return Fate::Cut,
                Effect::Loss { ppm } => {
                    if rng.chance(ppm) {
                        return Fate::Lost;
                    }
                }
                Effect::Delay(delay) => detour += delay,
            }
        }
        let link = self.link(from, to);
        if let Some(topology) = &self.topology
            && topology.is_lost_in_burst(rng, weather, now)
        {
            return Fate::Lost;
        }
        if rng.chance(link.loss_ppm) {
            return Fate::Lost;
        }
        let mut after = link.latency.draw(rng) + detour;
        if rng.chance(link.reorder_ppm) {
            after += self.model.draw_reorder_delay(rng);
        }
        let copy_after = rng.chance(link.duplicate_ppm).then(|| link.latency.draw(rng) + detour);
        Fate::Arrives { after, copy_after }
    }

    fn link(&self, from: u32, to: u32) -> Link {
        self.topology.as_ref().map_or_else(|| self.model.link(), |topology| *topology.link(from, to))
    }

    /// Returns the latency of a stream segment; `None` if a rule drops it. Loss is not modelled: TCP retransmits.
    pub(crate) fn segment_latency(&self, rng: &mut Rng, now: Instant, from: u32, to: u32) -> Option<Duration> {
        let mut detour = self.places.between(from, to);
        for effect in self.effects(now, from, to) {
            match effect {
                Effect::Drop => return None,
                Effect::Loss { .. } => {}
                Effect::Delay(delay) => detour += delay,
            }
        }
        Some(self.link(from, to).latency.draw(rng) + detour)
    }

    fn effects(&self, now: Instant, from: u32, to: u32) -> impl Iterator<Item = Effect> + '_ {
        self.rules.iter().filter(move |rule| rule.applies(now, from, to)).map(|rule| rule.effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn rng() -> Rng {
        Rng::stream(&Seed::from_u64(1), 0)
    }

    fn network(model: LinkModel) -> Network {
        Network::new(model, None, 4, &Seed::from_u64(1))
    }

    fn fate(network: &Network, rng: &mut Rng, now: Instant, from: u32, to: u32) -> Fate {
        let mut weather = Weather::CLEAR;
        network.judge(rng, &mut weather, now, from, to)
    }

    fn fates(network: &Network, count: u32) -> Vec<Fate> {
        let mut rng = rng();
        (0..count).map(|_| fate(network, &mut rng, Instant::ZERO, 0, 1)).collect()
    }

    #[test]
    fn datagrams_are_lost_and_doubled_as_often_as_the_model_says() {
        let model = LinkModel::new(MS, 20 * MS).unwrap().with_loss_ppm(100_000).with_duplicate_ppm(50_000);
        let fates = fates(&network(model), 100_000);
        let lost = fates.iter().filter(|fate| **fate == Fate::Lost).count();
        let doubled = fates.iter().filter(|fate| matches!(fate, Fate::Arrives { copy_after: Some(_), .. })).count();
        assert!((9_500..10_500).contains(&lost), "{lost}");
        assert!((4_200..4_800).contains(&doubled), "5 % of those that arrive: {doubled}");
    }

    #[test]
    fn no_datagram_is_faster_than_the_least_latency() {
        let model = LinkModel::new(MS, 2 * MS).unwrap().with_reorder_ppm(500_000).with_duplicate_ppm(500_000);
        for fate in fates(&network(model), 1_000) {
            let Fate::Arrives { after, copy_after } = fate else { panic!("{fate:?}") };
            assert!(after >= MS && copy_after.is_none_or(|after| after >= MS));
        }
    }

    #[test]
    fn a_reordered_datagram_is_overtaken() {
        let model = LinkModel::new(MS, 2 * MS).unwrap().with_reorder_ppm(1_000_000);
        for fate in fates(&network(model), 100) {
            let Fate::Arrives { after, .. } = fate else { panic!("{fate:?}") };
            assert!(after > 2 * MS, "later than any that is not reordered: {after:?}");
        }
    }

    #[test]
    fn rules_cut_one_direction_for_a_time() {
        let mut network = network(LinkModel::new(MS, 2 * MS).unwrap());
        let until = Instant::ZERO + 10 * MS;
        network.rules.push(Rule {
            from: NodeSet::One(0),
            to: NodeSet::Range(1..3),
            effect: Effect::Drop,
            during: Some((Instant::ZERO, until)),
        });
        let mut rng = rng();
        assert_eq!(fate(&network, &mut rng, Instant::ZERO, 0, 1), Fate::Cut);
        assert_eq!(network.segment_latency(&mut rng, Instant::ZERO, 0, 1), None);
        for (now, from, to) in [(until, 0, 1), (Instant::ZERO, 1, 0), (Instant::ZERO, 0, 3)] {
            assert!(matches!(fate(&network, &mut rng, now, from, to), Fate::Arrives { .. }));
        }
    }

    #[test]
    fn nodes_in_a_square_are_as_far_apart_as_their_round_trips_say() {
        let far = network(LinkModel::new(MS, 2 * MS).unwrap().with_square_side(100 * MS));
        let (mut rng, mut seen) = (rng(), Vec::new());
        for (a, b) in [(0, 1), (1, 2), (2, 3), (3, 0)] {
            let mut there_and_back = || {
                let ways = [(a, b), (b, a)].map(|(from, to)| fate(&far, &mut rng, Instant::ZERO, from, to));
                let [Fate::Arrives { after: there, .. }, Fate::Arrives { after: back, .. }] = ways else {
                    panic!("{ways:?}")
                };
                there + back
            };
            let mean = (0..100).map(|_| there_and_back()).sum::<Duration>() / 100;
            assert!(mean.abs_diff(far.round_trip_mean(a, b)) < MS, "{mean:?}");
            seen.push(mean);
        }
        assert!(seen.iter().max() > seen.iter().min().map(|least| *least + 10 * MS).as_ref(), "{seen:?}");
    }

    #[test]
    fn a_delay_is_added_and_loss_spares_streams() {
        let mut network = network(LinkModel::new(MS, 2 * MS).unwrap());
        let rule = |effect| Rule { from: NodeSet::All, to: NodeSet::All, effect, during: None };
        network.rules.push(rule(Effect::Delay(100 * MS)));
        network.rules.push(rule(Effect::Loss { ppm: 1_000_000 }));
        let mut rng = rng();
        assert_eq!(fate(&network, &mut rng, Instant::ZERO, 0, 1), Fate::Lost);
        let latency = network.segment_latency(&mut rng, Instant::ZERO, 0, 1).unwrap();
        assert!(latency >= 101 * MS && latency <= 102 * MS, "{latency:?}");
    }
}
