//! Conformance tests of an embedded node: each runtime's crate runs them on real sockets of this host. The system
//! selects the ports.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "these functions are tests")]

use core::future::Future;
use core::net::SocketAddr;
use core::pin::pin;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures_lite::future::{or, poll_once, zip};
use serf_runtime::net::Net;
use serf_runtime::serf_proto::internals::wire::hashicorp;
use serf_runtime::serf_proto::{AfterLeave, DropReason, Snapshot, UserEventError, limits};
use serf_runtime::{
    Candidate, Capture, Coalescing, CodecChoice, CommandError, End, Event, Events, Handlers, JoinError, Key,
    KeyOperation, KeysError, Lagged, Member, MemberEventKind, NodeState, OldEvents, Options, Policy, Query, QueryError,
    QueryReport, QueryStream, Question, Reply, RespondError, Retry, SeedCause, Serf, SharedPolicy, StartError, Status,
    Tags, Tombstone, Transport, Veto, read_keyring_file, write_keyring_file,
};
use tempfile::TempDir;

pub use self::beacons::{
    a_beacon_measures_the_dissemination_time_and_lists_the_silent_members, round_trips_of_probes_are_recorded,
};
pub use self::traced::{
    a_handlers_span_says_that_it_panicked_and_is_around_what_the_handler_does,
    a_join_is_a_span_and_the_exchanges_of_its_seeds_are_its_children,
    a_join_that_fails_is_a_span_with_an_error_and_so_is_the_stream_to_a_closed_port,
    a_query_is_a_span_from_start_to_end_and_each_run_of_its_handlers_is_one,
};
use crate::guardian;

mod beacons;
mod traced;

/// Generates the tests of this module for one runtime, given its type and a function that runs a future on it.
#[macro_export]
macro_rules! embedding_tests {
    ($net:ty, $block_on:path) => {
        $crate::embedding_tests!($net, $block_on:
            two_nodes_that_join_know_each_other
            a_user_event_reaches_all_members_once
            changed_tags_are_announced
            update_tags_changes_only_the_given_tags
            handlers_from_the_start_see_the_first_event_and_all_of_one_name_are_called
            a_wait_ends_with_the_leave_or_the_stop
            a_panic_in_a_handler_ends_that_call_only_and_is_counted
            a_panic_in_a_task_of_the_node_stops_it_and_ends_every_wait
            a_panic_in_a_call_that_has_locked_the_node_stops_it
            a_second_node_with_the_same_files_is_refused_until_the_first_is_shut_down
            a_node_finds_the_members_that_it_was_started_with_whenever_they_come
            a_leave_is_seen_by_the_others
            nodes_that_leave_at_once_do_not_wait_for_each_other
            events_sent_at_once_arrive_in_that_order
            a_node_dropped_without_a_leave_fails_and_can_be_forced_out
            fifty_nodes_in_one_process_find_each_other
            a_slow_subscriber_gets_lagged_can_resync_and_delays_no_other
            a_subscription_hears_only_what_it_asked_for
            handlers_are_called_in_order_and_by_name
            a_join_says_for_every_seed_why_it_did_not_help
            one_good_seed_among_bad_ones_is_enough
            a_name_is_resolved
            a_join_without_seeds_fails
            a_port_in_use_is_named
            an_unreachable_address_is_not_advertised
            ipv6_is_as_good_as_ipv4
            a_socket_for_both_kinds_speaks_to_ipv4
            a_cancelled_join_still_joins_and_does_no_harm
            a_cancelled_leave_still_leaves
            a_leave_that_is_asked_for_twice_is_one_leave
            the_last_handle_stops_the_node
            a_stopped_node_frees_its_port_and_refuses_commands
            garbage_is_counted_and_harms_no_node
            silent_streams_are_bounded_and_exclude_no_peer
            streams_with_unread_answers_are_bounded_and_exclude_no_peer
            a_query_is_acknowledged_and_answered_and_ends_early
            all_answers_of_a_query_come_together_if_they_are_wanted_so
            a_query_reaches_only_those_that_its_filters_meet
            a_question_is_built_of_variables_and_kept
            a_query_may_be_abandoned_and_an_answer_may_be_late
            a_slow_reader_of_replies_loses_the_oldest_and_never_the_report
            large_answers_of_many_nodes_wait_for_a_slow_reader_and_none_is_lost
            a_large_answer_is_refused_by_its_size_and_by_the_requesters_codec
            a_persistent_join_goes_on_until_a_node_answers
            a_persistent_join_ends_at_its_deadline_or_when_its_future_is_dropped
            members_know_how_far_they_are_apart
            keys_are_exchanged_by_the_whole_cluster_and_kept_in_files
            a_keyring_file_that_cannot_be_written_fails_the_key_change
            failed_writes_of_a_capture_are_counted_also_after_its_end
            a_node_with_a_keyring_file_starts_with_the_keys_in_it_and_never_in_the_clear
            nodes_without_the_key_are_not_let_in
            a_node_that_crashed_rejoins_by_itself_and_gets_no_event_twice
            a_torn_snapshot_still_leads_back
            after_a_leave_a_node_rejoins_only_if_it_is_configured_to
            a_snapshot_that_cannot_be_used_is_named
            nodes_write_hashicorps_codec_if_configured_to
            a_guardian_sends_to_and_queries_all_nodes_of_its_encrypted_cluster
            coalesced_joins_are_one_event_for_streams_and_handlers_alike
            a_policy_keeps_a_member_out_and_why_explains_a_failure
            a_join_is_a_span_and_the_exchanges_of_its_seeds_are_its_children
            a_join_that_fails_is_a_span_with_an_error_and_so_is_the_stream_to_a_closed_port
            a_query_is_a_span_from_start_to_end_and_each_run_of_its_handlers_is_one
            a_handlers_span_says_that_it_panicked_and_is_around_what_the_handler_does
            a_beacon_measures_the_dissemination_time_and_lists_the_silent_members
            round_trips_of_probes_are_recorded
        );
    };
    ($net:ty, $block_on:path: $($test:ident)*) => {
        $(
            #[test]
            fn $test() {
                $block_on($crate::embedding::$test::<$net>());
            }
        )*
    };
}

/// Starts a node on loopback, on a port selected by the system.
fn start<N: Net>(name: &str) -> Serf<N> {
    Serf::start(options(name)).unwrap()
}

fn options(name: &str) -> Options {
    let mut options = Options::local(name).with(|options| options.bind = loopback());
    // The profile's two transmissions per broadcast do not reach all nodes if a packet is lost.
    options.protocol.swim.retransmit_mult = 4;
    options
}

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn at<N: Net>(serf: &Serf<N>) -> [String; 1] {
    [serf.bound_addr().to_string()]
}

/// Starts two nodes of one cluster.
async fn pair<N: Net>(names: [&str; 2]) -> [Serf<N>; 2] {
    let nodes = names.map(start);
    let report = soon::<N, _>(nodes[1].join(&at(&nodes[0]))).await.unwrap();
    assert_eq!((report.contacted, report.failed.len()), (1, 0));
    nodes
}

/// Awaits a future with a timeout of one minute, because the host may be busy.
async fn soon<N: Net, T>(future: impl Future<Output = T>) -> T {
    let net = N::current().unwrap();
    let too_late = async {
        net.sleep(Duration::from_secs(60)).await;
        panic!("it did not happen within a minute");
    };
    or(future, too_late).await
}

async fn next<N: Net>(events: &mut Events) -> Event {
    soon::<N, _>(events.next()).await.expect("the node runs").expect("nothing was missed")
}

/// Waits until a node's members satisfy a condition. Driven by events, without sleeping.
async fn until<N: Net>(serf: &Serf<N>, are_so: impl Fn(&[Member]) -> bool) {
    let mut events = serf.events();
    while !are_so(&serf.resync(&mut events)) {
        next::<N>(&mut events).await;
    }
}

fn count(members: &[Member], status: Status) -> usize {
    members.iter().filter(|member| member.status() == status).count()
}

fn status_of<N: Net>(serf: &Serf<N>, name: &str) -> Option<Status> {
    serf.member(name).map(|member| member.status())
}

/// Waits for the next event of one kind about a member.
async fn wait_for<N: Net>(events: &mut Events, kind: MemberEventKind, name: &str) -> Member {
    loop {
        if let Event::Member(event) = next::<N>(events).await
            && event.kind == kind
            && let Some(member) = event.members.iter().find(|member| member.name() == name)
        {
            return member.clone();
        }
    }
}

/// Returns the names of the next user events.
async fn user_events<N: Net>(events: &mut Events, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    while names.len() < count {
        if let Event::User(event) = next::<N>(events).await {
            names.push(event.name.to_string());
        }
    }
    names
}

/// Join, observed from both sides.
pub async fn two_nodes_that_join_know_each_other<N: Net>() {
    let tags: Tags = [("role", "db")].into_iter().collect();
    let a: Serf<N> = Serf::start(options("a").with(|options| options.tags = tags.clone())).unwrap();
    let b = start::<N>("b");
    let mut events = a.events();
    soon::<N, _>(b.join(&at(&a))).await.unwrap();
    let member = wait_for::<N>(&mut events, MemberEventKind::Join, "b").await;
    assert_eq!(member.addr(), b.bound_addr());
    let known = b.member("a").unwrap();
    assert_eq!((known.status(), known.to_tags(), known.addr()), (Status::Alive, tags, a.bound_addr()));
    assert_eq!((b.local().name(), b.state(), b.members().len()), ("b", NodeState::Alive, 2));
    assert_eq!(b.stats().protocol.push_pulls_out, 1);
}

/// A user event and its payload, at its sender and at another node.
pub async fn a_user_event_reaches_all_members_once<N: Net>() {
    let [a, b] = pair::<N>(["a", "b"]).await;
    let (mut at_a, mut at_b) = (a.events(), b.events());
    for name in ["one", "two"] {
        a.user_event(name, name.as_bytes(), Coalescing::Forbid).unwrap();
        for events in [&mut at_a, &mut at_b] {
            let event = loop {
                if let Event::User(event) = next::<N>(events).await {
                    break event;
                }
            };
            assert_eq!((&*event.name, &event.payload[..]), (name, name.as_bytes()), "and nothing a second time");
        }
    }
    let too_large = a.user_event("large", &[0; 600], Coalescing::Forbid);
    assert!(matches!(too_large, Err(CommandError::Refused(UserEventError::TooLarge { limit: 512, .. }))));
}

/// Announcement of new tags.
pub async fn changed_tags_are_announced<N: Net>() {
    let [a, b] = pair::<N>(["a", "b"]).await;
    let mut events = b.events();
    let tags: Tags = [("role", "web"), ("dc", "eu")].into_iter().collect();
    a.set_tags(&tags).unwrap();
    assert_eq!(wait_for::<N>(&mut events, MemberEventKind::Update, "a").await.to_tags(), tags);
    assert!(a.set_tags(&[("k", "v".repeat(600))].into_iter().collect()).is_err());
}

/// Changes of single tags.
pub async fn update_tags_changes_only_the_given_tags<N: Net>() {
    let tags: Tags = [("role", "web"), ("state", "up"), ("leader", "yes")].into_iter().collect();
    let a = Serf::<N>::start(options("a").with(|options| options.tags = tags)).unwrap();
    let b = start::<N>("b");
    soon::<N, _>(b.join(&at(&a))).await.unwrap();
    let mut events = b.events();
    a.update_tags(|tags| {
        tags.set("state", "draining");
        tags.remove("leader");
    })
    .unwrap();
    let expected: Tags = [("role", "web"), ("state", "draining")].into_iter().collect();
    assert_eq!(a.tags(), expected);
    assert_eq!(wait_for::<N>(&mut events, MemberEventKind::Update, "a").await.to_tags(), expected);
    assert!(a.update_tags(|tags| tags.set("k", "v".repeat(600))).is_err());
    assert_eq!(a.tags(), expected, "what is refused changes nothing");
}

/// Handlers registered at the start.
pub async fn handlers_from_the_start_see_the_first_event_and_all_of_one_name_are_called<N: Net>() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let note = |who: &'static str| {
        let calls = Arc::clone(&calls);
        move |text: String| calls.lock().unwrap().push(format!("{who} {text}"))
    };
    let (joined, first, second, ended) = (note("joined"), note("first"), note("second"), call_and_wait());
    let handlers = Handlers::new()
        .on_member(MemberEventKind::Join, move |event| {
            event.members.names().for_each(|name| joined(name.to_owned()));
            async {}
        })
        .on_user("deploy", move |event| {
            first(String::from_utf8_lossy(&event.payload).into_owned());
            async {}
        })
        .on_user("deploy", move |event| {
            second(String::from_utf8_lossy(&event.payload).into_owned());
            ended.0();
            async {}
        });
    let a = Serf::<N>::builder(options("a")).handlers(handlers).start().unwrap();
    a.user_event("deploy", b"v1", Coalescing::Forbid).unwrap();
    soon::<N, _>(ended.1).await;
    assert_eq!(*calls.lock().unwrap(), ["joined a", "first v1", "second v1"]);
}

/// A service that only waits for its node.
pub async fn a_wait_ends_with_the_leave_or_the_stop<N: Net>() {
    fn may_be_spawned<T: Send>(future: T) -> T {
        future
    }
    let [a, b] = pair::<N>(["a", "b"]).await;
    drop((may_be_spawned(a.leave()), may_be_spawned(a.shutdown())));
    let mut waiting = pin!(may_be_spawned(a.wait()));
    assert!(poll_once(&mut waiting).await.is_none(), "it runs");
    let report = soon::<N, _>(a.leave()).await.unwrap();
    assert_eq!(soon::<N, _>(waiting).await, End::Left(report));
    assert_eq!(soon::<N, _>(a.wait()).await, End::Left(report), "late callers get the result too");
    let mut waiting = pin!(b.wait());
    assert!(poll_once(&mut waiting).await.is_none());
    b.shutdown().await.unwrap();
    assert_eq!(soon::<N, _>(waiting).await, End::ShutDown);
    assert_eq!(soon::<N, _>(b.wait()).await, End::ShutDown);
}

/// A panic in the application's code.
pub async fn a_panic_in_a_handler_ends_that_call_only_and_is_counted<N: Net>() {
    let a = start::<N>("a");
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (ended, end) = call_and_wait();
    let called = Arc::clone(&calls);
    a.handle(
        Handlers::new()
            .on_user("bad", |_| async { panic!("this panic belongs to the test") })
            .on_query("bad", |_| async { panic!("this panic belongs to the test") })
            .on_any_user(move |event| {
                called.lock().unwrap().push(event.name.to_string());
                if &*event.name == "last" {
                    ended();
                }
                async {}
            }),
    );
    a.user_event("first", b"", Coalescing::Forbid).unwrap();
    a.user_event("bad", b"", Coalescing::Forbid).unwrap();
    let question = Question::new("bad").for_at_most(Duration::from_millis(200));
    assert_eq!(replies::<N>(a.query(&question).unwrap()).await.0, [""; 0]);
    a.user_event("last", b"", Coalescing::Forbid).unwrap();
    soon::<N, _>(end).await;
    assert_eq!((&**calls.lock().unwrap(), a.stats().handler_panics), (&["first".to_owned(), "last".to_owned()][..], 2));
    assert_eq!(a.state(), NodeState::Alive);
}

/// A panic under the node's lock, which may leave the node inconsistent.
pub async fn a_panic_in_a_task_of_the_node_stops_it_and_ends_every_wait<N: Net>() {
    struct Buggy;
    impl Policy for Buggy {
        fn admits(&self, candidate: &Candidate<'_>) -> Result<(), Veto> {
            assert_ne!(candidate.name(), "b", "this panic belongs to the test");
            Ok(())
        }
    }
    let a = Serf::<N>::start(options("a").with(|options| options.policy = Some(SharedPolicy::new(Buggy)))).unwrap();
    let b = start::<N>("b");
    let mut events = a.events();
    _ = soon::<N, _>(b.join(&at(&a))).await;
    let end = soon::<N, _>(a.wait()).await;
    // The task reports the panic message, unless another call detects the inconsistent node first.
    let End::Panicked { task, message } = &end else { panic!("{end:?}") };
    assert!(*task == "call" || message.contains("this panic belongs to the test"), "{end}");
    while soon::<N, _>(events.next()).await.is_some() {}
    assert_eq!(a.user_event("x", b"", Coalescing::Forbid), Err(CommandError::Stopped));
    assert_eq!(soon::<N, _>(a.shutdown()).await, Ok(()), "its port is free");
    drop(UdpSocket::bind(a.bound_addr()).unwrap());
}

/// The same in a call of the application.
pub async fn a_panic_in_a_call_that_has_locked_the_node_stops_it<N: Net>() {
    let a = start::<N>("a");
    let _events = a.events_where(|event| matches!(event, Event::User(_)) && panic!("this panic belongs to the test"));
    let call = std::panic::AssertUnwindSafe(|| a.user_event("x", b"", Coalescing::Forbid));
    assert!(std::panic::catch_unwind(call).is_err());
    let end = soon::<N, _>(a.wait()).await;
    assert!(matches!(end, End::Panicked { task: "call", .. }), "{end:?}");
}

/// Two nodes with the same files would overwrite each other's state.
pub async fn a_second_node_with_the_same_files_is_refused_until_the_first_is_shut_down<N: Net>() {
    let scratch = Scratch::new();
    let keyring = scratch.file("keyring");
    write_keyring_file(&keyring, &[key(1)]).unwrap();
    let snapshot = || lasting("a", &scratch, loopback());
    let kept = || secret("b", &[key(1)]).with(|options| options.keyring_file = Some(keyring.clone()));
    for (options, file) in [(&snapshot as &dyn Fn() -> Options, "snapshot"), (&kept, "keyring")] {
        let first = Serf::<N>::start(options()).unwrap();
        let error = Serf::<N>::start(options()).unwrap_err();
        assert!(matches!(&error, StartError::InUse { path } if *path == scratch.file(file)), "{error}");
        soon::<N, _>(first.shutdown()).await.unwrap();
        let next = Serf::<N>::start(options()).unwrap();
        drop(next);
        // A dropped node releases its files shortly after; a start waits for that.
        soon::<N, _>(Serf::<N>::start(options()).unwrap().shutdown()).await.unwrap();
    }
}

/// The same seed list on all nodes, with no member up at first.
pub async fn a_node_finds_the_members_that_it_was_started_with_whenever_they_come<N: Net>() {
    let later = start::<N>("b");
    let addr = later.bound_addr();
    soon::<N, _>(later.shutdown()).await.unwrap();
    let a = loop {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let join = vec![free.to_string(), addr.to_string()];
        // Another test may have taken the port between the check and the start.
        match Serf::<N>::start(options("a").with(|options| {
            options.bind = free;
            options.join = join;
        })) {
            Err(StartError::Bind { .. }) => {}
            started => break started.unwrap(),
        }
    };
    let mut events = a.events();
    while !matches!(next::<N>(&mut events).await, Event::Joined(_)) {}
    assert_eq!(a.members().len(), 1, "it reached but itself");
    let _b = Serf::<N>::start(options("b").with(|options| options.bind = addr)).unwrap();
    until(&a, |members| count(members, Status::Alive) == 2).await;
}

/// A graceful leave.
pub async fn a_leave_is_seen_by_the_others<N: Net>() {
    let [a, b] = pair::<N>(["a", "b"]).await;
    let mut events = b.events();
    let report = soon::<N, _>(a.leave()).await.unwrap();
    assert!(report.complete);
    assert_eq!(a.state(), NodeState::Left);
    assert_eq!(wait_for::<N>(&mut events, MemberEventKind::Leave, "a").await.status(), Status::Left);
    a.user_event("late", b"", Coalescing::Forbid).unwrap();
    assert_eq!(user_events::<N>(&mut events, 1).await, ["late"], "as long as the node runs it speaks");
    assert!(matches!(a.join(&at(&b)).await, Err(JoinError::Leaving)));
}

/// Shutdown of a whole cluster.
pub async fn nodes_that_leave_at_once_do_not_wait_for_each_other<N: Net>() {
    // The leave timeout is longer than the test.
    let patient = |name| {
        let mut options = options(name);
        options.protocol.serf.broadcast_timeout = Duration::from_secs(300);
        Serf::<N>::start(options).unwrap()
    };
    let [a, b, c] = ["a", "b", "c"].map(patient);
    for node in [&b, &c] {
        soon::<N, _>(node.join(&at(&a))).await.unwrap();
    }
    for node in [&a, &b, &c] {
        until(node, |members| count(members, Status::Alive) == 3).await;
    }
    let (first, (second, third)) = soon::<N, _>(zip(a.leave(), zip(b.leave(), c.leave()))).await;
    for report in [first, second, third] {
        assert!(report.unwrap().complete);
    }
}

/// Order of events sent in a loop.
pub async fn events_sent_at_once_arrive_in_that_order<N: Net>() {
    let [a, b] = pair::<N>(["a", "b"]).await;
    let mut events = b.events();
    let names: Vec<String> = (0..50).map(|n| format!("event-{n}")).collect();
    for name in &names {
        a.user_event(name, b"", Coalescing::Forbid).unwrap();
    }
    let heard = user_events::<N>(&mut events, 50).await;
    let place = |heard: &String| names.iter().position(|name| name == heard).unwrap();
    // A probe that is due at that moment piggybacks some events before the others.
    let swapped = heard.windows(2).filter(|pair| place(&pair[0]) > place(&pair[1])).count();
    assert!(swapped <= 1, "{heard:?}");
}

/// A crash, then a forced leave.
pub async fn a_node_dropped_without_a_leave_fails_and_can_be_forced_out<N: Net>() {
    let mut quick = options("b");
    quick.protocol.swim.probe_interval = Duration::from_millis(200);
    quick.protocol.swim.probe_timeout = Duration::from_millis(100);
    let a = start::<N>("a");
    let b = Serf::<N>::start(quick).unwrap();
    soon::<N, _>(b.join(&at(&a))).await.unwrap();
    until(&b, |members| count(members, Status::Alive) == 2).await;
    let mut events = b.events();
    drop(a);
    wait_for::<N>(&mut events, MemberEventKind::Failed, "a").await;
    assert_eq!(status_of(&b, "a"), Some(Status::Failed));
    b.force_leave("a", Tombstone::Keep).unwrap();
    wait_for::<N>(&mut events, MemberEventKind::Leave, "a").await;
    b.force_leave("a", Tombstone::Erase).unwrap();
    wait_for::<N>(&mut events, MemberEventKind::Reap, "a").await;
    assert_eq!(status_of(&b, "a"), None);
    assert!(b.force_leave("b", Tombstone::Keep).is_err(), "that is oneself");
}

/// Many nodes in one process.
pub async fn fifty_nodes_in_one_process_find_each_other<N: Net>() {
    let node = |n| {
        let mut options = options(&format!("node-{n}"));
        // Anti-entropy repairs what gossip misses; with the profile's interval that takes half a minute more.
        options.protocol.swim.push_pull_interval = Duration::from_secs(1);
        Serf::start(options).unwrap()
    };
    let nodes: Vec<Serf<N>> = (0..50).map(node).collect();
    for node in &nodes[1..] {
        soon::<N, _>(node.join(&at(&nodes[0]))).await.unwrap();
    }
    for node in &nodes {
        until(node, |members| count(members, Status::Alive) == 50).await;
    }
    let mut events: Vec<Events> = nodes.iter().map(Serf::events).collect();
    nodes[17].user_event("hello", b"", Coalescing::Forbid).unwrap();
    for events in &mut events {
        assert_eq!(user_events::<N>(events, 1).await, ["hello"]);
    }
}

/// Slow subscribers do not cause back-pressure.
pub async fn a_slow_subscriber_gets_lagged_can_resync_and_delays_no_other<N: Net>() {
    let a = Serf::<N>::start(options("a").with(|options| options.subscriber_events_max = 8)).unwrap();
    let mut slow = a.events();
    for n in 0..50 {
        let mut quick = a.events();
        a.user_event(&format!("event-{n}"), b"", Coalescing::Forbid).unwrap();
        assert_eq!(user_events::<N>(&mut quick, 1).await, [format!("event-{n}")], "the quick are not held up");
    }
    assert_eq!(slow.next().await, Some(Err(Lagged(42))));
    assert_eq!(user_events::<N>(&mut slow, 8).await.first().unwrap(), "event-42");
    let b = start::<N>("b");
    soon::<N, _>(b.join(&at(&a))).await.unwrap();
    until(&a, |members| members.len() == 2).await;
    assert_eq!(a.resync(&mut slow).len(), 2);
    a.user_event("after", b"", Coalescing::Forbid).unwrap();
    assert_eq!(user_events::<N>(&mut slow, 1).await, ["after"], "events contained in the list are not repeated");
}

/// Filtered subscriptions.
pub async fn a_subscription_hears_only_what_it_asked_for<N: Net>() {
    let a = start::<N>("a");
    let mut events = a.events_where(|event| matches!(event, Event::User(user) if &*user.name == "wanted"));
    for name in ["unwanted", "wanted", "unwanted", "wanted"] {
        a.user_event(name, b"", Coalescing::Forbid).unwrap();
    }
    assert_eq!(user_events::<N>(&mut events, 2).await, ["wanted", "wanted"]);
    assert!(poll_once(events.next()).await.is_none());
}

/// Handlers on a running node.
pub async fn handlers_are_called_in_order_and_by_name<N: Net>() {
    let [a, b] = ["a", "b"].map(start::<N>);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (ended, end) = call_and_wait();
    let note = |what: &'static str| {
        let calls = Arc::clone(&calls);
        move |name: &str| calls.lock().unwrap().push(format!("{what} {name}"))
    };
    let (joined, deployed, other) = (note("joined"), note("deploy"), note("other"));
    a.handle(
        Handlers::new()
            .on_member(MemberEventKind::Join, move |event| {
                event.members.names().for_each(&joined);
                async {}
            })
            .on_user("deploy", move |event| {
                deployed(&String::from_utf8_lossy(&event.payload));
                async {}
            })
            .on_any_user(move |event| {
                other(&event.name);
                let ended = (&*event.name == "end").then(|| ended.clone());
                async move {
                    if let Some(ended) = ended {
                        ended();
                    }
                }
            }),
    );
    soon::<N, _>(b.join(&at(&a))).await.unwrap();
    until(&a, |members| members.len() == 2).await;
    for (name, payload) in [("deploy", "1"), ("else", ""), ("deploy", "2"), ("end", "")] {
        a.user_event(name, payload.as_bytes(), Coalescing::Forbid).unwrap();
    }
    soon::<N, _>(end).await;
    assert_eq!(*calls.lock().unwrap(), ["joined b", "deploy 1", "other else", "deploy 2", "other end"]);
}

/// Returns a function, and a future that completes when it is called.
fn call_and_wait() -> (Arc<dyn Fn() + Send + Sync>, impl Future<Output = ()>) {
    let (sender, receiver) = async_channel::bounded(1);
    let call = Arc::new(move || sender.try_send(()).unwrap());
    (call, async move { receiver.recv().await.unwrap() })
}

/// Failing seeds.
pub async fn a_join_says_for_every_seed_why_it_did_not_help<N: Net>() {
    let a = start::<N>("a");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let seeds = [&closed, "[::1]:7946", "host:port"];
    let Err(JoinError::NoSeedAnswered(report)) = soon::<N, _>(a.join(&seeds)).await else {
        panic!("the join succeeded")
    };
    let cause = |seed: &str| &report.failed.iter().find(|failure| failure.seed == seed).unwrap().cause;
    assert!(matches!(cause(&closed), SeedCause::Unreachable(_)));
    assert!(matches!(cause("[::1]:7946"), SeedCause::OtherKind { .. }));
    assert!(matches!(cause("host:port"), SeedCause::Malformed(_)));
    let text = JoinError::NoSeedAnswered(report).to_string();
    assert!(text.contains(&format!("{closed} cannot be reached")), "{text}");
    assert!(text.starts_with("none of 3 seeds could be joined: "), "{text}");
}

/// A partly failed join.
pub async fn one_good_seed_among_bad_ones_is_enough<N: Net>() {
    let [a, b] = ["a", "b"].map(start::<N>);
    let good = a.bound_addr().to_string();
    let seeds = ["host:port", &good, &format!("again/{good}")];
    let report = soon::<N, _>(b.join(&seeds)).await.unwrap();
    assert_eq!((report.contacted, report.failed.len()), (1, 1), "an address counts once");
    assert_eq!(b.members().len(), 2);
}

/// Names of hosts.
pub async fn a_name_is_resolved<N: Net>() {
    let [a, b] = ["a", "b"].map(start::<N>);
    let report = soon::<N, _>(b.join(&[format!("localhost:{}", a.bound_addr().port())])).await.unwrap();
    assert_eq!(report.contacted, 1);
    let Err(JoinError::NoSeedAnswered(report)) = soon::<N, _>(b.join(&["no-such-host.invalid"])).await else {
        panic!("that name is reserved")
    };
    assert!(matches!(report.failed[0].cause, SeedCause::Unresolved(_)));
}

/// Invalid call.
pub async fn a_join_without_seeds_fails<N: Net>() {
    let seeds: [&str; 0] = [];
    assert!(matches!(start::<N>("a").join(&seeds).await, Err(JoinError::NoSeeds)));
}

/// A second node on one port.
pub async fn a_port_in_use_is_named<N: Net>() {
    let a = start::<N>("a");
    let error = Serf::<N>::start(options("b").with(|options| options.bind = a.bound_addr())).unwrap_err();
    assert!(matches!(error, StartError::Bind { transport: Transport::Tcp, addr, .. } if addr == a.bound_addr()));
    let text = error.to_string();
    assert!(text.contains(&a.bound_addr().to_string()) && text.contains("choose another port"), "{text}");
}

/// Addresses that cannot be advertised, and one that can.
pub async fn an_unreachable_address_is_not_advertised<N: Net>() {
    let everywhere = || options("a").with(|options| options.bind = "0.0.0.0:0".parse().unwrap());
    let nowhere = everywhere().with(|options| options.advertise = Some("0.0.0.0:7946".parse().unwrap()));
    assert!(matches!(Serf::<N>::start(nowhere), Err(StartError::AdvertiseUnspecified { .. })));
    let here = everywhere().with(|options| options.advertise = Some(loopback()));
    let a = Serf::<N>::start(here).unwrap();
    assert_eq!(a.local().addr(), SocketAddr::new(loopback().ip(), a.bound_addr().port()));
}

/// IPv6. Skipped on a host without it.
pub async fn ipv6_is_as_good_as_ipv4<N: Net>() {
    if UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("this host has no IPv6");
        return;
    }
    let v6 = |name| Serf::<N>::start(options(name).with(|options| options.bind = "[::1]:0".parse().unwrap())).unwrap();
    let (a, b) = (v6("a"), v6("b"));
    let mut events = b.events();
    soon::<N, _>(b.join(&at(&a))).await.unwrap();
    assert_eq!(b.member("a").unwrap().addr(), a.bound_addr());
    a.user_event("six", b"", Coalescing::Forbid).unwrap();
    assert_eq!(user_events::<N>(&mut events, 1).await, ["six"]);
}

/// A dual-stack socket.
pub async fn a_socket_for_both_kinds_speaks_to_ipv4<N: Net>() {
    let dual = options("a").with(|options| {
        options.bind = "[::]:0".parse().unwrap();
        options.advertise = Some(loopback());
    });
    let Ok(a) = Serf::<N>::start(dual) else {
        assert!(UdpSocket::bind("[::]:0").is_err(), "only a host without IPv6 may refuse");
        return;
    };
    let b = start::<N>("b");
    let (mut at_a, mut at_b) = (a.events(), b.events());
    soon::<N, _>(a.join(&at(&b))).await.unwrap();
    b.user_event("to-both", b"", Coalescing::Forbid).unwrap();
    assert_eq!(user_events::<N>(&mut at_a, 1).await, ["to-both"]);
    a.user_event("from-both", b"", Coalescing::Forbid).unwrap();
    assert_eq!(user_events::<N>(&mut at_b, 2).await, ["to-both", "from-both"]);
    assert_eq!(b.member("a").unwrap().addr().ip(), loopback().ip());
}

/// A caller that drops the future.
pub async fn a_cancelled_join_still_joins_and_does_no_harm<N: Net>() {
    for _ in 0..CANCELLATIONS_TRIED_MAX {
        let [a, b] = ["a", "b"].map(start::<N>);
        let seeds = at(&a);
        let was_cancelled = poll_once(pin!(b.join(&seeds))).await.is_none();
        until(&b, |members| members.len() == 2).await;
        soon::<N, _>(b.join(&seeds)).await.unwrap();
        if was_cancelled {
            return;
        }
        // On a busy machine the node's tasks may complete the join before its first poll returns.
    }
    panic!("each of {CANCELLATIONS_TRIED_MAX} joins was complete at its first poll");
}

const CANCELLATIONS_TRIED_MAX: u32 = 20;

/// A caller that drops the future of a leave.
pub async fn a_cancelled_leave_still_leaves<N: Net>() {
    let [a, b] = pair::<N>(["a", "b"]).await;
    let mut events = b.events();
    assert!(poll_once(pin!(a.leave())).await.is_none());
    wait_for::<N>(&mut events, MemberEventKind::Leave, "a").await;
}

/// Two callers of one leave.
pub async fn a_leave_that_is_asked_for_twice_is_one_leave<N: Net>() {
    let [a, _b] = pair::<N>(["a", "b"]).await;
    let (first, second) = soon::<N, _>(zip(a.leave(), a.leave())).await;
    assert!(first.is_ok() && first == second, "{first:?} {second:?}");
    assert_eq!(a.leave().await, first);
}

/// Drop of handles.
pub async fn the_last_handle_stops_the_node<N: Net>() {
    let a = start::<N>("a");
    let (mut events, weak) = (a.events(), a.downgrade());
    let other = a.clone();
    drop(a);
    weak.upgrade().unwrap().user_event("still", b"", Coalescing::Forbid).unwrap();
    assert_eq!(user_events::<N>(&mut events, 1).await, ["still"]);
    drop(other);
    assert!(weak.upgrade().is_none());
    assert_eq!(soon::<N, _>(events.next()).await, None);
}

/// A node after its shutdown.
pub async fn a_stopped_node_frees_its_port_and_refuses_commands<N: Net>() {
    let [a, b] = pair::<N>(["a", "b"]).await;
    let (addr, mut events) = (a.bound_addr(), a.events());
    soon::<N, _>(a.shutdown()).await.unwrap();
    soon::<N, _>(a.shutdown()).await.unwrap();
    assert_eq!(soon::<N, _>(events.next()).await, None);
    assert_eq!(a.user_event("late", b"", Coalescing::Forbid), Err(CommandError::Stopped));
    assert!(matches!(a.join(&at(&b)).await, Err(JoinError::Stopped)));
    assert!(a.leave().await.is_err());
    assert_eq!(a.members().len(), 2, "what it knew can still be read");
    let again = Serf::<N>::start(options("a").with(|options| options.bind = addr)).unwrap();
    soon::<N, _>(again.join(&at(&b))).await.unwrap();
}

/// Input that is not Serf's.
pub async fn garbage_is_counted_and_harms_no_node<N: Net>() {
    let [a, b] = ["a", "b"].map(start::<N>);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for garbage in [&[0x7f_u8; 40][..], b"GET / HTTP/1.1\r\n\r\n", &[]] {
        socket.send_to(garbage, a.bound_addr()).unwrap();
    }
    let mut stream = TcpStream::connect(a.bound_addr()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // Closed by the node: the read returns.
    _ = stream.read_to_end(&mut Vec::new());
    soon::<N, _>(b.join(&at(&a))).await.unwrap();
    let stats = a.stats().protocol;
    assert!(stats.dropped.iter().sum::<u64>() >= 2, "{stats:?}");
    assert!(stats.dropped(DropReason::Malformed) >= 1, "{stats:?}");
}

/// Idle inbound streams.
pub async fn silent_streams_are_bounded_and_exclude_no_peer<N: Net>() {
    let a = start::<N>("a");
    let too_many = limits::STREAMS_PER_SOURCE_MAX + 5;
    let mut silent: Vec<TcpStream> = (0..too_many).map(|_| TcpStream::connect(a.bound_addr()).unwrap()).collect();
    // The first ones make room for the last, which are closed at their timeout.
    let last = silent.pop().unwrap();
    let first = silent.swap_remove(0);
    soon::<N, _>(closed::<N>(first)).await;
    let b = start::<N>("b");
    assert_eq!(soon::<N, _>(b.join(&at(&a))).await.unwrap().contacted, 1);
    assert!(a.stats().protocol.dropped(DropReason::Limit) >= 5, "{:?}", a.stats());
    soon::<N, _>(closed::<N>(last)).await;
}

/// Replies are large, because they hold the state of the cluster; requests are small.
pub async fn streams_with_unread_answers_are_bounded_and_exclude_no_peer<N: Net>() {
    let mut big = options("a");
    big.tags = Tags::from_iter([("t".to_owned(), "x".repeat(400))]);
    let a = Serf::<N>::start(big).unwrap();
    let mut request = Vec::new();
    hashicorp::begin_push_pull(&mut request, false, 0, 0);
    let ask = || {
        let mut stream = TcpStream::connect(a.bound_addr()).unwrap();
        stream.write_all(&request).unwrap();
        stream
    };
    let deaf: Vec<TcpStream> = (0..limits::STREAMS_INBOUND_MAX + 5).map(|_| ask()).collect();
    let b = start::<N>("b");
    assert_eq!(soon::<N, _>(b.join(&at(&a))).await.unwrap().contacted, 1);
    drop(deaf);
}

/// Waits until the peer has closed a stream.
async fn closed<N: Net>(mut stream: TcpStream) {
    let net = N::current().unwrap();
    stream.set_nonblocking(true).unwrap();
    while matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock) {
        net.sleep(Duration::from_millis(20)).await;
    }
}

/// Returns all replies of a query, as `ack NAME` and `NAME: ANSWER` in alphabetical order, and the report.
async fn replies<N: Net>(mut query: QueryStream) -> (Vec<String>, QueryReport) {
    let mut replies = Vec::new();
    loop {
        match soon::<N, _>(query.next()).await.expect("the report comes last").expect("nothing was missed") {
            Reply::Ack(from) => replies.push(format!("ack {from}")),
            Reply::Response { from, payload } => replies.push(format!("{from}: {}", String::from_utf8_lossy(&payload))),
            Reply::Ended(report) => {
                assert_eq!(soon::<N, _>(query.next()).await, None);
                replies.sort_unstable();
                return (replies, report);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A query to all, answered by handlers.
pub async fn a_query_is_acknowledged_and_answered_and_ends_early<N: Net>() {
    let [a, b] = pair::<N>(["a", "b"]).await;
    until(&a, |members| count(members, Status::Alive) == 2).await;
    for (serf, answer) in [(&a, "here"), (&b, "there")] {
        serf.handle(
            Handlers::new()
                .on_query(
                    "where",
                    move |query| async move { Some([answer.as_bytes(), b" ", &query.payload[..]].concat()) },
                )
                .on_any_query(|query| async move { (&*query.name == "who").then(|| query.source.as_bytes().to_vec()) }),
        );
    }
    let question = Question::new("where").with_payload(b"now").with_acks().for_at_most(Duration::from_secs(50));
    let (said, report) = replies::<N>(a.query(&question).unwrap()).await;
    assert_eq!(said, ["a: here now", "ack a", "ack b", "b: there now"]);
    assert_eq!((report.acks, report.responses, report.complete), (2, 2, true));
    let (said, _) = replies::<N>(b.query(&Question::new("who")).unwrap()).await;
    assert_eq!(said, ["a: b", "b: b"]);
    let mut events = a.events();
    a.user_event("after", b"", Coalescing::Forbid).unwrap();
    assert!(matches!(next::<N>(&mut events).await, Event::User(_)), "replies go to the query's stream only");
    let too_large = a.query(&Question::new("large").with_payload(&[0; 1100]));
    assert!(matches!(too_large, Err(CommandError::Refused(QueryError::TooLarge { limit: 1024, .. }))));
}

/// A query whose answers are collected.
pub async fn all_answers_of_a_query_come_together_if_they_are_wanted_so<N: Net>() {
    let [a, b] = pair::<N>(["a", "b"]).await;
    until(&a, |members| count(members, Status::Alive) == 2).await;
    b.handle(Handlers::new().on_query("status", |_| async { Some(b"fine".to_vec()) }));
    a.handle(Handlers::new().on_query("status", |_| async { None }));
    let question = Question::new("status").with_acks().for_at_most(Duration::from_secs(2));
    let mut answers = soon::<N, _>(a.query(&question).unwrap().answers()).await.unwrap();
    answers.acks.sort();
    assert_eq!(answers.acks, ["a".into(), "b".into()]);
    assert_eq!(answers.responses.into_iter().collect::<Vec<_>>(), [("b".into(), b"fine"[..].into())]);
    assert_eq!((answers.report.silent, answers.lost), (vec!["a".into()], 0));
    let unfinished = a.query(&Question::new("status").for_at_most(Duration::from_secs(50))).unwrap();
    a.shutdown().await.unwrap();
    assert!(unfinished.answers().await.is_err());
}

/// Query filters.
pub async fn a_query_reaches_only_those_that_its_filters_meet<N: Net>() {
    let tags = |role: &str| [("role", role)].into_iter().collect::<Tags>();
    let a = Serf::<N>::start(options("a").with(|options| options.tags = tags("web"))).unwrap();
    let b = Serf::<N>::start(options("b").with(|options| options.tags = tags("db"))).unwrap();
    soon::<N, _>(b.join(&at(&a))).await.unwrap();
    until(&a, |members| count(members, Status::Alive) == 2).await;
    for serf in [&a, &b] {
        serf.handle(Handlers::new().on_any_query(|_| async { Some(b"yes".to_vec()) }));
    }
    let role = |role| [("role", role)];
    for (question, who) in [
        (Question::new("q").of_tags(&role("^db$")), "b: yes"),
        (Question::new("q").of_tags(&role("w.b")), "a: yes"),
        (Question::new("q").of_nodes(&["b", "c"]), "b: yes"),
    ] {
        let (said, report) = replies::<N>(a.query(&question).unwrap()).await;
        assert_eq!((said, report.complete), (vec![who.to_owned()], true), "{question:?}");
    }
    let bad = a.query(&Question::new("q").of_tags(&role("(")));
    assert!(matches!(bad, Err(CommandError::Refused(QueryError::Filter(_)))));
}

/// Returns the next query event.
async fn next_query<N: Net>(events: &mut Events) -> Query {
    loop {
        if let Event::Query(query) = next::<N>(events).await {
            return query;
        }
    }
}

/// Filters from variables.
pub async fn a_question_is_built_of_variables_and_kept<N: Net>() {
    let a = Serf::<N>::start(options("a").with(|options| options.tags = Tags::from([("role", "db")]))).unwrap();
    let (role, names) = (String::from("^db$"), vec![String::from("a"), String::from("b")]);
    let borrowed = Question::new("q").of_tags(&[("role", &role)]).of_nodes(&names);
    let kept: Question<'static> = names.iter().cloned().fold(Question::new(String::from("q")), Question::with_node);
    let kept = kept.with_tag("role", role.clone()).with_payload(b"now".to_vec());
    a.handle(Handlers::new().on_query("q", |query| async move { Some(query.payload.to_vec()) }));
    for (question, answer) in [(&borrowed, &b""[..]), (&kept, b"now")] {
        let answers = soon::<N, _>(a.query(question).unwrap().answers()).await.unwrap();
        assert_eq!(answers.responses["a"], answer);
    }
    let other = kept.clone().with_tag("role", "^web$");
    assert!(soon::<N, _>(a.query(&other).unwrap().answers()).await.unwrap().responses.is_empty(), "all must match");
}

/// Abandoned queries and late answers.
pub async fn a_query_may_be_abandoned_and_an_answer_may_be_late<N: Net>() {
    let [a, b] = pair::<N>(["a", "b"]).await;
    let mut events = b.events();
    for _ in 0..=limits::QUERIES_ASKED_MAX {
        drop(a.query(&Question::new("").of_nodes(&["nobody"]).for_at_most(Duration::from_secs(50))).unwrap());
    }
    drop(a.query(&Question::new("dropped").for_at_most(Duration::from_secs(50))).unwrap());
    let dropped = next_query::<N>(&mut events).await;
    assert_eq!((&*dropped.name, &*dropped.source), ("dropped", "a"));
    assert!(b.time_left(&dropped) > Duration::from_secs(40));
    b.respond(dropped.id, b"to nobody").unwrap();
    let twice = b.respond(dropped.id, b"again");
    assert_eq!(twice, Err(CommandError::Refused(RespondError::Answered)));

    let short = a.query(&Question::new("short").of_nodes(&["b"]).for_at_most(Duration::from_millis(300))).unwrap();
    let query = next_query::<N>(&mut events).await;
    let (said, report) = replies::<N>(short).await;
    assert_eq!((said.len(), report.responses, report.complete), (0, 0, false));
    assert_eq!(report.silent, ["b".into()]);
    // The receiver's deadline starts at the arrival, slightly after the sender's.
    let net = N::current().unwrap();
    while !b.time_left(&query).is_zero() {
        net.sleep(b.time_left(&query)).await;
    }
    assert_eq!(b.respond(query.id, b"late"), Err(CommandError::Refused(RespondError::Late)));
}

/// A slow reader of replies.
pub async fn a_slow_reader_of_replies_loses_the_oldest_and_never_the_report<N: Net>() {
    let a = Serf::<N>::start(options("a").with(|options| options.subscriber_events_max = 1)).unwrap();
    let mut queries = a.events();
    let mut slow = a.query(&Question::new("q").with_acks().for_at_most(Duration::from_secs(50))).unwrap();
    let query = next_query::<N>(&mut queries).await;
    a.respond(query.id, b"answer").unwrap();
    assert_eq!(soon::<N, _>(slow.next()).await, Some(Err(Lagged(2))));
    assert!(matches!(soon::<N, _>(slow.next()).await, Some(Ok(Reply::Ended(report))) if report.complete));
    let unfinished = a.query(&Question::new("q").for_at_most(Duration::from_secs(50))).unwrap();
    a.shutdown().await.unwrap();
    assert!(unfinished.report().await.is_err(), "a stream ends with its node");
    assert!(matches!(a.query(&Question::new("q")), Err(CommandError::Stopped)));
}

/// Answers of 64 KiB, which exceed a packet, and a reader that is slower than the members.
pub async fn large_answers_of_many_nodes_wait_for_a_slow_reader_and_none_is_lost<N: Net>() {
    const NODES: usize = 40;
    const BYTES: usize = 64 * 1024;
    let nodes: Vec<Serf<N>> = (0..NODES).map(|n| start(&format!("node-{n}"))).collect();
    for (n, node) in nodes.iter().enumerate() {
        let answer = vec![u8::try_from(n).unwrap(); BYTES];
        node.handle(Handlers::new().on_query("dump", move |_| {
            let answer = answer.clone();
            async move { Some(answer) }
        }));
    }
    for node in &nodes[1..] {
        soon::<N, _>(node.join(&at(&nodes[0]))).await.unwrap();
    }
    until(&nodes[1], |members| count(members, Status::Alive) == NODES).await;
    let net = N::current().unwrap();
    let mut query = nodes[1].query(&Question::new("dump").for_at_most(Duration::from_secs(50))).unwrap();
    let offered = || nodes[1].stats().protocol.query_offers;
    while offered() < NODES as u64 - 1 {
        net.sleep(Duration::from_millis(20)).await;
    }
    // Long enough for all of them on loopback, if the reader were not waited for.
    net.sleep(Duration::from_millis(500)).await;
    let fetched = nodes[1].stats().protocol.query_fetches;
    assert!((7..=8 + 16).contains(&fetched), "512 KiB and what was on its way then, not {fetched} answers");
    let mut answered = 0;
    let report = loop {
        match soon::<N, _>(query.next()).await.expect("the report comes last").expect("nothing was missed") {
            Reply::Response { from, payload } => {
                let number: u8 = from["node-".len()..].parse().unwrap();
                assert!(payload.len() == BYTES && payload.iter().all(|byte| *byte == number), "{from}");
                answered += 1;
            }
            Reply::Ended(report) => break report,
            other => panic!("{other:?}"),
        }
    };
    assert!(report.complete && report.silent.is_empty(), "{report:?}");
    assert_eq!((answered, report.responses), (NODES, 40));
    let served: u64 = nodes.iter().map(|node| node.stats().protocol.query_answers_served).sum();
    assert_eq!(served, NODES as u64 - 1, "each was sent once");
}

/// Answers that their requester does not take.
pub async fn a_large_answer_is_refused_by_its_size_and_by_the_requesters_codec<N: Net>() {
    let theirs = options("b").with(|options| options.protocol.transport.codec = CodecChoice::HashiCorp);
    let (a, b) = (start::<N>("a"), Serf::<N>::start(theirs).unwrap());
    let c = start::<N>("c");
    for other in [&b, &c] {
        soon::<N, _>(other.join(&at(&a))).await.unwrap();
        until(other, |members| count(members, Status::Alive) == if other.local().name() == "b" { 2 } else { 3 }).await;
    }
    let mut queries = a.events();
    for (asker, most) in [(&b, 1024), (&c, 64 * 1024)] {
        let mut replies = asker.query(&Question::new("q").with_node("a").for_at_most(Duration::from_secs(50))).unwrap();
        let query = next_query::<N>(&mut queries).await;
        let limit = a.answer_bytes_max(query.id).unwrap();
        let head = if most == 1024 { 900..1024 } else { most..most + 1 };
        assert!(head.contains(&limit), "{limit}");
        match a.respond(query.id, &vec![7; most + 1]) {
            Err(CommandError::Refused(RespondError::TooLarge { limit, .. })) => assert_eq!(limit, most),
            other => panic!("{other:?}"),
        }
        a.respond(query.id, &vec![7; limit]).unwrap();
        let reply = soon::<N, _>(replies.next()).await.unwrap().unwrap();
        assert!(matches!(reply, Reply::Response { payload, .. } if payload.len() == limit));
    }
}

/// A seed that starts later than the node that joins through it.
pub async fn a_persistent_join_goes_on_until_a_node_answers<N: Net>() {
    let b = start::<N>("b");
    let later = start::<N>("a");
    let addr = later.bound_addr();
    soon::<N, _>(later.shutdown()).await.unwrap();
    let retry = Retry { pause: Duration::from_millis(100), pause_max: Duration::from_secs(1), give_up_after: None };
    let seeds = [addr.to_string()];
    let mut events = b.events();
    let start_late = async {
        while !matches!(next::<N>(&mut events).await, Event::Joined(report) if report.contacted == 0) {}
        Serf::<N>::start(options("a").with(|options| options.bind = addr)).unwrap()
    };
    let join = b.join_until(&seeds, OldEvents::Ignore, retry);
    let (report, a) = soon::<N, _>(zip(join, start_late)).await;
    let report = report.unwrap();
    assert_eq!((report.contacted, report.failed.len()), (1, 0));
    assert!(report.attempts >= 2, "{report:?}");
    until(&a, |members| count(members, Status::Alive) == 2).await;
}

/// The other ends of a repeated join.
pub async fn a_persistent_join_ends_at_its_deadline_or_when_its_future_is_dropped<N: Net>() {
    let b = start::<N>("b");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let pause = Duration::from_millis(100);
    let retry = Retry { pause, pause_max: pause, give_up_after: Some(Duration::from_millis(400)) };
    let result = soon::<N, _>(b.join_until(&[closed.as_str(), "host:port"], OldEvents::Ignore, retry)).await;
    let Err(JoinError::NoSeedAnswered(report)) = result else { panic!("{result:?}") };
    assert!(report.attempts >= 3 && report.failed.len() == 2, "{report:?}");
    let forever = Retry { give_up_after: None, ..retry };
    let nobody: [&str; 0] = [];
    assert!(matches!(b.join_until(&nobody, OldEvents::Ignore, forever).await, Err(JoinError::NoSeeds)));
    let seeds = [closed];
    let waiting = soon::<N, _>(zip(b.join_until(&seeds, OldEvents::Ignore, forever), b.shutdown()));
    assert!(matches!(waiting.await.0, Err(JoinError::Stopped)));
}

/// Network coordinates.
pub async fn members_know_how_far_they_are_apart<N: Net>() {
    let quick = |name: &str| {
        let mut options = options(name);
        options.protocol.swim.probe_interval = Duration::from_millis(100);
        options.protocol.swim.probe_timeout = Duration::from_millis(90);
        Serf::<N>::start(options).unwrap()
    };
    let [a, b] = ["a", "b"].map(quick);
    soon::<N, _>(b.join(&at(&a))).await.unwrap();
    assert!(a.coordinate().is_some() && a.rtt("a", "nobody").is_none());
    let net = N::current().unwrap();
    soon::<N, _>(async {
        while a.rtt("a", "b").is_none() {
            net.sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(a.rtt("a", "b"), a.rtt("b", "a"));
    assert!(a.rtt("a", "b").unwrap() < Duration::from_secs(1));
    assert_eq!(a.coordinate_of("a"), a.coordinate());
}

/// A temporary directory of a test, removed on drop.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn key(byte: u8) -> Key {
    Key::new(&[byte; 32]).unwrap()
}

/// Options of a node with keys.
fn secret(name: &str, keys: &[Key]) -> Options {
    let mut options = options(name);
    options.protocol.transport.encrypt_keys = keys.to_vec();
    options
}

/// Key rotation.
pub async fn keys_are_exchanged_by_the_whole_cluster_and_kept_in_files<N: Net>() {
    let scratch = Scratch::new();
    let names = ["a", "b", "c"];
    let start = |name: &str| {
        let file = scratch.file(name);
        Serf::<N>::start(options(name).with(|options| options.keyring_file = Some(file))).unwrap()
    };
    names.iter().for_each(|name| write_keyring_file(scratch.file(name), &[key(1)]).unwrap());
    let nodes = names.map(start);
    for node in &nodes[1..] {
        soon::<N, _>(node.join(&at(&nodes[0]))).await.unwrap();
    }
    for node in &nodes {
        until(node, |members| count(members, Status::Alive) == 3).await;
    }
    let [a, b, c] = nodes;
    let in_files = || names.map(|name| read_keyring_file(scratch.file(name)).unwrap());
    let done = soon::<N, _>(a.install_key(&key(2))).await.unwrap();
    assert!(done.is_done() && done.answers.len() == 3, "{done:?}");
    assert_eq!(in_files(), [(); 3].map(|()| vec![key(1), key(2)]), "written before it is answered");
    assert!(soon::<N, _>(b.use_key(&key(2))).await.unwrap().is_done());
    let refused = soon::<N, _>(b.remove_key(&key(2))).await.unwrap();
    assert_eq!((refused.is_done(), refused.failures().count()), (false, 3), "{refused:?}");
    assert!(soon::<N, _>(c.remove_key(&key(1))).await.unwrap().is_done());
    assert_eq!(in_files(), [(); 3].map(|()| vec![key(2)]));
    let list = soon::<N, _>(a.list_keys()).await.unwrap();
    let text = key(2).to_base64();
    assert_eq!((list.keys(), list.users(&text).count()), (vec![&*text], 3), "{list:?}");
    assert_eq!(a.keys(), [key(2)]);
    let short = soon::<N, _>(a.change_keys(KeyOperation::Install, b"short", 0)).await;
    assert_eq!(short, Err(CommandError::Refused(KeysError::Length { bytes: 5 })));
    soon::<N, _>(c.shutdown()).await.unwrap();
    let c = start("c");
    assert_eq!(soon::<N, _>(c.join(&at(&a))).await.unwrap().contacted, 1);
    assert_eq!(a.stats().file_errors + b.stats().file_errors, 0);
}

/// A keyring file at the start.
pub async fn a_node_with_a_keyring_file_starts_with_the_keys_in_it_and_never_in_the_clear<N: Net>() {
    let scratch = Scratch::new();
    let file = scratch.file("keyring");
    let with_file = |given: &[Key]| secret("a", given).with(|options| options.keyring_file = Some(file.clone()));
    let missing = Serf::<N>::start(with_file(&[])).unwrap_err();
    assert!(matches!(missing, StartError::Keyring { .. }), "{missing:?}");
    let first = Serf::<N>::start(with_file(&[key(1)])).unwrap();
    assert_eq!(first.keys(), [key(1)], "those to begin with");
    assert!(soon::<N, _>(first.install_key(&key(2))).await.unwrap().is_done());
    assert!(soon::<N, _>(first.use_key(&key(2))).await.unwrap().is_done());
    assert!(soon::<N, _>(first.remove_key(&key(1))).await.unwrap().is_done());
    soon::<N, _>(first.shutdown()).await.unwrap();
    for given in [&[][..], &[key(1)], &[key(2)], &[key(3), key(2)]] {
        let again = Serf::<N>::start(with_file(given)).unwrap();
        assert_eq!(again.keys(), [key(2)], "what the cluster has agreed on since");
        soon::<N, _>(again.shutdown()).await.unwrap();
    }
    for text in ["", "[]", "{}", "[\"AQ==\"]"] {
        std::fs::write(&file, text).unwrap();
        for given in [&[][..], &[key(1)]] {
            let refused = Serf::<N>::start(with_file(given)).unwrap_err();
            assert!(refused.to_string().starts_with("cannot use the keyring "), "{text}: {refused}");
        }
    }
}

/// Keyring files that cannot be written.
pub async fn a_keyring_file_that_cannot_be_written_fails_the_key_change<N: Net>() {
    let scratch = Scratch::new();
    let directory = scratch.file("gone");
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("keyring");
    write_keyring_file(&file, &[key(1)]).unwrap();
    let a = Serf::<N>::start(secret("a", &[key(1)]).with(|options| options.keyring_file = Some(file.clone()))).unwrap();
    let b = Serf::<N>::start(secret("b", &[key(1)])).unwrap();
    soon::<N, _>(b.join(&at(&a))).await.unwrap();
    until(&b, |members| count(members, Status::Alive) == 2).await;
    std::fs::remove_dir_all(&directory).unwrap();
    let report = soon::<N, _>(b.install_key(&key(2))).await.unwrap();
    assert!(!report.is_done() && report.answers.len() == 2, "{report:?}");
    let failures: Vec<_> = report.failures().map(|answer| (&*answer.from, &*answer.message)).collect();
    let [("a", message)] = failures[..] else { panic!("{failures:?}") };
    let wanted = format!("Failed to write keyring file: {}: ", file.display());
    assert!(message.starts_with(&wanted), "{message}");
    assert_eq!((a.keys().len(), a.stats().file_errors), (2, 1), "it is in force all the same");

    std::fs::create_dir(&directory).unwrap();
    assert!(soon::<N, _>(b.install_key(&key(2))).await.unwrap().is_done(), "what failed can be repeated");
    assert_eq!(read_keyring_file(&file).unwrap(), [key(1), key(2)]);
}

/// Captures that cannot be written.
pub async fn failed_writes_of_a_capture_are_counted_also_after_its_end<N: Net>() {
    let scratch = Scratch::new();
    std::fs::write(scratch.file("file"), "").unwrap();
    let a = start::<N>("a");
    for captures in 1..3 {
        a.start_capture(Capture::new(scratch.file("file").join("capture"))).unwrap();
        assert!(a.stop_capture());
        let net = N::current().unwrap();
        let counted = async {
            while a.stats().file_errors < captures {
                net.sleep(Duration::from_millis(20)).await;
            }
        };
        soon::<N, _>(counted).await;
    }
    assert_eq!(a.stats().file_errors, 2);
}

/// Encryption on one side only.
pub async fn nodes_without_the_key_are_not_let_in<N: Net>() {
    let a = Serf::<N>::start(secret("a", &[key(1)])).unwrap();
    for stranger in [options("b"), secret("b", &[key(2)])] {
        let b = Serf::<N>::start(stranger).unwrap();
        let result = soon::<N, _>(b.join(&at(&a))).await;
        assert!(matches!(result, Err(JoinError::NoSeedAnswered(_))), "{result:?}");
        assert_eq!((a.members().len(), b.members().len()), (1, 1));
    }
    let stats = a.stats().protocol;
    assert!(stats.dropped(DropReason::Unencrypted) >= 1 && stats.dropped(DropReason::Key) >= 1, "{stats:?}");
    let c = Serf::<N>::start(secret("c", &[key(1)])).unwrap();
    let mut events = c.events();
    soon::<N, _>(c.join(&at(&a))).await.unwrap();
    a.user_event("secret", b"", Coalescing::Forbid).unwrap();
    assert_eq!(user_events::<N>(&mut events, 1).await, ["secret"]);
    let plain = start::<N>("plain");
    let list = soon::<N, _>(plain.list_keys()).await.unwrap();
    assert!(!list.is_done() && list.failures().count() == 1 && plain.keys().is_empty(), "{list:?}");
}

/// Options of a node with a snapshot, on a fixed port.
fn lasting(name: &str, scratch: &Scratch, bind: SocketAddr) -> Options {
    options(name).with(|options| {
        options.bind = bind;
        options.snapshot = Some(scratch.file("snapshot"));
    })
}

/// A crash, as observed by others, and the restart.
pub async fn a_node_that_crashed_rejoins_by_itself_and_gets_no_event_twice<N: Net>() {
    let scratch = Scratch::new();
    let (a, mut events) = Serf::<N>::builder(lasting("a", &scratch, loopback())).start_with_events().unwrap();
    let b = start::<N>("b");
    assert_eq!(wait_for::<N>(&mut events, MemberEventKind::Join, "a").await.name(), "a", "the very first event");
    soon::<N, _>(b.join(&at(&a))).await.unwrap();
    b.user_event("before", b"", Coalescing::Forbid).unwrap();
    assert_eq!(user_events::<N>(&mut events, 1).await, ["before"]);
    let addr = a.bound_addr();
    soon::<N, _>(a.shutdown()).await.unwrap();
    b.user_event("meanwhile", b"", Coalescing::Forbid).unwrap();
    let (a, mut events) = Serf::<N>::builder(lasting("a", &scratch, addr)).start_with_events().unwrap();
    assert_eq!(user_events::<N>(&mut events, 1).await, ["meanwhile"]);
    until(&a, |members| count(members, Status::Alive) == 2).await;
    b.user_event("after", b"", Coalescing::Forbid).unwrap();
    assert_eq!(user_events::<N>(&mut events, 1).await, ["after"]);
    assert_eq!(a.stats().file_errors, 0);
}

/// A snapshot truncated by a crash.
pub async fn a_torn_snapshot_still_leads_back<N: Net>() {
    let scratch = Scratch::new();
    let b = start::<N>("b");
    let file = scratch.file("snapshot");
    let whole = format!("alive: b {}\nevent-clock: 41\n", b.bound_addr());
    std::fs::write(&file, format!("{whole}alive: c 10.0.0.3:79")).unwrap();
    let a = Serf::<N>::start(lasting("a", &scratch, loopback())).unwrap();
    until(&b, |members| count(members, Status::Alive) == 2).await;
    until(&a, |members| count(members, Status::Alive) == 2).await;
    assert_eq!(a.stats().clocks.event, 42);
    soon::<N, _>(a.shutdown()).await.unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(&format!("{whole}alive: a ")), "{text}");
    let replay = Snapshot::replay(text.as_bytes(), AfterLeave::Forget);
    let alive: Vec<&str> = replay.snapshot.alive().map(|(name, _)| &**name).collect();
    assert_eq!((alive, replay.lines_skipped, replay.intact_bytes), (vec!["a", "b"], 0, text.len()));
}

/// A recorded leave.
pub async fn after_a_leave_a_node_rejoins_only_if_it_is_configured_to<N: Net>() {
    let scratch = Scratch::new();
    let b = start::<N>("b");
    let a = Serf::<N>::start(lasting("a", &scratch, loopback())).unwrap();
    let none = a.rejoin(OldEvents::Ignore).await;
    assert!(matches!(none, Err(JoinError::NoSeeds)), "there was no earlier life");
    soon::<N, _>(a.join(&at(&b))).await.unwrap();
    soon::<N, _>(a.leave()).await.unwrap();
    let text = std::fs::read_to_string(scratch.file("snapshot")).unwrap();
    assert!(text.ends_with("\nleave\n"), "{text}");
    soon::<N, _>(a.shutdown()).await.unwrap();

    let a = Serf::<N>::start(lasting("a", &scratch, loopback())).unwrap();
    assert!(matches!(a.rejoin(OldEvents::Ignore).await, Err(JoinError::NoSeeds)));
    soon::<N, _>(a.shutdown()).await.unwrap();

    std::fs::write(scratch.file("snapshot"), &text).unwrap();
    let returning = lasting("a", &scratch, loopback()).with(|options| options.rejoin_after_leave = true);
    let a = Serf::<N>::start(returning).unwrap();
    until(&a, |members| count(members, Status::Alive) == 2).await;
    assert_eq!(soon::<N, _>(a.rejoin(OldEvents::Ignore)).await.unwrap().contacted, 1, "once more does no harm");
}

/// An invalid path.
pub async fn a_snapshot_that_cannot_be_used_is_named<N: Net>() {
    let path = PathBuf::from("/no/such/directory/snapshot");
    let error = Serf::<N>::start(options("a").with(|options| options.snapshot = Some(path))).unwrap_err();
    assert!(matches!(error, StartError::Snapshot { .. }));
    assert!(error.to_string().contains("/no/such/directory/snapshot"), "{error}");
}

/// HashiCorp's wire format, alone and mixed with the native one.
pub async fn nodes_write_hashicorps_codec_if_configured_to<N: Net>() {
    for others in [CodecChoice::HashiCorp, CodecChoice::Auto] {
        let start = |name: &str, codec| {
            let mut options = options(name);
            options.protocol.transport.codec = codec;
            Serf::<N>::start(options).unwrap()
        };
        let (a, b) = (start("a", CodecChoice::HashiCorp), start("b", others));
        soon::<N, _>(b.join(&at(&a))).await.unwrap();
        until(&a, |members| count(members, Status::Alive) == 2).await;
        for serf in [&a, &b] {
            serf.handle(Handlers::new().on_query("q", |_| async { Some(b"yes".to_vec()) }));
        }
        for asker in [&a, &b] {
            let (said, _) = replies::<N>(asker.query(&Question::new("q").with_acks()).unwrap()).await;
            assert_eq!(said, ["a: yes", "ack a", "ack b", "b: yes"], "{others:?}");
        }
        assert_eq!(a.stats().protocol.dropped(DropReason::Codec), 0);
    }
    let native = |name: &str| {
        let mut options = options(name);
        options.protocol.transport.codec = CodecChoice::Native;
        Serf::<N>::start(options).unwrap()
    };
    let a = native("a");
    let mut options = options("b");
    options.protocol.transport.codec = CodecChoice::HashiCorp;
    let b = Serf::<N>::start(options).unwrap();
    assert!(soon::<N, _>(b.join(&at(&a))).await.is_err());
}

/// The guardian example, with shorter intervals; the test checks its output.
pub async fn a_guardian_sends_to_and_queries_all_nodes_of_its_encrypted_cluster<N: Net>() {
    let key = format!("-key={}", key(7).to_base64());
    let run = |line: String| {
        let (say, said) = async_channel::unbounded();
        let (stop, stopped) = async_channel::bounded::<()>(1);
        let args: Vec<String> = line.split(' ').map(str::to_owned).chain([key.clone()]).collect();
        let example = async move {
            let stopped = async { _ = stopped.recv().await };
            let say = move |line: String| _ = say.try_send(line);
            guardian::run::<N>(args.into_iter(), say, stopped).await.unwrap();
        };
        (example, said, stop)
    };
    /// Waits for a line with this prefix and returns the rest.
    async fn line(said: &async_channel::Receiver<String>, beginning: &str) -> String {
        loop {
            let line = said.recv().await.expect("the example runs");
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }
    let (one, one_said, stop_one) = run("node one 127.0.0.1:0".into());
    let story = async {
        let addr = line(&one_said, "listening on ").await;
        let (two, two_said, stop_two) = run(format!("node two 127.0.0.1:0 {addr}"));
        let guardian = format!("guardian three 127.0.0.1:0 {addr} -event-every=200 -query-every=300");
        let (three, three_said, stop_three) = run(guardian);
        let story = async {
            // The node's own join may be reported before its listen address. The others come in either order.
            let joined = [line(&one_said, "t").await, line(&one_said, "t").await];
            assert!(joined.iter().all(|rest| rest.ends_with(" has joined")) && joined[0] != joined[1], "{joined:?}");
            for said in [&one_said, &two_said] {
                assert!(line(said, "useless: ").await.starts_with("event "));
            }
            for name in ["one", "three", "two"] {
                assert_eq!(line(&three_said, &format!("{name}: ")).await, "all is well");
            }
            drop((stop_three, stop_two, stop_one));
        };
        zip(zip(two, three), story).await;
    };
    soon::<N, _>(zip(one, story)).await;
    let none: [&str; 0] = [];
    for nonsense in [&none[..], &["node", "a"], &["queen", "a", "127.0.0.1:0"], &["node", "a", "127.0.0.1:0", "-x=y"]] {
        let args = nonsense.iter().map(|&arg| arg.to_owned());
        let error = guardian::run::<N>(args, |_| {}, async {}).await.unwrap_err();
        assert_eq!(error.to_string(), guardian::USAGE);
    }
}

/// Coalesced member events.
pub async fn coalesced_joins_are_one_event_for_streams_and_handlers_alike<N: Net>() {
    let mut coalescing = options("a");
    coalescing.protocol.serf.coalesce_period = Duration::from_secs(20);
    coalescing.protocol.serf.quiescent_period = Duration::from_secs(2);
    let (a, mut events) = Serf::<N>::builder(coalescing).start_with_events().unwrap();
    let handled = Arc::new(Mutex::new(Vec::new()));
    let (ended, end) = call_and_wait();
    let note = Arc::clone(&handled);
    a.handle(Handlers::new().on_member(MemberEventKind::Join, move |event| {
        note.lock().unwrap().push(event);
        ended();
        async {}
    }));
    let [b, c] = ["b", "c"].map(start::<N>);
    for node in [&b, &c] {
        soon::<N, _>(node.join(&at(&a))).await.unwrap();
    }
    let together = loop {
        if let Event::Member(together) = next::<N>(&mut events).await {
            break together;
        }
    };
    assert_eq!(together.to_string(), "member-join: a, b, c");
    soon::<N, _>(end).await;
    assert_eq!(*handled.lock().unwrap(), [together]);
}

/// An application policy, and the reason of a failure.
pub async fn a_policy_keeps_a_member_out_and_why_explains_a_failure<N: Net>() {
    struct NoGuests;
    impl Policy for NoGuests {
        fn admits(&self, candidate: &Candidate<'_>) -> Result<(), Veto> {
            if candidate.name() == "guest" { Err(Veto::new("no guests")) } else { Ok(()) }
        }
    }
    let a = Serf::<N>::start(options("a").with(|options| options.policy = Some(SharedPolicy::new(NoGuests)))).unwrap();
    let [b, guest] = ["b", "guest"].map(start::<N>);
    let mut events = a.events();
    soon::<N, _>(b.join(&at(&a))).await.unwrap();
    soon::<N, _>(guest.join(&at(&b))).await.unwrap();
    until(&b, |members| members.len() == 3).await;
    until(&a, |members| members.len() == 2).await;
    assert_eq!((a.member("guest"), a.why("b")), (None, None));
    drop(b);
    wait_for::<N>(&mut events, MemberEventKind::Failed, "b").await;
    let why = a.why("b").unwrap();
    assert!(why.gone.unwrap().at <= a.now() && why.said_by.is_some());
    let counted =
        |name| a.stats().counters().any(|counter| counter.label == Some(("reason", name)) && counter.value > 0);
    assert!(counted("vetoed") && !counted("label"));
}
