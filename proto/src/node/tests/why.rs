use super::*;
use crate::event::Status;
use crate::{Evidence, Source, Why};

impl Cluster {
    fn why(&self, at: usize, of: usize) -> Option<Why> {
        self.nodes[at].as_ref().unwrap().why(&format!("node-{of}"))
    }

    /// Stops a node, and waits until all others suspect it and none has declared it dead. Returns when it stopped.
    fn crash_until_suspected(&mut self, crashed: usize) -> Instant {
        self.nodes[crashed] = None;
        let crashed_at = self.now;
        while !(0..crashed).all(|at| self.why(at, crashed).is_some_and(|why| why.gone.is_none())) {
            assert!(self.now < crashed_at + Duration::from_secs(20), "a suspicion reaches everybody before it ends");
            self.run(Duration::from_millis(100));
        }
        crashed_at
    }
}

fn name(at: usize) -> String {
    format!("node-{at}")
}

#[test]
fn of_a_crashed_member_all_know_the_accuser_and_the_source() {
    let mut cluster = Cluster::joined(5);
    let crashed_at = cluster.crash_until_suspected(4);
    let whys: Vec<Why> = (0..4).map(|at| cluster.why(at, 4).expect("it is suspected")).collect();
    let probed = |why: &Why| matches!(why.suspected, Some(Evidence { source: Source::OwnProbe, .. }));
    assert!(whys.iter().any(probed), "{whys:?}");
    for (at, why) in whys.iter().enumerate() {
        let suspected = why.suspected.as_ref().unwrap();
        assert!(suspected.at > crashed_at && suspected.at <= cluster.now);
        match &suspected.source {
            Source::OwnProbe => assert_eq!(*why.accusers[0], *name(at)),
            Source::Gossip { from, member } => assert_eq!(**member.as_ref().unwrap(), *name(index(*from))),
            other => panic!("node {at}: {other:?}"),
        }
        assert_eq!((why.status, &why.gone, &why.said_by), (Status::Alive, &None, &None), "node {at}");
    }
    // Membership reaps it long before this, and Serf a day later.
    cluster.run(Duration::from_secs(600));
    for (at, before) in whys.iter().enumerate() {
        let why = cluster.why(at, 4).expect("it is failed");
        assert_eq!((why.status, &why.suspected), (Status::Failed, &before.suspected));
        assert!(!why.accusers.is_empty() && why.accusers.len() <= 3, "{:?}", why.accusers);
        let (gone, said_by) = (why.gone.unwrap(), why.said_by.unwrap());
        assert!(gone.at > before.suspected.as_ref().unwrap().at);
        match gone.source {
            Source::OwnTimer => assert_eq!(*said_by, *name(at)),
            Source::Gossip { .. } => assert_ne!(*said_by, *name(at)),
            other => panic!("node {at}: {other:?}"),
        }
    }
}

#[test]
fn there_is_no_evidence_about_a_member_that_is_alive_back_or_unknown() {
    let mut cluster = Cluster::joined(3);
    assert_eq!(cluster.why(0, 1), None);
    assert_eq!(cluster.why(0, 9), None);
    cluster.nodes[2] = None;
    cluster.run(Duration::from_secs(60));
    assert!(cluster.why(0, 2).is_some());
    cluster.start(2, Options::lan());
    cluster.command(2, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    assert_eq!((cluster.status(0, 2), cluster.why(0, 2)), (Some(Status::Alive), None));
}

#[test]
fn a_member_that_left_has_no_accusers_and_said_so_itself() {
    let mut cluster = Cluster::joined(3);
    cluster.command(2, |node, now, out| node.leave(now, out)).unwrap();
    cluster.run(Duration::from_secs(20));
    let why = cluster.why(0, 2).unwrap();
    assert_eq!((why.status, why.suspected, why.accusers), (Status::Left, None, vec![]));
    assert_eq!(why.said_by.as_deref(), Some("node-2"));
    let Some(Evidence { source: Source::Gossip { member: Some(_), .. }, .. }) = why.gone else { panic!() };
}

#[test]
fn the_counts_of_members_are_those_of_the_list() {
    let mut cluster = Cluster::joined(5);
    cluster.crash_until_suspected(4);
    let counts = cluster.nodes[0].as_ref().unwrap().member_counts();
    assert_eq!((counts.known, counts.live, counts.suspected), (5, 5, 1));
    cluster.command(3, |node, now, out| node.leave(now, out)).unwrap();
    cluster.run(Duration::from_secs(60));
    let node = cluster.nodes[0].as_ref().unwrap();
    let of = |status| node.members().filter(|member| member.status() == status).count();
    let counts = node.member_counts();
    assert_eq!((counts.known, counts.live, counts.suspected), (5, of(Status::Alive), 0));
    assert_eq!((counts.failed, counts.left), (of(Status::Failed), of(Status::Left)));
    assert_eq!((counts.failed, counts.left), (1, 1));
}
