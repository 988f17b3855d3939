use core::time::Duration;

use serf_proto::Status;

use super::{Figures, PhaseSettings, PhaseStart, PhaseSteps, Step, share_of_up};
use crate::bounds::Bounds;
use crate::tally::Tally;
use crate::truth::{Aim, HostState, Watch};
use crate::world::World;

/// Starves some nodes: each stalls for a while, runs for a moment, and stalls again; its inputs are queued meanwhile.
/// This is the experiment of the Lifeguard paper.
pub(super) fn begin(world: &World, settings: &PhaseSettings, bounds: &Bounds) -> PhaseStart {
    let slow = share_of_up(world, settings.slow_ppm).min(world.all(HostState::Up).len().saturating_sub(1));
    if slow == 0 {
        return PhaseStart::Skipped("no node would be left to observe");
    }
    PhaseStart::Steps(Box::new(Slow {
        slow,
        stall: settings.slow_by,
        gap: settings.slow_gap,
        lasts: settings.slow_for,
        linger: bounds.suspicion_max(),
        recover: bounds.rejoin() + bounds.reconnects(),
        steps_begun: 0,
    }))
}

struct Slow {
    slow: usize,
    stall: Duration,
    gap: Duration,
    lasts: Duration,
    linger: Duration,
    recover: Duration,
    steps_begun: u32,
}

impl PhaseSteps for Slow {
    fn next(&mut self, world: &mut World) -> Option<Step> {
        self.steps_begun += 1;
        match self.steps_begun {
            1 => {
                let slow = world.draw_up(u32::try_from(self.slow).unwrap_or(u32::MAX));
                world.set_subjects(&slow);
                world.begin(Aim::Nothing);
                slow.into_iter().for_each(|node| self.plan_stalls(world, node));
                Some(Step { name: "slow", goal: "nothing, some nodes stall", within: self.lasts })
            }
            2 => {
                world.begin(Aim::Nothing);
                Some(Step { name: "linger", goal: "nothing, late suspicions run out", within: self.linger })
            }
            3 => {
                world.begin(Aim::Views { status: Status::Alive, watch: Watch::AllUp });
                Some(Step { name: "recover", goal: "every node sees every node alive", within: self.recover })
            }
            _ => None,
        }
    }

    fn end(&mut self, _: &mut World, tally: &Tally) -> Figures {
        let (suspicions, failures) = (&tally.suspicion_blame, &tally.failure_blame);
        Figures::default()
            .with_count("slow_nodes", self.slow as u64)
            .with_count("suspicions_of_healthy_by_healthy", suspicions.among_others)
            .with_count("suspicions_of_healthy_by_slow", suspicions.by_subjects)
            .with_count("suspicions_of_slow", suspicions.of_subjects)
            .with_count("failures_of_healthy_by_healthy", failures.among_others)
            .with_count("failures_of_healthy_by_slow", failures.by_subjects)
            .with_count("failures_of_slow", failures.of_subjects)
    }
}

impl Slow {
    /// Schedules the stalls of one node, from its own random start until the end.
    fn plan_stalls(&self, world: &mut World, node: u32) {
        let mut from = world.rng().duration_below(self.stall + self.gap);
        while from < self.lasts {
            world.stall_after(node, from, self.stall.min(self.lasts - from));
            from += self.stall + self.gap;
        }
    }
}
