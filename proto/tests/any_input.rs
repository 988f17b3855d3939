//! Whatever reaches a node, it neither panics nor says more than it may; and the same inputs always give the same outputs.

#![allow(clippy::unwrap_used, reason = "a test that cannot build its inputs has failed")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use serf_proto::internals::envelope::{Caps, Packer, PacketBuffers, seal};
use serf_proto::internals::wire::native;
use serf_proto::internals::wire::serf::{self, Clocks, MemberTime};
use serf_proto::internals::wire::swim::{Accusation, Ack, Alive, IndirectPing, Message, PeerRef, Ping, Source, State};
use serf_proto::internals::wire::{Versions, Writer};
use serf_proto::{
    Coalescing, Config, Event, Identity, Input, Instant, KeyOperation, Node, OldEvents, Options, Outbox, Output,
    QueryId, Seed, Start, StreamId, Tags, Tombstone,
};

/// One message that a peer may send. Names and addresses are numbers into small tables.
#[derive(Clone, Debug)]
enum Word {
    Ping { seq: u32, node: Index, source: Option<Index> },
    IndirectPing { seq: u32, node: Index, nack: bool, source: Index },
    Ack { seq: u32 },
    Nack { seq: u32 },
    Alive { incarnation: u32, node: Index, addr: Index, meta: Vec<u8>, versions: bool },
    Suspect { incarnation: u32, node: Index, from: Index },
    Dead { incarnation: u32, node: Index, from: Index },
    Join { ltime: u64, node: Index },
    Leave { ltime: u64, node: Index, prune: bool },
    UserEvent { ltime: u64, payload: Vec<u8> },
    Query { ltime: u64, id: u32, source: Index, filter: u8, relays: u8, timeout: u64, name: Index, payload: Vec<u8> },
    Answer { ltime: u64, id: u32, from: Index, ack: bool, payload: Vec<u8> },
    Relay { to: Index, node: Index, inner: Box<Self> },
    Noise(Vec<u8>),
}

/// Something that happens to the node.
#[derive(Clone, Debug)]
enum Happening {
    Packet {
        words: Vec<Word>,
        checksum: bool,
        nested: u8,
        damage: Option<(Index, u8)>,
    },
    Pass(u64),
    Accept,
    /// On one of the streams that are there.
    Opened(Index),
    Closed(Index),
    Failed(Index),
    PushPull {
        stream: Index,
        join: bool,
        states: Vec<(u8, Word)>,
        times: Vec<(Index, u64, bool)>,
        cut: Option<Index>,
    },
    StreamNoise {
        stream: Index,
        bytes: Vec<u8>,
    },
    Command(Command),
}

#[derive(Clone, Debug)]
enum Command {
    Join { seeds: u8, ignore_old: bool },
    Event(usize),
    Tags(usize),
    ForceLeave { node: Index, prune: bool },
    Leave,
    Ask { bytes: usize, filter: u8, acks: bool },
    Respond(Index, usize),
    Keys(u8),
}

/// Ourselves, a few others, one as long as names may be, one longer than a packet, and none.
fn names() -> Vec<String> {
    let mut names: Vec<String> = ["me", "b", "c", "d"].map(String::from).into();
    names.extend(["n".repeat(255), "n".repeat(2000), String::new()]);
    names
}

fn addresses() -> Vec<SocketAddr> {
    ["10.0.0.1:7946", "10.0.0.2:7946", "[::ffff:10.0.0.2]:7946", "[2001:db8::1]:65535", "0.0.0.0:0"]
        .map(|addr| addr.parse().unwrap())
        .into()
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![20 => 0_u32..8, 1 => Just(u32::MAX), 1 => Just((1 << 31) + 1)]
}

fn ltime() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0_u64..40, 1 => Just(u64::MAX), 1 => Just(1 << 52), 1 => Just(1 << 40)]
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=most)
}

fn word() -> impl Strategy<Value = Word> {
    let index = any::<Index>;
    prop_oneof![
        (any::<u32>(), index(), prop::option::of(index())).prop_map(|(seq, node, source)| Word::Ping {
            seq,
            node,
            source
        }),
        (any::<u32>(), index(), any::<bool>(), index()).prop_map(|(seq, node, nack, source)| Word::IndirectPing {
            seq,
            node,
            nack,
            source
        }),
        any::<u32>().prop_map(|seq| Word::Ack { seq }),
        any::<u32>().prop_map(|seq| Word::Nack { seq }),
        alive(),
        (small(), index(), index()).prop_map(|(incarnation, node, from)| Word::Suspect { incarnation, node, from }),
        (small(), index(), index()).prop_map(|(incarnation, node, from)| Word::Dead { incarnation, node, from }),
        (ltime(), index()).prop_map(|(ltime, node)| Word::Join { ltime, node }),
        (ltime(), index(), any::<bool>()).prop_map(|(ltime, node, prune)| Word::Leave { ltime, node, prune }),
        (ltime(), prop_oneof![bytes(40), bytes(3000)]).prop_map(|(ltime, payload)| Word::UserEvent { ltime, payload }),
        query(),
        answer(),
        (index(), index(), prop_oneof![answer(), query(), alive()]).prop_map(|(to, node, inner)| Word::Relay {
            to,
            node,
            inner: Box::new(inner)
        }),
        bytes(40).prop_map(Word::Noise),
    ]
}

fn query() -> impl Strategy<Value = Word> {
    let timeout = prop_oneof![4 => 0_u64..8_000_000_000, 1 => Just(u64::MAX)];
    let (source, name) = (any::<Index>(), any::<Index>());
    let payload = prop_oneof![bytes(40), bytes(3000)];
    (ltime(), small(), source, any::<u8>(), 0_u8..4, timeout, name, payload).prop_map(
        |(ltime, id, source, filter, relays, timeout, name, payload)| Word::Query {
            ltime,
            id,
            source,
            filter,
            relays,
            timeout,
            name,
            payload,
        },
    )
}

fn answer() -> impl Strategy<Value = Word> {
    (ltime(), small(), any::<Index>(), any::<bool>(), bytes(1200))
        .prop_map(|(ltime, id, from, ack, payload)| Word::Answer { ltime, id, from, ack, payload })
}

fn alive() -> impl Strategy<Value = Word> {
    (small(), any::<Index>(), any::<Index>(), prop_oneof![bytes(20), bytes(512)], prop::bool::weighted(0.9))
        .prop_map(|(incarnation, node, addr, meta, versions)| Word::Alive { incarnation, node, addr, meta, versions })
}

fn happening() -> impl Strategy<Value = Happening> {
    let index = any::<Index>;
    let damage = prop::option::weighted(0.1, (index(), any::<u8>()));
    let states = prop::collection::vec((0_u8..5, alive()), 0..6);
    let times = prop::collection::vec((index(), ltime(), any::<bool>()), 0..6);
    prop_oneof![
        8 => (prop::collection::vec(word(), 0..8), any::<bool>(), 0_u8..7, damage)
            .prop_map(|(words, checksum, nested, damage)| Happening::Packet { words, checksum, nested, damage }),
        6 => prop_oneof![0_u64..2_000, Just(6_000), Just(40_000)].prop_map(Happening::Pass),
        2 => Just(Happening::Accept),
        2 => index().prop_map(Happening::Opened),
        1 => index().prop_map(Happening::Closed),
        1 => index().prop_map(Happening::Failed),
        3 => (index(), any::<bool>(), states, times, prop::option::weighted(0.3, index())).prop_map(
            |(stream, join, states, times, cut)| Happening::PushPull { stream, join, states, times, cut }
        ),
        1 => (index(), bytes(40)).prop_map(|(stream, bytes)| Happening::StreamNoise { stream, bytes }),
        2 => command().prop_map(Happening::Command),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => (0_u8..4, any::<bool>()).prop_map(|(seeds, ignore_old)| Command::Join { seeds, ignore_old }),
        4 => (0_usize..700).prop_map(Command::Event),
        2 => (0_usize..600).prop_map(Command::Tags),
        4 => (any::<Index>(), any::<bool>()).prop_map(|(node, prune)| Command::ForceLeave { node, prune }),
        1 => Just(Command::Leave),
        4 => (0_usize..1100, any::<u8>(), any::<bool>())
            .prop_map(|(bytes, filter, acks)| Command::Ask { bytes, filter, acks }),
        4 => (any::<Index>(), 0_usize..1100).prop_map(|(to, bytes)| Command::Respond(to, bytes)),
        1 => (0_u8..4).prop_map(Command::Keys),
    ]
}

/// Writes a word as a frame; those that cannot be written are empty.
fn frame(word: &Word) -> Vec<u8> {
    let (names, addresses) = (names(), addresses());
    let name = |at: &Index| at.get(&names).as_str();
    let mut buf = vec![0; 8 * 1024];
    let mut w = Writer::new(&mut buf);
    let accusation =
        |incarnation: &u32, node, from| Accusation { incarnation: *incarnation, node: name(node), from: name(from) };
    let source = |at: &Index| Source { addr: *at.get(&addresses), node: name(at) };
    let result = match word {
        Word::Ping { seq, node, source: s } => {
            native::encode(&Message::Ping(Ping { seq: *seq, node: name(node), source: s.as_ref().map(source) }), &mut w)
        }
        Word::IndirectPing { seq, node, nack, source: s } => {
            let (target, source) = (*s.get(&addresses), Some(source(s)));
            let ping = IndirectPing { seq: *seq, target, node: name(node), nack: *nack, source };
            native::encode(&Message::IndirectPing(ping), &mut w)
        }
        Word::Ack { seq } => native::encode(&Message::Ack(Ack { seq: *seq, payload: b"payload" }), &mut w),
        Word::Nack { seq } => native::encode(&Message::Nack { seq: *seq }, &mut w),
        Word::Alive { incarnation, node, addr, meta, versions } => {
            let versions = if *versions { Versions::OURS } else { Versions::from_bytes([9, 1, 0, 0, 0, 0]) };
            let peer = PeerRef { name: name(node), addr: *addr.get(&addresses), meta, versions };
            native::encode(&Message::Alive(Alive { incarnation: *incarnation, peer }), &mut w)
        }
        Word::Suspect { incarnation, node, from } => {
            native::encode(&Message::Suspect(accusation(incarnation, node, from)), &mut w)
        }
        Word::Dead { incarnation, node, from } => {
            native::encode(&Message::Dead(accusation(incarnation, node, from)), &mut w)
        }
        Word::Join { ltime, node } => {
            user(&serf::Message::Join(serf::Join { ltime: *ltime, node: name(node) }), &mut w)
        }
        Word::Leave { ltime, node, prune } => {
            user(&serf::Message::Leave(serf::Leave { ltime: *ltime, node: name(node), prune: *prune }), &mut w)
        }
        Word::UserEvent { ltime, payload } => {
            let event = serf::UserEvent { ltime: *ltime, name: "e", payload, coalesce: true };
            user(&serf::Message::UserEvent(event), &mut w)
        }
        Word::Query { ltime, id, source: s, filter, relays, timeout, name: n, payload } => {
            let nodes = ["me", "b"];
            let filters = [
                serf::Filter::Nodes(serf::List::new(&nodes)),
                serf::Filter::Tag { tag: "k", expr: "v*" },
                serf::Filter::Tag { tag: "k", expr: "(" },
                serf::Filter::Unreadable(&[]),
            ];
            let filters = &filters[..usize::from(filter / 4 % 5)];
            let query = serf::Query {
                ltime: *ltime,
                id: *id,
                source: serf::Source { addr: *s.get(&addresses), node: shortened(name(s)) },
                filters: serf::List::new(filters),
                flags: u32::from(filter % 4),
                relay_factor: *relays,
                timeout: Duration::from_nanos(*timeout),
                name: QUERIES[n.index(QUERIES.len())],
                payload,
            };
            user(&serf::Message::Query(query), &mut w)
        }
        Word::Answer { ltime, id, from, ack, payload } => {
            let from = shortened(name(from));
            let answer = serf::QueryResponse { ltime: *ltime, id: *id, from, flags: u32::from(*ack), payload };
            user(&serf::Message::QueryResponse(answer), &mut w)
        }
        Word::Relay { to, node, inner } => {
            let inner = frame(inner);
            let inner = inner.get(1..).unwrap_or_default();
            user(
                &serf::Message::Relay(serf::Relay { addr: *to.get(&addresses), node: shortened(name(node)), inner }),
                &mut w,
            )
        }
        Word::Noise(noise) => w.put(noise),
    };
    result.unwrap();
    let len = w.len();
    buf.truncate(len);
    buf
}

/// A name that the decoder takes.
fn shortened(name: &str) -> &str {
    &name[..name.len().min(255)]
}

/// Names of queries.
const QUERIES: [&str; 7] =
    ["uptime", "", "_serf_ping", "_serf_conflict", "_serf_install-key", "_serf_list-keys", "_serf_nonsense"];

fn user(message: &serf::Message<'_>, w: &mut Writer<'_>) -> Result<(), serf_proto::internals::wire::Full> {
    native::begin_user(w)?;
    native::encode_serf(message, w)
}

/// A datagram of these words, in so many compounds one inside the other.
fn datagram(words: &[Word], checksum: bool, nested: u8) -> Vec<u8> {
    let mut frames: Vec<Vec<u8>> = words.iter().map(frame).filter(|frame| !frame.is_empty()).collect();
    for _ in 1..nested {
        frames = vec![sealed(&frames, false), vec![0x4b, 1, 7]];
    }
    sealed(&frames, checksum)
}

fn sealed(frames: &[Vec<u8>], checksum: bool) -> Vec<u8> {
    let mut buffers = PacketBuffers::new();
    let mut packer = Packer::new(&mut buffers, 60_000);
    for frame in frames {
        packer.frame(|w| w.put(frame)).unwrap();
    }
    let packed = packer.finish();
    seal(packed, Caps { checksum }, &mut buffers).to_vec()
}

fn push_pull(join: bool, states: &[(u8, Word)], times: &[(Index, u64, bool)]) -> Vec<u8> {
    let names = names();
    let mut body = vec![];
    native::begin_push_pull(&mut body, join, u32::try_from(states.len()).unwrap());
    for (state, word) in states {
        let Word::Alive { incarnation, node, addr, meta, .. } = word else { continue };
        let (name, versions) = (node.get(&names).as_str(), Versions::OURS);
        let record = native::encode_record(PeerRef { name, addr: *addr.get(&addresses()), meta, versions });
        native::push_state(&mut body, State::from_u8(*state).unwrap_or(State::Dead), *incarnation, &record);
    }
    native::begin_serf_state(&mut body, Clocks { member: 9, event: 9, query: 9 }, u32::try_from(times.len()).unwrap());
    for &(node, ltime, left) in times {
        native::push_member_time(&mut body, MemberTime { node: node.get(&names).as_bytes(), ltime: ltime >> 1, left });
    }
    native::begin_events(&mut body, 0);
    let mut message = vec![native::STREAM_PUSH_PULL];
    message.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    message.extend_from_slice(&body);
    message
}

fn options() -> Options {
    Options::lan().with(|options| {
        options.transport.packet_bytes = 1200;
        options.serf.queue_depth_max = 4;
        options.serf.reconnect_timeout = Duration::from_secs(60);
        options.serf.snapshot = true;
        options.serf.coalesce_period = Duration::from_secs(3);
        options.serf.quiescent_period = Duration::from_secs(1);
        options.serf.user_coalesce_period = Duration::from_secs(3);
        options.serf.user_quiescent_period = Duration::from_secs(1);
    })
}

fn node(out: &mut Outbox) -> Node {
    let identity = Identity::new("me", addresses()[0], &Tags::default()).unwrap();
    Node::new(
        Arc::new(Config::new(options()).unwrap()),
        &identity,
        &Seed::from_u64(3),
        Instant::ZERO,
        Start::new(),
        out,
    )
}

/// A node, what was put into it, and what came of it.
struct Witness {
    node: Node,
    now: Instant,
    /// Streams that have been opened, by either side, and not closed by the node.
    streams: Vec<StreamId>,
    /// Queries that were delivered.
    queries: Vec<QueryId>,
    inputs: Vec<(Instant, Input)>,
    outputs: Vec<Output>,
}

impl Witness {
    fn new() -> Self {
        let mut out = Outbox::new();
        let node = node(&mut out);
        let mut witness =
            Self { node, now: Instant::ZERO, streams: vec![], queries: vec![], inputs: vec![], outputs: vec![] };
        witness.collect(&mut out);
        witness
    }

    fn give(&mut self, input: Input) {
        let mut out = Outbox::new();
        if let Input::Accept { from } = input {
            self.streams.push(self.node.accept(self.now, from, &mut out));
        } else {
            self.node.apply(self.now, &input, &mut out);
        }
        self.inputs.push((self.now, input));
        self.collect(&mut out);
    }

    fn collect(&mut self, out: &mut Outbox) {
        let before = self.outputs.len();
        for output in out.drain() {
            match &output {
                Output::Datagram { bytes, .. } => assert!(!bytes.is_empty() && bytes.len() <= 1200, "{}", bytes.len()),
                Output::Connect { stream, .. } => self.streams.push(*stream),
                Output::Event(Event::Query(query)) => self.queries.push(query.id),
                Output::Close { stream } => self.streams.retain(|other| other != stream),
                _ => {}
            }
            self.outputs.push(output);
        }
        assert!(self.outputs.len() - before < 200, "one input does not ask for so much");
    }

    fn happen(&mut self, happening: &Happening) {
        let from = addresses()[1];
        let stream = |at: &Index| (!self.streams.is_empty()).then(|| *at.get(&self.streams));
        match happening {
            Happening::Packet { words, checksum, nested, damage } => {
                let mut bytes = datagram(words, *checksum, *nested);
                if let Some((at, byte)) = damage {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                self.give(Input::Datagram { from, bytes });
            }
            Happening::Pass(millis) => self.pass(Duration::from_millis(*millis)),
            Happening::Accept => self.give(Input::Accept { from }),
            Happening::Opened(at) => {
                if let Some(stream) = stream(at) {
                    self.give(Input::StreamOpened(stream));
                }
            }
            Happening::Closed(at) => {
                if let Some(stream) = stream(at) {
                    self.give(Input::StreamClosed(stream));
                }
            }
            Happening::Failed(at) => {
                if let Some(stream) = stream(at) {
                    self.give(Input::StreamFailed(stream));
                }
            }
            Happening::PushPull { stream: at, join, states, times, cut } => {
                let Some(stream) = stream(at) else { return };
                let message = push_pull(*join, states, times);
                let cut = cut.map_or(message.len(), |cut| cut.index(message.len()));
                self.give(Input::StreamData(stream, message[..cut].to_vec()));
                self.give(Input::StreamData(stream, message[cut..].to_vec()));
            }
            Happening::StreamNoise { stream: at, bytes } => {
                if let Some(stream) = stream(at) {
                    self.give(Input::StreamData(stream, bytes.clone()));
                }
            }
            Happening::Command(Command::Respond(to, bytes)) => {
                if let Some(to) = (!self.queries.is_empty()).then(|| *to.get(&self.queries)) {
                    self.give(Input::Respond { to, payload: vec![0; *bytes] });
                }
            }
            Happening::Command(command) => self.give(input(command)),
        }
    }

    /// Lets time pass, and wakes the node whenever it wants to be woken.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.node.poll_timeout().filter(|&at| at <= end) {
            assert!(at >= self.now, "it wants to be woken in the past");
            self.now = at;
            self.give(Input::Timeout);
            assert!(self.node.poll_timeout().is_none_or(|next| next > at), "all that was due is done");
        }
        self.now = end;
    }
}

fn input(command: &Command) -> Input {
    match command {
        Command::Join { seeds, ignore_old } => Input::Join {
            seeds: addresses().into_iter().take(usize::from(*seeds)).collect(),
            old: if *ignore_old { OldEvents::Ignore } else { OldEvents::Deliver },
        },
        Command::Event(bytes) => {
            Input::UserEvent { name: "e".into(), payload: vec![0; *bytes], coalescing: Coalescing::Forbid }
        }
        Command::Tags(bytes) => Input::SetTags([("k".into(), "v".repeat(*bytes))].into()),
        Command::ForceLeave { node, prune } => {
            Input::ForceLeave { name: node.get(&names()).clone(), tombstone: Tombstone::from(*prune) }
        }
        Command::Leave => Input::Leave,
        Command::Ask { bytes, filter, acks } => Input::Query {
            name: "q".into(),
            payload: vec![0; *bytes],
            nodes: if filter % 2 == 0 { vec![] } else { vec!["b".into(), "me".into()] },
            tags: if filter % 3 == 0 { vec![("k".into(), "v*(".into())] } else { vec![] },
            acks: *acks,
            relay_factor: filter % 5,
            timeout: Duration::ZERO,
        },
        Command::Respond(..) => unreachable!("given by name"),
        Command::Keys(kind) => {
            let operation = [KeyOperation::List, KeyOperation::Install][usize::from(kind % 2)];
            Input::ChangeAllKeys { operation, key: vec![7; usize::from(kind / 2) * 16], relay_factor: *kind }
        }
    }
}

proptest! {
    #[test]
    fn no_input_harms_a_node_and_a_replay_of_its_inputs_gives_the_same_outputs(happenings in prop::collection::vec(happening(), 1..60)) {
        let mut witness = Witness::new();
        for happening in &happenings {
            witness.happen(happening);
            let depths = witness.node.queue_depths();
            prop_assert!(depths.intents <= 4 && depths.events <= 4 && depths.queries <= 4, "{depths:?}");
            prop_assert!(depths.swim <= 8, "there are no more members: {depths:?}");
        }

        let mut out = Outbox::new();
        let mut replayed = node(&mut out);
        for (now, input) in &witness.inputs {
            replayed.apply(*now, input, &mut out);
        }
        prop_assert_eq!(out.drain().collect::<Vec<_>>(), witness.outputs);
        prop_assert_eq!(format!("{replayed:?}"), format!("{:?}", witness.node));
    }
}
