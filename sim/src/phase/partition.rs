use core::time::Duration;

use serf_proto::Status;

use super::{Figures, PhaseSettings, PhaseStart, PhaseSteps, Step, share_of_up};
use crate::bounds::Bounds;
use crate::tally::Tally;
use crate::truth::{Aim, HostState, Watch};
use crate::world::World;

/// Isolates some nodes until both sides have declared each other failed; then heals the network.
pub(super) fn begin(world: &World, settings: &PhaseSettings, bounds: &Bounds) -> PhaseStart {
    let up = world.all(HostState::Up).len();
    let cut_off = share_of_up(world, settings.partition_ppm).min(up.saturating_sub(1));
    if cut_off == 0 {
        return PhaseStart::Skipped("a single node cannot be partitioned");
    }
    PhaseStart::Steps(Box::new(Partition {
        cut_off,
        lasts: settings.partition_for,
        apart: bounds.apart(),
        heal: bounds.heal(),
        steps_begun: 0,
    }))
}

struct Partition {
    cut_off: usize,
    /// Duration; zero: until both sides have declared each other failed.
    lasts: Duration,
    apart: Duration,
    heal: Duration,
    steps_begun: u32,
}

impl PhaseSteps for Partition {
    fn next(&mut self, world: &mut World) -> Option<Step> {
        self.steps_begun += 1;
        match self.steps_begun {
            1 => {
                let subjects = world.draw_up(u32::try_from(self.cut_off).unwrap_or(u32::MAX));
                world.set_subjects(&subjects);
                world.set_split(true);
                let apart = Aim::Views { status: Status::Failed, watch: Watch::OtherSide };
                if self.lasts.is_zero() {
                    world.begin(apart);
                    return Some(Step { name: "cut", goal: "each side sees the other as failed", within: self.apart });
                }
                world.begin(Aim::Nothing);
                Some(Step { name: "cut", goal: "nothing, the partition lasts", within: self.lasts })
            }
            2 => {
                world.set_split(false);
                world.begin(Aim::Views { status: Status::Alive, watch: Watch::AllUp });
                Some(Step { name: "heal", goal: "every node sees every node alive", within: self.heal })
            }
            _ => None,
        }
    }

    fn end(&mut self, _: &mut World, tally: &Tally) -> Figures {
        let failures = Figures::default().with_count("marked_failed", tally.true_failures + tally.false_failures);
        failures.with_count("marked_failed_falsely", tally.false_failures)
    }
}
