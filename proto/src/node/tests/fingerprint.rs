//! Fingerprints distinguish states that behave differently, and no others.

use core::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

use super::*;
use crate::Question;
use crate::wire::Writer;
use crate::wire::swim::{Accusation, Alive};

/// A node that knows another, both from the first moment, as it is one second after `start`.
fn pair(start: Instant) -> (Node, Instant) {
    let directory = Directory::new((0..2).map(identity));
    let cfg = Arc::new(Config::new(Options::lan().with(|options| options.serf.coordinates = false)).unwrap());
    let mut out = Outbox::new();
    let start_with = Start::new().with_directory(directory).converged();
    let mut node = Node::new(cfg, &identity(0), &Seed::from_u64(7), start, start_with, &mut out);
    let now = start + Duration::from_secs(1);
    while node.poll_timeout().is_some_and(|at| at <= now) {
        let at = node.poll_timeout().unwrap();
        node.handle_timeout(at, &mut out);
    }
    node.user_event(now, "first", b"", Coalescing::Forbid, &mut out).unwrap();
    (node, now)
}

fn identity(at: usize) -> Identity {
    Identity::new(&format!("node-{at}"), addr(at), &Tags::default()).unwrap()
}

fn fingerprint(node: &Node) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    node.fingerprint(&mut hasher);
    hasher.finish()
}

const START: Instant = Instant::from_nanos(1_000_000_000_000);

#[test]
fn equal_histories_have_equal_fingerprints_whenever_they_happen() {
    let (one, _) = pair(START);
    let (other, _) = pair(START);
    assert_eq!(fingerprint(&one), fingerprint(&other));
    assert_eq!(fingerprint(&one), fingerprint(&one.clone()));
    // A grid of gossip ticks is part of the history: by a multiple of its interval.
    let (later, _) = pair(START + one.core.cfg.swim().gossip_interval * 7);
    assert_eq!(fingerprint(&one), fingerprint(&later));
}

/// Something that may happen to a node.
type Change = fn(&mut Node, Instant, &mut Outbox);

const CHANGES: [(&str, Change); 19] = [
    ("time passes", |node, now, out| node.handle_timeout(now + Duration::from_millis(1), out)),
    ("a timer fires", |node, _, out| node.handle_timeout(node.poll_timeout().unwrap(), out)),
    ("a suspicion", |node, _, _| accuse(node, Message::Suspect, "node-1", 1)),
    ("a suspicion by another", |node, _, _| {
        accuse_by(node, Message::Suspect, "node-1", 1, "node-0");
    }),
    ("a suspicion at a higher incarnation", |node, _, _| accuse(node, Message::Suspect, "node-1", 2)),
    ("a death", |node, _, _| accuse(node, Message::Dead, "node-1", 1)),
    ("a leave of another", |node, _, _| accuse_by(node, Message::Dead, "node-1", 1, "node-1")),
    ("a refutation", |node, _, _| accuse(node, Message::Suspect, "node-0", 1)),
    ("a higher incarnation", |node, _, _| announce(node, &identity(1), 2)),
    ("other tags of another", |node, _, _| {
        let tags = [("role", "db")].into_iter().collect();
        announce(node, &Identity::new("node-1", addr(1), &tags).unwrap(), 2);
    }),
    ("a third member", |node, _, _| announce(node, &identity(2), 1)),
    ("other tags", |node, now, out| {
        node.set_tags(now, &[("role", "db")].into_iter().collect(), out).unwrap();
    }),
    ("an event", |node, now, out| node.user_event(now, "second", b"", Coalescing::Forbid, out).unwrap()),
    ("an event with another payload", |node, now, out| {
        node.user_event(now, "second", b"x", Coalescing::Forbid, out).unwrap();
    }),
    ("a query", |node, now, out| _ = node.query(now, &Question::new("load"), out).unwrap()),
    ("a stream", |node, now, out| _ = node.accept(now, addr(5), out)),
    ("a join", |node, now, out| _ = node.join(now, &[addr(6)], OldEvents::Ignore, out).unwrap()),
    ("a leave", |node, now, out| node.leave(now, out).unwrap()),
    ("a force-leave of a member", |node, now, out| {
        node.force_leave(now, "node-1", Tombstone::Keep, out).unwrap();
    }),
];

#[test]
fn each_kind_of_difference_changes_the_fingerprint() {
    let (node, now) = pair(START);
    let mut seen = BTreeMap::from([(fingerprint(&node), "nothing")]);
    for (what, change) in CHANGES {
        let mut changed = node.clone();
        change(&mut changed, now, &mut Outbox::new());
        if let Some(other) = seen.insert(fingerprint(&changed), what) {
            panic!("{what} looks like: {other}");
        }
    }
}

#[test]
fn what_decides_nothing_leaves_the_fingerprint_as_it_is() {
    let (node, now) = pair(START);
    let mut other = node.clone();
    let mut out = Outbox::new();
    other.handle_datagram(now, addr(9), b"nonsense", &mut out);
    accuse(&mut other, Message::Suspect, "unknown", 1);
    announce(&mut other, &identity(1), 1);
    other.reseed(&Seed::from_u64(99));
    assert!(!other.has_drawn(&Seed::from_u64(99)));
    assert_eq!(fingerprint(&node), fingerprint(&other));
}

#[test]
fn a_draw_is_noticed() {
    let (mut node, now) = pair(START);
    let seed = Seed::from_u64(3);
    node.reseed(&seed);
    node.query(now, &Question::new("load"), &mut Outbox::new()).unwrap();
    assert!(node.has_drawn(&seed), "the number of the query");
}

fn accuse(node: &mut Node, kind: fn(Accusation<'static>) -> Message<'static>, of: &'static str, incarnation: u32) {
    accuse_by(node, kind, of, incarnation, "node-2");
}

fn accuse_by(
    node: &mut Node,
    kind: fn(Accusation<'static>) -> Message<'static>,
    of: &'static str,
    incarnation: u32,
    from: &'static str,
) {
    hear(node, &kind(Accusation { incarnation, node: of, from }));
}

fn announce(node: &mut Node, identity: &Identity, incarnation: u32) {
    hear(node, &Message::Alive(Alive { incarnation, peer: identity.peer().announced() }));
}

fn hear(node: &mut Node, message: &Message<'_>) {
    let mut buf = [0; 512];
    let mut writer = Writer::new(&mut buf);
    Codec::Native.encode(message, &mut writer).unwrap();
    let len = writer.len();
    node.handle_datagram(node.core.now, addr(1), &buf[..len], &mut Outbox::new());
}
