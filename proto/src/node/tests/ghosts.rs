//! Members that do not exist use up no more than their share, and block no member that does.

use super::strangers::Alone;
use super::*;
use crate::limits::{MEMBERS_BYTES_MAX, STREAM_MESSAGE_BYTES_MAX};
use crate::wire::swim::{Accusation, Ack, Alive, PeerRef};
use crate::wire::{PushPull, Versions};

const META: [u8; 512] = [0x61; 512];

fn somewhere(number: usize) -> SocketAddr {
    SocketAddr::from(([127, 9, 9, 9], u16::try_from(number % 60_000).unwrap() + 1))
}

fn alive_at<'a>(name: &'a str, addr: SocketAddr, incarnation: u32, meta: &'a [u8]) -> Message<'a> {
    Message::Alive(Alive { incarnation, peer: PeerRef { name, addr, meta, versions: Versions::OURS } })
}

/// Announces members that do not exist until the memory is used up. Returns their names.
fn flood(alone: &mut Alone, name_bytes: usize, meta: &[u8]) -> Vec<String> {
    let full = alone.dropped(DropReason::Limit);
    let mut names = vec![];
    while alone.dropped(DropReason::Limit) == full {
        let name = format!("{:0name_bytes$}", names.len());
        alone.hear(addr(9), Codec::HashiCorp, &[alive_at(&name, somewhere(names.len()), 1, meta)]);
        names.push(name);
    }
    names.pop();
    names
}

/// A name as long as those of the members that do not exist, so that it needs the memory of one.
fn newcomer(number: usize) -> String {
    format!("newcomer-{number:0>246}")
}

fn used(alone: &Alone) -> usize {
    alone.node.core.roster.used()
}

#[test]
fn everything_known_fits_into_a_push_pull_of_either_codec() {
    for (name_bytes, meta) in [(255, &META[..]), (20, &META[..]), (6, &[])] {
        let mut alone = Alone::new(Options::lan());
        let names = flood(&mut alone, name_bytes, meta);
        assert!(used(&alone) <= MEMBERS_BYTES_MAX && used(&alone) > MEMBERS_BYTES_MAX - 2048);
        assert!(names.len() > 20_000 || name_bytes > 20, "{} fit", names.len());
        // A member that left takes the most space in a push/pull.
        for name in &names {
            alone.hear(
                addr(9),
                Codec::HashiCorp,
                &[Message::Dead(Accusation { incarnation: 1, node: name, from: name })],
            );
        }
        for codec in [Codec::Native, Codec::HashiCorp] {
            let state = alone.node.push_pull(codec, false).expect("it is not too long");
            assert!(state.len() <= STREAM_MESSAGE_BYTES_MAX - 1024 * 1024, "{} bytes in {codec:?}", state.len());
        }
    }
}

#[test]
fn a_node_that_joins_a_large_cluster_learns_of_all_by_one_push_pull() {
    let mut seed = Alone::new(Options::lan());
    for number in 0..20_000 {
        let name = format!("node-of-a-cluster-{number:05}");
        seed.hear(addr(9), Codec::HashiCorp, &[alive_at(&name, somewhere(number), 1, &META)]);
    }
    assert_eq!((seed.dropped(DropReason::Limit), seed.node.members().count()), (0, 20_004));
    let state = seed.node.push_pull(Codec::HashiCorp, true).unwrap();
    let mut fresh = Alone::new(Options::lan());
    fresh
        .node
        .merge(Origin::Local, &PushPull::parse(Codec::HashiCorp, &state[1..]).unwrap(), false, None, &mut fresh.out)
        .unwrap();
    assert_eq!((fresh.dropped(DropReason::Limit), fresh.node.members().count()), (0, 20_004));
}

#[test]
fn without_room_only_a_newcomer_that_answers_is_admitted() {
    let mut alone = Alone::new(Options::lan());
    flood(&mut alone, 255, &META);
    let before = alone.node.members().count();
    for (number, answers) in [(0, true), (1, false), (2, true)] {
        let (name, at) = (newcomer(number), addr(20 + number));
        let sent = alone.hear(addr(9), Codec::HashiCorp, &[alive_at(&name, at, 7, &META)]);
        let [(to, ping)] = &sent[..] else { panic!("{sent:?}") };
        let Ok(Message::Ping(ping)) = Codec::decode(ping) else { panic!("it is asked whether it is there") };
        assert_eq!((*to, ping.node), (at, &*name));
        assert!(alone.node.member(&name).is_none());
        let seq = if answers { ping.seq } else { ping.seq.wrapping_add(1) };
        alone.hear(at, Codec::HashiCorp, &[Message::Ack(Ack { seq, payload: &[] })]);
        assert_eq!(alone.node.member(&name).is_some(), answers);
        alone.node.core.now = alone.node.core.now + Duration::from_secs(1);
        alone.now = alone.node.core.now;
    }
    assert!(used(&alone) <= MEMBERS_BYTES_MAX);
    assert!(alone.node.members().count() <= before + 2);
    assert!((1..=4).contains(&alone.node.core.stats.evictions), "{}", alone.node.core.stats.evictions);
    assert_eq!(alone.node.member(&newcomer(0)).unwrap().status(), Status::Alive);
}

#[test]
fn those_that_answered_stay_whoever_else_comes_and_goes() {
    let mut alone = Alone::new(Options::lan());
    flood(&mut alone, 255, &META);
    let all = 200;
    for number in 0..all {
        let (name, at) = (newcomer(number), addr(number));
        let sent = alone.hear(addr(9), Codec::HashiCorp, &[alive_at(&name, at, 1, &META)]);
        let Ok(Message::Ping(ping)) = Codec::decode(&sent[0].1) else { panic!("it is asked whether it is there") };
        alone.hear(at, Codec::HashiCorp, &[Message::Ack(Ack { seq: ping.seq, payload: &[] })]);
    }
    let alive = (0..all).filter(|&number| alone.node.member(&newcomer(number)).is_some());
    assert_eq!(alive.count(), all);
    assert!(alone.node.core.stats.evictions > 50);
}

#[test]
fn newcomers_asked_at_a_time_are_bounded_and_packets_leave_half_to_others() {
    let mut alone = Alone::new(Options::lan());
    flood(&mut alone, 255, &META);
    alone.now = alone.now + Duration::from_secs(1);
    let asked = (0..100).map(|number| {
        let name = newcomer(number);
        alone.hear(addr(9), Codec::HashiCorp, &[alive_at(&name, addr(20), 1, &META)]).len()
    });
    assert_eq!(asked.sum::<usize>(), 32);
}

#[test]
fn a_newcomer_on_a_stream_is_admitted_at_once_and_no_other_with_it() {
    let mut alone = Alone::new(Options::lan());
    flood(&mut alone, 255, &META);
    let mut body = vec![];
    native_states(&mut body, &[&*newcomer(0), &*newcomer(1)]);
    alone.node.set_now(alone.now);
    let origin = Origin::Exchange("10.0.0.30:50000".parse().unwrap());
    alone.node.merge(origin, &PushPull::parse(Codec::Native, &body).unwrap(), false, None, &mut alone.out).unwrap();
    assert!(alone.node.member(&newcomer(0)).is_some());
    assert!(alone.node.member(&newcomer(1)).is_none());
    assert!(used(&alone) <= MEMBERS_BYTES_MAX);
}

fn native_states(body: &mut Vec<u8>, names: &[&str]) {
    native::begin_push_pull(body, true, u32::try_from(names.len()).unwrap());
    for name in names {
        let peer = PeerRef { name, addr: addr(29), meta: &META, versions: Versions::OURS };
        native::push_state(body, crate::wire::swim::State::Alive, 1, &native::encode_record(peer));
    }
}

#[test]
fn a_member_whose_tags_grow_displaces_a_ghost_and_not_itself() {
    let mut alone = Alone::new(Options::lan());
    let names = flood(&mut alone, 30, &[]);
    for name in &names[..500] {
        alone.hear(
            addr(9),
            Codec::HashiCorp,
            &[alive_at(name, alone.node.member(name).map_or_else(|| addr(9), |member| member.addr()), 2, &META)],
        );
        assert!(used(&alone) <= MEMBERS_BYTES_MAX);
    }
    assert!(alone.node.core.stats.evictions > 100);
}
