//! Applications on the nodes.

use core::time::Duration;
use std::collections::BTreeMap;

use serf_proto::{Event, Instant, MemberEventKind};
use sim::{App, AppHandle, Fault, World};

use crate::common::{model, options};

const NODES: u32 = 40;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Notes when its timer fires, counts what it hears, and answers queries.
#[derive(Debug, Default)]
struct Clerk {
    started_at: Option<Instant>,
    fired_at: Vec<Instant>,
    heard: Vec<Vec<u8>>,
    joined: u32,
    answers: BTreeMap<String, Vec<u8>>,
}

impl App for Clerk {
    fn on_start(&mut self, node: &mut AppHandle<'_>) {
        self.started_at = Some(node.now());
        node.set_timer(1, secs(10));
    }

    fn on_event(&mut self, event: &Event, node: &mut AppHandle<'_>) {
        match event {
            Event::Member(event) if event.kind == MemberEventKind::Join => self.joined += 1,
            Event::User(event) => self.heard.push(event.payload.to_vec()),
            Event::Query(query) if &*query.name == "uptime" => {
                node.respond(query.id, &node.index().to_le_bytes()).expect("it was just asked");
            }
            Event::QueryResponse { from, payload, .. } => _ = self.answers.insert(from.to_string(), payload.to_vec()),
            _ => {}
        }
    }

    fn on_timer(&mut self, timer: u64, node: &mut AppHandle<'_>) {
        assert_eq!(timer, 1);
        self.fired_at.push(node.now());
        node.set_timer(1, secs(10));
    }
}

fn world(seed: u64, threads: u32) -> World {
    World::with_apps(options(NODES, seed, threads, model().with_loss_ppm(20_000)), |_| Clerk::default())
}

fn clerk(world: &World, node: u32) -> &Clerk {
    world.app(node).expect("its process runs")
}

#[test]
fn applications_hear_events_and_answer_queries_of_each_other() {
    let mut world = world(1, 2);
    world.start_cold(secs(5));
    world.run_for(secs(25));
    assert!(clerk(&world, 3).joined >= NODES - 1, "{}", clerk(&world, 3).joined);
    world.with_app(3, |_: &mut Clerk, node| node.user_event("deploy", b"v1")).expect("it runs").expect("it is small");
    world.with_app(4, |_: &mut Clerk, node| node.query("uptime", b"")).expect("it runs").expect("it is small");
    world.run_for(secs(20));
    assert!((0..NODES).all(|node| clerk(&world, node).heard == [b"v1".to_vec()]));
    let answers = &clerk(&world, 4).answers;
    assert!(answers.len() > 30, "few answers are lost: {}", answers.len());
    assert_eq!(answers["node-00007"], 7_u32.to_le_bytes());
    assert_eq!(world.violations(), []);
}

#[test]
fn a_run_with_applications_is_the_same_for_any_number_of_threads() {
    let run = |threads| {
        let mut world = world(2, threads);
        world.start_converged();
        world.run_for(secs(5));
        world.with_app(9, |_: &mut Clerk, node| node.query("uptime", b"").is_ok());
        world.inject(Fault::Crash(5));
        world.run_for(secs(40));
        let apps: Vec<String> = (0..NODES).map(|node| format!("{:?}", world.app::<Clerk>(node))).collect();
        (world.trace_hash(), apps)
    };
    assert_eq!(run(1), run(2));
}

#[test]
fn a_timer_fires_at_its_time_and_late_only_in_a_stalled_process() {
    let mut world = world(3, 1);
    world.start_converged();
    world.run_for(secs(15));
    world.inject(Fault::Pause(1));
    world.inject(Fault::StopClock(2));
    world.plan(world.now() + secs(20), Fault::Resume(1));
    world.plan(world.now() + secs(20), Fault::StartClock { node: 2, jump: Duration::ZERO });
    world.run_for(secs(40));
    let fired = |node| -> Vec<u64> {
        let since = clerk(&world, node).started_at.expect("it has started");
        clerk(&world, node).fired_at.iter().map(|at| (*at - since).as_secs()).collect()
    };
    assert_eq!(fired(0), [10, 20, 30, 40, 50]);
    assert_eq!(fired(1), [10, 35, 45, 55][..fired(1).len()], "the stall ends after 35 s");
    assert!(fired(1).len() >= 3);
    assert_eq!(fired(2), [10, 20, 30], "its clock shows 20 s less");
}

#[test]
fn a_crash_loses_the_application_and_a_restart_begins_with_a_new_one() {
    let mut world = world(4, 1);
    world.start_converged();
    world.user_event(0, "deploy", b"v1");
    world.run_for(secs(25));
    assert_eq!(clerk(&world, 6).heard.len(), 1);
    world.inject(Fault::Crash(6));
    world.run_for(secs(1));
    assert!(world.app::<Clerk>(6).is_none());
    assert!(world.with_app(6, |_: &mut Clerk, _| ()).is_none());
    world.inject(Fault::Restart(6));
    world.run_for(secs(5));
    let again = clerk(&world, 6);
    assert!(again.fired_at.is_empty() && again.started_at > Some(Instant::ZERO + secs(25)), "{again:?}");
}

/// Answers each of its own events with another one.
#[derive(Debug)]
struct Echo;

impl App for Echo {
    fn on_event(&mut self, event: &Event, node: &mut AppHandle<'_>) {
        if matches!(event, Event::User(_)) {
            node.user_event("again", b"").expect("it is small");
        }
    }
}

#[test]
#[should_panic(expected = "commands at one moment")]
fn an_application_that_answers_its_own_events_is_stopped() {
    let mut world = World::with_apps(options(2, 5, 1, model()), |_| Echo);
    world.start_converged();
    world.run_for(secs(1));
    world.user_event(0, "begin", b"");
    world.run_for(secs(1));
}
