//! Replies to nodes that are not members: one short ack, without broadcasts.

use proptest::prelude::*;

use super::*;
use crate::envelope::{Caps, Envelope, Packer, PacketBuffers};
use crate::wire::Writer;
use crate::wire::swim::{Accusation, Alive, IndirectPing, PeerRef, Ping, Source};
use crate::wire::{Versions, native};

const STRANGER: &str = "203.0.113.9:4000";

fn stranger() -> SocketAddr {
    STRANGER.parse().unwrap()
}

/// A node that knows `node-1` at its own address and others at addresses without a node; and the envelope of its
/// cluster.
pub(super) struct Alone {
    pub(super) node: Node,
    pub(super) envelope: Envelope,
    pub(super) out: Outbox,
    pub(super) now: Instant,
}

impl Alone {
    pub(super) fn new(options: Options) -> Self {
        let cfg = Arc::new(Config::new(options).unwrap());
        let envelope = Envelope::new(cfg.envelope().clone(), &Seed::from_u64(99));
        let identity = Identity::new("node-0", addr(0), &Tags::default()).unwrap();
        let mut out = Outbox::new();
        let node = Node::new(cfg, &identity, &Seed::from_u64(1), Instant::ZERO, Start::new(), &mut out);
        let mut alone = Self { node, envelope, out, now: Instant::ZERO };
        for at in 1..4 {
            let name = format!("node-{at}");
            let peer = PeerRef { name: &name, addr: addr(at), meta: b"\xff\x80", versions: Versions::OURS };
            alone.hear(addr(at), Codec::HashiCorp, &[Message::Alive(Alive { incarnation: 1, peer })]);
        }
        alone
    }

    fn datagram(&mut self, codec: Codec, messages: &[Message<'_>]) -> Bytes {
        let mut packer = Packer::new(self.out.buffers(), 60_000);
        for message in messages {
            packer.frame(|w: &mut Writer<'_>| codec.encode(message, w)).unwrap();
        }
        let packed = packer.finish();
        self.envelope.seal(packed, Caps { checksum: false }, self.out.buffers())
    }

    /// Drains the datagrams with their destinations; other outputs are dropped.
    pub(super) fn datagrams(&mut self) -> Vec<(SocketAddr, Bytes)> {
        core::iter::from_fn(|| self.out.pop())
            .filter_map(|output| match output {
                Output::Datagram { to, bytes } => Some((to, bytes)),
                _ => None,
            })
            .collect()
    }

    pub(super) fn take(&mut self, from: SocketAddr, datagram: &[u8]) -> Vec<(SocketAddr, Bytes)> {
        self.node.handle_datagram(self.now, from, datagram, &mut self.out);
        self.datagrams()
    }

    pub(super) fn hear(
        &mut self,
        from: SocketAddr,
        codec: Codec,
        messages: &[Message<'_>],
    ) -> Vec<(SocketAddr, Bytes)> {
        let datagram = self.datagram(codec, messages);
        self.take(from, &datagram)
    }

    /// The type bytes of the messages in a datagram.
    fn kinds(&self, datagram: &[u8]) -> Vec<u8> {
        let mut buffers = PacketBuffers::new();
        envelope::split(self.envelope.open(datagram, &mut buffers).unwrap()).unwrap().map(|frame| frame[0]).collect()
    }

    pub(super) fn dropped(&self, reason: DropReason) -> u64 {
        self.node.core.stats.dropped(reason)
    }
}

fn ping(seq: u32, source: Option<Source<'_>>) -> Message<'_> {
    Message::Ping(Ping { seq, node: "node-0", source })
}

fn from_node_1() -> Option<Source<'static>> {
    Some(Source { addr: addr(1), node: "node-1" })
}

fn layers() -> impl Strategy<Value = Options> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(label, key, compression)| {
        Options::lan().with(|options| {
            options.transport.label = if label { "a label".into() } else { String::new() };
            options.transport.encrypt_keys = if key { vec![Key::new(&[7; 16]).unwrap()] } else { vec![] };
            options.transport.compression = compression;
            options.transport.codec = CodecChoice::Auto;
        })
    })
}

proptest! {
    #[test]
    fn a_stranger_gets_one_answer_of_no_more_bytes_than_it_sent(
        options in layers(), hashicorp: bool, pings in prop::collection::vec((any::<u32>(), 0_u8..4), 1..60), repeat in 1_usize..3,
    ) {
        let mut alone = Alone::new(options);
        alone.node.user_event(alone.now, "deploy", &[7; 200], Coalescing::Forbid, &mut alone.out).unwrap();
        let codec = if hashicorp { Codec::HashiCorp } else { Codec::Native };
        let sources = [
            None,
            Some(Source { addr: stranger(), node: "x" }),
            Some(Source { addr: stranger(), node: "node-1" }),
            Some(Source { addr: addr(9), node: "x" }),
        ];
        let messages: Vec<_> = pings.iter().map(|&(seq, source)| ping(seq, sources[usize::from(source)])).collect();
        let datagram = alone.datagram(codec, &messages);
        for _ in 0..repeat {
            let answers = alone.take(stranger(), &datagram);
            prop_assert!(answers.len() <= 1);
            for (to, answer) in answers {
                prop_assert_eq!(to.ip(), stranger().ip());
                prop_assert!(answer.len() <= datagram.len(), "{} bytes for {}", answer.len(), datagram.len());
                prop_assert_eq!(alone.kinds(&answer).len(), 1, "no broadcast is piggybacked");
            }
        }
    }
}

#[test]
fn a_ping_of_two_bytes_is_not_answered_and_one_without_a_name_is_briefly() {
    let mut alone = Alone::new(Options::lan());
    assert_eq!((alone.take(stranger(), b"\x00\x80"), alone.dropped(DropReason::Limit)), (vec![], 1));
    let bare = b"\x00\x82\xa4Node\xa0\xa5SeqNo\xcd\x10\x92";
    let answers = alone.take(stranger(), bare);
    assert_eq!(answers, [(stranger(), Bytes::from_static(b"\x02\x81\xa5SeqNo\xcd\x10\x92"))]);
    let whole = alone.hear(stranger(), Codec::HashiCorp, &[ping(5, Some(Source { addr: stranger(), node: "x" }))]);
    assert_eq!(whole, [(stranger(), Bytes::from_static(b"\x02\x82\xa7Payload\xc0\xa5SeqNo\x05"))], "as HashiCorp's");
}

#[test]
fn compounds_in_a_compound_are_refused_and_nothing_in_them_is_answered() {
    let mut alone = Alone::new(Options::lan());
    let inner = [&[7, 2, 0, 2, 0, 2][..], &[0, 0x80, 0, 0x80]].concat();
    let length = u8::try_from(inner.len()).unwrap();
    let outer = [&[7, 2, 0, length, 0, length][..], &inner, &inner].concat();
    assert_eq!(alone.take(stranger(), &outer), []);
    assert_eq!((alone.dropped(DropReason::Compound), alone.dropped(DropReason::Limit)), (2, 0));
}

#[test]
fn broadcasts_ride_on_acks_once_an_interval_and_not_twice_in_a_row_to_one() {
    let mut alone = Alone::new(Options::lan());
    let is_piggybacked = |alone: &mut Alone, at: usize, source| {
        alone.node.user_event(alone.now, "deploy", b"", Coalescing::Forbid, &mut alone.out).unwrap();
        let answers = alone.hear(addr(at), Codec::Native, &[ping(1, source)]);
        assert_eq!(answers[0].0, addr(at));
        alone.kinds(&answers[0].1).contains(&0x48)
    };
    assert!(is_piggybacked(&mut alone, 1, from_node_1()));
    alone.now = alone.now + Duration::from_secs(5);
    assert!(!is_piggybacked(&mut alone, 1, from_node_1()), "not twice in a row to one");
    let from_node_2 = Some(Source { addr: addr(2), node: "node-2" });
    assert!(is_piggybacked(&mut alone, 2, from_node_2));
    assert!(!is_piggybacked(&mut alone, 1, from_node_1()), "not twice in an interval");
    alone.now = alone.now + Duration::from_millis(200);
    assert!(is_piggybacked(&mut alone, 1, from_node_1()));
    alone.hear(addr(2), Codec::Native, &[Message::Dead(Accusation { incarnation: 1, node: "node-2", from: "node-1" })]);
    alone.now = alone.now + Duration::from_secs(5);
    assert!(!is_piggybacked(&mut alone, 2, from_node_2), "the dead hear by gossip only");
}

#[test]
fn an_accuser_gets_our_refutation_with_the_ack_even_without_other_broadcasts() {
    let mut alone = Alone::new(Options::lan());
    for incarnation in 1..3 {
        let suspect = Message::Suspect(Accusation { incarnation, node: "node-0", from: "node-1" });
        let answers = alone.hear(addr(1), Codec::Native, &[ping(1, from_node_1()), suspect]);
        let mut buffers = PacketBuffers::new();
        let message = alone.envelope.open(&answers[0].1, &mut buffers).unwrap().to_vec();
        let carries_state = envelope::split(&message).unwrap().any(
            |frame| matches!(native::decode(frame), Ok(Message::Alive(alive)) if alive.incarnation == incarnation + 1),
        );
        assert!(carries_state, "at {incarnation}");
    }
}

#[test]
fn an_indirect_ping_for_an_unknown_newcomer_is_refused_without_a_complaint() {
    let mut alone = Alone::new(Options::lan());
    let source = Some(Source { addr: stranger(), node: "newcomer" });
    let asks = IndirectPing { seq: 3, target: addr(1), node: "node-1", nack: true, source };
    assert_eq!(alone.hear(stranger(), Codec::HashiCorp, &[Message::IndirectPing(asks)]), []);
    assert_eq!(alone.node.stats().dropped(DropReason::Unexpected), 1);
    assert_eq!(alone.node.complaints().count(), 0);
}
