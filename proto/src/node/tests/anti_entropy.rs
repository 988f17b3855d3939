//! Anti-entropy by digests: what gossip missed is found by the next probes, and whole states are exchanged only while
//! views differ.

use super::*;
use crate::config::CodecChoice;
use crate::limits::{BUCKETS_BITS_MAX, EVENT_HASHES_MAX, EVENT_WINDOW_TIMES_MAX, LAMPORT_TIME_MAX};
use crate::wire::Writer;
use crate::wire::native::{self, AntiEntropy, Digest, EventWindow};
use crate::wire::swim::{Accusation, Ping, State};
use crate::{AfterLeave, Snapshot};

impl Cluster {
    pub(super) fn node(&self, at: usize) -> &Node {
        self.nodes[at].as_ref().unwrap()
    }

    fn digests(&self) -> Vec<u64> {
        self.nodes.iter().flatten().map(Node::digest).collect()
    }

    /// Starts all nodes with `options` and joins them through the first.
    pub(super) fn joined_with(count: usize, options: impl Fn(usize) -> Options) -> Self {
        let mut cluster = Self::new(count);
        for at in 0..count {
            cluster.start(at, options(at));
        }
        for at in 1..count {
            cluster.command(at, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
        }
        cluster.run(secs(10));
        cluster
    }

    /// Loses all datagrams to and from a node.
    fn cut_off(&mut self, at: usize) {
        let others = (0..self.nodes.len()).filter(|&other| other != at);
        self.lost_ways.extend(others.flat_map(|other| [(at, other), (other, at)]));
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Probes fail at once, so that members that do not hear each other for a few seconds stay alive.
fn patient() -> Options {
    Options::lan().with(|options| options.swim.suspicion_mult = 100)
}

fn without_digests(options: Options) -> Options {
    options.with(|options| options.transport.digests = false)
}

#[test]
fn equal_views_have_equal_digests_and_a_new_tag_changes_them_until_all_know_it() {
    let mut cluster = Cluster::joined(5);
    cluster.run(secs(10));
    let before = cluster.digests();
    assert!(before.iter().all(|digest| *digest == before[0]), "{before:x?}");
    let tags: Tags = [("role", "web")].into_iter().collect();
    cluster.command(3, |node, now, out| node.set_tags(now, &tags, out)).unwrap();
    assert_ne!(cluster.digests()[3], before[0]);
    cluster.run(secs(5));
    let after = cluster.digests();
    assert!(after.iter().all(|digest| *digest == after[0]) && after[0] != before[0], "{after:x?}");
}

#[test]
fn members_that_agree_exchange_no_states() {
    let mut cluster = Cluster::joined(4);
    let exchanges = |cluster: &Cluster| (0..4).map(|at| cluster.node(at).stats().push_pulls_out).collect::<Vec<_>>();
    let before = exchanges(&cluster);
    cluster.run(secs(600));
    assert_eq!(exchanges(&cluster), before);
    assert!(cluster.node(0).stats().digests_compared > 500);
    assert_eq!(cluster.node(0).stats().reconciliations, 0);
}

#[test]
fn members_without_digests_exchange_states_periodically_and_get_no_new_message() {
    for older in [CodecChoice::HashiCorp, CodecChoice::Auto] {
        let mut cluster = Cluster::joined_with(2, |at| {
            let options = Options::lan().with(|options| options.transport.codec = older);
            if at == 0 { without_digests(options) } else { Options::lan() }
        });
        let before = cluster.node(1).stats().push_pulls_out;
        cluster.run(secs(300));
        assert_eq!(cluster.alive(0), 2, "{older:?}");
        assert!(cluster.node(1).stats().push_pulls_out >= before + 8, "{older:?}");
        for at in 0..2 {
            assert_eq!(cluster.node(at).stats().digests_compared, 0, "{older:?}");
            assert_eq!(dropped(&cluster, at, DropReason::Malformed), 0, "{older:?}");
        }
    }
}

#[test]
fn a_tag_that_gossip_missed_is_found_by_the_next_probes_without_a_stream() {
    let mut cluster = Cluster::joined_with(4, |_| patient());
    let streams = cluster.node(2).stats().stream_bytes_in;
    cluster.cut_off(2);
    let tags: Tags = [("role", "web")].into_iter().collect();
    cluster.command(0, |node, now, out| node.set_tags(now, &tags, out)).unwrap();
    // Gossip is over before the node hears anything again.
    cluster.run(secs(4));
    cluster.lost_ways.clear();
    cluster.run(secs(4));
    assert_eq!(cluster.node(2).member("node-0").unwrap().tag("role"), Some("web"));
    let probes_over_streams = 2000;
    assert!(cluster.node(2).stats().stream_bytes_in - streams < probes_over_streams, "no state was exchanged");
}

#[test]
fn a_join_intent_that_gossip_missed_is_found_by_its_row_without_a_push_pull() {
    let mut cluster = Cluster::joined_with(4, |_| patient());
    cluster.cut_off(2);
    // Changes nothing but the Lamport time of the member's status.
    cluster.command(3, |node, now, out| node.join(now, &[addr(0)], OldEvents::Ignore, out)).unwrap();
    cluster.run(secs(4));
    assert_ne!(cluster.digests()[2], cluster.digests()[0]);
    let exchanges = |cluster: &Cluster| (cluster.node(2).stats().push_pulls_in, cluster.node(2).stats().push_pulls_out);
    let before = exchanges(&cluster);
    cluster.lost_ways.clear();
    cluster.run(secs(4));
    assert_eq!(cluster.digests()[2], cluster.digests()[0]);
    assert_eq!(exchanges(&cluster), before);
}

#[test]
fn an_event_that_gossip_missed_is_delivered_once_within_four_seconds() {
    let mut cluster = Cluster::joined_with(4, |_| patient());
    cluster.cut_off(2);
    cluster.command(0, |node, now, out| node.user_event(now, "deploy", b"7", Coalescing::Forbid, out)).unwrap();
    cluster.run(secs(3));
    assert_eq!(cluster.user_events(2), [""; 0]);
    cluster.lost_ways.clear();
    cluster.run(secs(4));
    for at in 0..4 {
        assert_eq!(cluster.user_events(at), ["deploy"], "node {at}");
    }
}

#[test]
fn the_pings_of_a_node_that_missed_an_event_bring_it() {
    // No other node probes, so no window of events ever reaches the node by itself.
    let never = |options: &mut Options| options.swim.probe_interval = Duration::MAX;
    let mut cluster = Cluster::joined_with(4, |at| if at == 2 { patient() } else { patient().with(never) });
    cluster.cut_off(2);
    cluster.command(0, |node, now, out| node.user_event(now, "deploy", b"7", Coalescing::Forbid, out)).unwrap();
    cluster.run(secs(3));
    assert_eq!(cluster.user_events(2), [""; 0]);
    cluster.lost_ways.clear();
    cluster.run(secs(5));
    assert_eq!(cluster.user_events(2), ["deploy"]);
    let offers = |cluster: &Cluster| (0..4).map(|at| cluster.node(at).stats().event_reconciliations).sum::<u64>();
    let before = offers(&cluster);
    cluster.run(secs(60));
    assert_eq!(offers(&cluster), before, "members that have the event are not offered it");
}

#[test]
fn a_late_joiner_that_missed_every_event_since_gets_them_by_the_next_probes() {
    let mut cluster = Cluster::new(4);
    (0..4).for_each(|at| cluster.start(at, patient()));
    for (at, old) in [(1, OldEvents::Deliver), (2, OldEvents::Deliver), (3, OldEvents::Ignore)] {
        if at == 3 {
            let sent = cluster.command(0, |node, now, out| node.user_event(now, "old", b"", Coalescing::Forbid, out));
            sent.unwrap();
        }
        cluster.command(at, |node, now, out| node.join(now, &[addr(0)], old, out)).unwrap();
        cluster.run(secs(5));
    }
    // It remembers no event, and not from the first on, as after a return from a snapshot.
    cluster.cut_off(3);
    cluster.command(0, |node, now, out| node.user_event(now, "new", b"", Coalescing::Forbid, out)).unwrap();
    cluster.run(secs(3));
    assert_eq!(cluster.user_events(3), [""; 0]);
    cluster.lost_ways.clear();
    cluster.run(secs(4));
    assert_eq!(cluster.user_events(3), ["new"]);
}

#[test]
fn the_clocks_of_others_follow_a_node_that_returns_with_the_time_of_an_event_that_only_it_had() {
    let mut cluster = Cluster::joined_with(3, |_| patient());
    cluster.nodes[2] = None;
    let mut snapshot = Snapshot::new(AfterLeave::Forget);
    snapshot.apply(&Record::EventClock(7));
    cluster.start_as(2, patient(), Start::new().with_snapshot(snapshot));
    // Only one of the others exchanges states with it.
    cluster.command(2, |node, now, out| node.join(now, &[addr(1)], OldEvents::Deliver, out)).unwrap();
    cluster.run(secs(5));
    cluster.cut_off(2);
    cluster.command(0, |node, now, out| node.user_event(now, "new", b"", Coalescing::Forbid, out)).unwrap();
    cluster.run(secs(3));
    cluster.lost_ways.clear();
    cluster.run(secs(4));
    assert_eq!(cluster.user_events(2), ["new"]);
    for node in cluster.nodes.iter().flatten() {
        assert_eq!(node.stats().dropped(DropReason::Malformed), 0, "a window of no times is not answered");
    }
}

#[test]
fn a_leave_that_gossip_missed_is_learnt_as_a_leave() {
    let mut cluster = Cluster::joined_with(4, |_| patient());
    cluster.cut_off(2);
    cluster.command(3, |node, now, out| node.leave(now, out)).unwrap();
    cluster.run(secs(4));
    cluster.nodes[3] = None;
    cluster.lost_ways.clear();
    cluster.run(secs(4));
    assert_eq!(cluster.status(2, 3), Some(Status::Left));
}

#[test]
fn a_leave_that_one_member_took_for_a_failure_is_learnt_by_a_push_pull() {
    let mut cluster = Cluster::joined_with(4, |_| patient());
    cluster.cut_off(2);
    cluster.command(3, |node, now, out| node.leave(now, out)).unwrap();
    cluster.run(secs(4));
    cluster.nodes[3] = None;
    let dead = Message::Dead(Accusation { incarnation: 9, node: "node-3", from: "node-1" });
    let frame = encoded(|w| native::encode(&dead, w));
    cluster.command(2, |node, now, out| {
        node.set_now(now);
        node.handle_frame(&mut Heard::new(addr(1), frame.len()), &frame);
        node.settle(None, out);
    });
    assert_eq!(cluster.status(2, 3), Some(Status::Failed));
    cluster.lost_ways.clear();
    // The live members are the same to all, and so are the digests.
    cluster.run(secs(120));
    assert_eq!(cluster.status(2, 3), Some(Status::Left));
}

#[test]
fn views_that_differ_much_are_exchanged_on_a_stream() {
    let mut cluster = Cluster::joined_with(12, |_| patient());
    cluster.cut_off(0);
    let tags: Tags = [("role", "web")].into_iter().collect();
    for at in 1..12 {
        cluster.command(at, |node, now, out| node.set_tags(now, &tags, out)).unwrap();
    }
    cluster.run(secs(6));
    cluster.lost_ways.clear();
    let before = cluster.node(0).stats().push_pulls_out;
    cluster.run(secs(6));
    let digests = cluster.digests();
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:x?}");
    assert!(cluster.node(0).stats().push_pulls_out > before || cluster.node(0).stats().push_pulls_in > 0);
}

#[test]
fn a_member_that_never_agrees_costs_less_and_less() {
    // The others send no digests of their own, which would agree.
    let mut cluster =
        Cluster::joined_with(3, |at| if at == 0 { Options::lan() } else { without_digests(Options::lan()) });
    for second in 0..600 {
        let digest = Digest { quiet: true, salt: 0, view: second, events: None, queries: None };
        let peer = cluster.node(0).core.roster.find("node-2").unwrap();
        cluster.command(0, |node, now, out| {
            node.set_now(now);
            node.compare(peer, &digest);
            node.settle(None, out);
        });
        cluster.run(secs(1));
    }
    let stats = cluster.node(0).stats();
    assert_eq!(stats.digests_differed, 600);
    // 2, 4, 8, ... 128, 128, ... probe intervals between the tries.
    assert!((8..=12).contains(&stats.reconciliations), "{}", stats.reconciliations);
    assert_eq!(cluster.alive(0), 3);
}

#[test]
fn a_digest_for_a_node_that_never_probes_is_compared() {
    let never = |options: &mut Options| options.swim.probe_interval = Duration::MAX;
    let mut cluster = Cluster::joined_with(2, |_| Options::lan().with(never));
    let digest = Digest { quiet: true, salt: 0, view: 1, events: None, queries: None };
    let peer = cluster.node(0).core.roster.find("node-1").unwrap();
    cluster.command(0, |node, now, out| {
        node.set_now(now);
        node.compare(peer, &digest);
        node.settle(None, out);
    });
    assert_eq!((cluster.node(0).stats().digests_differed, cluster.node(0).stats().reconciliations), (1, 1));
}

#[test]
fn rows_of_a_bucket_that_fits_into_no_packet_are_exchanged_on_a_stream() {
    // One bucket for 400 members: their hashes take 1600 bytes.
    let names = (0..400).map(|at| Identity::new(&format!("node-{at}"), addr(at % 200), &Tags::default()).unwrap());
    let start = Start::new().with_directory(Directory::new(names)).converged();
    let mut cluster = Cluster::new(1);
    cluster.start_as(0, Options::lan(), start);
    let buckets = encoded(|w| native::encode_buckets(9, &[1], w));
    let mut out = Outbox::new();
    let (now, node) = (cluster.now, cluster.nodes[0].as_mut().unwrap());
    node.set_now(now);
    node.handle_frame(&mut Heard::new(addr(1), buckets.len()), &buckets);
    node.settle(None, &mut out);
    let rows = core::iter::from_fn(|| out.pop()).filter_map(|output| match output {
        Output::Datagram { bytes, .. } => Some(bytes),
        _ => None,
    });
    let [answer] = &rows.collect::<Vec<_>>()[..] else { panic!("one answer") };
    let frame = envelope::open(answer).unwrap();
    let Some(Ok(AntiEntropy::Rows(rows))) = native::decode_anti_entropy(frame) else { panic!("{frame:x?}") };
    assert!(rows.much && rows.buckets().next().is_none());
}

#[test]
fn a_flood_of_reconciliations_is_answered_up_to_the_bound() {
    let mut cluster = Cluster::joined(3);
    let mut buf = [0; 300];
    let mut writer = Writer::new(&mut buf);
    native::encode_buckets(9, &[1; 1], &mut writer).unwrap();
    let len = writer.len();
    for _ in 0..1000 {
        cluster.command(0, |node, now, out| {
            node.set_now(now);
            node.handle_frame(&mut Heard::new(addr(2), len), &buf[..len]);
            node.settle(None, out);
        });
    }
    assert_eq!(cluster.node(0).stats().reconciliations_answered, ANSWERS_BURST);
    assert_eq!(dropped(&cluster, 0, DropReason::Limit), 1000 - ANSWERS_BURST);
}

#[test]
fn a_flood_of_salted_digests_is_compared_up_to_the_bound() {
    let mut cluster = Cluster::joined(3);
    let before = cluster.node(0).stats().digests_compared;
    let peer = cluster.node(0).core.roster.find("node-2").unwrap();
    cluster.command(0, |node, now, out| {
        node.set_now(now);
        (1..=1000)
            .for_each(|salt| node.compare(peer, &Digest { quiet: false, salt, view: 1, events: None, queries: None }));
        node.settle(None, out);
    });
    assert_eq!(cluster.node(0).stats().digests_compared - before, ANSWERS_BURST);
    assert_eq!(dropped(&cluster, 0, DropReason::Limit), 1000 - ANSWERS_BURST);
}

/// The burst of answers in `anti_entropy.rs`.
const ANSWERS_BURST: u64 = 32;

#[test]
fn a_stranger_gets_no_answer() {
    let mut cluster = Cluster::joined(2);
    let mut buf = [0; 300];
    let mut writer = Writer::new(&mut buf);
    native::encode_buckets(9, &[1; 1], &mut writer).unwrap();
    let len = writer.len();
    let before = cluster.node(0).stats().datagrams_out;
    cluster.command(0, |node, now, out| {
        node.set_now(now);
        node.handle_frame(&mut Heard::new(addr(77), len), &buf[..len]);
        node.settle(None, out);
    });
    assert_eq!(cluster.node(0).stats().datagrams_out, before);
    assert_eq!(dropped(&cluster, 0, DropReason::Unexpected), 1);
}

fn encoded(write: impl FnOnce(&mut Writer<'_>) -> Result<(), crate::wire::Full>) -> Vec<u8> {
    let mut buf = [0; 4000];
    let mut writer = Writer::new(&mut buf);
    write(&mut writer).unwrap();
    let len = writer.len();
    buf[..len].to_vec()
}

#[test]
fn every_message_is_read_as_it_was_written() {
    let ping = Ping { seq: 7, node: "a", source: None };
    let events = Some(EventWindow { last: 1 << 40, times: EVENT_WINDOW_TIMES_MAX, digest: 7 });
    for digest in [
        Digest { quiet: false, salt: 0, view: u64::MAX, events: None, queries: None },
        Digest { quiet: true, salt: 5, view: 0, events, queries: Some(300) },
    ] {
        let frame = encoded(|w| native::encode_probe(&digest, &ping, w));
        assert_eq!(native::decode_anti_entropy(&frame), Some(Ok(AntiEntropy::Probe(digest, ping))));
    }
    let digest = Digest { quiet: true, salt: 0, view: 1, events: None, queries: None };
    let with = encoded(|w| native::encode_probe(&digest, &ping, w)).len();
    let without = encoded(|w| native::encode(&Message::Ping(ping), w)).len();
    assert!(with - without <= 9, "{with}, {without}");
    let sums: Vec<u32> = (0..1 << BUCKETS_BITS_MAX).collect();
    let frame = encoded(|w| native::encode_buckets(3, &sums, w));
    let Some(Ok(AntiEntropy::Buckets(buckets))) = native::decode_anti_entropy(&frame) else { panic!() };
    assert_eq!((buckets.salt, buckets.sums.iter().collect::<Vec<_>>()), (3, sums));
    let frame = encoded(|w| native::encode_rows(4, false, &[(7, &[1, 2]), (255, &[])], w).map(drop));
    let Some(Ok(AntiEntropy::Rows(rows))) = native::decode_anti_entropy(&frame) else { panic!() };
    let buckets: Vec<_> = rows.buckets().map(|(bucket, rows)| (bucket, rows.iter().collect::<Vec<_>>())).collect();
    assert_eq!((rows.salt, rows.much, buckets), (4, false, vec![(7, vec![1, 2]), (255, vec![])]));
    let hashes: Vec<u32> = (0..u32::try_from(EVENT_HASHES_MAX).unwrap() + 1).collect();
    let frame = encoded(|w| native::encode_events(true, 99, 64, &hashes, w));
    let Some(Ok(AntiEntropy::Events(events))) = native::decode_anti_entropy(&frame) else { panic!() };
    assert_eq!((events.ask, events.last, events.times, events.events.len()), (true, 99, 64, EVENT_HASHES_MAX));
    let identity = Identity::new("a", addr(1), &Tags::default()).unwrap();
    let frame = encoded(|w| {
        native::begin_states(true, w)?;
        native::put_state(State::Left, u32::MAX, 1 << 52, true, identity.peer().record(), w)
    });
    let Some(Ok(AntiEntropy::States(states))) = native::decode_anti_entropy(&frame) else { panic!() };
    let [entry] = states.iter().collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!((entry.state, entry.ltime, entry.leaving), (State::Left, 1 << 52, true));
    assert_eq!((entry.alive.incarnation, entry.alive.name), (u32::MAX, &b"a"[..]));
}

#[test]
fn a_message_beyond_a_bound_is_malformed() {
    let ping = [0; 3];
    let event_head = |times: u8| vec![0x56, 1, 0, 99, times];
    let events_until = |last| encoded(|w| native::encode_events(false, last, 1, &[], w));
    let queries_until = |last| {
        let digest = Digest { quiet: true, salt: 0, view: 1, events: None, queries: Some(last) };
        encoded(|w| native::encode_probe(&digest, &Ping { seq: 7, node: "a", source: None }, w))
    };
    let words = |count: usize| vec![0; 4 * count];
    let buckets = |count: usize| [&[0x52, 1][..], &[0; 8], &words(count)].concat();
    let bits = 1 << BUCKETS_BITS_MAX;
    for (frame, is_sound) in [
        (event_head(EVENT_WINDOW_TIMES_MAX), true),
        (event_head(EVENT_WINDOW_TIMES_MAX + 1), false),
        (event_head(0), false),
        (events_until(LAMPORT_TIME_MAX), true),
        (events_until(LAMPORT_TIME_MAX + 1), false),
        (events_until(u64::MAX), false),
        (queries_until(0), false),
        (queries_until(1), true),
        (queries_until(LAMPORT_TIME_MAX), true),
        (queries_until(LAMPORT_TIME_MAX + 1), false),
        ([event_head(1), words(EVENT_HASHES_MAX)].concat(), true),
        ([event_head(1), words(EVENT_HASHES_MAX + 1)].concat(), false),
        (buckets(bits), true),
        (buckets(2 * bits), false),
        (buckets(3), false),
        (buckets(0), false),
        // A bucket that cannot be, and a list that is cut.
        ([&[0x53, 1][..], &[0; 9], &[255, 1, 0]].concat(), true),
        ([&[0x53, 1][..], &[0; 9], &[128, 2, 0]].concat(), false),
        ([&[0x53, 1][..], &[0; 9], &[0, 1, 0, 0]].concat(), false),
        // A salt of zero, an unknown flag, another schema.
        ([&[0x51, 1, 2][..], &[0; 16], &ping].concat(), false),
        ([&[0x51, 1, 8][..], &[0; 8], &ping].concat(), false),
        ([&[0x51, 2, 0][..], &[0; 8], &ping].concat(), false),
        ([&[0x51, 1, 0][..], &[0; 8], &ping].concat(), true),
        // An event window of no times: it has no sum, and ends somewhere.
        ([&[0x51, 1, 4][..], &[0; 8], &[7, 0], &[0; 4], &ping].concat(), true),
        ([&[0x51, 1, 4][..], &[0; 8], &[7, 0], &[1, 0, 0, 0], &ping].concat(), false),
        ([&[0x51, 1, 4][..], &[0; 8], &[0, 0], &[0; 4], &ping].concat(), false),
        // A ping that is cut, or longer than it says.
        ([&[0x51, 1, 0][..], &[0; 8], &ping[..2]].concat(), false),
        ([&[0x51, 1, 0][..], &[0; 8], &ping, &[0]].concat(), false),
    ] {
        let decoded = native::decode_anti_entropy(&frame).unwrap();
        assert_eq!(decoded.is_ok(), is_sound, "{frame:x?}");
    }
}
