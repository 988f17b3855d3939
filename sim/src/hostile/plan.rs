use core::time::Duration;
use std::collections::BTreeSet;

use serf_proto::{Instant, Rng};

use super::Attack;

/// Which worlds have a hostile host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hostility {
    /// Every other one, drawn at random.
    #[default]
    Drawn,
    /// All.
    Always,
    /// None.
    Never,
    /// All, and their attacks are of this kind alone.
    Only(Attack),
}

/// What the hostile host of a world does.
#[derive(Clone, Debug)]
pub(crate) struct Assaults {
    /// The kinds of attack that it knows.
    pub(crate) kinds: BTreeSet<Attack>,
    /// When it does what, in order.
    pub(crate) at: Vec<(Instant, Attack)>,
    /// Whether its node joins the cluster, or the attacker knows no more than names and addresses.
    pub(crate) joins: bool,
    /// What becomes of its node when the attack is over.
    pub(crate) ending: Ending,
}

/// What becomes of the hostile host's node when the attack is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It stays, and is honest.
    Stays,
    /// It leaves.
    Leaves,
    /// It dies.
    Crashes,
}

impl Assaults {
    /// Draws from a stream of their own, so that a world has the same faults with and without them. Each world knows a few kinds
    /// (swarm testing, Groce et al. 2012): where all are mixed, one hides what another would show.
    pub(crate) fn draw(rng: &mut Rng, hostility: Hostility, from: Instant, time: Duration) -> Self {
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
                volley(rng, attack, from, time, &mut at);
            }
        }
        at.sort_by_key(|(at, _)| *at);
        let ending = match rng.below(3) {
            0 => Ending::Stays,
            1 => Ending::Leaves,
            _ => Ending::Crashes,
        };
        Self { kinds, at, joins: rng.below(4) > 0, ending }
    }
}

/// A few rounds of one attack, some of them fast as a flood and some slow enough for what they bring to spread between.
fn volley(rng: &mut Rng, attack: Attack, from: Instant, time: Duration, at: &mut Vec<(Instant, Attack)>) {
    let begins = rng.duration_below(time);
    let rounds = match attack {
        Attack::Filters => 1,
        Attack::Pings | Attack::Replays => 1 + rng.below(20),
        _ => 1 + rng.below(4),
    };
    let longest = if rng.below(2) == 0 { Duration::from_millis(200) } else { Duration::from_secs(5) };
    let pause = rng.duration_below(longest);
    for round in 0..rounds {
        at.push((from + (begins + pause * round).min(time), attack));
    }
}
