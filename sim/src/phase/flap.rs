use core::time::Duration;
use std::collections::BTreeMap;

use serf_proto::Status;

use super::{Figures, PhaseSettings, PhaseStart, PhaseSteps, Step, draw_victims};
use crate::addressing::name_of;
use crate::bounds::Bounds;
use crate::check::Finding;
use crate::tally::Tally;
use crate::truth::{Aim, Watch};
use crate::world::{Fault, World};

/// Crashes and restarts some nodes repeatedly.
pub(super) fn begin(world: &mut World, settings: &PhaseSettings, bounds: &Bounds) -> PhaseStart {
    let flapping = draw_victims(world, settings.flap_ppm);
    if flapping.is_empty() {
        return PhaseStart::Skipped("no node would be left to observe");
    }
    PhaseStart::Steps(Box::new(Flap {
        flapping,
        rounds_left: settings.flap_count,
        every: settings.flap_every,
        settle: bounds.rejoin() + bounds.reconnects(),
        is_settling: false,
        incarnations: BTreeMap::new(),
    }))
}

struct Flap {
    flapping: Vec<u32>,
    rounds_left: u32,
    every: Duration,
    settle: Duration,
    is_settling: bool,
    /// Highest incarnation of each node, as known by any member at the end of the last round.
    incarnations: BTreeMap<u32, u32>,
}

impl PhaseSteps for Flap {
    fn next(&mut self, world: &mut World) -> Option<Step> {
        if self.rounds_left > 0 {
            self.rounds_left -= 1;
            world.set_subjects(&self.flapping);
            world.begin(Aim::Nothing);
            for &node in &self.flapping {
                // Down for half of a round, at a random position within it.
                let at = world.now() + world.rng().duration_below(self.every / 2);
                world.plan(at, Fault::Crash(node));
                world.plan(at + self.every / 2, Fault::Return(node));
            }
            return Some(Step { name: "flap", goal: "nothing, they crash and return", within: self.every });
        }
        if core::mem::replace(&mut self.is_settling, true) {
            return None;
        }
        world.begin(Aim::Views { status: Status::Alive, watch: Watch::AllUp });
        Some(Step { name: "settle", goal: "every node sees every node alive", within: self.settle })
    }

    /// Checks that the incarnations rise: a restarted node begins with the first incarnation and must exceed what the
    /// others know.
    fn end(&mut self, world: &mut World, tally: &Tally) -> Figures {
        let mut most = 0;
        for &member in &self.flapping {
            let name = name_of(member);
            let known = |observer| world.node(observer)?.incarnation_of(&name);
            let to = (0..world.nodes()).filter_map(known).max().unwrap_or(0);
            most = most.max(to);
            if let Some(from) = self.incarnations.insert(member, to)
                && to < from
            {
                world.violate(member, Finding::IncarnationForgotten { member, from, to });
            }
        }
        Figures::default()
            .with_count("flapping_nodes", self.flapping.len() as u64)
            .with_count("marked_failed_while_down", tally.true_failures)
            .with_count("incarnation_max", u64::from(most))
    }
}
