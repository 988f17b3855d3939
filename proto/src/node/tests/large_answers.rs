//! Answers that exceed a packet, over the streams of whole nodes.

use super::*;
use crate::wire::Writer;
use crate::wire::serf::{Message as SerfMessage, Query, QueryResponse, Source};
use crate::{QueryId, Question};

const LIMIT: usize = 64 * 1024;

fn ask(cluster: &mut Cluster, at: usize) -> QueryId {
    cluster.command(at, |node, now, out| node.query(now, &Question::new("dump"), out)).unwrap()
}

/// Every node answers every query that it was delivered with `bytes` times its number. Returns how many answers were
/// accepted.
fn answer(cluster: &mut Cluster, bytes: usize) -> usize {
    let mut answered = 0;
    for at in 0..cluster.nodes.len() {
        let queries = cluster.events[at].iter().filter_map(|event| match event {
            Event::Query(query) => Some(query.id),
            _ => None,
        });
        let payload = vec![u8::try_from(at).unwrap(); bytes];
        for id in queries.collect::<Vec<_>>() {
            if cluster.nodes[at].is_some() {
                answered +=
                    usize::from(cluster.command(at, |node, now, out| node.respond(now, id, &payload, out)).is_ok());
            }
        }
    }
    answered
}

/// The answers that a node got: sender, length, and whether each byte is the sender's number.
fn answers(cluster: &Cluster, at: usize) -> Vec<(String, usize)> {
    let answers = cluster.events[at].iter().filter_map(|event| match event {
        Event::QueryResponse { from, payload, .. } => {
            let number: u8 = from.strip_prefix("node-").unwrap().parse().unwrap();
            assert!(payload.iter().all(|byte| *byte == number), "{from}");
            Some((from.to_string(), payload.len()))
        }
        _ => None,
    });
    let mut answers: Vec<_> = answers.collect();
    answers.sort_unstable();
    answers
}

fn is_complete(cluster: &Cluster, at: usize) -> bool {
    cluster.events[at].iter().any(|event| matches!(event, Event::QueryEnded(report) if report.complete))
}

fn stats(cluster: &Cluster, at: usize) -> &crate::Stats {
    cluster.nodes[at].as_ref().unwrap().stats()
}

/// A datagram with a message of the Serf layer, as a member sends it that follows no rules.
fn datagram(message: &SerfMessage<'_>) -> Vec<u8> {
    let mut buf = vec![0; 2000];
    let mut writer = Writer::new(&mut buf);
    Codec::Native.begin_user(&mut writer).unwrap();
    Codec::Native.encode_serf(message, &mut writer).unwrap();
    let len = writer.len();
    buf.truncate(len);
    buf
}

fn offer(to: QueryId, from: &str) -> Vec<u8> {
    let (ltime, id, flags) = (to.ltime, to.id, QueryResponse::FLAG_OFFER);
    datagram(&SerfMessage::QueryResponse(QueryResponse { ltime, id, from, flags, payload: &[] }))
}

#[test]
fn large_answers_of_all_members_arrive_whole_through_every_combination_of_layers() {
    for layers in 0..8_u8 {
        let mut cluster = Cluster::new(4);
        let options = Options::lan().with(|options| {
            options.transport.label = if layers & 1 > 0 { "dc1".into() } else { String::new() };
            options.transport.encrypt_keys = if layers & 2 > 0 { [key(1)].into() } else { [].into() };
            options.transport.compression = layers & 4 > 0;
        });
        for at in 0..4 {
            cluster.start(at, options.clone());
        }
        for at in 1..4 {
            cluster.command(at, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
        }
        cluster.run(Duration::from_secs(5));
        ask(&mut cluster, 2);
        cluster.run(Duration::from_millis(500));
        assert_eq!(answer(&mut cluster, LIMIT), 4);
        cluster.run(Duration::from_millis(500));
        let expected: Vec<_> = (0..4).map(|at| (format!("node-{at}"), LIMIT)).collect();
        assert_eq!(answers(&cluster, 2), expected, "layers {layers}");
        assert!(is_complete(&cluster, 2));
        assert_eq!((stats(&cluster, 2).query_fetches, stats(&cluster, 1).query_answers_served), (3, 1));
        for at in 0..4 {
            assert_eq!(stats(&cluster, at).dropped, [0; DropReason::ALL.len()], "layers {layers}");
        }
    }
}

#[test]
fn a_responder_that_closes_its_streams_is_tried_again() {
    let mut cluster = Cluster::joined(3);
    ask(&mut cluster, 0);
    cluster.run(Duration::from_millis(500));
    cluster.walled.insert(1);
    answer(&mut cluster, 2000);
    // The second fetch is on its way.
    cluster.run(Duration::from_millis(3));
    cluster.walled.clear();
    cluster.run(Duration::from_millis(500));
    assert_eq!(answers(&cluster, 0).len(), 3);
    assert_eq!(stats(&cluster, 0).query_fetches_failed, 0);
}

#[test]
fn a_forged_query_makes_no_node_open_a_stream() {
    let mut cluster = Cluster::joined(4);
    let victim = Source { addr: addr(2), node: "node-2" };
    let (mut forged, before) = (Vec::new(), cluster.sent);
    for id in 0..20 {
        forged.push(datagram(&SerfMessage::Query(Query {
            ltime: 3,
            id,
            source: victim,
            filters: crate::wire::serf::List::new(&[]),
            flags: 0,
            relay_factor: 0,
            timeout: Duration::from_secs(60),
            name: "dump",
            payload: b"",
        })));
    }
    for bytes in forged {
        cluster.post(1, Delivery::Datagram(addr(3), bytes.into()));
    }
    cluster.run(Duration::from_secs(1));
    let streams = |cluster: &Cluster| (0..4).map(|at| cluster.nodes[at].as_ref().unwrap().streams.last()).sum::<u64>();
    let opened = streams(&cluster);
    assert!(answer(&mut cluster, LIMIT) >= 60);
    cluster.run(Duration::from_millis(900));
    assert!(cluster.sent > before + 60, "the offers were sent");
    // Node 2 was delivered the queries as well, and takes its own answers for late ones: it knows their numbers.
    assert_eq!(streams(&cluster), opened);
    assert_eq!(answers(&cluster, 2), []);
}

#[test]
fn a_hostile_member_that_offers_for_all_others_costs_bounded_streams_and_hides_no_answer() {
    let mut cluster = Cluster::joined(5);
    let id = ask(&mut cluster, 0);
    cluster.run(Duration::from_millis(500));
    let before = cluster.nodes[0].as_ref().unwrap().streams.last();
    for _ in 0..50 {
        for from in ["node-0", "node-1", "node-2", "node-3", "node-4", "stranger"] {
            cluster.post(0, Delivery::Datagram(addr(4), offer(id, from).into()));
        }
        let unknown = QueryId { ltime: id.ltime + 1, ..id };
        cluster.post(0, Delivery::Datagram(addr(4), offer(unknown, "node-1").into()));
    }
    cluster.run(Duration::from_millis(300));
    let opened = cluster.nodes[0].as_ref().unwrap().streams.last() - before;
    assert!((4..=4 * 3 + 1).contains(&opened), "three tries for each other member, not {opened}");
    assert_eq!(stats(&cluster, 0).query_offers, 4);
    assert_eq!(dropped(&cluster, 0, DropReason::Unexpected), 150, "of itself, of strangers, for no query");
    assert_eq!(cluster.nodes[0].as_ref().unwrap().complaints().count(), 1, "one peer, one reason");
    answer(&mut cluster, LIMIT);
    cluster.run(Duration::from_millis(500));
    assert_eq!(answers(&cluster, 0).len(), 5, "the next try gets the answer");
}

#[test]
fn a_reply_longer_than_our_limit_is_cut_off_before_it_is_buffered() {
    let mut cluster = Cluster::joined(3);
    let id = ask(&mut cluster, 0);
    cluster.run(Duration::from_millis(500));
    let (node, mut out, now) = (cluster.nodes[0].as_mut().unwrap(), Outbox::new(), cluster.now);
    node.handle_datagram(now, addr(1), &offer(id, "node-1"), &mut out);
    let connected = out.drain().find_map(|output| match output {
        Output::Connect { stream, to } => Some((stream, to)),
        _ => None,
    });
    let (stream, to) = connected.unwrap();
    assert_eq!(to, addr(1));
    node.handle_stream(now, stream, StreamInput::Opened, &mut out);
    assert!(out.drain().any(|output| matches!(output, Output::Write { .. })), "the request");
    let head = [native::STREAM_ANSWER, 1, 0, 0, 0, 1];
    node.handle_stream(now, stream, StreamInput::Data(&head), &mut out);
    let mut sent = 0;
    while !out.drain().any(|output| output == Output::Close { stream }) {
        assert!(sent < LIMIT + 2000, "16 MiB were announced, and {sent} bytes of them are buffered");
        node.handle_stream(now, stream, StreamInput::Data(&[0; 1000]), &mut out);
        sent += 1000;
    }
    assert!(sent >= LIMIT);
    assert_eq!(node.stats().dropped(DropReason::Limit), 1);
    assert_eq!(node.complaints().count(), 1);
}

#[test]
fn a_fetch_that_is_malformed_or_for_no_answer_is_closed_without_a_reply() {
    let mut cluster = Cluster::joined(2);
    let (node, now) = (cluster.nodes[0].as_mut().unwrap(), cluster.now);
    for body in [&[1_u8, 3, 4][..], &[1, 3], &[1, 3, 4, 5], &[2, 3, 4], &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1]] {
        let mut out = Outbox::new();
        let stream = node.accept(now, addr(1), &mut out);
        let mut message = vec![native::STREAM_FETCH, 0, 0, 0, u8::try_from(body.len()).unwrap()];
        message.extend_from_slice(body);
        node.handle_stream(now, stream, StreamInput::Data(&message), &mut out);
        let outputs: Vec<_> = out.drain().collect();
        assert_eq!(outputs, [Output::Close { stream }]);
    }
    assert_eq!(node.stats().dropped(DropReason::Unexpected), 2);
    assert_eq!(node.stats().dropped(DropReason::Malformed), 3);
}
