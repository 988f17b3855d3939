//! A node under test, with the invariants that hold for any input.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serf_proto::internals::envelope::{Envelope, PacketBuffers, split};
use serf_proto::internals::wire::swim::{Alive, Message, PeerRef};
use serf_proto::internals::wire::{Codec, Versions, Writer, native};
use serf_proto::limits::{META_BYTES_MAX, NAME_BYTES_MAX};
use serf_proto::{
    Clocks, Coalescing, CodecChoice, Config, EnvelopeConfig, Identity, Input, Instant, Key, Keyring, Node, OldEvents,
    Options, Outbox, Output, QueryId, Question, Seed, Start, StreamId, Tags,
};

use crate::sealed::{KEY, LABEL};

/// Maximum packet size.
const PACKET_BYTES: u32 = 1400;
/// Broadcast queue limit per kind.
const QUEUE_DEPTH_MAX: usize = 4;
/// Maximum number of wake-ups, to bound the run time of an input.
const WAKES_MAX: usize = 3_000;

/// Configuration of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    pub(crate) codec: CodecChoice,
    /// Whether it has a label and a key.
    pub(crate) is_sealed: bool,
}

/// A node, all its inputs, and all its outputs.
pub(crate) struct Subject {
    kind: Kind,
    /// The node before the first input.
    origin: Rc<Node>,
    pub(crate) node: Node,
    pub(crate) now: Instant,
    inputs: Vec<(Instant, Input)>,
    pub(crate) outputs: Vec<Output>,
    wakes: usize,
}

impl Subject {
    /// Creates a node that knows two members, probes them, and has a query and an event of its own in progress.
    pub(crate) fn new(kind: Kind) -> Self {
        let Settled { node, now, .. } = settled(kind);
        Self::of(kind, node, now)
    }

    /// Puts a node with the settings of `kind` under test.
    pub(crate) fn of(kind: Kind, origin: Rc<Node>, now: Instant) -> Self {
        let node = Node::clone(&origin);
        Self { kind, origin, node, now, inputs: vec![], outputs: vec![], wakes: 0 }
    }

    /// Passes an input to the node and checks the outputs.
    pub(crate) fn give(&mut self, input: Input) {
        let mut out = Outbox::new();
        let before = Marks::of(&self.node);
        self.node.apply(self.now, &input, &mut out);
        self.look(&before, given_bytes(&input), &mut out);
        self.inputs.push((self.now, input));
    }

    /// Accepts a stream from a peer and returns its ID.
    pub(crate) fn accept(&mut self, from: SocketAddr) -> StreamId {
        let mut out = Outbox::new();
        let before = Marks::of(&self.node);
        let stream = self.node.accept(self.now, from, &mut out);
        self.look(&before, 0, &mut out);
        self.inputs.push((self.now, Input::Accept { from }));
        stream
    }

    /// Starts a push/pull with a peer and returns the stream, on which the request has been written.
    pub(crate) fn ask(&mut self) -> StreamId {
        self.give(Input::Join { seeds: vec![addr(9)], old: OldEvents::Deliver });
        let stream = self.outputs.iter().find_map(|output| match output {
            Output::Connect { stream, to } if *to == addr(9) => Some(*stream),
            _ => None,
        });
        let stream = stream.expect("a join opens a stream");
        self.give(Input::StreamOpened(stream));
        stream
    }

    /// Lets time pass and fires the node's timers.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= end) {
            self.wakes += 1;
            if self.wakes > WAKES_MAX {
                return;
            }
            self.wake(at);
        }
        self.now = end;
    }

    /// Fires the timers that are due at `at`.
    pub(crate) fn wake(&mut self, at: Instant) {
        assert!(at >= self.now, "it wants to be woken in the past");
        self.now = at;
        self.give(Input::Timeout);
        assert!(self.node.poll_timeout().is_none_or(|next| next > at), "all that was due is done");
    }

    /// Checks that another node with equal inputs has equal outputs.
    pub(crate) fn check_replay(&self) {
        let mut node = Node::clone(&self.origin);
        let mut out = Outbox::new();
        for (now, input) in &self.inputs {
            node.apply(*now, input, &mut out);
        }
        assert!(out.drain().eq(self.outputs.iter().cloned()), "a replay says something else");
        assert_eq!(node.stats(), self.node.stats());
    }

    fn look(&mut self, before: &Marks, given: usize, out: &mut Outbox) {
        let mut said = 0;
        for output in out.drain() {
            if let Output::Datagram { bytes, .. } = &output {
                self.check_datagram(before, bytes);
            }
            self.outputs.push(output);
            said += 1;
        }
        let known = self.node.members().count();
        assert!(said <= 64 + given + 8 * known, "{said} outputs of {given} bytes, with {known} members");
        self.check_node(before);
    }

    /// Checks that a peer with the same configuration can decode a sent datagram.
    fn check_datagram(&self, before: &Marks, bytes: &[u8]) {
        assert!(!bytes.is_empty() && bytes.len() <= PACKET_BYTES as usize, "a packet of {} bytes", bytes.len());
        // The input may have changed the keys, before or after this packet.
        let keyring = Keyring::new(before.keys.iter().chain(self.node.keys()).cloned()).expect("there are few keys");
        let config = EnvelopeConfig { keyring, ..config(self.kind).envelope().clone() };
        let envelope = Envelope::new(config, &Seed::from_u64(1));
        let mut buffers = PacketBuffers::new();
        let message = envelope.open(bytes, &mut buffers).expect("it opens its own packets");
        let mut parts = split(message).expect("it splits its own packets");
        for frame in parts.by_ref() {
            assert!(self.kind.codec.reads(Codec::of(frame[0])), "a frame in a codec that it would not read");
            if let Some(read) = native::decode_anti_entropy(frame) {
                assert!(read.is_ok(), "it sent {frame:x?}: {read:?}");
                continue;
            }
            let read = Codec::decode(frame);
            let Ok(message) = read else { panic!("it sent {frame:x?}: {read:?}") };
            if let Message::User(body) = message {
                assert!(Codec::decode_serf(body).is_ok(), "it sent {body:x?}");
            }
        }
        assert!(!parts.damaged());
    }

    fn check_node(&self, before: &Marks) {
        let (node, after) = (&self.node, Marks::of(&self.node));
        assert!(after.incarnation >= before.incarnation, "its incarnation goes back");
        let times = |marks: &Marks| [marks.clocks.member, marks.clocks.event, marks.clocks.query];
        assert!(times(before).iter().zip(times(&after)).all(|(before, after)| *before <= after), "a clock goes back");
        assert!(after.dropped >= before.dropped);
        assert!(node.poll_timeout().is_none_or(|at| at >= self.now), "it is late");
        let depths = node.queue_depths();
        assert!(depths.intents.max(depths.events).max(depths.queries) <= QUEUE_DEPTH_MAX, "{depths:?}");
        assert_eq!(node.local().name(), self.origin.local().name());
        for member in node.members() {
            let (name, meta) = (member.name(), member.peer().meta());
            assert!((1..=NAME_BYTES_MAX).contains(&name.len()) && meta.len() <= META_BYTES_MAX, "{member:?}");
        }
    }
}

/// Values that only ever grow, and the keys, which change.
struct Marks {
    incarnation: u32,
    clocks: Clocks,
    dropped: u64,
    keys: Vec<Key>,
}

impl Marks {
    fn of(node: &Node) -> Self {
        let dropped = node.stats().dropped.iter().sum();
        let keys = node.keys().cloned().collect();
        Self { incarnation: node.incarnation(), clocks: node.clocks(), dropped, keys }
    }
}

/// Returns the size of an input.
fn given_bytes(input: &Input) -> usize {
    match input {
        Input::Datagram { bytes, .. } | Input::StreamData(_, bytes) => bytes.len(),
        Input::Join { seeds, .. } => seeds.len(),
        _ => 0,
    }
}

pub(crate) fn addr(host: u8) -> SocketAddr {
    ([10, 0, 0, host], 7946).into()
}

fn config(kind: Kind) -> Arc<Config> {
    thread_local! {
        static CONFIGS: std::cell::RefCell<std::collections::HashMap<Kind, Arc<Config>>> = std::cell::RefCell::default();
    }
    CONFIGS.with_borrow_mut(|configs| {
        configs
            .entry(kind)
            .or_insert_with(|| Arc::new(Config::new(options(kind)).expect("the settings are sound")))
            .clone()
    })
}

/// Settings of the nodes under test.
pub(crate) fn options(kind: Kind) -> Options {
    let (label, encrypt_keys) = if kind.is_sealed {
        (LABEL.to_owned(), vec![Key::new(&KEY).expect("a key of 16 bytes")])
    } else {
        (String::new(), vec![])
    };
    Options::lan().with(|options| {
        options.transport.codec = kind.codec;
        options.transport.label = label;
        options.transport.encrypt_keys = encrypt_keys;
        options.transport.packet_bytes = PACKET_BYTES;
        options.serf.queue_depth_max = QUEUE_DEPTH_MAX.try_into().expect("it is 4");
        options.serf.reconnect_timeout = Duration::from_secs(60);
        options.serf.snapshot = true;
        options.serf.coalesce_period = Duration::from_secs(3);
        options.serf.quiescent_period = Duration::from_secs(1);
        options.serf.user_coalesce_period = Duration::from_secs(3);
        options.serf.user_quiescent_period = Duration::from_secs(1);
    })
}

/// The common initial state of every run: the node, its query, and the time.
#[derive(Clone)]
struct Settled {
    node: Rc<Node>,
    asked: QueryId,
    now: Instant,
}

/// Returns the query that the node runs from the start.
pub(crate) fn asked(kind: Kind) -> QueryId {
    settled(kind).asked
}

/// Returns the initial state, created once per kind.
fn settled(kind: Kind) -> Settled {
    thread_local! {
        static NODES: std::cell::RefCell<std::collections::HashMap<Kind, Settled>> = std::cell::RefCell::default();
    }
    NODES.with_borrow_mut(|nodes| nodes.entry(kind).or_insert_with(|| settle(kind)).clone())
}

fn settle(kind: Kind) -> Settled {
    let mut out = Outbox::new();
    let identity = Identity::new("me", addr(1), &Tags::default()).expect("a sound name");
    let mut now = Instant::ZERO;
    let mut node = Node::new(config(kind), &identity, &Seed::from_u64(3), now, Start::new(), &mut out);
    // With both codecs, one of the members reads only HashiCorp's, so that translation is covered too.
    let other = if kind.codec == CodecChoice::Auto { Versions::HASHICORP } else { kind.codec.versions() };
    for (name, host, versions) in [("node-a", 2, kind.codec.versions()), ("node-b", 3, other)] {
        let peer = PeerRef { name, addr: addr(host), meta: b"\xff\x80", versions };
        let bytes = announcement(kind, peer);
        node.handle_datagram(now, addr(host), &bytes, &mut out);
    }
    assert_eq!(node.members().count(), 3, "{:?}", node.stats());
    node.user_event(now, "deploy", b"v1", Coalescing::Allow, &mut out).expect("a small event");
    let asked = node.query(now, &Question::new("q").with_acks(), &mut out).expect("a small query");
    let end = now + Duration::from_millis(1_200);
    while let Some(at) = node.poll_timeout().filter(|at| *at <= end) {
        now = at;
        node.handle_timeout(now, &mut out);
    }
    Settled { node: Rc::new(node), asked, now }
}

fn announcement(kind: Kind, peer: PeerRef<'_>) -> Vec<u8> {
    let codec = if kind.codec.reads(Codec::Native) { Codec::Native } else { Codec::HashiCorp };
    let mut room = [0; 512];
    let mut writer = Writer::new(&mut room);
    codec.encode(&Message::Alive(Alive { incarnation: 1, peer }), &mut writer).expect("it is small");
    let len = writer.len();
    if kind.is_sealed { crate::sealed::datagram(1, &room[..len]) } else { room[..len].to_vec() }
}
