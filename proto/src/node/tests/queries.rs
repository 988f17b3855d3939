use super::*;
use crate::{AfterLeave, KeyOperation, QueryId, QueryReport, Question, Snapshot};

impl Cluster {
    fn ask(&mut self, at: usize, question: &Question<'_>) -> QueryId {
        self.command(at, |node, now, out| node.query(now, question, out)).unwrap()
    }

    /// Every node responds with its name to every query that it was delivered and has not answered.
    fn answer_all(&mut self) -> usize {
        let mut answered = 0;
        for at in 0..self.nodes.len() {
            let queries = self.events[at].iter().filter_map(|event| match event {
                Event::Query(query) => Some(query.id),
                _ => None,
            });
            for id in queries.collect::<Vec<_>>() {
                let payload = format!("node-{at}");
                let responded = self.command(at, |node, now, out| node.respond(now, id, payload.as_bytes(), out));
                answered += usize::from(responded.is_ok());
            }
        }
        answered
    }

    fn query_events(&self, at: usize) -> (Vec<String>, Vec<String>, Option<QueryReport>) {
        let (mut acks, mut answers, mut end) = (Vec::new(), Vec::new(), None);
        for event in &self.events[at] {
            match event {
                Event::QueryAck { from, .. } => acks.push(from.to_string()),
                Event::QueryResponse { from, payload, .. } => {
                    assert_eq!(from.as_bytes(), payload);
                    answers.push(from.to_string());
                }
                Event::QueryEnded(report) => end = Some(report.clone()),
                _ => {}
            }
        }
        acks.sort_unstable();
        answers.sort_unstable();
        (acks, answers, end)
    }
}

fn all(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("node-{at}")).collect()
}

#[test]
fn the_clocks_of_others_follow_a_node_that_returns_with_the_time_of_a_query_that_only_it_had() {
    let mut cluster = Cluster::joined_with(3, |_| Options::lan().with(|options| options.swim.suspicion_mult = 100));
    cluster.nodes[2] = None;
    let mut snapshot = Snapshot::new(AfterLeave::Forget);
    snapshot.apply(&Record::QueryClock(7));
    cluster.start_as(
        2,
        Options::lan().with(|options| options.swim.suspicion_mult = 100),
        Start::new().with_snapshot(snapshot),
    );
    // Only one of the others exchanges states with it.
    cluster.command(2, |node, now, out| node.join(now, &[addr(1)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    cluster.ask(0, &Question::new("load").with_acks());
    cluster.run(Duration::from_secs(3));
    assert_eq!(cluster.query_events(0).0, all(3));
}

#[test]
fn a_query_ends_before_its_deadline_when_all_have_answered() {
    let mut cluster = Cluster::joined(6);
    let asked_at = cluster.now;
    cluster.ask(2, &Question::new("uptime").with_acks());
    for _ in 0..20 {
        cluster.run(Duration::from_millis(100));
        cluster.answer_all();
    }
    let (acks, answers, end) = cluster.query_events(2);
    assert_eq!((acks, answers), (all(6), all(6)));
    let end = end.expect("the query is over after two seconds of 3.2");
    assert!(end.complete && end.silent.is_empty() && end.responses == 6 && end.acks == 6, "{end:?}");
    assert!(cluster.now - asked_at < cluster.nodes[2].as_ref().unwrap().default_query_timeout());
}

#[test]
fn a_member_that_cannot_reach_the_asker_answers_over_others() {
    // Datagrams from node 3 to node 0 are lost, so direct responses fail.
    for (relay_factor, arrives) in [(0, false), (3, true)] {
        let mut cluster = Cluster::joined(6);
        cluster.lost_ways.insert((3, 0));
        cluster.ask(0, &Question::new("uptime").relayed(relay_factor));
        for _ in 0..40 {
            cluster.run(Duration::from_millis(100));
            cluster.answer_all();
        }
        let (_, answers, end) = cluster.query_events(0);
        assert_eq!(answers.contains(&"node-3".to_string()), arrives, "{relay_factor}");
        assert_eq!(end.unwrap().silent.len(), usize::from(!arrives));
    }
}

#[test]
fn a_node_without_encryption_answers_key_requests_with_that() {
    let mut cluster = Cluster::joined(3);
    let id = cluster.command(1, |node, now, out| node.change_all_keys(now, KeyOperation::List, &[], 0, out)).unwrap();
    cluster.run(Duration::from_secs(4));
    let report = cluster.events[1].iter().find_map(|event| match event {
        Event::Keys(report) => Some(report.clone()),
        _ => None,
    });
    let report = report.unwrap();
    assert_eq!((report.id, report.answers.len(), report.silent.len()), (id, 3, 0));
    assert!(report.failures().all(|answer| &*answer.message == "Keyring is empty (encryption not enabled)"));
    assert_eq!(report.failures().count(), 3);
}

#[test]
fn in_every_state_of_a_leave_commands_are_sent_as_serf_sends_them() {
    for after in [0, 100, 1000, 1900, 10_000] {
        let mut cluster = Cluster::joined(3);
        cluster.command(0, |node, now, out| node.leave(now, out)).unwrap();
        cluster.run(Duration::from_millis(after));
        cluster.command(0, |node, now, out| node.user_event(now, "going", b"", Coalescing::Forbid, out)).unwrap();
        let question = Question::new("uptime").with_acks();
        let id = cluster.command(0, |node, now, out| node.query(now, &question, out)).unwrap();
        cluster.command(0, |node, now, out| node.force_leave(now, "node-9", Tombstone::Keep, out)).unwrap();
        cluster.run(Duration::from_secs(4));
        let state = cluster.nodes[0].as_ref().unwrap().state();
        for at in 1..3 {
            assert_eq!(cluster.user_events(at), ["going"], "node {at}, {after} ms into the leave, now {state:?}");
            let acked = cluster.events[0].iter().any(|event| match event {
                Event::QueryAck { id: of, from } => *of == id && **from == *format!("node-{at}"),
                _ => false,
            });
            assert!(acked, "node {at} acknowledged, {after} ms into the leave");
        }
    }
}

#[test]
fn the_time_of_a_query_is_recorded_also_of_one_that_the_application_never_sees() {
    let mut cluster = Cluster::new(2);
    cluster.start(0, Options::lan().with(|options| options.serf.snapshot = true));
    cluster.command(1, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(2));
    let id = cluster.ask(1, &Question::new("_serf_ping").with_acks());
    cluster.run(Duration::from_secs(2));
    assert!(cluster.records[0].contains(&Record::QueryClock(id.ltime())), "{:?}", cluster.records[0]);
}

#[test]
fn the_acks_of_a_query_the_probes_and_the_waits_of_each_queue_are_in_the_histograms() {
    let mut cluster = Cluster::joined(3);
    // A broadcast of the join that was never sent, because the newcomer sends it, is timed for a minute.
    cluster.run(Duration::from_secs(61));
    cluster.ask(0, &Question::new("uptime").with_acks());
    cluster.command(0, |node, now, out| node.user_event(now, "deploy", b"", Coalescing::Forbid, out)).unwrap();
    cluster.command(0, |node, now, out| node.set_tags(now, &[("role", "web")].into_iter().collect(), out)).unwrap();
    cluster.run(Duration::from_secs(4));
    let counts = cluster.nodes[0].as_ref().unwrap().histograms().into_iter();
    let counts: Vec<_> = counts.map(|metric| (metric.name, metric.label, metric.value.count())).collect();
    let of = |name, queue: Option<&'static str>| {
        let label = queue.map(|queue| ("queue", queue));
        counts.iter().find(|(of, has, _)| (*of, *has) == (name, label)).map(|(.., count)| *count)
    };
    assert_eq!(of("dissemination", None), Some(2), "two other members acknowledged: {counts:?}");
    assert_eq!(of("dissemination_all", None), Some(1), "{counts:?}");
    assert!(of("probe_round_trip", None) > Some(1), "{counts:?}");
    for queue in ["swim", "events", "queries"] {
        assert!(of("gossip_wait", Some(queue)) > Some(0), "{queue}: {counts:?}");
    }
}
