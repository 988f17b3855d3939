//! A catalogue of defects of HashiCorp's serf, numbered as in our notes: what this implementation does instead, and the
//! tests that show it.
//!
//! The tests are in the files of their subjects. The catalogue is checked against them, so that none is removed
//! unnoticed.

/// HashiCorp's behaviour, ours, and the names of the tests.
struct Entry {
    number: u32,
    serf: &'static str,
    ours: &'static str,
    shown_by: &'static [&'static str],
}

const CATALOGUE: [Entry; 20] = [
    Entry {
        number: 1,
        serf: "an empty filter in a query, or a key request without a key, stops every receiver",
        ours: "such a filter is met by nobody, such a request is answered with a refusal; we can send neither",
        shown_by: &[
            "a_node_that_fails_a_filter_only_gossips_the_query",
            "a_request_without_a_key_is_refused_and_harms_nobody",
        ],
    },
    Entry {
        number: 2,
        serf: "pruning a live member stops everything for six seconds and makes the member a ghost for ever",
        ours: "a timer waits, and only a member that is gone by then is forgotten; a live one refutes and stays",
        shown_by: &[
            "forcing_a_live_member_out_does_not_even_with_prune_and_even_between_two",
            "pruning_a_live_member_forgets_it_only_if_it_does_not_refute",
            "a_member_that_refuted_a_prune_and_then_goes_is_not_forgotten_by_it",
        ],
    },
    Entry {
        number: 3,
        serf: "the greatest Lamport time wraps every clock to zero, and a snapshot can say it",
        ours: "times far ahead are refused, counted and not passed on; a snapshot's are passed over",
        shown_by: &[
            "a_time_far_ahead_is_dropped_counted_and_not_passed_on",
            "a_clock_out_of_range_costs_neither_other_clocks_nor_members_nor_events",
            "times_out_of_all_proportion_are_dropped_and_old_queries_too",
            "times_out_of_range_and_names_that_would_break_the_file_are_skipped",
        ],
    },
    Entry {
        number: 4,
        serf: "a member's return does not raise its time, and every exchange raises that of a tombstone",
        ours: "tombstones rest, stale ones are not believed, and whoever returns by whatever way announces its join",
        shown_by: &[
            "two_nodes_with_a_tombstone_do_not_raise_it_however_often_they_exchange",
            "a_stale_tombstone_does_not_make_a_live_member_leave",
            "a_tombstone_in_a_state_does_not_restart_the_broadcast_of_its_leave",
            "a_member_that_reaches_a_failed_one_again_broadcasts_its_join",
            "a_state_newer_than_ours_about_us_causes_a_newer_join_unless_we_leave",
        ],
    },
    Entry {
        number: 5,
        serf: "of two nodes, one that forces the other out tells nobody, and shows it as leaving for ever",
        ours: "it is always told, and a member that does not go is alive again after a while",
        shown_by: &[
            "forcing_a_live_member_out_does_not_even_with_prune_and_even_between_two",
            "a_leaving_member_that_is_still_alive_after_the_longest_leave_is_alive_again",
        ],
    },
    Entry {
        number: 6,
        serf: "events or queries that are sent at once share a time; one of them is lost",
        ours: "each takes a time of its own, and a query is known by its time and its number",
        shown_by: &[
            "our_own_event_is_delivered_at_once_at_a_time_of_its_own",
            "two_queries_of_one_time_are_distinguished",
        ],
    },
    Entry {
        number: 7,
        serf: "a push/pull forgets which events may be coalesced, and replays events out of order",
        ours: "both sides put them in the order of their times; our own codec keeps the flag, HashiCorp's has no place for it",
        shown_by: &[
            "the_coalesce_flag_survives_the_ring",
            "a_state_names_every_member_and_replays_events_in_order_of_time",
            "events_in_the_order_of_a_ring_are_delivered_in_the_order_of_their_times",
        ],
    },
    Entry {
        number: 8,
        serf: "a vote on a name without answers, or with answers of strangers, shuts the node down",
        ours: "only a majority of those alive before decides, one vote at a time, and it is the application that acts on it",
        shown_by: &[
            "only_a_majority_of_all_who_may_vote_takes_the_name_from_us",
            "strangers_have_no_vote_on_a_name_whatever_names_they_answer_under",
            "a_member_first_heard_of_after_the_claim_has_no_vote_on_the_name",
            "two_claimants_alone_do_not_shut_each_other_down",
            "of_two_claimants_of_a_name_the_majority_decides_and_the_loser_learns_it",
        ],
    },
    Entry {
        number: 9,
        serf: "an event that no packet has room for is accepted, never gossiped, and stays in the queue",
        ours: "the limit is checked when the node is configured, and every event when it is sent; a peer's is not queued",
        shown_by: &[
            "a_user_event_limit_that_no_packet_has_room_for_is_refused_and_the_room_is_named",
            "an_event_must_also_fit_into_a_packet",
            "an_event_too_large_for_our_packets_is_delivered_and_blocks_no_other",
        ],
    },
    Entry {
        number: 10,
        serf: "with a snapshot, a slow application loses events and nobody knows",
        ours: "a subscriber that is too slow is told how many it lost, and the snapshot loses none",
        shown_by: &[
            "a_slow_subscriber_gets_lagged_can_resync_and_delays_no_other",
            "a_record_comes_before_the_event_that_it_is_about",
            "records_beyond_the_bound_are_remembered_by_what_they_come_to",
        ],
    },
    Entry {
        number: 11,
        serf: "the coalescer tells old updates again in every later window, and grows",
        ours: "what was told is forgotten",
        shown_by: &[
            "an_update_is_emitted_once_and_not_again_in_later_windows",
            "a_join_and_an_update_after_it_are_both_emitted",
        ],
    },
    Entry {
        number: 12,
        serf: "a snapshot is not flushed on a quiet node, not replaced in one step, and melts torn lines together",
        ours: "flushed within half a second, renamed over the old one, cut to whole lines before it is appended to",
        shown_by: &[
            "appended_records_are_written_without_further_ones_and_at_the_end",
            "a_compacted_file_that_was_never_renamed_is_taken",
            "a_file_that_cannot_be_written_is_counted_and_made_up_for",
            "two_records_that_a_torn_line_melted_together_are_passed_over",
            "a_torn_last_line_is_to_be_cut_off",
        ],
    },
    Entry {
        number: 13,
        serf: "one huge coordinate resets a node twenty times",
        ours: "it is none, and a reset forgets the samples too",
        shown_by: &["coordinates_that_no_honest_node_has_are_rejected", "a_reset_forgets_the_window_of_samples"],
    },
    Entry {
        number: 14,
        serf: "an answer whose relay is too large is sent and then reported as refused",
        ours: "the relay is left out, and the answer counts as given",
        shown_by: &["a_relay_that_would_be_too_large_is_left_out_and_the_answer_counts_as_given"],
    },
    Entry {
        number: 15,
        serf: "a relay passes anything on to anybody, and may be the asker itself",
        ours: "only answers, only to members, and never over the asker",
        shown_by: &[
            "only_answers_are_passed_on_and_only_to_members",
            "relays_of_an_answer_exclude_the_requester_ourselves_and_gone_members",
        ],
    },
    Entry {
        number: 16,
        serf: "who has answered is read without a lock, and whoever says that it answers is believed",
        ours: "a node is called by one at a time, which the compiler sees to; strangers' answers are bounded, since somebody \
               may have joined a moment ago, and each name's is taken once",
        shown_by: &[
            "answers_from_strangers_are_taken_up_to_a_bound",
            "a_response_that_arrived_by_another_path_is_dropped",
        ],
    },
    Entry {
        number: 17,
        serf: "a shutdown that fails half-way leaves those waiting who wait for its end",
        ours: "a stop cannot fail, and everybody who waits is told",
        shown_by: &[
            "a_stopped_node_frees_its_port_and_refuses_commands",
            "the_last_handle_stops_the_node",
            "a_leave_asks_no_more_seeds_and_ends_the_join",
        ],
    },
    Entry {
        number: 18,
        serf: "new tags are kept although setting them failed for want of time",
        ours: "setting tags does not wait: it is refused before anything changes, or done",
        shown_by: &["commands_that_cannot_be_carried_out_change_nothing", "new_tags_reach_everybody"],
    },
    Entry {
        number: 19,
        serf: "events are handed to the application under the lock of the members",
        ours: "they are put into the outbox, and into bounded queues for those who listen; no application holds up a node",
        shown_by: &[
            "a_slow_subscriber_gets_lagged_can_resync_and_delays_no_other",
            "a_new_node_is_a_cluster_of_itself",
        ],
    },
    Entry {
        number: 20,
        serf: "a configuration without defaults is taken as it is, and an interval of zero spins",
        ours: "settings start from a profile, and what cannot work is refused by name",
        shown_by: &[
            "every_profile_is_valid",
            "zero_intervals_and_counts_are_refused_by_name",
            "counts_beyond_all_reason_are_refused_and_indirect_probes_may_be_none",
        ],
    },
];

/// Every file that may contain a test of the catalogue.
const TESTS: [&str; 20] = [
    include_str!("coalescing.rs"),
    include_str!("events.rs"),
    include_str!("exchanges.rs"),
    include_str!("intents.rs"),
    include_str!("keys.rs"),
    include_str!("queries.rs"),
    include_str!("reaping.rs"),
    include_str!("table.rs"),
    include_str!("../conflict.rs"),
    include_str!("../coordinate.rs"),
    include_str!("../../types/snapshot.rs"),
    include_str!("../vivaldi.rs"),
    include_str!("../../config/mod.rs"),
    include_str!("../../node/tests.rs"),
    include_str!("../../node/tests/joins.rs"),
    include_str!("../../node/tests/names.rs"),
    include_str!("../../node/tests/records.rs"),
    include_str!("../../../../runtime/src/snapshot.rs"),
    include_str!("../../../../tests/src/embedding.rs"),
    include_str!("../../../../tests/tests/it/snapshots.rs"),
];

#[test]
fn every_entry_is_shown_by_tests_that_exist() {
    for (at, Entry { number, serf, ours, shown_by }) in (1..).zip(&CATALOGUE) {
        assert_eq!(*number, at);
        assert!(!shown_by.is_empty(), "{number}: {serf}; {ours}");
        for name in *shown_by {
            let plain = alloc::format!("#[test]\n    fn {name}()").replace("    ", "");
            let exists = TESTS.iter().any(|file| {
                let file = file.replace("    ", "");
                file.contains(&plain) || file.contains(&alloc::format!("pub async fn {name}<N: Net>()"))
            });
            assert!(exists, "{number}: {serf}; {ours}: there is no test {name}");
        }
    }
}
