//! A thousand nodes elect a leader: the alive member with the lowest name. How long does each follow a leader that is gone,
//! and for how long do two lead?
//!
//! `cargo run --release -p sim --example leader`
//!
//! The rule needs no messages of its own, and it is no consensus: while news of a failure or a return spreads, nodes
//! disagree. The example measures how long. A service that must not have two leaders adds a fencing token, as the
//! example `leader` of `serf-examples` does.

use std::error::Error;
use std::time::Duration;

use serf_proto::{Config, Event, Instant, MemberEventKind, Node, Options, Status};
use sim::{App, AppHandle, Fault, LinkModel, World, WorldOptions};

const NODES: u32 = 1000;

/// Follows the alive member with the lowest name.
#[derive(Debug, Default)]
struct Follower {
    leader: String,
    followed_at: Instant,
}

impl Follower {
    fn follow(&mut self, leader: &str, now: Instant) {
        if self.leader != leader {
            (self.leader, self.followed_at) = (leader.to_owned(), now);
        }
    }
}

impl App for Follower {
    fn on_start(&mut self, node: &mut AppHandle<'_>) {
        self.follow(&lowest(node.node()), node.now());
    }

    fn on_event(&mut self, event: &Event, node: &mut AppHandle<'_>) {
        let Event::Member(event) = event else { return };
        for name in event.members.names() {
            match event.kind {
                MemberEventKind::Join if name < self.leader.as_str() => self.follow(name, node.now()),
                MemberEventKind::Failed | MemberEventKind::Leave if name == self.leader => {
                    self.follow(&lowest(node.node()), node.now());
                }
                _ => {}
            }
        }
    }
}

fn lowest(node: &Node) -> String {
    let alive = node.members().filter(|member| member.status() == Status::Alive);
    alive.map(|member| member.name().to_owned()).min().unwrap_or_default()
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = WorldOptions {
        nodes: NODES,
        seed: 1,
        threads: std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1)),
        config: Config::new(Options::lan())?,
        mixed_codecs: false,
        model: LinkModel::new(Duration::from_millis(1), Duration::from_millis(20))?.with_loss_ppm(50_000),
        has_checks: true,
        has_hostile: false,
    };
    let mut world = World::with_apps(options, |_| Follower::default());
    world.start_converged();
    world.run_for(Duration::from_secs(5));
    for (what, fault, leader) in [
        ("node-00000 crashes", Fault::Crash(0), "node-00001"),
        ("node-00000 returns", Fault::Restart(0), "node-00000"),
        ("node-00000 leaves", Fault::Leave(0), "node-00001"),
    ] {
        let since = world.now();
        world.inject(fault);
        let two_led_for = run_until_all_follow(&mut world, leader);
        println!("{what}: {}", after(&world, since, leader));
        println!("    two nodes led for {:.1} s", two_led_for.as_secs_f64());
    }
    println!("trace hash {:016x}", world.trace_hash());
    Ok(())
}

/// Advances the time until all follow `leader`, at most two minutes. Returns for how long two nodes held themselves for the
/// leader.
fn run_until_all_follow(world: &mut World, leader: &str) -> Duration {
    let (step, mut two_led_for) = (Duration::from_millis(100), Duration::ZERO);
    for _ in 0..1200 {
        world.run_for(step);
        let leads = |node: u32| world.app::<Follower>(node).is_some_and(|app| app.leader == format!("node-{node:05}"));
        if (0..NODES).filter(|node| leads(*node)).count() > 1 {
            two_led_for += step;
        }
        let mut apps = (0..NODES).filter_map(|node| world.app::<Follower>(node));
        if apps.all(|app| app.leader == leader) {
            break;
        }
    }
    two_led_for
}

/// Describes when nodes followed the leader.
fn after(world: &World, since: Instant, leader: &str) -> String {
    let apps = (0..NODES).filter_map(|node| world.app::<Follower>(node)).filter(|app| app.leader == leader);
    let mut times: Vec<f64> = apps.map(|app| (app.followed_at - since).as_secs_f64()).collect();
    times.sort_unstable_by(f64::total_cmp);
    let of = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied();
    let [half, most, all] = [50, 99, 100].map(|share| of(share).unwrap_or_default());
    format!(
        "{} nodes follow {leader}, half after {half:.2} s, 99 % after {most:.2} s, all after {all:.2} s",
        times.len()
    )
}
