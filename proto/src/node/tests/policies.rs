use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::{Candidate, Clocks, Member, Policy, SeedFailureCause, SharedPolicy, Veto};

/// A policy that vetoes one name, while it is strict.
struct Against {
    name: &'static str,
    strict: Arc<AtomicBool>,
}

impl Policy for Against {
    fn admits(&self, candidate: &Candidate<'_>) -> Result<(), Veto> {
        let vetoed = candidate.name() == self.name && self.strict.load(Ordering::Relaxed);
        if vetoed { Err(Veto::new("not that one")) } else { Ok(()) }
    }
}

/// A policy that vetoes merges with clusters above a size.
struct Small(usize);

impl Policy for Small {
    fn admits_merge(&self, others: &[Candidate<'_>]) -> Result<(), Veto> {
        let live = others.iter().filter(|other| !other.has_left()).count();
        if live > self.0 { Err(Veto::new("too many")) } else { Ok(()) }
    }
}

impl Cluster {
    fn start_with(&mut self, at: usize, policy: impl Policy + 'static) {
        let identity = Identity::new(&format!("node-{at}"), addr(at), &Tags::default()).unwrap();
        let mut out = Outbox::new();
        let cfg = Arc::new(Config::new(Options::lan()).unwrap());
        let start = Start::new().with_policy(SharedPolicy::new(policy));
        let node = Node::new(cfg, &identity, &Seed::from_u64(70), self.now, start, &mut out);
        self.nodes[at] = Some(node);
        self.route(at, &mut out);
    }

    fn join(&mut self, at: usize, via: usize) {
        self.command(at, |node, now, out| node.join(now, &[addr(via)], OldEvents::Deliver, out)).unwrap();
    }

    fn seed_failures(&self, at: usize) -> Vec<(SeedFailureCause, Option<Box<str>>)> {
        let failures = self.events[at].iter().filter_map(|event| match event {
            Event::Joined(report) => Some(report.failed.clone()),
            _ => None,
        });
        failures.flatten().map(|failure| (failure.cause, failure.detail)).collect()
    }
}

#[test]
fn a_veto_keeps_a_member_out_of_this_node_only_and_is_counted() {
    let mut cluster = Cluster::new(3);
    cluster.start_with(0, Against { name: "node-2", strict: Arc::new(AtomicBool::new(true)) });
    cluster.join(1, 0);
    cluster.join(2, 1);
    cluster.run(Duration::from_secs(10));
    assert_eq!((cluster.alive(0), cluster.alive(1)), (2, 3));
    assert_eq!((cluster.status(0, 2), cluster.member_events(0, 2)), (None, vec![]));
    assert!(dropped(&cluster, 0, DropReason::Vetoed) > 0);
    assert_eq!(dropped(&cluster, 1, DropReason::Vetoed), 0);
}

#[test]
fn members_whose_views_keep_differing_are_listed_until_their_digests_agree() {
    let strict = Arc::new(AtomicBool::new(true));
    let mut cluster = Cluster::new(3);
    cluster.start_with(0, Against { name: "node-2", strict: Arc::clone(&strict) });
    cluster.join(1, 0);
    cluster.join(2, 1);
    let listed = |cluster: &Cluster| -> Vec<(String, u32)> {
        let node = cluster.nodes[0].as_ref().unwrap();
        node.disagreements().map(|(peer, tries)| (peer.name().to_owned(), tries)).collect()
    };
    cluster.run(Duration::from_secs(300));
    let [(name, tries)] = &listed(&cluster)[..] else { panic!("{:?}", listed(&cluster)) };
    assert!(name == "node-1" && *tries >= 5, "{name}: {tries}");
    strict.store(false, Ordering::Relaxed);
    cluster.run(Duration::from_secs(300));
    assert_eq!((cluster.alive(0), listed(&cluster)), (3, vec![]));
}

#[test]
fn a_veto_freezes_a_member_and_keeps_the_dead_away_until_it_is_lifted() {
    let strict = Arc::new(AtomicBool::new(false));
    let mut cluster = Cluster::new(3);
    cluster.start_with(0, Against { name: "node-2", strict: Arc::clone(&strict) });
    cluster.join(1, 0);
    cluster.join(2, 0);
    cluster.run(Duration::from_secs(5));
    assert_eq!(cluster.alive(0), 3);
    strict.store(true, Ordering::Relaxed);
    let tags: Tags = [("role", "db")].into_iter().collect();
    cluster.command(2, |node, now, out| node.set_tags(now, &tags, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    let known = |cluster: &Cluster, at: usize| cluster.nodes[at].as_ref().unwrap().member("node-2").unwrap().to_tags();
    assert_eq!((known(&cluster, 0), known(&cluster, 1)), (Tags::default(), tags));
    cluster.nodes[2] = None;
    // After membership has reaped it, and before.
    for pause in [20, 120] {
        cluster.run(Duration::from_secs(pause));
        cluster.start(2, Options::lan());
        cluster.join(2, 1);
        cluster.run(Duration::from_secs(20));
        assert_eq!((cluster.status(0, 2), cluster.status(1, 2)), (Some(Status::Failed), Some(Status::Alive)));
        cluster.nodes[2] = None;
    }
    strict.store(false, Ordering::Relaxed);
    cluster.start(2, Options::lan());
    cluster.join(2, 1);
    cluster.run(Duration::from_secs(30));
    assert_eq!(cluster.alive(0), 3);
}

#[test]
fn a_vetoed_merge_changes_nothing_and_the_joining_node_learns_of_it() {
    let mut cluster = Cluster::new(4);
    cluster.start_with(0, Small(1));
    cluster.join(2, 1);
    cluster.run(Duration::from_secs(5));
    cluster.join(1, 0);
    cluster.run(Duration::from_secs(1));
    let words = "this cluster does not merge with that of the stream";
    assert_eq!(cluster.seed_failures(1), [(SeedFailureCause::Rejected, Some(words.into()))]);
    assert_eq!((cluster.alive(0), cluster.alive(1)), (1, 2));
    assert_eq!(dropped(&cluster, 0, DropReason::Vetoed), 1);
    cluster.join(3, 0);
    cluster.run(Duration::from_secs(5));
    assert_eq!((cluster.alive(0), cluster.alive(3)), (2, 2), "one alone may come");
}

#[test]
fn a_merge_that_is_vetoed_by_whoever_joins_ends_its_join_with_that_cause() {
    let mut cluster = Cluster::new(3);
    cluster.start_with(0, Small(1));
    cluster.join(2, 1);
    cluster.run(Duration::from_secs(5));
    cluster.join(0, 1);
    cluster.run(Duration::from_millis(20));
    assert_eq!(cluster.seed_failures(0), [(SeedFailureCause::Vetoed, None)]);
    assert_eq!(cluster.nodes[0].as_ref().unwrap().clocks(), Clocks { member: 1, event: 1, query: 1 });
}

#[test]
fn a_policy_decides_how_long_each_member_is_remembered() {
    struct ByName;
    impl Policy for ByName {
        fn reconnect_timeout(&self, member: &Member, timeout: Duration) -> Duration {
            match member.name() {
                "node-1" => Duration::from_secs(60),
                "node-2" => Duration::MAX,
                _ => timeout,
            }
        }
    }
    let mut cluster = Cluster::new(4);
    cluster.start_with(0, ByName);
    (1..4).for_each(|at| cluster.join(at, 0));
    cluster.run(Duration::from_secs(5));
    cluster.command(1, |node, now, out| node.leave(now, out)).unwrap();
    cluster.run(Duration::from_secs(10));
    for at in 1..4 {
        cluster.nodes[at] = None;
    }
    cluster.run(Duration::from_secs(120));
    assert_eq!((cluster.status(0, 1), cluster.status(0, 3)), (None, Some(Status::Failed)));
    cluster.run(Duration::from_secs(25 * 3600));
    assert_eq!((cluster.status(0, 2), cluster.status(0, 3)), (Some(Status::Failed), None));
}
