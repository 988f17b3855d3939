//! Partitions, stalls and an unreliable network: the cluster may be wrong during the faults, and must agree afterwards.

use core::time::Duration;

use crate::common::{converged, model, options};
use serf_proto::{Instant, MessageKind, Status};
use sim::{Effect, Fault, NodeSet, Rule, World};

const NODES: u32 = 40;

fn status(world: &World, observer: u32, member: u32) -> Option<Status> {
    Some(world.node(observer)?.member(&format!("node-{member:05}"))?.status())
}

fn assert_agreement(world: &World) {
    assert_eq!(world.violations(), []);
    assert_eq!(world.disagreements(5), []);
}

#[test]
fn a_healed_partition_comes_together_again() {
    let mut world = converged(options(NODES, 1, 2, model()));
    let (left, right) = (NodeSet::Range(0..20), NodeSet::Range(20..NODES));
    for rule in Rule::partition(left, right, None) {
        world.inject(Fault::Rule(rule));
    }
    world.run_for(Duration::from_secs(120));
    assert_eq!(status(&world, 0, 30), Some(Status::Failed));
    assert_eq!(status(&world, 30, 0), Some(Status::Failed));
    assert_eq!(status(&world, 0, 19), Some(Status::Alive));
    world.inject(Fault::Heal);
    world.run_for(Duration::from_secs(300));
    assert_agreement(&world);
}

#[test]
fn a_partition_for_a_planned_time_ends_by_itself() {
    let mut world = converged(options(NODES, 2, 1, model()));
    let during = Some((world.now(), world.now() + Duration::from_secs(5)));
    for rule in Rule::partition(NodeSet::One(4), NodeSet::All, during) {
        world.plan(world.now() + Duration::from_secs(1), Fault::Rule(rule));
    }
    world.run_for(Duration::from_secs(120));
    assert_agreement(&world);
}

#[test]
fn a_node_that_hears_but_is_not_heard_fails_and_returns() {
    let mut world = converged(options(NODES, 3, 1, model()));
    let rule = Rule { from: NodeSet::One(5), to: NodeSet::All, effect: Effect::Drop, during: None };
    world.inject(Fault::Rule(rule));
    world.run_for(Duration::from_secs(90));
    assert_eq!(status(&world, 0, 5), Some(Status::Failed));
    world.inject(Fault::Heal);
    world.run_for(Duration::from_secs(240));
    assert_agreement(&world);
}

#[test]
fn a_short_stall_is_forgiven_and_a_long_one_is_not() {
    let mut world = converged(options(NODES, 4, 1, model()));
    world.inject(Fault::Pause(6));
    world.plan(world.now() + Duration::from_secs(3), Fault::Resume(6));
    world.run_for(Duration::from_secs(30));
    assert_agreement(&world);
    world.inject(Fault::Pause(6));
    world.run_for(Duration::from_secs(60));
    assert_eq!(status(&world, 0, 6), Some(Status::Failed));
    world.inject(Fault::Resume(6));
    world.run_for(Duration::from_secs(120));
    assert_agreement(&world);
}

/// Returns how many pings and acks a node has sent.
fn pings_and_acks(world: &World, node: u32) -> (u64, u64) {
    let stats = world.node(node).expect("it runs").stats();
    (stats.sent(MessageKind::Ping).messages, stats.sent(MessageKind::Ack).messages)
}

#[test]
fn a_node_whose_clock_stands_still_answers_probes_and_sends_none() {
    let mut world = converged(options(NODES, 10, 2, model()));
    world.inject(Fault::StopClock(6));
    world.run_for(Duration::from_secs(1));
    let (pings, acks) = pings_and_acks(&world, 6);
    world.run_for(Duration::from_secs(60));
    let (pings_then, acks_then) = pings_and_acks(&world, 6);
    assert_eq!(pings_then, pings, "its probe timer does not fire");
    assert!(acks_then >= acks + 30, "it is probed once a second: {acks_then} acks after {acks}");
    assert_agreement(&world);
    world.inject(Fault::StartClock { node: 6, jump: Duration::ZERO });
    world.run_for(Duration::from_secs(30));
    assert!(pings_and_acks(&world, 6).0 >= pings + 20, "it probes again, once a second");
    assert_agreement(&world);
}

#[test]
fn a_clock_that_jumps_ahead_takes_no_member_for_failed_and_leaves_a_crash_to_be_seen() {
    let hash = |threads| {
        let mut world = converged(options(NODES, 11, threads, model().with_loss_ppm(50_000)));
        world.inject(Fault::StopClock(6));
        world.run_for(Duration::from_secs(20));
        world.inject(Fault::StartClock { node: 6, jump: Duration::from_secs(20) });
        world.inject(Fault::StartClock { node: 7, jump: Duration::from_secs(3600) });
        world.run_for(Duration::from_secs(30));
        assert_agreement(&world);
        world.inject(Fault::Crash(9));
        world.run_for(Duration::from_secs(60));
        assert_agreement(&world);
        assert_eq!([status(&world, 6, 9), status(&world, 7, 9)], [Some(Status::Failed); 2]);
        world.trace_hash()
    };
    assert_eq!(hash(1), hash(2));
}

#[test]
fn doubled_and_overtaken_packets_change_nothing() {
    let bad = model().with_loss_ppm(50_000).with_duplicate_ppm(200_000).with_reorder_ppm(200_000);
    let mut world = converged(options(NODES, 5, 2, bad));
    world.user_event(1, "deploy", b"v2");
    world.inject(Fault::Crash(9));
    world.run_for(Duration::from_secs(120));
    assert_agreement(&world);
    assert_eq!(status(&world, 0, 9), Some(Status::Failed));
}

#[test]
fn streams_that_break_are_tried_again() {
    let mut world = World::new(options(NODES, 6, 1, model().with_stream_reset_ppm(200_000)));
    world.start_cold(Duration::from_secs(10));
    world.run_for(Duration::from_secs(200));
    assert_agreement(&world);
}

#[test]
fn a_slow_link_delays_and_a_crash_is_followed_by_a_return() {
    let mut world = converged(options(NODES, 7, 1, model()));
    let slow = Effect::Delay(Duration::from_millis(100));
    let rule = Rule { from: NodeSet::of([3, 1]), to: NodeSet::All, effect: slow, during: None };
    world.inject(Fault::Rule(rule));
    world.inject(Fault::Crash(8));
    world.plan(world.now() + Duration::from_secs(5), Fault::Restart(8));
    world.run_for(Duration::from_secs(120));
    assert_agreement(&world);
}

#[test]
fn those_who_leave_are_seen_as_left_even_when_a_third_of_datagrams_is_lost() {
    let mut world = converged(options(NODES, 8, 1, model().with_loss_ppm(333_333)));
    for node in 10..14 {
        world.inject(Fault::Leave(node));
    }
    world.run_for(Duration::from_secs(240));
    assert_eq!(world.violations(), []);
    for observer in (0..NODES).filter(|node| !(10..14).contains(node)) {
        for member in 10..14 {
            assert_eq!(status(&world, observer, member), Some(Status::Left), "{observer} about {member}");
        }
    }
}

#[test]
fn what_is_planned_happens_at_its_time_whatever_is_pending() {
    let mut world = converged(options(4, 9, 1, model()));
    let at = Instant::ZERO + Duration::from_secs(2);
    world.plan(at, Fault::Crash(1));
    world.run_for(Duration::from_secs(1) - Duration::from_nanos(1));
    assert!(world.node(1).is_some());
    world.run_for(Duration::from_nanos(2));
    assert!(world.node(1).is_none());
}
