use super::*;
use crate::Question;
use crate::types::{AfterLeave, Snapshot};

fn keeping() -> Options {
    Options::lan().with(|options| options.serf.snapshot = true)
}

impl Cluster {
    /// The snapshot of a node.
    fn snapshot(&self, at: usize) -> Snapshot {
        self.snapshot_read(at, AfterLeave::Forget)
    }

    fn snapshot_read(&self, at: usize, after_leave: AfterLeave) -> Snapshot {
        let file: String = self.records[at].iter().map(Record::line).collect();
        Snapshot::replay(file.as_bytes(), after_leave).snapshot
    }

    /// Crashes the node and restarts it from its snapshot.
    fn restart(&mut self, at: usize) {
        self.restart_with(at, self.snapshot(at));
    }

    fn restart_with(&mut self, at: usize, snapshot: Snapshot) {
        let identity = Identity::new(&format!("node-{at}"), addr(at), &Tags::default()).unwrap();
        let mut out = Outbox::new();
        let cfg = Arc::new(Config::new(keeping()).unwrap());
        let start = Start::new().with_snapshot(snapshot);
        let node = Node::new(cfg, &identity, &Seed::from_u64(99), self.now, start, &mut out);
        self.nodes[at] = Some(node);
        self.events[at].clear();
        self.route(at, &mut out);
    }

    /// Three nodes that know each other; the first writes a snapshot.
    fn with_snapshot() -> Self {
        let mut cluster = Self::new(3);
        cluster.start(0, keeping());
        for at in 1..3 {
            cluster.command(at, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
        }
        cluster.run(Duration::from_secs(5));
        cluster
    }

    fn event(&mut self, from: usize, name: &str) {
        self.event_and_run(from, name, Duration::from_secs(5));
    }

    /// Sends an event and runs for `span`.
    fn event_and_run(&mut self, from: usize, name: &str, span: Duration) {
        self.command(from, |node, now, out| node.user_event(now, name, b"", Coalescing::Forbid, out)).unwrap();
        self.run(span);
    }
}

#[test]
fn a_snapshot_says_who_is_alive_who_failed_and_how_late_it_is() {
    let mut cluster = Cluster::with_snapshot();
    cluster.event(1, "deploy");
    let names = |snapshot: &Snapshot| snapshot.alive().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
    let snapshot = cluster.snapshot(0);
    assert_eq!(names(&snapshot), ["node-0", "node-1", "node-2"]);
    let clocks = cluster.nodes[0].as_ref().unwrap().clocks();
    assert_eq!((snapshot.clock() + 1, snapshot.event_clock() + 1), (clocks.member, clocks.event));
    cluster.nodes[1] = None;
    cluster.run(Duration::from_secs(60));
    let snapshot = cluster.snapshot(0);
    assert_eq!(names(&snapshot), ["node-0", "node-2"]);
    assert_eq!(snapshot.failed_members().map(|(_, addr)| addr).collect::<Vec<_>>(), [addr(1)]);
}

#[test]
fn a_member_that_left_is_not_alive_in_the_snapshot() {
    let mut cluster = Cluster::with_snapshot();
    cluster.command(1, |node, now, out| node.leave(now, out)).unwrap();
    cluster.run(Duration::from_secs(20));
    assert_eq!(cluster.status(0, 1), Some(Status::Left));
    let snapshot = cluster.snapshot(0);
    let names: Vec<String> = snapshot.alive().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["node-0", "node-2"]);
    assert_eq!(snapshot.failed_members().count(), 0);
}

#[test]
fn a_record_comes_before_the_event_that_it_is_about() {
    let mut out = Outbox::new();
    let identity = Identity::new("node-0", addr(0), &Tags::default()).unwrap();
    let cfg = Arc::new(Config::new(keeping()).unwrap());
    Node::new(cfg, &identity, &Seed::from_u64(7), Instant::ZERO, Start::new(), &mut out);
    let outputs: Vec<Output> = out.drain().collect();
    let [Output::Persist(Record::Alive { name, .. }), Output::Event(Event::Member(event))] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!((&**name, event.to_string().as_str()), ("node-0", "member-join: node-0"));
}

#[test]
fn a_node_that_crashed_finds_its_cluster_again_and_hears_no_event_twice() {
    let mut cluster = Cluster::with_snapshot();
    cluster.event(1, "before");
    cluster.nodes[0] = None;
    cluster.event(1, "meanwhile");
    let clocks = cluster.snapshot(0);
    cluster.restart(0);
    assert_eq!(cluster.nodes[0].as_ref().unwrap().clocks().member, clocks.clock() + 1);
    cluster.command(0, |node, now, out| node.rejoin(now, OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(10));
    assert_eq!(cluster.alive(0), 3);
    assert_eq!(cluster.user_events(0), ["meanwhile"]);
    assert_eq!(cluster.status(1, 0), Some(Status::Alive));
}

#[test]
fn a_rejoin_tries_failed_members_last_and_stops_with_the_first_answer() {
    let mut snapshot = Snapshot::default();
    let member = |at: usize| (format!("node-{at}").into(), addr(at));
    for at in [0, 4, 5, 6, 7, 8] {
        let (name, addr) = member(at);
        snapshot.apply(&Record::Alive { name, addr });
    }
    for at in [2, 1] {
        let (name, addr) = member(at);
        snapshot.apply(&Record::Failed { name, addr });
    }
    let mut cluster = Cluster::new(9);
    for at in 4..9 {
        cluster.nodes[at] = None;
    }
    cluster.records[0] = vec_of(&snapshot);
    cluster.restart(0);
    cluster.command(0, |node, now, out| node.rejoin(now, OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(20));
    assert!(cluster.status(0, 1) == Some(Status::Alive) || cluster.status(0, 2) == Some(Status::Alive));
    let report = cluster.events[0].iter().find_map(|event| match event {
        Event::Joined(report) => Some(report.clone()),
        _ => None,
    });
    let report = report.expect("the rejoin ended");
    assert!(report.contacted >= 1 && report.failed.len() == 5, "{report:?}");
}

#[test]
fn a_failed_rejoin_is_followed_by_a_search_until_a_member_is_back() {
    let mut cluster = Cluster::with_snapshot();
    cluster.nodes = vec![None, None, None];
    cluster.restart(0);
    cluster.command(0, |node, now, out| node.rejoin(now, OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(300));
    let reports = cluster.events[0].iter().filter(|event| matches!(event, Event::Joined(_))).count();
    assert_eq!((cluster.alive(0), reports), (1, 1), "the application sees its own join only");
    cluster.start(2, Options::lan());
    cluster.run(Duration::from_secs(45));
    assert_eq!((cluster.alive(0), cluster.alive(2)), (2, 2));
    assert!(!cluster.nodes[0].as_ref().unwrap().core.timers.is_set(NodeTimer::Isolation));
}

fn vec_of(snapshot: &Snapshot) -> Vec<Record> {
    let alive = snapshot.alive().map(|(name, addr)| Record::Alive { name: name.clone(), addr });
    let failed: Vec<_> = snapshot.failed_members().collect();
    let failed = failed.into_iter().rev().map(|(name, addr)| Record::Failed { name: name.clone(), addr });
    alive.chain(failed).collect()
}

#[test]
fn a_node_without_an_earlier_run_has_no_member_to_rejoin() {
    let mut cluster = Cluster::new(1);
    let error = cluster.command(0, |node, now, out| node.rejoin(now, OldEvents::Deliver, out));
    assert_eq!(error, Err(JoinError::NoSeeds));
}

#[test]
fn after_a_leave_no_member_is_recorded() {
    let mut cluster = Cluster::with_snapshot();
    cluster.command(0, |node, now, out| node.leave(now, out)).unwrap();
    cluster.run(Duration::from_secs(1));
    cluster.nodes[1] = None;
    cluster.run(Duration::from_secs(20));
    assert_eq!(cluster.records[0].last(), Some(&Record::Leave));
    let snapshot = cluster.snapshot(0);
    assert!(snapshot.left());
    assert_eq!((snapshot.alive().count(), snapshot.clock()), (0, 0));
}

#[test]
fn events_during_a_leave_are_recorded_and_not_delivered_after_a_rejoin() {
    let mut cluster = Cluster::with_snapshot();
    cluster.event(1, "before");
    cluster.command(0, |node, now, out| node.leave(now, out)).unwrap();
    // The second event arrives while we broadcast our leave and the others have not received it, the third when they
    // have: members that left get no gossip, and acks to them carry none.
    for (name, state, millis) in
        [("intent", Status::Leaving, 300), ("farewell", Status::Left, 700), ("unheard", Status::Left, 700)]
    {
        cluster.event_and_run(1, name, Duration::from_millis(millis));
        assert_eq!(cluster.status(1, 0), Some(state), "after {name}");
        cluster.command(1, |node, now, out| node.query(now, &Question::new(name), out)).unwrap();
    }
    cluster.run(Duration::from_secs(2));
    let received = cluster.user_events(0);
    assert_eq!(received, ["before", "intent", "farewell"], "a member that knows that we left sends us none");
    let seen = cluster.nodes[0].as_ref().unwrap().clocks();
    for after_leave in [AfterLeave::Forget, AfterLeave::Rejoin] {
        let snapshot = cluster.snapshot_read(0, after_leave);
        assert!(snapshot.left());
        assert_eq!((snapshot.event_clock() + 1, snapshot.query_clock() + 1), (seen.event, seen.query));
    }
    cluster.nodes[0] = None;
    cluster.event(1, "meanwhile");
    cluster.restart_with(0, cluster.snapshot_read(0, AfterLeave::Rejoin));
    cluster.command(0, |node, now, out| node.rejoin(now, OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(10));
    assert_eq!(cluster.user_events(0), ["unheard", "meanwhile"], "and nothing a second time");
}

#[test]
fn the_clock_is_recorded_within_half_a_second_though_no_member_event_comes() {
    let mut cluster = Cluster::with_snapshot();
    cluster.records[0].clear();
    // An intent about an unknown member advances the clock without an event.
    cluster.command(1, |node, now, out| node.force_leave(now, "nobody", Tombstone::Keep, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    let clock = cluster.nodes[0].as_ref().unwrap().clocks().member - 1;
    assert_eq!(cluster.records[0], [Record::Clock(clock)]);
}
