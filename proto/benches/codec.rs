//! What one message, one packet and one exchange cost, with allocations: `cargo bench -p serf-proto`.
//!
//! Every member has a 10-byte name, an IPv4 address and 19 bytes of tags.

#![allow(clippy::unwrap_used, reason = "the fixture is sound")]

use std::net::SocketAddr;
use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use serf_proto::internals::envelope::{Caps, Packer, PacketBuffers, open, seal, split};
use serf_proto::internals::wire::native::{self, PushPull, SerfState};
use serf_proto::internals::wire::serf::{Clocks, MemberTime};
use serf_proto::internals::wire::swim::{Alive, Message, PeerRef, Ping, State};
use serf_proto::internals::wire::{Versions, Writer};
use serf_proto::{
    Coalescing, Config, Directory, Identity, Instant, Node, OldEvents, Options, Outbox, Output, Seed, Start, StreamId,
    StreamInput, Tags,
};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A cluster as large as the largest that is measured.
const MEMBERS: u32 = 5000;

const PACKET_BYTES: u32 = 1400;

const NOW: Instant = Instant::ZERO;

fn name(at: u32) -> String {
    format!("node-{at:05}")
}

fn addr(at: u32) -> SocketAddr {
    let [_, a, b, c] = at.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 7946))
}

fn tags() -> Tags {
    [("role", "web"), ("dc", "east")].into_iter().collect()
}

fn identity(at: u32) -> Identity {
    Identity::new(&name(at), addr(at), &tags()).unwrap()
}

fn record(at: u32) -> Box<[u8]> {
    let meta = tags().encode();
    assert_eq!((name(at).len(), meta.len()), (10, 19), "the fixture");
    native::encode_record(PeerRef { name: &name(at), addr: addr(at), meta: &meta, versions: Versions::OURS })
}

fn alive_frame(at: u32, incarnation: u32) -> Vec<u8> {
    let mut buf = [0; 200];
    let mut writer = Writer::new(&mut buf);
    native::encode_alive(incarnation, &record(at), &mut writer).unwrap();
    let len = writer.len();
    buf[..len].to_vec()
}

/// A packet of alive messages about the members from `first` on: as many as fit, or `most`. Also how many they are.
fn packet(first: u32, most: u32) -> (Vec<u8>, u32) {
    let mut buffers = PacketBuffers::new();
    let mut packer = Packer::new(&mut buffers, PACKET_BYTES);
    let records = (first..first + most).map(record);
    let packed = records.take_while(|record| packer.frame(|w| native::encode_alive(1, record, w)).is_ok()).count();
    let frames = packer.finish();
    let datagram = seal(frames, Caps { checksum: true }, &mut buffers);
    (datagram.to_vec(), u32::try_from(packed).unwrap())
}

fn config() -> Arc<Config> {
    Arc::new(Config::new(Options::lan().with(|options| options.transport.packet_bytes = PACKET_BYTES)).unwrap())
}

/// Node 0, started this way.
fn node(start: Start) -> Node {
    Node::new(config(), &identity(0), &Seed::from_u64(1), NOW, start, &mut Outbox::new())
}

fn directory(members: u32) -> Directory {
    Directory::new((0..members).map(identity))
}

mod message {
    use super::*;

    #[divan::bench]
    fn encode_alive(bencher: Bencher<'_, '_>) {
        let record = record(1);
        let mut buf = [0; 200];
        bencher.bench_local(|| {
            let mut writer = Writer::new(&mut buf);
            native::encode_alive(black_box(1), black_box(&record), &mut writer).unwrap();
            writer.len()
        });
    }

    #[divan::bench]
    fn encode_record_of_a_member(bencher: Bencher<'_, '_>) {
        let (name, meta) = (name(1), tags().encode());
        let peer = PeerRef { name: &name, addr: addr(1), meta: &meta, versions: Versions::OURS };
        bencher.bench(|| native::encode_record(black_box(peer)));
    }

    #[divan::bench]
    fn decode_alive(bencher: Bencher<'_, '_>) {
        let frame = alive_frame(1, 1);
        bencher.bench(|| {
            let message = native::decode(black_box(&frame)).unwrap();
            assert!(matches!(message, Message::Alive(Alive { incarnation: 1, .. })));
        });
    }

    #[divan::bench]
    fn split_alive(bencher: Bencher<'_, '_>) {
        let frame = alive_frame(1, 1);
        bencher.bench(|| native::split_alive(black_box(&frame)).unwrap().incarnation);
    }
}

/// The same messages in HashiCorp's codec.
mod hashicorp {
    use serf_proto::internals::wire::hashicorp::{self, PushPull, Scanner};

    use super::*;

    fn peer<'a>(name: &'a str, at: u32, meta: &'a [u8]) -> PeerRef<'a> {
        PeerRef { name, addr: addr(at), meta, versions: Versions::OURS }
    }

    /// A push/pull of so many members, without anything of the layer above.
    fn push_pull_of(members: u32) -> Vec<u8> {
        let meta = tags().encode();
        let mut message = Vec::new();
        hashicorp::begin_push_pull(&mut message, false, members, 0);
        for at in 0..members {
            hashicorp::push_state(&mut message, State::Alive, at + 1, peer(&name(at), at, &meta));
        }
        message
    }

    #[divan::bench]
    fn encode_alive(bencher: Bencher<'_, '_>) {
        let (name, meta) = (name(1), tags().encode());
        let peer = peer(&name, 1, &meta);
        let mut buf = [0; 200];
        bencher.bench_local(|| {
            let mut writer = Writer::new(&mut buf);
            hashicorp::encode_alive(black_box(1), black_box(peer), &mut writer).unwrap();
            writer.len()
        });
    }

    #[divan::bench]
    fn decode_alive(bencher: Bencher<'_, '_>) {
        let (name, meta) = (name(1), tags().encode());
        let mut buf = [0; 200];
        let mut writer = Writer::new(&mut buf);
        hashicorp::encode_alive(1, peer(&name, 1, &meta), &mut writer).unwrap();
        let len = writer.len();
        let frame = &buf[..len];
        bencher.bench(|| {
            let message = hashicorp::decode(black_box(frame)).unwrap();
            assert!(matches!(message, Message::Alive(Alive { incarnation: 1, .. })));
        });
    }

    #[divan::bench]
    fn encode_push_pull_of_5000(bencher: Bencher<'_, '_>) {
        let (names, meta) = ((0..MEMBERS).map(name).collect::<Vec<_>>(), tags().encode());
        let mut message = Vec::with_capacity(MEMBERS as usize * 120);
        bencher.counter(ItemsCount::new(MEMBERS)).bench_local(|| {
            message.clear();
            hashicorp::begin_push_pull(&mut message, false, MEMBERS, 0);
            for (name, at) in names.iter().zip(0..) {
                hashicorp::push_state(&mut message, State::Alive, at + 1, peer(name, at, &meta));
            }
            message.len()
        });
    }

    #[divan::bench]
    fn decode_push_pull_of_5000(bencher: Bencher<'_, '_>) {
        let message = push_pull_of(MEMBERS);
        bencher.counter(ItemsCount::new(MEMBERS)).bench(|| {
            let parsed = PushPull::parse(black_box(&message[1..])).unwrap();
            parsed.states().map(|entry| entry.peer().unwrap().name.len()).sum::<usize>()
        });
    }

    /// Everything: finding the end, the check of the outline, the merge. What the merge itself takes is this less the decoding.
    #[divan::bench(sample_count = 50)]
    fn node_merges_5000_states_with_nothing_new(bencher: Bencher<'_, '_>) {
        let meta = tags().encode();
        let mut message = Vec::new();
        hashicorp::begin_push_pull(&mut message, false, MEMBERS, 0);
        for at in 0..MEMBERS {
            hashicorp::push_state(&mut message, State::Alive, 1, peer(&name(at), at, &meta));
        }
        let (asking, stream) = push_pull::asking();
        bencher.counter(ItemsCount::new(MEMBERS)).with_inputs(|| (asking.clone(), Outbox::new())).bench_local_refs(
            |(node, out)| {
                node.handle_stream(NOW, stream, StreamInput::Data(&message), out);
                assert!(matches!(out.drain().last(), Some(Output::Event(_))), "the join is over");
            },
        );
    }

    #[divan::bench]
    fn pack_and_seal_ten_alives_with_checksum(bencher: Bencher<'_, '_>) {
        let (names, meta) = ((1..=10).map(name).collect::<Vec<_>>(), tags().encode());
        let mut buffers = PacketBuffers::new();
        bencher.counter(ItemsCount::new(10_u32)).bench_local(|| {
            let mut packer = Packer::new(&mut buffers, PACKET_BYTES);
            for (name, at) in names.iter().zip(1..) {
                packer.frame(|w| hashicorp::encode_alive(1, peer(name, at, &meta), w)).unwrap();
            }
            seal(packer.finish(), Caps { checksum: true }, &mut buffers)
        });
    }

    #[divan::bench]
    fn open_and_decode_ten_alives_with_checksum(bencher: Bencher<'_, '_>) {
        let (names, meta) = ((1..=10).map(name).collect::<Vec<_>>(), tags().encode());
        let mut buffers = PacketBuffers::new();
        let mut packer = Packer::new(&mut buffers, PACKET_BYTES);
        for (name, at) in names.iter().zip(1..) {
            packer.frame(|w| hashicorp::encode_alive(1, peer(name, at, &meta), w)).unwrap();
        }
        let packet = seal(packer.finish(), Caps { checksum: true }, &mut buffers);
        bencher.counter(ItemsCount::new(10_u32)).bench(|| {
            let parts = split(open(black_box(&packet)).unwrap()).unwrap();
            assert_eq!(parts.map(hashicorp::decode).filter(Result::is_ok).count(), 10);
        });
    }

    #[divan::bench(args = [100, 1400])]
    fn find_the_end_of_a_push_pull_of_5000_in_pieces(bencher: Bencher<'_, '_>, piece: usize) {
        let message = push_pull_of(MEMBERS);
        bencher.counter(ItemsCount::new(MEMBERS)).bench(|| {
            let mut scanner = Scanner::default();
            let mut ends = (0..message.len()).step_by(piece).chain([message.len()]);
            ends.find_map(|come| scanner.scan(black_box(&message[..come])).unwrap())
        });
    }
}

mod packet {
    use super::*;

    #[divan::bench]
    fn pack_and_seal_ten_alives_with_checksum(bencher: Bencher<'_, '_>) {
        let records: Vec<_> = (1..=10).map(record).collect();
        let mut buffers = PacketBuffers::new();
        bencher.counter(ItemsCount::new(10_u32)).bench_local(|| {
            let mut packer = Packer::new(&mut buffers, PACKET_BYTES);
            for record in &records {
                packer.frame(|w| native::encode_alive(1, record, w)).unwrap();
            }
            let frames = packer.finish();
            seal(frames, Caps { checksum: true }, &mut buffers)
        });
    }

    #[divan::bench]
    fn open_and_decode_ten_alives_with_checksum(bencher: Bencher<'_, '_>) {
        let (packet, count) = packet(1, 10);
        assert_eq!(count, 10);
        bencher.counter(ItemsCount::new(10_u32)).bench(|| {
            let parts = split(open(black_box(&packet)).unwrap()).unwrap();
            parts.map(native::decode).filter(Result::is_ok).count()
        });
    }
}

mod push_pull {
    use super::*;

    fn states(body: &mut Vec<u8>, records: &[Box<[u8]>]) {
        native::begin_push_pull(body, false, MEMBERS);
        for record in records {
            native::push_state(body, State::Alive, 1, record);
        }
    }

    #[divan::bench]
    fn encode_5000_states(bencher: Bencher<'_, '_>) {
        let records: Vec<_> = (0..MEMBERS).map(record).collect();
        let mut body = Vec::with_capacity(1 << 20);
        bencher.counter(ItemsCount::new(MEMBERS)).bench_local(|| {
            body.clear();
            states(&mut body, &records);
            body.len()
        });
    }

    #[divan::bench]
    fn parse_and_look_at_5000_states(bencher: Bencher<'_, '_>) {
        let mut body = vec![];
        states(&mut body, &(0..MEMBERS).map(record).collect::<Vec<_>>());
        bencher.counter(ItemsCount::new(MEMBERS)).bench(|| {
            let parsed = PushPull::parse(black_box(&body)).unwrap();
            parsed.states().map(|entry| u64::from(entry.partial.incarnation)).sum::<u64>()
        });
    }

    #[divan::bench]
    fn parse_and_decode_5000_states(bencher: Bencher<'_, '_>) {
        let mut body = vec![];
        states(&mut body, &(0..MEMBERS).map(record).collect::<Vec<_>>());
        bencher.counter(ItemsCount::new(MEMBERS)).bench(|| {
            let parsed = PushPull::parse(black_box(&body)).unwrap();
            parsed.states().filter(|entry| native::decode_record(entry.partial.record).is_ok()).count()
        });
    }

    fn serf_state(body: &mut Vec<u8>, ltime: u64) {
        native::begin_serf_state(body, Clocks { member: 1, event: 1, query: 1 }, MEMBERS);
        for at in 0..MEMBERS {
            native::push_member_time(body, MemberTime { node: name(at).as_bytes(), ltime, left: false });
        }
        native::begin_events(body, 0);
    }

    #[divan::bench]
    fn parse_and_look_at_5000_member_times(bencher: Bencher<'_, '_>) {
        let mut body = vec![];
        serf_state(&mut body, 1);
        bencher.counter(ItemsCount::new(MEMBERS)).bench(|| {
            let parsed = SerfState::parse(black_box(&body)).unwrap();
            parsed.members().map(|member| member.ltime).sum::<u64>()
        });
    }

    /// A node of a converged cluster that has asked for another's state and awaits the reply.
    pub(super) fn asking() -> (Node, StreamId) {
        let mut node = node(Start::new().with_directory(directory(MEMBERS)).converged());
        let mut out = Outbox::new();
        node.join(NOW, &[addr(1)], OldEvents::Deliver, &mut out).unwrap();
        let connect = out.drain().find_map(|output| match output {
            Output::Connect { stream, .. } => Some(stream),
            _ => None,
        });
        let stream = connect.unwrap();
        node.handle_stream(NOW, stream, StreamInput::Opened, &mut out);
        (node, stream)
    }

    #[divan::bench(sample_count = 50)]
    fn node_merges_5000_states_with_nothing_new(bencher: Bencher<'_, '_>) {
        let mut message = vec![native::STREAM_PUSH_PULL, 0, 0, 0, 0];
        states(&mut message, &(0..MEMBERS).map(record).collect::<Vec<_>>());
        serf_state(&mut message, 1);
        let len = u32::try_from(message.len() - 5).unwrap();
        message[1..5].copy_from_slice(&len.to_be_bytes());
        let (asking, stream) = asking();
        bencher.counter(ItemsCount::new(MEMBERS)).with_inputs(|| (asking.clone(), Outbox::new())).bench_local_refs(
            |(node, out)| {
                node.handle_stream(NOW, stream, StreamInput::Data(&message), out);
                assert!(matches!(out.drain().last(), Some(Output::Event(_))), "the join is over");
            },
        );
    }

    #[divan::bench(sample_count = 50)]
    fn node_writes_5000_states(bencher: Bencher<'_, '_>) {
        let mut node = node(Start::new().with_directory(directory(MEMBERS)).converged());
        let mut out = Outbox::new();
        node.join(NOW, &[addr(1)], OldEvents::Deliver, &mut out).unwrap();
        let connect = out.drain().find_map(|output| match output {
            Output::Connect { stream, .. } => Some(stream),
            _ => None,
        });
        let stream = connect.unwrap();
        bencher.counter(ItemsCount::new(MEMBERS)).with_inputs(|| node.clone()).bench_local_refs(|node| {
            node.handle_stream(NOW, stream, StreamInput::Opened, &mut out);
            out.drain().count()
        });
    }
}

mod node_takes {
    use super::*;

    #[divan::bench]
    fn a_full_packet_of_repeats(bencher: Bencher<'_, '_>) {
        let mut node = node(Start::new().with_directory(directory(MEMBERS)).converged());
        let (packet, count) = packet(1, 100);
        let mut out = Outbox::new();
        bencher
            .counter(ItemsCount::new(count))
            .bench_local(|| node.handle_datagram(NOW, addr(1), black_box(&packet), &mut out));
        assert!(out.is_empty(), "nothing was new");
    }

    #[divan::bench]
    fn a_full_packet_of_new_members(bencher: Bencher<'_, '_>) {
        let (packet, count) = packet(1, 100);
        let newborn = node(Start::new());
        bencher
            .counter(ItemsCount::new(count))
            .with_inputs(|| (newborn.clone(), Outbox::new()))
            .bench_local_refs(|(node, out)| node.handle_datagram(NOW, addr(1), black_box(&packet), out));
    }

    #[divan::bench]
    fn a_full_packet_of_new_members_that_the_directory_has(bencher: Bencher<'_, '_>) {
        let (packet, count) = packet(1, 100);
        let newborn = node(Start::new().with_directory(directory(100)));
        bencher
            .counter(ItemsCount::new(count))
            .with_inputs(|| (newborn.clone(), Outbox::new()))
            .bench_local_refs(|(node, out)| node.handle_datagram(NOW, addr(1), black_box(&packet), out));
    }

    #[divan::bench]
    fn a_ping_and_answers_it(bencher: Bencher<'_, '_>) {
        let mut node = node(Start::new().with_directory(directory(MEMBERS)).converged());
        let mut buf = [0; 200];
        let mut writer = Writer::new(&mut buf);
        native::encode(&Message::Ping(Ping { seq: 7, node: &name(0), source: None }), &mut writer).unwrap();
        let len = writer.len();
        let mut out = Outbox::new();
        bencher.bench_local(|| {
            node.handle_datagram(NOW, addr(1), black_box(&buf[..len]), &mut out);
            out.pop()
        });
    }

    #[divan::bench]
    fn a_user_event_from_its_application(bencher: Bencher<'_, '_>) {
        let quiet = node(Start::new().with_directory(directory(10)).converged());
        bencher.with_inputs(|| (quiet.clone(), Outbox::new())).bench_local_refs(|(node, out)| {
            node.user_event(NOW, "deploy", black_box(&[7; 100]), Coalescing::Allow, out).unwrap();
        });
    }
}
