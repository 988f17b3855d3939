//! A few nodes on a perfect network, with virtual time: the wiring of the layers, from packets to events.

mod anti_entropy;
mod bounds;
mod clocks;
mod complaints;
mod coordinates;
mod fingerprint;
mod forged_leaves;
mod ghosts;
mod identity;
mod joins;
mod large_answers;
mod names;
mod networks;
mod partitions;
mod policies;
mod queries;
mod recording;
mod records;
mod strangers;
mod streams;
mod view;
mod why;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::join::Contact;
use super::*;
use crate::core::{ExchangePurpose, Heard, Origin};
use crate::envelope::{self, KeyringError};
use crate::event::{Event, KeyOperation, MemberEventKind, Status};
use crate::stats::DropReason;
use crate::types::Key;
use crate::wire::swim::Message;
use crate::wire::{Codec, native};
use crate::{Coalescing, CodecChoice, JoinId, Options, Record, Tags, Tombstone};

/// Inputs in transit to a node, in the order of delivery.
type Mail = BTreeMap<(Instant, u64), (usize, Delivery)>;

enum Delivery {
    Datagram(SocketAddr, Bytes),
    /// The connecting node and its stream.
    Accept(usize, StreamId),
    Stream(StreamId, Chunk),
}

enum Chunk {
    Opened,
    Data(Bytes),
    Closed,
    Failed,
}

/// Nodes, and a network that delivers everything after one millisecond.
struct Cluster {
    nodes: Vec<Option<Node>>,
    now: Instant,
    sent: u64,
    mail: Mail,
    /// The peer of each open stream: its node and stream.
    ends: BTreeMap<(usize, StreamId), (usize, StreamId)>,
    events: Vec<Vec<Event>>,
    records: Vec<Vec<Record>>,
    /// The keyring that each node last asked to be written.
    keyrings: BTreeMap<usize, Vec<Key>>,
    /// Nodes whose keyring cannot be written.
    full_disks: BTreeSet<usize>,
    /// Nodes that receive no datagrams.
    deaf: BTreeSet<usize>,
    /// Pairs of sender and receiver whose datagrams are lost.
    lost_ways: BTreeSet<(usize, usize)>,
    /// Nodes that accept no streams.
    walled: BTreeSet<usize>,
}

fn addr(at: usize) -> SocketAddr {
    format!("10.0.0.{}:7946", at + 1).parse().unwrap()
}

fn index(addr: SocketAddr) -> usize {
    let SocketAddr::V4(addr) = addr else { panic!("the cluster is IPv4") };
    usize::from(addr.ip().octets()[3]) - 1
}

impl Cluster {
    fn new(count: usize) -> Self {
        let mut cluster = Self {
            nodes: Vec::new(),
            now: Instant::ZERO,
            sent: 0,
            mail: BTreeMap::new(),
            ends: BTreeMap::new(),
            events: Vec::new(),
            records: Vec::new(),
            keyrings: BTreeMap::new(),
            full_disks: BTreeSet::new(),
            deaf: BTreeSet::new(),
            lost_ways: BTreeSet::new(),
            walled: BTreeSet::new(),
        };
        for at in 0..count {
            cluster.nodes.push(None);
            cluster.events.push(Vec::new());
            cluster.records.push(Vec::new());
            cluster.start(at, Options::lan());
        }
        cluster
    }

    fn joined(count: usize) -> Self {
        let mut cluster = Self::new(count);
        for at in 1..count {
            cluster.command(at, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
        }
        cluster.run(Duration::from_secs(5));
        for at in 0..count {
            assert_eq!(cluster.alive(at), count, "node {at} sees all");
        }
        cluster
    }

    fn start(&mut self, at: usize, options: Options) {
        self.start_as(at, options, Start::new());
    }

    fn start_as(&mut self, at: usize, options: Options, start: Start) {
        self.start_named(at, &format!("node-{at}"), options, start);
    }

    fn start_named(&mut self, at: usize, name: &str, options: Options, start: Start) {
        let identity = Identity::new(name, addr(at), &Tags::default()).unwrap();
        let mut out = Outbox::new();
        let cfg = Arc::new(Config::new(options).unwrap());
        let seed = Seed::from_u64(7).child(at as u64);
        let node = Node::new(cfg, &identity, &seed, self.now, start, &mut out);
        self.nodes[at] = Some(node);
        self.route(at, &mut out);
    }

    fn command<T>(&mut self, at: usize, act: impl FnOnce(&mut Node, Instant, &mut Outbox) -> T) -> T {
        let mut out = Outbox::new();
        let result = act(self.nodes[at].as_mut().unwrap(), self.now, &mut out);
        self.route(at, &mut out);
        result
    }

    fn post(&mut self, to: usize, delivery: Delivery) {
        self.sent += 1;
        self.mail.insert((self.now + Duration::from_millis(1), self.sent), (to, delivery));
    }

    fn route(&mut self, from: usize, out: &mut Outbox) {
        while let Some(output) = out.pop() {
            match output {
                Output::Datagram { to, bytes } => self.post(index(to), Delivery::Datagram(addr(from), bytes)),
                // Packets to an address without a node are lost.
                Output::Connect { to, .. } if addr(index(to)) != to => {}
                Output::Connect { stream, to } => self.post(index(to), Delivery::Accept(from, stream)),
                Output::Write { stream, bytes } => self.post_end(from, stream, Chunk::Data(bytes)),
                Output::Close { stream } => {
                    self.post_end(from, stream, Chunk::Closed);
                    self.ends.remove(&(from, stream));
                }
                Output::Event(event) => self.events[from].push(event),
                Output::Persist(record) => self.records[from].push(record),
                Output::Keyring { change, keys } => {
                    let result = if self.full_disks.contains(&from) { Err("the disk is full") } else { Ok(()) };
                    self.keyrings.insert(from, keys);
                    let (node, mut more) = (self.nodes[from].as_mut().unwrap(), Outbox::new());
                    node.keyring_written(self.now, change, result, &mut more);
                    self.route(from, &mut more);
                }
            }
        }
    }

    fn post_end(&mut self, from: usize, stream: StreamId, chunk: Chunk) {
        if let Some(&(to, stream)) = self.ends.get(&(from, stream)) {
            self.post(to, Delivery::Stream(stream, chunk));
        }
    }

    fn deliver(&mut self, to: usize, delivery: Delivery) {
        let mut out = Outbox::new();
        let now = self.now;
        let Some(node) = self.nodes[to].as_mut() else {
            if let Delivery::Accept(from, stream) = delivery {
                self.post(from, Delivery::Stream(stream, Chunk::Failed));
            }
            return;
        };
        match delivery {
            Delivery::Datagram(..) if self.deaf.contains(&to) => {}
            Delivery::Datagram(from, _) if self.lost_ways.contains(&(index(from), to)) => {}
            Delivery::Datagram(from, bytes) => node.handle_datagram(now, from, &bytes, &mut out),
            Delivery::Stream(id, Chunk::Opened) => node.handle_stream(now, id, StreamInput::Opened, &mut out),
            Delivery::Stream(id, Chunk::Data(bytes)) => {
                node.handle_stream(now, id, StreamInput::Data(&bytes), &mut out)
            }
            Delivery::Stream(id, Chunk::Closed) => node.handle_stream(now, id, StreamInput::Closed, &mut out),
            Delivery::Stream(id, Chunk::Failed) => node.handle_stream(now, id, StreamInput::Failed, &mut out),
            Delivery::Accept(from, theirs) if self.walled.contains(&to) => {
                self.post(from, Delivery::Stream(theirs, Chunk::Failed));
            }
            Delivery::Accept(from, theirs) => {
                let ours = node.accept(now, addr(from), &mut out);
                self.ends.insert((to, ours), (from, theirs));
                self.ends.insert((from, theirs), (to, ours));
                self.post(from, Delivery::Stream(theirs, Chunk::Opened));
            }
        }
        self.route(to, &mut out);
    }

    /// Advances the time by `span`.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let mail = self.mail.first_key_value().map_or(Instant::MAX, |(key, _)| key.0);
            let wake = |node: &Option<Node>| node.as_ref().and_then(Node::poll_timeout).unwrap_or(Instant::MAX);
            let (waker, wake) = self.nodes.iter().map(wake).enumerate().min_by_key(|&(_, at)| at).unwrap();
            if mail.min(wake) > end {
                self.now = end;
                return;
            }
            self.now = mail.min(wake);
            if mail <= wake {
                let (_, (to, delivery)) = self.mail.pop_first().unwrap();
                self.deliver(to, delivery);
            } else {
                self.command(waker, |node, now, out| node.handle_timeout(now, out));
            }
        }
    }

    fn status(&self, at: usize, of: usize) -> Option<Status> {
        self.nodes[at].as_ref().unwrap().member(&format!("node-{of}")).map(|member| member.status())
    }

    fn alive(&self, at: usize) -> usize {
        self.nodes[at].as_ref().unwrap().members().filter(|member| member.status() == Status::Alive).count()
    }

    fn member_events(&self, at: usize, of: usize) -> Vec<MemberEventKind> {
        let name = format!("node-{of}");
        let kinds = self.events[at].iter().filter_map(|event| match event {
            Event::Member(event) if event.members.names().any(|it| it == name) => Some(event.kind),
            _ => None,
        });
        kinds.collect()
    }

    fn user_events(&self, at: usize) -> Vec<String> {
        let names = self.events[at].iter().filter_map(|event| match event {
            Event::User(event) => Some(event.name.to_string()),
            _ => None,
        });
        names.collect()
    }
}

#[test]
fn a_new_node_is_a_cluster_of_itself() {
    let cluster = Cluster::new(1);
    assert_eq!(cluster.alive(0), 1);
    assert_eq!(cluster.member_events(0, 0), [MemberEventKind::Join]);
    assert_eq!(cluster.nodes[0].as_ref().unwrap().state(), NodeState::Alive);
}

#[test]
fn nodes_that_join_through_one_seed_all_see_each_other_and_each_is_told_once() {
    let cluster = Cluster::joined(5);
    for at in 0..5 {
        for of in 0..5 {
            assert_eq!(cluster.member_events(at, of), [MemberEventKind::Join], "{at} of {of}");
        }
    }
}

#[test]
fn a_join_reports_which_seeds_answered_and_why_the_others_did_not() {
    let mut cluster = Cluster::new(3);
    cluster.nodes[2] = None;
    let id = cluster.command(1, |node, now, out| node.join(now, &[addr(0), addr(2)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(1));
    let reports: Vec<_> = cluster.events[1].iter().filter(|event| matches!(event, Event::Joined(_))).collect();
    let failed = crate::AddressFailure { addr: addr(2), cause: crate::SeedFailureCause::Unreachable, detail: None };
    let report = crate::JoinOutcome { id, contacted: 1, failed: [failed].into(), cancelled: false };
    assert_eq!(reports, [&Event::Joined(report)]);
}

#[test]
fn a_user_event_reaches_everybody_exactly_once() {
    let mut cluster = Cluster::joined(5);
    cluster.command(3, |node, now, out| node.user_event(now, "deploy", b"v1", Coalescing::Allow, out)).unwrap();
    assert_eq!(cluster.user_events(3), ["deploy"], "our own at once");
    cluster.run(Duration::from_secs(5));
    for at in 0..5 {
        assert_eq!(cluster.user_events(at), ["deploy"], "node {at}");
    }
}

#[test]
fn events_that_one_node_sends_at_once_arrive_in_that_order_at_every_member() {
    let (ours, theirs) = (Options::lan(), Options::lan().hashicorp_pace());
    for (nodes, options, count) in
        [(2, &theirs, 50), (2, &theirs, 400), (2, &ours, 50), (3, &ours, 50), (5, &ours, 200), (2, &ours, 1000)]
    {
        let mut cluster = Cluster::new(nodes);
        for at in 0..nodes {
            cluster.start(at, options.clone());
        }
        for at in 1..nodes {
            cluster.command(at, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
        }
        // Not while a probe is due, which would carry some of them.
        cluster.run(Duration::from_millis(5500));
        let names: Vec<String> = (0..count).map(|n| format!("event-{n}")).collect();
        for name in &names {
            cluster.command(0, |node, now, out| node.user_event(now, name, b"", Coalescing::Forbid, out)).unwrap();
        }
        cluster.run(Duration::from_secs(20));
        for at in 0..nodes {
            assert!(cluster.user_events(at) == names, "node {at} of {nodes}: {:?}", cluster.user_events(at));
        }
    }
}

#[test]
fn a_member_that_crashes_is_failed_everywhere_within_the_bound() {
    let mut cluster = Cluster::joined(5);
    cluster.nodes[4] = None;
    // Two rounds of probes, the probe itself, the longest suspicion, and gossip.
    cluster.run(Duration::from_secs(2 * 4 + 1 + 24 + 2));
    for at in 0..4 {
        assert_eq!(cluster.status(at, 4), Some(Status::Failed), "node {at}");
        assert_eq!(cluster.member_events(at, 4), [MemberEventKind::Join, MemberEventKind::Failed]);
    }
}

#[test]
fn a_member_that_leaves_is_left_everywhere_and_is_told_that_all_was_sent() {
    let mut cluster = Cluster::joined(5);
    cluster.command(4, |node, now, out| node.leave(now, out)).unwrap();
    cluster.run(Duration::from_secs(10));
    for at in 0..4 {
        assert_eq!(cluster.status(at, 4), Some(Status::Left), "node {at}");
        assert_eq!(cluster.member_events(at, 4), [MemberEventKind::Join, MemberEventKind::Leave]);
    }
    let leaver = cluster.nodes[4].as_ref().unwrap();
    assert_eq!(leaver.state(), NodeState::Left);
    let Some(Event::LeftCluster(report)) = cluster.events[4].last() else { panic!("{:?}", cluster.events[4].last()) };
    assert_eq!((report.intents_sent, report.leave_broadcasts_sent, report.complete), (4, 4, true));
    assert!((1..=4).contains(&report.intent_peers) && (1..=4).contains(&report.leave_broadcast_peers), "{report:?}");
}

/// Delivers the joins of `count` unknown members to a node, which gossips them.
fn storm(cluster: &mut Cluster, at: usize, count: u64) {
    cluster.command(at, |node, now, out| {
        node.set_now(now);
        for number in 0..count {
            let (mut buf, name) = ([0; 64], format!("stranger-{number}"));
            let mut writer = crate::wire::Writer::new(&mut buf);
            let join = crate::wire::serf::Join { ltime: 1000 + number, node: &name };
            Codec::Native.encode_serf(&crate::wire::serf::Message::Join(join), &mut writer).unwrap();
            let len = writer.len();
            node.serf.handle(&mut node.core, Origin::Local, &buf[..len]);
        }
        node.settle(None, out);
    });
}

#[test]
fn in_a_storm_of_broadcasts_a_leave_is_sent_first_and_in_time() {
    let mut cluster = Cluster::joined(20);
    storm(&mut cluster, 19, 3000);
    let begun = cluster.now;
    cluster.command(19, |node, now, out| node.leave(now, out)).unwrap();
    while cluster.nodes[19].as_ref().unwrap().state() != NodeState::Left {
        storm(&mut cluster, 19, 300);
        cluster.run(Duration::from_millis(100));
    }
    // Each step within a second, and another second in which probes are acked.
    assert!(cluster.now - begun <= Duration::from_secs(3), "{:?}", cluster.now - begun);
    let Some(Event::LeftCluster(report)) = cluster.events[19].last() else { panic!() };
    assert!(report.complete && report.intent_peers >= 5, "{report:?}");
    cluster.run(Duration::from_secs(30));
    for at in 0..19 {
        assert_eq!(cluster.status(at, 19), Some(Status::Left), "node {at}");
    }
}

#[test]
fn six_copies_to_six_members_are_enough_after_twice_the_time_of_all_copies() {
    let six: BTreeSet<SocketAddr> = (1..7).map(addr).collect();
    let three: BTreeSet<SocketAddr> = (1..4).map(addr).collect();
    for (count, peers, fewer) in [(20, &six, &three), (4, &three, &BTreeSet::new())] {
        let mut node = Cluster::joined(count).nodes[0].clone().unwrap();
        node.leave(node.core.now, &mut Outbox::new()).unwrap();
        // Eight copies, or four, three at a time, every 200 ms.
        let spread = if count == 20 { 1200 } else { 800 };
        node.core.now = node.core.now + Duration::from_millis(spread - 1);
        let is_enough = |node: &Node, copies, peers| node.leave.is_enough(&node.core, &node.swim, copies, peers);
        assert!(!is_enough(&node, 6, peers), "too early");
        node.core.now = node.core.now + Duration::from_millis(1);
        assert!(is_enough(&node, 6, peers), "{count}");
        assert!(!is_enough(&node, 5, peers) && !is_enough(&node, 6, fewer), "{count}");
    }
}

#[test]
fn a_leave_that_runs_out_of_time_is_not_complete_and_says_how_far_it_came() {
    let mut cluster = Cluster::joined(3);
    let hasty = Duration::from_millis(1);
    cluster.start(
        2,
        Options::lan().with(|options| {
            options.serf.broadcast_timeout = hasty;
            options.serf.leave_propagate_delay = hasty;
        }),
    );
    cluster.command(2, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    cluster.command(2, |node, now, out| node.leave(now, out)).unwrap();
    cluster.run(Duration::from_millis(5));
    let Some(Event::LeftCluster(report)) = cluster.events[2].last() else { panic!() };
    assert!(!report.complete && report.intents_sent < 4, "{report:?}");
}

#[test]
fn members_that_leave_together_do_not_wait_for_each_other_and_see_no_failure() {
    for (count, apart) in [(2, 0), (2, 300), (2, 900), (2, 1700), (3, 0), (3, 400), (5, 0), (5, 100), (12, 0), (12, 50)]
    {
        let mut cluster = Cluster::joined(count);
        for at in 0..count {
            cluster.command(at, |node, now, out| node.leave(now, out)).unwrap();
            cluster.run(Duration::from_millis(apart));
        }
        cluster.run(Duration::from_millis(4000 - apart));
        for at in 0..count {
            let left = |event: &Event| matches!(event, Event::LeftCluster(report) if report.complete);
            assert!(cluster.events[at].iter().any(left), "node {at} of {count}, {apart} ms apart, still waits");
            if apart > 800 || count > 3 {
                // The first nodes have left by then and receive no intent; or a leave broadcast overtakes its intent.
                continue;
            }
            let failures = (0..count).filter(|&of| cluster.member_events(at, of).contains(&MemberEventKind::Failed));
            assert_eq!(failures.count(), 0, "node {at} of {count}, {apart} ms apart");
        }
    }
}

#[test]
fn a_leave_whose_last_listener_fails_meanwhile_is_over_soon() {
    let mut cluster = Cluster::joined(2);
    let patient = Duration::from_secs(60);
    cluster.start(
        0,
        Options::lan().with(|options| {
            options.serf.broadcast_timeout = patient;
            options.swim.retransmit_mult = 30;
        }),
    );
    cluster.command(0, |node, now, out| node.join(now, &[addr(1)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    cluster.command(0, |node, now, out| node.leave(now, out)).unwrap();
    cluster.nodes[1] = None;
    cluster.run(Duration::from_secs(20));
    assert_eq!(cluster.nodes[0].as_ref().unwrap().state(), NodeState::Left);
}

#[test]
fn a_member_that_crashed_returns_under_its_name() {
    let mut cluster = Cluster::joined(5);
    cluster.nodes[4] = None;
    cluster.run(Duration::from_secs(40));
    assert_eq!(cluster.status(0, 4), Some(Status::Failed));
    cluster.start(4, Options::lan());
    cluster.command(4, |node, now, out| node.join(now, &[addr(1)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    for at in 0..5 {
        assert_eq!(cluster.alive(at), 5, "node {at}");
    }
    let kinds = [MemberEventKind::Join, MemberEventKind::Failed, MemberEventKind::Join];
    assert_eq!(cluster.member_events(0, 4), kinds);
}

#[test]
fn a_member_that_datagrams_do_not_reach_is_saved_by_its_stream() {
    let mut cluster = Cluster::joined(4);
    cluster.deaf.insert(3);
    cluster.run(Duration::from_secs(60));
    for at in 0..3 {
        assert_eq!(cluster.status(at, 3), Some(Status::Alive), "node {at}");
        assert!(cluster.nodes[at].as_ref().unwrap().stats().probes_saved_by_stream > 0);
    }
}

#[test]
fn new_tags_reach_everybody() {
    let mut cluster = Cluster::joined(4);
    let tags: Tags = [("role", "db")].into_iter().collect();
    cluster.command(2, |node, now, out| node.set_tags(now, &tags, out)).unwrap();
    cluster.run(Duration::from_secs(3));
    for at in 0..4 {
        let member = cluster.nodes[at].as_ref().unwrap().member("node-2").unwrap();
        assert_eq!(member.to_tags(), tags);
        assert_eq!(cluster.member_events(at, 2), [MemberEventKind::Join, MemberEventKind::Update]);
    }
}

#[test]
fn old_events_are_delivered_to_a_newcomer_in_lamport_order_unless_it_wants_none() {
    let mut cluster = Cluster::new(3);
    for name in ["a", "b", "c"] {
        cluster.command(0, |node, now, out| node.user_event(now, name, b"", Coalescing::Forbid, out)).unwrap();
    }
    cluster.command(1, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.command(2, |node, now, out| node.join(now, &[addr(0)], OldEvents::Ignore, out)).unwrap();
    cluster.run(Duration::from_millis(50));
    assert_eq!(cluster.user_events(1), ["a", "b", "c"]);
    cluster.run(Duration::from_secs(5));
    assert_eq!(cluster.user_events(2), [""; 0]);
    cluster.command(0, |node, now, out| node.user_event(now, "d", b"", Coalescing::Forbid, out)).unwrap();
    cluster.run(Duration::from_secs(3));
    assert_eq!(cluster.user_events(2), ["d"]);
}

#[test]
fn forcing_a_failed_member_out_makes_it_left_everywhere_and_pruning_forgets_it() {
    let mut cluster = Cluster::joined(4);
    cluster.nodes[3] = None;
    cluster.run(Duration::from_secs(40));
    cluster.command(0, |node, now, out| node.force_leave(now, "node-3", Tombstone::Keep, out)).unwrap();
    cluster.run(Duration::from_secs(3));
    for at in 0..3 {
        assert_eq!(cluster.status(at, 3), Some(Status::Left), "node {at}");
    }
    cluster.command(1, |node, now, out| node.force_leave(now, "node-3", Tombstone::Erase, out)).unwrap();
    cluster.run(Duration::from_secs(3));
    for at in 0..3 {
        assert_eq!(cluster.status(at, 3), None, "node {at}");
        assert_eq!(cluster.member_events(at, 3).last(), Some(&MemberEventKind::Reap));
    }
}

#[test]
fn forcing_a_live_member_out_does_not_even_with_prune_and_even_between_two() {
    for count in [2, 4] {
        let mut cluster = Cluster::joined(count);
        cluster.command(0, |node, now, out| node.force_leave(now, "node-1", Tombstone::Erase, out)).unwrap();
        cluster.run(Duration::from_secs(20));
        for at in 0..count {
            assert_eq!(cluster.alive(at), count, "node {at} of {count}");
        }
    }
}

#[test]
fn commands_that_cannot_be_carried_out_change_nothing() {
    let mut cluster = Cluster::joined(2);
    let before = cluster.nodes[0].as_ref().unwrap().clocks();
    let error = cluster.command(0, |node, now, out| node.user_event(now, "x", &[0; 600], Coalescing::Forbid, out));
    assert_eq!(error, Err(UserEventError::TooLarge { bytes: 631, limit: 512, payload_max: Some(481) }));
    assert_eq!(cluster.nodes[0].as_ref().unwrap().clocks(), before);
    assert_eq!(
        cluster.command(0, |node, now, out| node.join(now, &[], OldEvents::Deliver, out)),
        Err(JoinError::NoSeeds)
    );
    let tags: Tags = [("k", "v".repeat(600))].into_iter().collect();
    let error = cluster.command(0, |node, now, out| node.set_tags(now, &tags, out));
    assert!(matches!(error, Err(SetTagsError::TooLarge { limit: 512, .. })));
    let error = cluster.command(0, |node, now, out| node.force_leave(now, "node-0", Tombstone::Keep, out));
    assert_eq!(error, Err(ForceLeaveError::Ourselves));
    for bytes in [0, 256] {
        let error =
            cluster.command(0, |node, now, out| node.force_leave(now, &"x".repeat(bytes), Tombstone::Keep, out));
        assert_eq!(error, Err(ForceLeaveError::Nobody { bytes, limit: 255 }));
    }
    assert_eq!(cluster.nodes[0].as_ref().unwrap().clocks(), before);
    cluster.command(0, |node, now, out| node.leave(now, out)).unwrap();
    assert_eq!(cluster.command(0, |node, now, out| node.leave(now, out)), Err(LeaveError::InProgress));
    let error = cluster.command(0, |node, now, out| node.join(now, &[addr(1)], OldEvents::Deliver, out));
    assert_eq!(error, Err::<JoinId, _>(JoinError::Leaving));
}

#[test]
fn an_idle_node_wakes_for_its_probes_and_little_else() {
    let mut cluster = Cluster::joined(8);
    cluster.run(Duration::from_secs(60));
    let count = |cluster: &Cluster| cluster.nodes[0].as_ref().unwrap().stats().datagrams_out;
    let before = count(&cluster);
    cluster.run(Duration::from_secs(60));
    let sent = count(&cluster) - before;
    assert!((100..=140).contains(&sent), "a ping and an ack a second, not {sent} a minute");
}

fn key(byte: u8) -> Key {
    Key::new(&[byte; 16]).unwrap()
}

/// Two nodes with these settings; the second has tried to join the first.
fn pair(first: Options, second: Options) -> Cluster {
    let mut cluster = Cluster::new(2);
    cluster.start(0, first);
    cluster.start(1, second);
    cluster.command(1, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    cluster
}

/// Runs a key operation on the whole cluster: the number of successes, and the texts of the failures.
fn change_all(cluster: &mut Cluster, at: usize, operation: KeyOperation, key: &[u8]) -> (usize, Vec<String>) {
    cluster.events[at].clear();
    cluster.command(at, |node, now, out| node.change_all_keys(now, operation, key, 0, out)).unwrap();
    cluster.run(Duration::from_secs(10));
    let report = cluster.events[at].iter().find_map(|event| match event {
        Event::Keys(report) => Some(report),
        _ => None,
    });
    let report = report.unwrap();
    let failures: Vec<String> = report.failures().map(|answer| answer.message.to_string()).collect();
    (report.answers.len() - failures.len(), failures)
}

#[test]
fn the_keys_of_a_cluster_of_both_codecs_are_exchanged_by_one_node_and_kept_by_each() {
    let mut cluster = Cluster::new(3);
    for (at, codec) in [(0, CodecChoice::Auto), (1, CodecChoice::HashiCorp), (2, CodecChoice::Auto)] {
        cluster.start(
            at,
            with_keys(&[1]).with(|options| {
                options.transport.codec = codec;
                options.transport.keyring_kept = true;
            }),
        );
    }
    for at in 1..3 {
        cluster.command(at, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    }
    cluster.run(Duration::from_secs(5));
    assert_eq!(change_all(&mut cluster, 2, KeyOperation::Install, &[2; 16]), (3, vec![]));
    assert_eq!(change_all(&mut cluster, 1, KeyOperation::Use, &[2; 16]), (3, vec![]));
    assert_eq!(change_all(&mut cluster, 0, KeyOperation::Remove, &[1; 16]), (3, vec![]));
    let primary = "Removing the primary key is not allowed".to_string();
    assert_eq!(change_all(&mut cluster, 1, KeyOperation::Remove, &[2; 16]), (0, vec![primary; 3]));
    let unknown = "Requested key is not in the keyring".to_string();
    assert_eq!(change_all(&mut cluster, 2, KeyOperation::Use, &[1; 16]), (0, vec![unknown; 3]));
    for at in 0..3 {
        assert_eq!(cluster.keyrings[&at], [key(2)], "what the file holds");
        assert_eq!(cluster.alive(at), 3);
    }
}

#[test]
fn a_change_of_keys_that_cannot_be_written_is_in_force_and_reported_as_failed() {
    let mut cluster = Cluster::new(3);
    // The third node does not persist its keyring, so it answers at once.
    for (at, keyring_kept) in [(0, true), (1, true), (2, false)] {
        cluster.start(at, with_keys(&[1]).with(|options| options.transport.keyring_kept = keyring_kept));
    }
    for at in 1..3 {
        cluster.command(at, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    }
    cluster.run(Duration::from_secs(5));
    cluster.full_disks.insert(1);
    assert_eq!(change_all(&mut cluster, 0, KeyOperation::Install, &[2; 16]), (2, vec!["the disk is full".into()]));
    assert_eq!(cluster.nodes[1].as_ref().unwrap().keys().len(), 2);
    assert!(!cluster.keyrings.contains_key(&2));
    cluster.full_disks.clear();
    assert_eq!(change_all(&mut cluster, 0, KeyOperation::Install, &[2; 16]), (3, vec![]), "it is asked for again");
}

#[test]
fn a_member_is_answered_only_when_the_change_of_keys_was_written_and_once() {
    let mut cluster = Cluster::new(1);
    cluster.start(0, with_keys(&[1]).with(|options| options.transport.keyring_kept = true));
    let (now, mut out) = (cluster.now, Outbox::new());
    let node = cluster.nodes[0].as_mut().unwrap();
    node.change_all_keys(now, KeyOperation::Install, &[2; 16], 0, &mut out).unwrap();
    let changes = |out: &mut Outbox| -> Vec<Output> { out.drain().collect() };
    let outputs = changes(&mut out);
    let [Output::Keyring { change, .. }] = outputs[..] else { panic!("{outputs:?}") };
    let text = "é".repeat(400);
    node.keyring_written(now, change, Err(&text), &mut out);
    let outputs = changes(&mut out);
    let [Output::Event(Event::Keys(report))] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(*report.answers[0].message, text[..512]);
    node.keyring_written(now, change, Ok(()), &mut out);
    assert!(out.is_empty());
}

fn with_keys(bytes: &[u8]) -> Options {
    Options::lan().with(|options| options.transport.encrypt_keys = bytes.iter().copied().map(key).collect())
}

fn dropped(cluster: &Cluster, at: usize, reason: DropReason) -> u64 {
    cluster.nodes[at].as_ref().unwrap().stats().dropped(reason)
}

#[test]
fn nodes_join_and_gossip_through_every_combination_of_layers() {
    for layers in 0..8_u8 {
        let options = Options::lan().with(|options| {
            options.transport.label = if layers & 1 > 0 { "dc1".into() } else { String::new() };
            options.transport.encrypt_keys = if layers & 2 > 0 { [key(1)].into() } else { [].into() };
            options.transport.compression = layers & 4 > 0;
        });
        let mut cluster = pair(options.clone(), options);
        cluster.command(1, |node, now, out| node.user_event(now, "deploy", b"v1", Coalescing::Forbid, out)).unwrap();
        cluster.run(Duration::from_secs(20));
        assert_eq!((cluster.alive(0), cluster.alive(1)), (2, 2), "layers {layers}");
        assert_eq!(cluster.user_events(0), ["deploy"], "layers {layers}");
        for at in 0..2 {
            assert_eq!(cluster.nodes[at].as_ref().unwrap().stats().dropped, [0; DropReason::ALL.len()]);
        }
    }
}

#[test]
fn nodes_with_different_keys_never_meet() {
    let cluster = pair(with_keys(&[1]), with_keys(&[2]));
    assert_eq!((cluster.alive(0), cluster.alive(1)), (1, 1));
    assert_eq!(dropped(&cluster, 0, DropReason::Key), 1, "the request on the stream");
}

#[test]
fn nodes_whose_rings_hold_each_others_primary_key_meet() {
    let cluster = pair(with_keys(&[1, 2]), with_keys(&[2, 1]));
    assert_eq!((cluster.alive(0), cluster.alive(1)), (2, 2));
}

#[test]
fn a_plain_node_is_let_in_only_while_encryption_is_not_demanded() {
    let cluster = pair(with_keys(&[1]), Options::lan());
    assert_eq!((cluster.alive(0), cluster.alive(1)), (1, 1));
    assert_eq!(dropped(&cluster, 0, DropReason::Unencrypted), 1);
    let lenient = with_keys(&[1]).with(|options| {
        options.transport.encrypt_verify_incoming = false;
        options.transport.encrypt_verify_outgoing = false;
    });
    let cluster = pair(lenient.clone(), Options::lan());
    assert_eq!((cluster.alive(0), cluster.alive(1)), (2, 2));
    // The next step of the rollout of encryption: some nodes encrypt already.
    let cluster = pair(lenient.clone(), lenient.with(|options| options.transport.encrypt_verify_outgoing = true));
    assert_eq!((cluster.alive(0), cluster.alive(1)), (2, 2));
}

#[test]
fn a_node_of_another_label_is_dropped_and_counted_on_streams_and_datagrams() {
    let label = |label: &str| Options::lan().with(|options| options.transport.label = label.into());
    let mut cluster = pair(label("dc1"), label("dc2"));
    assert_eq!((cluster.alive(0), cluster.alive(1)), (1, 1));
    assert_eq!(dropped(&cluster, 0, DropReason::Label), 1);
    cluster.command(0, |node, now, out| node.handle_datagram(now, addr(1), b"\xf4\x03dc2\x44", out));
    assert_eq!(dropped(&cluster, 0, DropReason::Label), 2);
}

#[test]
fn keys_are_exchanged_while_the_cluster_runs_and_nobody_is_lost() {
    let mut cluster = pair(with_keys(&[1]), with_keys(&[1]));
    type Step = fn(&mut Node) -> Result<(), KeyringError>;
    let steps: [Step; 3] =
        [|node| node.install_key(&key(2)), |node| node.use_key(&key(2)), |node| node.remove_key(&key(1))];
    for step in steps {
        for at in 0..2 {
            cluster.command(at, |node, _, _| step(node)).unwrap();
            cluster.run(Duration::from_secs(10));
        }
    }
    for at in 0..2 {
        assert_eq!(cluster.alive(at), 2);
        assert_eq!(dropped(&cluster, at, DropReason::Key), 0);
        let node = cluster.nodes[at].as_ref().unwrap();
        assert_eq!(node.keys().collect::<Vec<_>>(), [&key(2)]);
        assert_eq!(node.stats().probes_failed, 0);
    }
}

#[test]
fn changes_of_our_own_keys_are_inputs_like_all_others() {
    let mut cluster = pair(with_keys(&[1]), with_keys(&[1]));
    let mut change = |operation, byte: u8| {
        cluster.command(0, |node, now, out| {
            node.apply(now, &Input::ChangeKey { operation, key: vec![byte; 16] }, out);
            node.keys().map(|key| key.as_bytes()[0]).collect::<Vec<_>>()
        })
    };
    assert_eq!(change(KeyOperation::Install, 2), [1, 2]);
    assert_eq!(change(KeyOperation::Use, 2), [2, 1]);
    assert_eq!(change(KeyOperation::List, 1), [2, 1]);
    assert_eq!(change(KeyOperation::Remove, 2), [2, 1], "the primary stays");
    assert_eq!(change(KeyOperation::Remove, 1), [2]);
}

#[test]
fn encryption_cannot_be_turned_on_in_a_node_that_was_started_without_keys() {
    let mut cluster = Cluster::new(1);
    let result = cluster.command(0, |node, _, _| node.install_key(&key(1)));
    assert_eq!(result, Err(KeyringError::Disabled));
}

#[test]
fn early_gossip_sends_the_first_broadcast_at_once_and_ticks_no_more_often() {
    let mut cluster = Cluster::new(2);
    for at in 0..2 {
        cluster.start(at, Options::lan().with(|options| options.swim.gossip_early = true));
    }
    cluster.command(1, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(60));
    let send = |cluster: &mut Cluster, name| {
        cluster.command(0, |node, now, out| node.user_event(now, name, b"", Coalescing::Forbid, out)).unwrap();
    };
    send(&mut cluster, "early");
    cluster.run(Duration::from_millis(10));
    assert_eq!(cluster.user_events(1), ["early"], "five milliseconds to gather, one to travel");
    send(&mut cluster, "next");
    cluster.run(Duration::from_millis(195));
    assert_eq!(cluster.user_events(1), ["early"]);
    cluster.run(Duration::from_millis(1));
    assert_eq!(cluster.user_events(1), ["early", "next"], "the next tick is an interval after that one");
}
