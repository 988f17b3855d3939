use core::time::Duration;

use serf_proto::Status;

use super::{Figures, PhaseSettings, PhaseStart, PhaseSteps, Step, share_of_up};
use crate::bounds::Bounds;
use crate::tally::Tally;
use crate::truth::{Aim, HostState, Watch};
use crate::world::{Fault, World};

/// Restarts all nodes, or many, at once. They get no contacts: each rejoins from its snapshot.
pub(super) fn begin(world: &World, settings: &PhaseSettings, bounds: &Bounds) -> PhaseStart {
    let stopping = share_of_up(world, settings.restart_ppm);
    if stopping == 0 {
        return PhaseStart::Skipped("no node is up");
    }
    PhaseStart::Steps(Box::new(Restart {
        stopping,
        down: settings.restart_down,
        spread: settings.restart_spread,
        event: bounds.event(),
        together: settings.restart_spread + bounds.heal(),
        returning: Vec::new(),
        steps_begun: 0,
    }))
}

struct Restart {
    stopping: usize,
    down: Duration,
    spread: Duration,
    event: Duration,
    together: Duration,
    returning: Vec<u32>,
    steps_begun: u32,
}

impl PhaseSteps for Restart {
    fn next(&mut self, world: &mut World) -> Option<Step> {
        self.steps_begun += 1;
        match self.steps_begun {
            1 => {
                send_events(world);
                Some(Step { name: "events", goal: EVENTS_GOAL, within: self.event })
            }
            2 => {
                self.returning = world.draw_up(u32::try_from(self.stopping).unwrap_or(u32::MAX));
                world.begin(Aim::Nothing);
                for &node in &self.returning {
                    world.inject(Fault::Crash(node));
                }
                Some(Step { name: "down", goal: "nothing, they stay down", within: self.down })
            }
            3 => {
                for &node in &self.returning {
                    let pause = world.rng().duration_below(self.spread);
                    world.return_after(node, pause);
                }
                world.begin(Aim::Views { status: Status::Alive, watch: Watch::AllUp });
                Some(Step { name: "return", goal: "every node sees every node alive", within: self.together })
            }
            4 => {
                send_events(world);
                Some(Step { name: "events", goal: EVENTS_GOAL, within: self.event })
            }
            _ => None,
        }
    }

    fn end(&mut self, world: &mut World, _: &Tally) -> Figures {
        let down = world.all(HostState::Crashed).len() as u64;
        Figures::default().with_count("nodes_down", down)
    }
}

/// Sends events from several nodes: before the restart, so that the clocks advance and the snapshots record it; after
/// it, to show that the clocks exceed all delivered Lamport times.
fn send_events(world: &mut World) {
    world.listen_for(NAME);
    let senders = world.draw_up(EVENTS);
    let count = u32::try_from(senders.len()).unwrap_or(u32::MAX);
    world.begin(Aim::Events { count });
    for (nth, &sender) in (0_u32..).zip(&senders) {
        world.user_event_after(sender, Duration::from_secs(1) * nth, NAME, &sender.to_le_bytes());
    }
}

const EVENTS: u32 = 5;
const NAME: &str = "notice";
const EVENTS_GOAL: &str = "every node has delivered 5 events once";
