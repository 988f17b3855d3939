//! Queries sent by either implementation, answered by both.

use core::time::Duration;

use serf_tokio::serf_proto::Question;

use crate::harness::{Agent, Answers, Ours, Sees, Watch, until};

/// Two nodes of each implementation with tags, in one cluster, all answering `reverse`.
struct Cluster {
    ours: [Ours; 2],
    theirs: [Agent; 2],
    _answering: [Watch; 2],
}

impl Cluster {
    fn start() -> Self {
        let theirs = ["h1", "h2"].map(|name| Agent::start(name, &["-tag=kind=theirs", &format!("-tag=name={name}")]));
        let ours = ["o1", "o2"].map(|name| {
            Ours::start_with(name, |options| options.tags = [("kind", "ours"), ("name", name)].into_iter().collect())
        });
        assert_eq!(theirs[1].join(&[theirs[0].addr]), 1);
        ours.iter().for_each(|ours| assert_eq!(ours.join(&[theirs[0].addr]), 1));
        ours.iter().for_each(|ours| ours.sees_alive(4));
        theirs.iter().for_each(|theirs| theirs.sees_alive(4));
        let answering = [theirs[0].watch(), theirs[1].watch()];
        Self { ours, theirs, _answering: answering }
    }
}

/// Returns the expected results of a query with this payload to these nodes.
fn of(names: &[&str], payload: &[u8]) -> Answers {
    let reversed: Vec<u8> = payload.iter().rev().copied().collect();
    Answers {
        acks: names.iter().map(|&name| name.to_owned()).collect(),
        responses: names.iter().map(|&name| (name.to_owned(), reversed.clone())).collect(),
        silent: Vec::new(),
    }
}

const EVERYBODY: &[&str] = &["h1", "h2", "o1", "o2"];

fn every_byte() -> Vec<u8> {
    (0..=255).collect()
}

pub(crate) fn ours_asks_both_and_both_answer() {
    let cluster = Cluster::start();
    let payload = every_byte();
    let question = Question::new("reverse").with_payload(&payload).with_acks();
    assert_eq!(cluster.ours[0].ask(&question), of(EVERYBODY, &payload));
    assert_eq!(cluster.ours[1].ask(&Question::new("reverse").with_acks()), of(EVERYBODY, b""), "and an empty one");
    // Without a request for acks there are none; nodes without an answer are silent.
    let unanswered = cluster.ours[0].ask(&Question::new("other").for_at_most(Duration::from_secs(1)));
    assert_eq!((unanswered.acks.len(), unanswered.responses.len(), unanswered.silent.len()), (0, 0, 4));
}

pub(crate) fn theirs_asks_both_and_both_answer() {
    let cluster = Cluster::start();
    let payload = every_byte();
    assert_eq!(cluster.theirs[0].query("reverse", &payload, &[], &[], 0), of(EVERYBODY, &payload));
    assert_eq!(cluster.theirs[1].query("reverse", b"", &[], &[], 0), of(EVERYBODY, b""), "and an empty one");
    let unanswered = cluster.theirs[0].query("other", b"\xff", &[], &[], 0);
    assert_eq!((unanswered.acks, unanswered.responses.len()), (of(EVERYBODY, b"").acks, 0));
}

pub(crate) fn filters_mean_the_same_to_both() {
    let cluster = Cluster::start();
    let filters: [Filtered; 6] = [
        (&["o1", "h2", "nobody"], &[], &["h2", "o1"]),
        (&[], &[("kind", "theirs")], &["h1", "h2"]),
        (&[], &[("kind", "^our")], &["o1", "o2"]),
        (&[], &[("name", r"^\w[1\x{20}]\z")], &["h1", "o1"]),
        (&[], &[("kind", "(?i)THEIRS|OURS"), ("name", "2"), ("absent", "^$")], THE_SECOND_ONES),
        (&["h1", "o2"], &[("kind", "ours")], &["o2"]),
    ];
    for (nodes, tags, expected) in filters {
        let question = Question::new("reverse").with_payload(b"ab").of_nodes(nodes).of_tags(tags).with_acks();
        assert_eq!(cluster.ours[0].ask(&question), of(expected, b"ab"), "{nodes:?} {tags:?}");
        let answers = cluster.theirs[0].query("reverse", b"ab", nodes, tags, 0);
        assert_eq!(answers, of(expected, b"ab"), "{nodes:?} {tags:?}");
    }
}

/// Name filter, tag filter, and the members that match both.
type Filtered = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static [&'static str]);

const THE_SECOND_ONES: &[&str] = &["h2", "o2"];

pub(crate) fn answers_come_over_members_of_the_other_kind_too() {
    let cluster = Cluster::start();
    let question = Question::new("reverse").with_payload(b"over").with_acks().relayed(3);
    assert_eq!(cluster.ours[0].ask(&question), of(EVERYBODY, b"over"));
    assert_eq!(cluster.theirs[0].query("reverse", b"over", &[], &[], 3), of(EVERYBODY, b"over"));
    let stats = || cluster.ours.each_ref().map(|ours| ours.serf.stats().protocol);
    until("ours passed answers on", || stats().iter().any(|stats| stats.query_relays > 0));
    until("ours got answers a second time", || {
        // The query ends when all have answered; later replies count as late.
        stats().iter().any(|stats| stats.query_duplicate_responses + stats.query_late > 0)
    });
}

pub(crate) fn the_largest_query_is_the_same_for_both() {
    let mut cluster = Cluster::start();
    let theirs = &mut cluster.theirs[0];
    let takes = |agent: &Agent, len: usize| agent.try_query("q", &vec![0xc1; len]).is_ok();
    theirs.may_say("query exceeds limit of 1024 bytes");
    // The encoded timeouts, ports and numbers of a query vary in length by a few bytes.
    assert!(takes(theirs, 880) && !takes(theirs, 930));
    let asks = |len: usize| cluster.ours[0].serf.query(&Question::new("q").with_payload(vec![0xc1; len])).is_ok();
    assert!(asks(880) && !asks(930));
    let payload = [0xfe; 880];
    let answers = cluster.ours[0].ask(&Question::new("reverse").with_payload(&payload).with_acks());
    assert_eq!(answers, of(EVERYBODY, &payload));
    assert_eq!(cluster.theirs[0].query("reverse", &payload, &[], &[], 0), of(EVERYBODY, &payload));
}
