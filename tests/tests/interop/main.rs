//! Interoperability tests: our nodes and HashiCorp's agents in one cluster, on real sockets of this host.
//!
//! They need HashiCorp's `serf`: on the path (`apt-get install serf`), or at `SERF_HASHICORP`. Without it they are
//! listed as ignored. The system selects the ports. The tests never sleep for a fixed time; they wait for conditions.
//! Every test also fails if an agent of HashiCorp's logs a warning or an error that the test does not expect, or if a
//! node of ours drops an input unexpectedly.

#![expect(clippy::unwrap_used, reason = "these functions are tests")]

mod coordinates;
mod events;
mod harness;
mod keys;
mod many;
mod membership;
mod queries;
mod serfer;
mod snapshots;

use libtest_mimic::{Arguments, Trial};

/// Lists functions with their names.
macro_rules! tests {
    ($($module:ident { $($test:ident)* })*) => {
        vec![$($((concat!(stringify!($module), "::", stringify!($test)), $module::$test as fn())),*),*]
    };
}

fn main() {
    let tests = tests! {
        membership {
            ours_joins_theirs
            theirs_joins_ours
            tags_from_the_start_and_changed_later_are_seen_by_both
            a_leave_is_seen_by_both
            a_crashed_member_fails_for_both
            a_failed_member_can_be_forced_out_by_either
            ours_that_comes_late_sees_what_theirs_that_comes_late_sees
            a_member_that_comes_back_is_alive_for_both
        }
        events {
            user_events_arrive_with_every_byte_and_the_coalesce_flag
            the_largest_user_event_is_the_same_for_both
            compressed_and_plain_nodes_understand_each_other
            a_joiner_of_ours_gets_old_events_on_request
        }
        queries {
            ours_asks_both_and_both_answer
            theirs_asks_both_and_both_answer
            filters_mean_the_same_to_both
            answers_come_over_members_of_the_other_kind_too
            the_largest_query_is_the_same_for_both
        }
        keys {
            both_agents_report_a_keyring_file_that_cannot_be_written
            keys_of_every_size_encrypt_between_both
            a_rotation_by_theirs_is_followed_by_ours
            a_rotation_by_ours_is_followed_by_theirs
            another_key_is_kept_out_by_both
        }
        many {
            eight_of_each_see_all_sixteen
            a_cluster_of_theirs_is_replaced_by_ours_and_no_event_is_lost
        }
        serfer {
            our_guardian_sends_to_and_queries_theirs_and_theirs_ours
        }
        snapshots {
            theirs_resumes_after_our_leave_and_gets_none_of_its_events_again
        }
        coordinates {
            both_find_each_other_in_network_coordinates
        }
    };
    let found = harness::binary();
    if found.is_none() {
        eprintln!("NOT RUN: no serf of HashiCorp's on the path, and SERF_HASHICORP names none (apt-get install serf)");
    }
    let trial = |(name, test): (&str, fn())| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
        .with_ignored_flag(found.is_none())
    };
    let mut arguments = Arguments::from_args();
    // The tests mostly wait.
    arguments.test_threads.get_or_insert(TESTS_AT_A_TIME);
    libtest_mimic::run(&arguments, tests.into_iter().map(trial).collect()).exit();
}

/// With more, the probes of a small machine are late, so that the nodes suspect each other.
const TESTS_AT_A_TIME: usize = 6;
