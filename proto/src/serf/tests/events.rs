use super::*;

#[test]
fn an_event_is_delivered_and_gossiped_once_however_often_it_is_received() {
    let mut lone = Lone::lan(&["b"]);
    for _ in 0..3 {
        lone.hear_event(5, "deploy", b"v1");
    }
    assert_eq!(lone.events(), ["user deploy"]);
    assert_eq!((lone.serf.times().event, lone.serf.queue_depths().events), (6, 1));
    for _ in 0..4 {
        assert_eq!(lone.packet(), ["user deploy@5"]);
    }
    lone.hear_event(5, "deploy", b"v1");
    assert_eq!((lone.packet(), lone.events()), (vec![], vec![]), "known even when it is not queued any more");
}

#[test]
fn events_differ_by_time_name_or_payload() {
    let mut lone = Lone::lan(&["b"]);
    for (ltime, name, payload) in [(5, "a", "x"), (6, "a", "x"), (5, "b", "x"), (5, "a", "y"), (5, "a", "x")] {
        lone.hear_event(ltime, name, payload.as_bytes());
    }
    assert_eq!(lone.events(), ["user a", "user a", "user b", "user a"]);
}

#[test]
fn an_event_older_than_the_buffer_is_dropped_and_the_oldest_in_it_is_not() {
    let mut lone = Lone::with(Options::lan().with(|options| options.serf.event_buffer = 8), &["b"]);
    lone.hear_event(19, "now", b"");
    lone.hear_event(11, "too old", b"");
    assert_eq!(lone.dropped(DropReason::OldEvent), 1);
    lone.hear_event(12, "oldest", b"");
    assert_eq!(lone.events(), ["user now", "user oldest"]);
    assert_eq!(lone.serf.times().event, 20);
}

#[test]
fn our_own_event_is_delivered_at_once_at_a_time_of_its_own() {
    let mut lone = Lone::lan(&["b"]);
    for name in ["x", "x", "y"] {
        lone.serf.user_event(&mut lone.core, name, b"", true).unwrap();
    }
    assert_eq!(lone.events(), ["user x", "user x", "user y"]);
    assert_eq!(lone.packet(), ["user x@1", "user x@2", "user y@3"]);
    assert_eq!((lone.core.stats.user_events, lone.core.stats.user_events_sent), (3, 3));
}

#[test]
fn an_event_that_is_too_large_is_not_sent_and_does_not_tick_the_clock() {
    let mut lone = Lone::lan(&["b"]);
    let mut send = |name_bytes: usize, payload_bytes: usize| {
        lone.serf.user_event(&mut lone.core, &"n".repeat(name_bytes), &vec![0; payload_bytes], false)
    };
    assert_eq!(send(1, 482), Err(SendError::TooLarge { bytes: 513, limit: 512 }));
    assert_eq!(send(1, 600), Err(SendError::TooLarge { bytes: 631, limit: 512 }));
    assert_eq!(send(1, 481), Ok(()));
    assert_eq!((lone.serf.times().event, lone.events().len(), lone.packet().len()), (2, 1, 1));
}

#[test]
fn the_reported_largest_payload_is_accepted_for_every_name_and_none_larger() {
    for (name_bytes, event_clock) in [(1, 1), (1, 200), (31, 1), (32, 70_000), (450, 1), (478, 1)] {
        let mut lone = Lone::lan(&["b"]);
        lone.hear_event(event_clock - 1, "x", b"");
        let name = "n".repeat(name_bytes);
        let most = lone.serf.user_event_payload_max(&lone.core, &name).unwrap();
        let send = |bytes| lone.clone().serf.user_event(&mut lone.clone().core, &name, &vec![0; bytes], false);
        assert!(send(most).is_ok() && send(most + 1).is_err(), "{name_bytes} at {event_clock}: {most}");
    }
    let lone = Lone::lan(&["b"]);
    assert_eq!(lone.serf.user_event_payload_max(&lone.core, "n"), Some(481));
    assert_eq!(lone.serf.user_event_payload_max(&lone.core, &"n".repeat(500)), None);
}

#[test]
fn an_event_must_also_fit_into_a_packet() {
    let options = Options::lan().with(|options| {
        options.serf.user_event_bytes_max = 1390;
        options.transport.packet_bytes = 1400;
    });
    let mut lone = Lone::with(options, &["b"]);
    let largest = lone.serf.user_event_payload_max(&lone.core, "n").unwrap();
    assert_eq!(
        lone.serf.user_event(&mut lone.core, "n", &vec![0; largest + 1], false),
        Err(SendError::TooLarge { bytes: 1391, limit: 1390 })
    );
    lone.serf.user_event(&mut lone.core, "n", &vec![0; largest], false).unwrap();
    assert_eq!(lone.packet(), ["user n@1"], "what is accepted can be sent");
}

#[test]
fn an_event_too_large_for_our_packets_is_delivered_and_blocks_no_other() {
    let mut lone = Lone::with(Options::lan().with(|options| options.transport.packet_bytes = 1400), &["b"]);
    lone.hear_event(5, "large", &[0; 2000]);
    lone.hear_event(4, "small", b"");
    assert_eq!(lone.events(), ["user large", "user small"]);
    assert_eq!(lone.packet(), ["user small@4"]);
    lone.hear_event(6, "large", &[0; 2000]);
    lone.talk();
    assert_eq!(lone.serf.queue_depths(), QueueDepths::default());
}

#[test]
fn the_largest_event_that_fits_into_a_packet_is_gossiped_and_a_larger_is_not() {
    // Checksum, head of a compound, length of the frame, type of a user message.
    let room = 1400 - (5 + 2 + 2 + 1);
    for (bytes, queued) in [(room, 1), (room + 1, 0)] {
        let mut lone = Lone::with(Options::lan().with(|options| options.transport.packet_bytes = 1400), &["b"]);
        // In the larger codec: the event must fit into a packet for any receiver.
        let frame = |payload: &[u8]| {
            let event = UserEvent { ltime: 5, name: "x", payload, coalesce: false };
            encode_in(Codec::HashiCorp, &Message::UserEvent(event))
        };
        let payload = vec![0; bytes - frame(&[0; 1000]).len() + 1000];
        assert_eq!(frame(&payload).len(), bytes);
        lone.hear_event(5, "x", &payload);
        assert_eq!((lone.events().len(), lone.packet().len(), lone.serf.queue_depths().events), (1, queued, queued));
        assert_eq!(lone.core.stats.broadcasts_pruned(), 1 - queued as u64);
    }
}

#[test]
fn the_queue_of_events_is_bounded_and_unsent_events_stay() {
    let mut lone = Lone::with(Options::lan().with(|options| options.serf.queue_depth_max = 3), &["b"]);
    lone.hear_event(1, "a", b"");
    lone.hear_event(2, "b", b"");
    lone.packet();
    for (ltime, name) in [(3, "c"), (4, "d"), (5, "e")] {
        lone.hear_event(ltime, name, b"");
        assert!(lone.serf.queue_depths().events <= 3);
    }
    assert_eq!(lone.packet(), ["user c@3", "user d@4", "user e@5"]);
    assert_eq!(lone.core.stats.broadcasts_pruned(), 2);
}

#[test]
fn more_events_at_one_time_than_the_limit_are_dropped_and_counted() {
    let mut lone = Lone::lan(&["b"]);
    for n in 0..65_u8 {
        lone.hear_event(5, "x", &[n]);
    }
    assert_eq!((lone.events().len(), lone.dropped(DropReason::Limit)), (64, 1));
    assert_eq!(lone.serf.queue_depths().events, 64);
}

#[test]
fn intents_go_before_events() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_join("b", 5);
    lone.hear_event(5, "x", b"");
    assert_eq!(lone.packet(), ["join b@5", "user x@5"]);
}

#[test]
fn an_event_is_sent_once_in_a_round_and_again_after_it() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_event(5, "x", b"");
    lone.serf.begin_round();
    assert_eq!((lone.packet(), lone.packet()), (vec!["user x@5".to_string()], vec![]));
    lone.serf.end_round();
    assert_eq!((lone.packet(), lone.packet()), (vec!["user x@5".to_string()], vec!["user x@5".to_string()]));
}

#[test]
fn a_payload_is_concealed_wherever_the_node_keeps_it() {
    let options = Options::lan().with(|options| {
        options.serf.user_coalesce_period = secs(3);
        options.serf.user_quiescent_period = secs(1);
    });
    let mut lone = Lone::with(options, &["b"]);
    let event = UserEvent { ltime: 5, name: "x", payload: b"secret", coalesce: true };
    lone.serf.handle(&mut lone.core, Origin::Local, &encode(&Message::UserEvent(event)));
    lone.serf.deliver(&mut lone.core, |delivered| panic!("{delivered:?}"));
    let (mut keep, mut hide) = (|_: &mut [u8]| {}, |payload: &mut [u8]| payload.fill(b'*'));
    lone.serf.conceal(&mut crate::Concealer::keys(&mut keep).and_payloads(&mut hide));
    let concealed = UserEvent { payload: b"******", ..event };
    let queued = lone.serf.events.queue.next().map(|message| Codec::decode_serf(message).unwrap());
    assert_eq!(queued, Some(Message::UserEvent(concealed)));
    assert_eq!(lone.serf.events.newest_in_order(1000), [concealed]);
    lone.core.now = lone.core.now + secs(1);
    let mut held = vec![];
    lone.fire(lone.core.now, |delivered| held.push(delivered));
    let [Delivered::Event(Event::User(event))] = &held[..] else { panic!("{held:?}") };
    assert_eq!(&*event.payload, b"******");
}

// Windows: digests of the recent events, which members compare.

impl Lone {
    /// The window of this node's events, without a salt: last time, number of times, digest.
    fn window(&mut self) -> Option<(u64, u8, u32)> {
        self.salted_window(0)
    }

    fn salted_window(&mut self, salt: u64) -> Option<(u64, u8, u32)> {
        self.serf.event_window(&self.core, salt).map(|window| (window.last, window.times, window.digest))
    }

    /// The number of this node's events in a remote window, if they differ from the remote ones.
    fn differing(&mut self, remote: (u64, u8, u32)) -> Option<usize> {
        let (last, times, digest) = remote;
        self.serf.compare_events(&self.core, EventWindow { last, times, digest }, 0).map(|hashes| hashes.len())
    }
}

/// A layer with these events: Lamport time and name. All have settled.
fn settled(events: &[(u64, &str)]) -> Lone {
    let mut lone = Lone::lan(&["b"]);
    for (ltime, name) in events {
        lone.hear_event(*ltime, name, b"");
    }
    lone.run(secs(1));
    lone
}

#[test]
fn the_digest_of_a_window_is_the_sum_that_the_protocol_says() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_event(5, "deploy", b"v1");
    lone.run(secs(1));
    assert_eq!(lone.window(), Some((5, 5, 0xa101_6870)));
    assert_eq!(lone.salted_window(7), Some((5, 5, 0xd3ea_9d85)));
    lone.hear_event(6, "deploy", b"v2");
    lone.run(secs(1));
    assert_eq!(lone.window(), Some((6, 6, 0x9cf4_7c91)));
    assert_eq!(lone.salted_window(7), Some((6, 6, 0x05d8_1a6c)));
}

#[test]
fn an_event_is_in_the_window_when_gossip_has_had_time_to_spread_it() {
    let mut lone = Lone::lan(&["b"]);
    lone.hear_event(5, "a", b"");
    lone.hear_event(6, "b", b"");
    lone.run(Duration::from_millis(999));
    assert_eq!(lone.window(), None);
    lone.run(Duration::from_millis(1));
    assert_eq!(lone.window().map(|(last, times, _)| (last, times)), Some((6, 6)));
}

#[test]
fn of_more_young_events_than_are_timed_the_oldest_counts_as_settled() {
    let mut lone = Lone::lan(&["b"]);
    for ltime in 1..=256 {
        lone.hear_event(ltime, "x", b"");
    }
    assert_eq!(lone.window(), None);
    lone.hear_event(257, "x", b"");
    assert_eq!(lone.window().map(|(last, times, _)| (last, times)), Some((1, 1)));
}

#[test]
fn a_window_has_a_bounded_number_of_times() {
    for (newest, times) in [(63, 63), (64, 64), (65, 64), (1000, 64)] {
        let mut lone = settled(&[(newest, "x")]);
        assert_eq!(lone.window().map(|(last, times, _)| (last, times)), Some((newest, times)));
    }
}

#[test]
fn events_are_compared_within_the_times_of_the_window_only() {
    let mut one = settled(&[(5, "a"), (6, "b")]);
    let mut other = settled(&[(4, "else"), (6, "b")]);
    let (last, _, digest) = settled(&[(6, "b")]).window().unwrap();
    assert_eq!((one.differing((last, 1, digest)), other.differing((last, 1, digest))), (None, None));
    assert_eq!((one.differing((last, 2, digest)), other.differing((last, 2, digest))), (Some(2), None));
    assert_eq!((one.differing((last, 3, digest)), other.differing((last, 3, digest))), (Some(2), Some(2)));
    assert_eq!(one.differing((last, 1, digest + 1)), Some(1), "the hashes are those of the window");
}

#[test]
fn a_window_that_begins_before_what_a_node_knows_is_not_compared() {
    let mut lone = Lone::lan(&["b"]);
    lone.merge(Clocks { member: 1, event: 9, query: 1 }, &[], &[], true);
    lone.hear_event(9, "new", b"");
    lone.run(secs(1));
    assert_eq!(lone.window().map(|(last, times, _)| (last, times)), Some((9, 1)));
    assert_eq!(lone.differing((9, 1, 0)), Some(1));
    assert_eq!(lone.differing((9, 2, 0)), None, "what it ignored it need not know");
}

#[test]
fn a_node_that_missed_all_events_has_the_window_of_the_member_that_it_compared_with() {
    let window = settled(&[(5, "x")]).window().unwrap();
    let mut lone = Lone::lan(&["b"]);
    assert_eq!(lone.window(), None);
    assert_eq!(lone.differing(window), Some(0));
    assert_eq!(lone.window(), Some((5, 5, 0)));
}

#[test]
fn the_newest_event_is_offered_to_a_member_that_lacks_it_while_it_is_recent() {
    let mut lone = settled(&[(5, "x")]);
    let offered =
        |lone: &mut Lone, last| lone.serf.events_after(&lone.core, last).map(|(range, hashes)| (range, hashes.len()));
    assert_eq!(offered(&mut lone, 4), None, "the member may have received it a moment ago");
    lone.run(secs(1));
    assert_eq!(offered(&mut lone, 4), Some(((5, 5), 1)));
    assert_eq!(offered(&mut lone, 5), None, "the member has it");
    lone.hear_event(6, "y", b"");
    assert_eq!(offered(&mut lone, 4), None, "the next one is on its way");
    lone.run(secs(29));
    assert_eq!(offered(&mut lone, 4), Some(((6, 6), 2)));
    lone.run(secs(1));
    assert_eq!(offered(&mut lone, 4), None);
}
