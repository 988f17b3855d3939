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
    assert_eq!(lone.core.stats.user_events, 3);
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
