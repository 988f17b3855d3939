//! Compression: decompression respects its limits, and three implementations agree.

use serf_proto::EnvelopeConfig;
use serf_proto::Seed;
use serf_proto::internals::envelope::{Caps, Envelope, PacketBuffers};
use serf_proto::internals::msgpack::{Reader, write};
use serf_proto::limits::PACKET_INFLATED_BYTES_MAX;
use weezl::BitOrder;

const COMPRESSED_TYPE: u8 = 9;
/// Type bytes of layers, which are not frames: a compressed message, a checksum, a label.
const LAYER_TYPES: [u8; 3] = [COMPRESSED_TYPE, 12, 244];
const LITERAL_BITS: u8 = 8;
/// Longest frame compressed here: the longest that fits into a packet.
const FRAME_BYTES_MAX: usize = 60_000;

/// Uses the input as a datagram, as the record of a compressed message, as its data, and as the frame to compress.
pub fn compression(data: &[u8]) {
    inflate(data);
    inflate(&[&[COMPRESSED_TYPE], data].concat());
    inflate(&compressed_message(data));
    if data.len() <= FRAME_BYTES_MAX && data.first().is_some_and(|kind| !LAYER_TYPES.contains(kind)) {
        deflate(data);
    }
}

/// Encodes a compressed message with this data.
pub fn compressed_message(lzw: &[u8]) -> Vec<u8> {
    let mut message = vec![COMPRESSED_TYPE];
    let written = write::map(&mut message, 2)
        .and_then(|()| write::raw(&mut message, b"Algo"))
        .and_then(|()| write::uint(&mut message, 0))
        .and_then(|()| write::raw(&mut message, b"Buf"))
        .and_then(|()| write::raw(&mut message, lzw));
    written.expect("a vector has room");
    message
}

/// Returns the data in the record of a compressed message.
fn data_in(record: &[u8]) -> Option<&[u8]> {
    let mut r = Reader::new(record);
    for _ in 0..r.map()? {
        match r.bytes()? {
            b"Buf" => return r.bytes(),
            _ => r.skip()?,
        }
    }
    None
}

fn envelope(compression: bool) -> Envelope {
    Envelope::new(EnvelopeConfig { compression, ..EnvelopeConfig::default() }, &Seed::from_u64(1))
}

fn open(datagram: &[u8]) -> Option<Vec<u8>> {
    envelope(false).open(datagram, &mut PacketBuffers::new()).ok().map(<[u8]>::to_vec)
}

fn inflate(datagram: &[u8]) {
    let Some(message) = open(datagram) else { return };
    if datagram.first() == Some(&COMPRESSED_TYPE) {
        assert!(!message.is_empty() && message.len() <= PACKET_INFLATED_BYTES_MAX, "{} bytes", message.len());
        assert_ne!(message[0], COMPRESSED_TYPE, "all layers are taken off");
    }
}

/// Checks that other decoders read our compression, and that we read theirs.
fn deflate(frame: &[u8]) {
    let ours = sealed(frame, true);
    assert!(ours.len() <= sealed(frame, false).len(), "compressed only where that makes it shorter");
    assert_eq!(open(&ours).as_deref(), Some(frame));
    if ours.first() == Some(&COMPRESSED_TYPE) {
        let lzw = data_in(&ours[1..]).expect("we have written it");
        let theirs = weezl::decode::Decoder::new(BitOrder::Lsb, LITERAL_BITS).decode(lzw);
        assert_eq!(theirs.as_deref().ok(), Some(frame), "another decoder");
    }
    let theirs = weezl::encode::Encoder::new(BitOrder::Lsb, LITERAL_BITS).encode(frame).expect("any bytes");
    assert_eq!(open(&compressed_message(&theirs)).as_deref(), Some(frame), "another encoder");
}

fn sealed(frame: &[u8], compression: bool) -> Vec<u8> {
    let mut envelope = envelope(compression);
    let mut buffers = PacketBuffers::new();
    let mut packer = envelope.packer(&mut buffers, 65_000);
    packer.copy(frame).expect("it fits");
    let packed = packer.finish();
    envelope.seal(packed, Caps { checksum: false }, &mut buffers).to_vec()
}
