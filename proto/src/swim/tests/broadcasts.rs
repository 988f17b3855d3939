use super::*;

#[test]
fn a_broadcast_is_sent_as_often_as_the_number_of_members_asks_for() {
    for (others, copies) in [(1, 4), (8, 4), (9, 8), (98, 8), (99, 12)] {
        let names: Vec<String> = (0..others).map(|n| format!("m{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut lone = Lone::lan(&names);
        lone.hear(suspect("m0", 1, "x"));
        let sent = core::iter::from_fn(|| Some(lone.packet()).filter(|packet| !packet.is_empty()));
        assert_eq!(sent.count(), copies, "{} members", others + 1);
        assert_eq!(lone.swim.queue_depth(), 0);
    }
}

#[test]
fn a_newer_state_replaces_the_older_in_the_queue_and_starts_at_zero_transmits() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear(suspect("b", 1, "c"));
    assert_eq!(lone.packet(), ["suspect b@1 by c"]);
    assert_eq!(lone.packet(), ["suspect b@1 by c"]);
    lone.hear(alive("b", 2));
    for _ in 0..4 {
        assert_eq!(lone.packet(), ["alive b@2"]);
    }
    assert_eq!(lone.packet(), [""; 0]);
}

#[test]
fn a_member_stands_once_in_a_packet_however_often_its_state_changed() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.hear(alive("b", 2));
    assert_eq!(lone.packet(), ["alive b@2"]);
    lone.hear(alive("b", 3));
    for _ in 0..4 {
        assert_eq!(lone.packet(), ["alive b@3"]);
    }
    assert_eq!(lone.packet(), [""; 0]);
}

#[test]
fn the_newest_word_goes_first_and_what_was_sent_less_before_what_was_sent_more() {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    lone.hear(alive("b", 2));
    lone.hear(alive("c", 2));
    assert_eq!(lone.packet(), ["alive c@2", "alive b@2"]);
    lone.hear(alive("d", 2));
    assert_eq!(lone.packet()[0], "alive d@2");
}

#[test]
fn what_does_not_fit_waits_for_the_next_packet() {
    let mut lone = Lone::lan(&["b", "c", "d"]);
    for name in ["b", "c", "d"] {
        lone.hear(alive(name, 2));
    }
    assert_eq!(lone.packet_of(44), ["alive d@2"]);
    assert_eq!(lone.packet_of(44), ["alive c@2"]);
    assert_eq!(lone.packet_of(44), ["alive b@2"]);
    assert_eq!(lone.swim.broadcasts.next_sends(), Some(1));
}

#[test]
fn many_changes_of_few_members_do_not_let_the_queue_grow() {
    let mut lone = Lone::lan(&["b", "c"]);
    for incarnation in 2..2000 {
        lone.hear(alive("b", incarnation));
        lone.packet();
    }
    assert!(lone.swim.broadcasts.places() <= 2 * lone.swim.queue_depth() + 64, "{}", lone.swim.broadcasts.places());
    assert_eq!(lone.swim.queue_depth(), 1);
}

#[test]
fn gossip_goes_to_the_live_the_suspect_and_the_recently_dead_but_not_to_the_left() {
    let mut lone = Lone::lan(&["b", "c", "d", "e", "f"]);
    lone.hear(suspect("c", 1, "b"));
    lone.hear(dead("d", 1, "b"));
    lone.hear(dead("e", 1, "e"));
    let names = |lone: &mut Lone| {
        let mut seen = alloc::collections::BTreeSet::new();
        for _ in 0..100 {
            let targets = lone.swim.gossip_targets(&mut lone.core);
            assert_eq!(targets.len(), 3);
            seen.extend(targets.into_iter().map(|idx| lone.core.roster.name_ref(idx).to_string()));
        }
        seen.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(names(&mut lone), ["b", "c", "d", "f"]);
    lone.core.now = Instant::ZERO + secs(30);
    assert_eq!(names(&mut lone), ["b", "c", "d", "f"]);
    lone.core.now = Instant::ZERO + ms(30_001);
    assert_eq!(names(&mut lone), ["b", "c", "f"]);
}

#[test]
fn every_target_is_another_and_each_is_as_likely() {
    let others: Vec<String> = (0..20).map(|n| format!("m{n}")).collect();
    let mut lone = Lone::lan(&others.iter().map(String::as_str).collect::<Vec<_>>());
    let mut hits = vec![0_u32; lone.swim.members.len()];
    for _ in 0..4000 {
        let mut targets = lone.swim.gossip_targets(&mut lone.core);
        targets.sort_unstable();
        targets.dedup();
        assert_eq!(targets.len(), 3);
        for idx in targets {
            hits[idx.at()] += 1;
        }
    }
    assert_eq!(hits[lone.swim.me().at()], 0);
    let hits: Vec<u32> = hits.into_iter().filter(|&n| n > 0).collect();
    assert!(hits.len() == 20 && hits.iter().all(|n| (500..700).contains(n)), "{hits:?}");
}

#[test]
fn with_fewer_members_than_targets_all_of_them_are_chosen() {
    let mut lone = Lone::lan(&["b", "c"]);
    for _ in 0..50 {
        assert_eq!(lone.swim.gossip_targets(&mut lone.core).len(), 2);
    }
    let mut alone = Lone::lan(&[]);
    assert_eq!(alone.swim.gossip_targets(&mut alone.core), []);
    assert!(!alone.swim.has_receiver());
    let mut last = Lone::lan(&["b"]);
    last.hear(dead("b", 1, "a"));
    assert!(last.swim.has_receiver(), "the dead are gossiped to for a while");
}

#[test]
fn an_accuser_with_a_name_that_no_packet_has_room_for_does_not_stop_the_queue() {
    let mut lone = Lone::lan(&["b", "c"]);
    let long = "x".repeat(2000);
    let mut frame = vec![0; 4000];
    let mut writer = Writer::new(&mut frame);
    native::encode(&suspect("b", 1, &long), &mut writer).unwrap();
    let len = writer.len();
    if let Ok(message) = native::decode(&frame[..len]) {
        lone.hear(message);
    }
    lone.hear(alive("c", 2));
    while !lone.packet().is_empty() {}
    assert_eq!(lone.swim.queue_depth(), 0);
}

#[test]
fn the_first_transmission_of_a_state_ends_its_wait_in_the_queue() {
    let mut lone = Lone::lan(&["b", "c"]);
    while !lone.packet().is_empty() {}
    let before = lone.swim.waits().clone();
    lone.hear(suspect("b", 1, "c"));
    lone.run(Duration::from_millis(120));
    lone.packet();
    lone.run(Duration::from_millis(80));
    lone.packet();
    let waits = lone.swim.waits();
    assert_eq!(waits.count() - before.count(), 1);
    assert_eq!(waits.sum() - before.sum(), Duration::from_millis(120));
}

#[test]
fn a_dead_member_is_sent_gossip_from_its_death_on_however_long_the_node_has_run() {
    let mut lone = Lone::lan(&["b", "c"]);
    lone.core.now = Instant::ZERO + secs(10_000);
    lone.hear(dead("b", 1, "c"));
    assert_eq!(lone.swim.gossip_targets(&mut lone.core).len(), 2);
    lone.core.now = Instant::ZERO + secs(10_031);
    assert_eq!(lone.swim.gossip_targets(&mut lone.core), [lone.idx("c")]);
}

#[test]
fn who_joins_a_cluster_keeps_only_its_own_state_in_the_queue() {
    let mut lone = Lone::lan(&[]);
    ["b", "c"].iter().for_each(|name| lone.hear(alive(name, 1)));
    lone.swim.broadcast_own(&lone.core);
    assert_eq!(lone.queued().len(), 3);
    lone.swim.leave_announcement_to(lone.idx("b"));
    assert_eq!(lone.queued(), ["alive a@1", "alive c@1"]);
    lone.swim.keep_only_own_broadcast();
    assert_eq!(lone.queued(), ["alive a@1"]);
}

#[test]
fn what_others_repeat_counts_as_sent_while_packets_are_full_and_all_members_compare_digests() {
    let names: Vec<String> = (0..200).map(|number| format!("m{number}")).collect();
    for (versions, compare) in [(Versions::OURS, true), (Versions::HASHICORP, false)] {
        let mut lone = Lone::lan(&[]);
        lone.hear(Message::Alive(Alive { incarnation: 1, peer: PeerRef { versions, ..announcement("b") } }));
        assert_eq!(lone.swim.all_compare_digests(), compare);
        names.iter().for_each(|name| lone.hear(alive(name, 1)));
        lone.swim.broadcast_own(&lone.core);
        let repeat = |lone: &mut Lone, name: &str| {
            let idx = lone.idx(name);
            (0..40).for_each(|_| lone.swim.alive_as_known(&mut lone.core, Origin::Packet(addr("z")), idx, 1));
        };
        let before = lone.queued();
        repeat(&mut lone, "m7");
        assert_eq!(lone.queued(), before, "no packet was full");
        lone.swim.begin_round();
        lone.packet_of(200);
        lone.swim.end_round();
        let before = lone.queued();
        repeat(&mut lone, "a");
        assert_eq!(lone.queued(), before, "only we know who has heard of us");
        repeat(&mut lone, "m7");
        assert_eq!(lone.queued() == before, !compare, "the repeated goes later, or out");
        let before = lone.queued();
        lone.hear(alive("m8", 2));
        let raised = lone.queued();
        assert_ne!(raised, before);
        repeat(&mut lone, "m8");
        assert_eq!(lone.queued(), raised, "what is repeated is older");
        lone.hear(dead("b", 1, "m1"));
        assert!(lone.swim.all_compare_digests());
    }
}

#[test]
fn each_codec_writes_the_first_alive_message_of_a_member_in_its_own_way() {
    let mut lone = Lone::lan(&[]);
    lone.hear(alive("b", 1));
    for codec in [Codec::Native, Codec::HashiCorp] {
        let (mut lone, mut buffers) = (lone.clone(), PacketBuffers::new());
        let mut packer = Packer::new(&mut buffers, 1400);
        lone.swim.fill(&mut lone.core, codec, |_| 0, &mut packer);
        let packed = packer.finish();
        let bytes = seal(packed, Caps { checksum: false }, &mut buffers);
        let frames: Vec<_> = split(&bytes).unwrap().map(|frame| (Codec::of(frame[0]), Codec::decode(frame))).collect();
        assert!(frames.contains(&(codec, Ok(alive("b", 1)))), "{codec:?} {frames:?}");
    }
}

#[test]
fn a_broadcast_goes_once_in_a_round_and_again_after_its_end() {
    let mut lone = Lone::lan(&[]);
    lone.hear(alive("b", 1));
    lone.swim.begin_round();
    assert_eq!(lone.packet(), ["alive b@1"]);
    assert_eq!(lone.packet(), [""; 0]);
    lone.swim.end_round();
    assert_eq!(lone.packet(), ["alive b@1"]);
}
