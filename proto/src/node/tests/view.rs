//! Accessors of a node: its state, its counters, and the limits of its commands.

use super::*;
use crate::limits::{META_BYTES_MAX, NAME_BYTES_MAX};
use crate::stats::Stats;
use crate::{Question, SetTagsError};

impl Cluster {
    fn set_tags(&mut self, at: usize, tags: &Tags) -> Result<(), SetTagsError> {
        self.command(at, |node, now, out| node.set_tags(now, tags, out))
    }
}

#[test]
fn what_the_nodes_of_a_cluster_sent_is_what_they_received() {
    type Count = fn(&Stats) -> u64;
    let mut cluster = Cluster::joined(3);
    cluster.command(1, |node, now, out| node.user_event(now, "deploy", b"v1", Coalescing::Allow, out)).unwrap();
    cluster.command(2, |node, now, out| node.query(now, &Question::new("load").with_acks(), out)).unwrap();
    cluster.run(Duration::from_secs(120));
    while !cluster.mail.is_empty() {
        cluster.run(Duration::from_millis(1));
    }
    let total = |count: Count| cluster.nodes.iter().flatten().map(|node| count(node.stats())).sum::<u64>();
    let messages_out = |stats: &Stats| stats.messages_out.iter().map(|sent| sent.messages).sum();
    let pairs: [(Count, Count); 4] = [
        (|stats| stats.datagrams_out, |stats| stats.datagrams_in),
        (|stats| stats.bytes_out, |stats| stats.bytes_in),
        (|stats| stats.stream_bytes_out, |stats| stats.stream_bytes_in),
        (messages_out, |stats| stats.messages_in),
    ];
    for (at, (sent, received)) in pairs.into_iter().enumerate() {
        assert!(total(sent) > 100, "{at}");
        assert_eq!(total(sent), total(received), "{at}");
    }
}

#[test]
fn a_node_is_alone_until_it_knows_another_live_member() {
    let mut cluster = Cluster::joined(2);
    assert!(!cluster.node(0).is_alone());
    cluster.nodes[1] = None;
    cluster.run(Duration::from_secs(60));
    assert!(cluster.node(0).is_alone() && Cluster::new(1).node(0).is_alone());
}

#[test]
fn a_probe_that_nobody_answers_costs_health_and_one_that_is_answered_brings_it_back() {
    let mut cluster = Cluster::joined(2);
    assert_eq!(cluster.node(0).health_score(), 0);
    cluster.deaf.extend([0, 1]);
    cluster.walled.extend([0, 1]);
    cluster.run(Duration::from_secs(6));
    assert!(cluster.node(0).health_score() > 1, "{}", cluster.node(0).health_score());
    cluster.deaf.clear();
    cluster.walled.clear();
    cluster.run(Duration::from_secs(60));
    assert_eq!(cluster.node(0).health_score(), 0);
}

#[test]
fn a_change_of_tags_is_queued_at_a_higher_incarnation_which_the_others_learn() {
    let mut cluster = Cluster::joined(2);
    let before = cluster.node(1).incarnation();
    cluster.run(Duration::from_secs(30));
    assert_eq!(cluster.node(1).queue_depths().swim, 0);
    for _ in 0..2 {
        cluster.set_tags(1, &[("role", "db")].into()).unwrap();
        assert_eq!(cluster.node(1).queue_depths().swim, 1);
    }
    assert_eq!(cluster.node(1).incarnation(), before + 2);
    cluster.run(Duration::from_secs(5));
    assert_eq!(cluster.node(0).incarnation_of("node-1"), Some(before + 2));
    assert_eq!(cluster.node(0).incarnation_of("node-9"), None);
}

#[test]
fn tags_of_512_encoded_bytes_are_announced_and_more_are_refused() {
    let mut cluster = Cluster::new(1);
    let of = |bytes: usize| Tags::from([("t", &*"x".repeat(bytes))]);
    let most = (1..META_BYTES_MAX).rev().find(|&bytes| of(bytes).encode().len() == META_BYTES_MAX).unwrap();
    assert_eq!(cluster.set_tags(0, &of(most)), Ok(()));
    let error = SetTagsError::TooLarge { bytes: META_BYTES_MAX + 1, limit: META_BYTES_MAX };
    assert_eq!(cluster.set_tags(0, &of(most + 1)), Err(error));
    assert_eq!(cluster.node(0).local().meta().len(), META_BYTES_MAX);
}

#[test]
fn the_longest_name_can_be_forced_to_leave_and_a_longer_one_cannot_be_any_members() {
    let mut cluster = Cluster::new(1);
    let mut force = |bytes: usize| {
        let name = "x".repeat(bytes);
        cluster.command(0, |node, now, out| node.force_leave(now, &name, Tombstone::Keep, out))
    };
    assert_eq!(force(NAME_BYTES_MAX), Ok(()));
    assert!(force(NAME_BYTES_MAX + 1).is_err() && force(0).is_err());
}

#[test]
fn an_event_may_be_coalesced_if_its_sender_allows_it() {
    let mut cluster = Cluster::joined(2);
    for coalescing in [Coalescing::Allow, Coalescing::Forbid] {
        cluster.command(0, |node, now, out| node.user_event(now, "deploy", b"", coalescing, out)).unwrap();
        cluster.run(Duration::from_secs(5));
    }
    for at in 0..2 {
        let flags = cluster.events[at].iter().filter_map(|event| match event {
            Event::User(event) => Some(event.coalesce),
            _ => None,
        });
        assert_eq!(flags.collect::<Vec<_>>(), [true, false], "node {at}");
    }
}

#[test]
fn a_query_can_be_held_and_ended_while_it_runs() {
    let mut cluster = Cluster::joined(2);
    let question = Question::new("load");
    let id = cluster.command(0, |node, now, out| node.query(now, &question, out)).unwrap();
    let hold = |cluster: &mut Cluster| cluster.command(0, |node, now, out| node.hold_answers(now, id, true, out));
    let end = |cluster: &mut Cluster| cluster.command(0, |node, now, out| node.end_query(now, id, out));
    assert!(hold(&mut cluster));
    assert!(end(&mut cluster));
    assert!(!hold(&mut cluster) && !end(&mut cluster));
}

#[test]
fn the_largest_payloads_are_those_that_are_accepted() {
    let mut cluster = Cluster::joined(2);
    let most = cluster.node(0).query_payload_max(&Question::new("load")).unwrap();
    for (bytes, is_accepted) in [(most + 1, false), (most, true)] {
        let payload = vec![7; bytes];
        let question = Question::new("load").with_payload(&payload);
        let asked = cluster.command(0, |node, now, out| node.query(now, &question, out));
        assert_eq!(asked.is_ok(), is_accepted, "{bytes}");
    }
    cluster.run(Duration::from_secs(1));
    let queries = cluster.events[1].iter().filter_map(|event| match event {
        Event::Query(query) => Some(query.id),
        _ => None,
    });
    let id = queries.last().unwrap();
    let most = cluster.node(1).answer_bytes_max(id).unwrap();
    for (bytes, is_accepted) in [(most + 1, false), (most, true)] {
        let answered = cluster.command(1, |node, now, out| node.respond(now, id, &vec![7; bytes], out));
        assert_eq!(answered.is_ok(), is_accepted, "{bytes}");
    }
    assert_eq!(cluster.node(1).answer_bytes_max(id), None, "it is answered");
}
