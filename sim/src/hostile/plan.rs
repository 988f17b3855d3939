use core::time::Duration;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serf_proto::{Instant, Rng};

use super::Attack;

/// Selects the worlds with a hostile host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hostility {
    /// Every second world, drawn at random.
    #[default]
    Drawn,
    /// All worlds; of a swarm those of up to 64 nodes.
    Always,
    /// No world.
    Never,
    /// All worlds, with attacks of this kind only.
    Only(Attack),
}

/// Schedule of the hostile host of a world.
#[derive(Clone, Debug)]
pub(crate) struct AttackSchedule {
    /// Times of the attacks, in order.
    pub(crate) at: Vec<(Instant, Attack)>,
    /// Whether its node joins the cluster. Otherwise the attacker knows only names and addresses.
    pub(crate) joins: bool,
    /// Fate of its node after the attack.
    pub(crate) after_attack: AfterAttack,
}

/// Fate of the hostile host's node after the attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AfterAttack {
    /// Stays and behaves honestly.
    Stays,
    /// Leaves.
    Leaves,
    /// Crashes.
    Crashes,
}

impl AttackSchedule {
    /// Draws a schedule from its own RNG stream, so that a world has the same faults with and without attacks. Each
    /// world uses a few kinds (swarm testing, Groce et al. 2012): in a mix of all kinds, one hides the effects of
    /// another. Digests are drawn last and from a stream of their own, so that they shift no other draw.
    pub(crate) fn draw(
        rng: &mut Rng,
        digest_rng: &mut Rng,
        hostility: Hostility,
        from: Instant,
        time: Duration,
    ) -> Self {
        let kinds: BTreeSet<Attack> = match hostility {
            Hostility::Only(attack) => BTreeSet::from([attack]),
            _ if rng.below(8) == 0 => Attack::DRAWN.into(),
            _ => {
                let all = u32::try_from(Attack::DRAWN.len()).expect("there are a few");
                (0..1 + rng.below(4)).map(|_| Attack::DRAWN[rng.below(all) as usize]).collect()
            }
        };
        let mut at = Vec::new();
        for &attack in &kinds {
            for _ in 0..1 + rng.below(3) {
                rounds_of(rng, attack, from, time, &mut at);
            }
        }
        let after_attack = match rng.below(3) {
            0 => AfterAttack::Stays,
            1 => AfterAttack::Leaves,
            _ => AfterAttack::Crashes,
        };
        let joins = rng.below(4) > 0;
        if !matches!(hostility, Hostility::Only(_)) && digest_rng.below(4) == 0 {
            for _ in 0..1 + digest_rng.below(3) {
                rounds_of(digest_rng, Attack::Digests, from, time, &mut at);
            }
        }
        at.sort_by_key(|(at, _)| *at);
        Self { at, joins, after_attack }
    }
}

/// Draws a few rounds of one attack: as fast as a flood, or slow enough for their effects to spread in between.
fn rounds_of(rng: &mut Rng, attack: Attack, from: Instant, time: Duration, at: &mut Vec<(Instant, Attack)>) {
    let begins = rng.duration_below(time);
    let rounds = match attack {
        Attack::Filters => 1,
        Attack::Pings | Attack::Replays | Attack::Digests => 1 + rng.below(20),
        _ => 1 + rng.below(4),
    };
    let longest = if rng.below(2) == 0 { Duration::from_millis(200) } else { Duration::from_secs(5) };
    let pause = rng.duration_below(longest);
    for round in 0..rounds {
        at.push((from + (begins + pause * round).min(time), attack));
    }
}
