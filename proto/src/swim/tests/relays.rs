use super::*;
use crate::limits::RELAYS_MAX;
use crate::wire::swim::{IndirectPing, Ping, Source};

fn indirect<'a>(seq: u32, node: &'a str, nack: bool, source: Option<Source<'a>>) -> Message<'a> {
    Message::IndirectPing(IndirectPing { seq, target: addr(node), node, nack, source })
}

fn source_of(name: &str) -> Option<Source<'_>> {
    Some(Source { addr: addr(name), node: name })
}

/// Makes `b` request an indirect ping of `node`. Returns the sequence number of the relayed ping.
fn relayed(lone: &mut Lone, node: &str, nack: bool) -> u32 {
    lone.hear_from(addr("b"), indirect(77, node, nack, source_of("b")));
    let sent = lone.sent();
    let [Unicast { to, body: Body::BarePing { seq, .. }, .. }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(*to, addr(node));
    assert_ne!(*seq, 77, "the ping that we send has a number of ours");
    *seq
}

fn answer(lone: &Lone, body: Body) -> Unicast {
    Unicast { to: addr("b"), peer: Some(lone.idx("b")), answers: Some(Codec::Native), body }
}

#[test]
fn a_relayed_ack_in_time_goes_to_the_requester_under_its_number() {
    let mut lone = Lone::lan(&["b", "c"]);
    let seq = relayed(&mut lone, "c", true);
    lone.run(ms(499));
    lone.hear_from(addr("c"), ack(seq));
    assert_eq!(lone.sent(), [answer(&lone, Body::RelayedAck { seq: 77 })]);
    lone.hear_from(addr("c"), ack(seq));
    lone.run(secs(2));
    assert_eq!(lone.sent(), [], "once, and no nack after it");
}

#[test]
fn without_an_ack_the_requester_gets_a_nack_and_a_late_ack_is_not_relayed() {
    let mut lone = Lone::lan(&["b", "c"]);
    let seq = relayed(&mut lone, "c", true);
    lone.run(ms(499));
    assert_eq!(lone.sent(), []);
    lone.run(ms(1));
    assert_eq!(lone.sent(), [answer(&lone, Body::Nack { seq: 77 })]);
    lone.hear_from(addr("c"), ack(seq));
    assert_eq!(lone.sent(), []);
}

#[test]
fn a_requester_that_wants_no_nack_gets_none() {
    let mut lone = Lone::lan(&["b", "c"]);
    relayed(&mut lone, "c", false);
    lone.run(secs(1));
    assert_eq!(lone.sent(), []);
}

#[test]
fn only_members_may_ask_for_a_ping() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear(dead("c", 1, "b"));
    for source in [None, source_of("x"), source_of("c"), Some(Source { addr: addr("z"), node: "b" })] {
        lone.hear_from(addr("b"), indirect(1, "c", true, source));
    }
    lone.run(secs(1));
    assert_eq!((lone.sent(), lone.dropped(DropReason::Unexpected)), (vec![], 4));
}

#[test]
fn only_members_are_pinged_for_others_and_other_targets_get_a_nack() {
    let elsewhere = IndirectPing { seq: 77, target: addr("z"), node: "c", nack: true, source: source_of("b") };
    for message in [indirect(77, "x", true, source_of("b")), Message::IndirectPing(elsewhere)] {
        let mut lone = Lone::lan(&["b", "c"]);
        lone.hear_from(addr("b"), message);
        assert_eq!(lone.sent(), []);
        lone.run(ms(500));
        assert_eq!(lone.sent(), [answer(&lone, Body::Nack { seq: 77 })]);
    }
}

#[test]
fn of_all_requests_in_a_packet_one_is_answered_whatever_their_sources() {
    let ping = Message::Ping(Ping { seq: 5, node: "a", source: source_of("b") });
    let mut lone = Lone::lan(&["b", "c"]);
    let mut heard = Heard::new(addr("b"), 100);
    for message in [ping, ping, indirect(1, "c", true, source_of("b"))] {
        lone.swim.handle(&mut lone.core, &mut heard, &message);
    }
    assert_eq!((lone.sent().len(), lone.dropped(DropReason::Limit)), (1, 2));
}

#[test]
fn an_acked_relay_is_not_taken_for_a_probe_of_ours_and_the_reverse() {
    let mut lone = Lone::probing(Options::lan(), &["b", "c"]);
    let (target, own) = lone.next_probe();
    let seq = relayed(&mut lone, "c", true);
    lone.swim.awareness.apply(3);
    lone.hear(ack(seq));
    assert_eq!(lone.score(), 3);
    assert_eq!(lone.sent().len(), 1);
    lone.hear(ack(own));
    assert_eq!(lone.score(), 2);
    assert_eq!((lone.sent(), lone.state(&target)), (vec![], Some(State::Alive)));
}

#[test]
fn no_more_probes_than_the_limit_are_relayed_at_a_time() {
    let mut lone = Lone::lan(&["b", "c"]);
    for _ in 0..RELAYS_MAX {
        lone.hear_from(addr("b"), indirect(1, "c", true, source_of("b")));
    }
    assert_eq!((lone.sent().len(), lone.dropped(DropReason::Limit)), (RELAYS_MAX, 0));
    lone.hear_from(addr("b"), indirect(1, "c", true, source_of("b")));
    assert_eq!((lone.sent().len(), lone.dropped(DropReason::Limit)), (0, 1));
    lone.run(ms(500));
    assert_eq!(lone.sent().len(), RELAYS_MAX, "a nack for each");
    lone.hear_from(addr("b"), indirect(1, "c", true, source_of("b")));
    assert_eq!(lone.sent().len(), 1, "and there is room again");
}

/// The destination of the ack of a ping that came from `from` and names `source`.
fn answered_at(from: SocketAddr, source: Option<Source<'_>>) -> SocketAddr {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_from(from, Message::Ping(Ping { seq: 5, node: "a", source }));
    let sent = lone.sent();
    let [Unicast { to, ref body, .. }] = sent[..] else { panic!("{sent:?}") };
    let to_member = to == addr("b") && source == source_of("b");
    let expected = if to_member { Body::Ack { seq: 5 } } else { Body::StrangerAck { seq: 5, bytes_max: 100 } };
    assert_eq!(*body, expected, "only a member at its own address is told more than a stranger");
    to
}

#[test]
fn an_ack_goes_only_to_the_senders_host_or_the_members_own_address() {
    let nat: SocketAddr = "192.0.2.1:50000".parse().unwrap();
    assert_eq!(answered_at(nat, None), nat);
    assert_eq!(answered_at(nat, source_of("b")), addr("b"), "a member's own address");
    let victim = "203.0.113.1:53".parse().unwrap();
    assert_eq!(answered_at(nat, Some(Source { addr: victim, node: "b" })), nat, "not that member's");
    assert_eq!(answered_at(nat, Some(Source { addr: victim, node: "stranger" })), nat, "nobody's");
    assert_eq!(answered_at(nat, Some(Source { addr: addr("b"), node: "stranger" })), nat, "another's");
    let same_host = "192.0.2.1:7946".parse().unwrap();
    assert_eq!(answered_at(nat, Some(Source { addr: same_host, node: "stranger" })), same_host);
    let zone: SocketAddr = "[fe80::1%3]:50000".parse().unwrap();
    let link_local = Some(Source { addr: "[fe80::1]:7946".parse().unwrap(), node: "stranger" });
    assert_eq!(answered_at(zone, link_local), "[fe80::1%3]:7946".parse().unwrap(), "in the zone it came from");
    let mapped = "[::ffff:192.0.2.1]:7946".parse().unwrap();
    assert_eq!(answered_at(nat, Some(Source { addr: mapped, node: "stranger" })), same_host);
}

#[test]
fn a_name_that_only_the_directory_has_belongs_to_no_member() {
    let identity = |name: &str| Identity::new(name, addr(name), &Tags::default()).unwrap();
    let cfg = Arc::new(Config::new(Options::lan()).unwrap());
    let directory = Directory::new([identity("a"), identity("b")]);
    let mut core = Core::new(cfg, &Seed::from_u64(7), directory, Instant::ZERO);
    let mut swim = Swim::new(&mut core, &identity("a"), false);
    let nat = "192.0.2.1:50000".parse().unwrap();
    swim.handle(
        &mut core,
        &mut Heard::new(nat, 40),
        &Message::Ping(Ping { seq: 5, node: "a", source: source_of("b") }),
    );
    let body = Body::StrangerAck { seq: 5, bytes_max: 40 };
    assert_eq!(core.unicasts, [Unicast { to: nat, peer: None, answers: Some(Codec::Native), body }]);
}

#[test]
fn a_ping_for_another_node_is_dropped_and_one_without_a_name_is_answered() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_from(addr("b"), Message::Ping(Ping { seq: 5, node: "b", source: None }));
    assert_eq!((lone.sent(), lone.dropped(DropReason::NotForUs)), (vec![], 1));
    lone.hear_from(addr("b"), Message::Ping(Ping { seq: 5, node: "", source: None }));
    let body = Body::StrangerAck { seq: 5, bytes_max: 100 };
    assert_eq!(lone.sent(), [Unicast { to: addr("b"), peer: None, answers: Some(Codec::Native), body }]);
}
