//! The links between the hosts: latency, loss, partitions.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use serf_proto::Rng;

/// What the network does to a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives after `after`, and a second time after `copy_after`.
    Arrives { after: Duration, copy_after: Option<Duration> },
    /// It does not arrive.
    Lost,
}

/// A rule about packets from some hosts to others.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) from: BTreeSet<usize>,
    pub(crate) to: BTreeSet<usize>,
    pub(crate) effect: Effect,
}

/// The effect of a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Effect {
    Cut,
    Loss { ppm: u32 },
    Delay(Duration),
}

/// The model of all links, and the rules that change some.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) latency: [Duration; 2],
    pub(crate) loss_ppm: u32,
    pub(crate) duplicate_ppm: u32,
    /// Chance of a segment to reset its stream.
    pub(crate) reset_ppm: u32,
    rules: BTreeMap<u64, Rule>,
    added: u64,
}

impl Default for Links {
    /// A data centre without faults: latencies of 0.5 to 2 ms.
    fn default() -> Self {
        let latency = [Duration::from_micros(500), Duration::from_millis(2)];
        Self { latency, loss_ppm: 0, duplicate_ppm: 0, reset_ppm: 0, rules: BTreeMap::new(), added: 0 }
    }
}

impl Links {
    pub(crate) fn add(&mut self, rule: Rule) -> u64 {
        self.added += 1;
        self.rules.insert(self.added, rule);
        self.added
    }

    pub(crate) fn remove(&mut self, rule: u64) {
        self.rules.remove(&rule);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// Draws from the sender's RNG only, so that the traffic of other hosts does not change it.
    pub(crate) fn judge(&self, rng: &mut Rng, from: usize, to: usize) -> Fate {
        if from == to {
            return Fate::Arrives { after: LOOPBACK, copy_after: None };
        }
        if self.is_cut(from, to) || rng.chance(self.loss_ppm) {
            return Fate::Lost;
        }
        let mut detour = Duration::ZERO;
        for effect in self.effects(from, to) {
            match effect {
                Effect::Cut => {}
                Effect::Loss { ppm } if rng.chance(ppm) => return Fate::Lost,
                Effect::Loss { .. } => {}
                Effect::Delay(delay) => detour += delay,
            }
        }
        let after = self.draw_latency(rng) + detour;
        let copy_after = rng.chance(self.duplicate_ppm).then(|| self.draw_latency(rng) + detour);
        Fate::Arrives { after, copy_after }
    }

    /// Returns the latency of a segment of a stream; `None` if a rule cuts it. A lost segment comes later, as TCP sends it
    /// again.
    pub(crate) fn segment_latency(&self, rng: &mut Rng, from: usize, to: usize) -> Option<Duration> {
        if from == to {
            return Some(LOOPBACK);
        }
        if self.is_cut(from, to) {
            return None;
        }
        let mut after = self.draw_latency(rng);
        let mut losses = vec![self.loss_ppm];
        for effect in self.effects(from, to) {
            match effect {
                Effect::Cut => {}
                Effect::Loss { ppm } => losses.push(ppm),
                Effect::Delay(delay) => after += delay,
            }
        }
        let mut pause = RETRANSMISSION_MIN;
        while pause < RETRANSMISSION_MAX && losses.iter().any(|ppm| rng.chance(*ppm)) {
            after += pause;
            pause *= 2;
        }
        Some(after)
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.effects(from, to).any(|effect| effect == Effect::Cut)
    }

    fn effects(&self, from: usize, to: usize) -> impl Iterator<Item = Effect> + '_ {
        let applies = move |rule: &&Rule| rule.from.contains(&from) && rule.to.contains(&to);
        self.rules.values().filter(applies).map(|rule| rule.effect)
    }

    fn draw_latency(&self, rng: &mut Rng) -> Duration {
        let [min, max] = self.latency;
        min + rng.duration_below(max - min)
    }
}

/// Latency of a host to itself.
const LOOPBACK: Duration = Duration::from_micros(20);

/// First and longest pause of TCP before it sends a segment again (`TCP_RTO_MIN` of Linux; its longest is two minutes,
/// which would hide that a partition has healed).
pub(crate) const RETRANSMISSION_MIN: Duration = Duration::from_millis(200);
pub(crate) const RETRANSMISSION_MAX: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use serf_proto::Seed;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_one_way_rule_leaves_the_other_way_alone_and_ends_when_removed() {
        let mut links = Links::default();
        let rule = links.add(Rule { from: [0].into(), to: [1, 2].into(), effect: Effect::Cut });
        let mut rng = Rng::stream(&Seed::from_u64(1), 0);
        let mut arrives = |links: &Links, from, to| links.judge(&mut rng, from, to) != Fate::Lost;
        assert!(!arrives(&links, 0, 1) && !arrives(&links, 0, 2));
        assert!(arrives(&links, 1, 0) && arrives(&links, 0, 0) && arrives(&links, 0, 3));
        links.remove(rule);
        assert!(arrives(&links, 0, 1));
    }

    #[test]
    fn datagrams_are_lost_as_often_as_set_and_segments_only_come_later() {
        let links = Links { loss_ppm: 200_000, latency: [MS, 2 * MS], ..Links::default() };
        let mut rng = Rng::stream(&Seed::from_u64(1), 0);
        let lost = (0..10_000).filter(|_| links.judge(&mut rng, 0, 1) == Fate::Lost).count();
        assert!((1_800..2_200).contains(&lost), "{lost}");
        let segments: Vec<Duration> = (0..10_000).filter_map(|_| links.segment_latency(&mut rng, 0, 1)).collect();
        assert_eq!(segments.len(), 10_000);
        let late = segments.iter().filter(|after| **after >= RETRANSMISSION_MIN).count();
        assert!((1_800..2_200).contains(&late), "{late}");
    }
}
