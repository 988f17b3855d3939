//! What the layers around a packet cost: encryption beside the bare AEAD, and compression.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot build its inputs has failed")]

use std::hint::black_box;
use std::net::SocketAddr;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Nonce};
use bytes::Bytes;
use divan::Bencher;
use divan::counter::BytesCount;
use serf_proto::internals::envelope::{Caps, Envelope, PacketBuffers, split};
use serf_proto::internals::wire::swim::PeerRef;
use serf_proto::internals::wire::{Versions, native};
use serf_proto::{EnvelopeConfig, Key, Keyring, Seed};

const PACKET_BYTES: u32 = 1400;
/// What is left of a packet that holds one frame.
const FRAME_BYTES: usize = 1400 - 29 - 7 - 2;

fn main() {
    divan::main();
}

fn envelope(is_encrypted: bool, compression: bool) -> Envelope {
    let keyring = Keyring::new(is_encrypted.then(|| Key::new(b"0123456789abcdef").unwrap())).unwrap();
    Envelope::new(EnvelopeConfig { keyring, compression, ..EnvelopeConfig::default() }, &Seed::from_u64(1))
}

/// Packs and seals `frames`.
fn seal(envelope: &mut Envelope, frames: &[Vec<u8>], buffers: &mut PacketBuffers) -> Bytes {
    let mut packer = envelope.packer(buffers, PACKET_BYTES);
    for frame in frames {
        packer.copy(frame).unwrap();
    }
    let packed = packer.finish();
    envelope.seal(packed, Caps { checksum: false }, buffers)
}

fn sealed(envelope: &mut Envelope, frames: &[Vec<u8>]) -> Vec<u8> {
    seal(envelope, frames, &mut PacketBuffers::new()).to_vec()
}

fn noise() -> Vec<Vec<u8>> {
    vec![(0..FRAME_BYTES).map(|at| u8::try_from(at * at % 251).unwrap()).collect()]
}

fn ten_alives() -> Vec<Vec<u8>> {
    let alive = |at: u8| {
        let name = format!("node-{at:05}");
        let peer = PeerRef {
            name: &name,
            addr: SocketAddr::from(([10, 0, 0, at], 7946)),
            meta: b"\xff\x82\xa4role\xa3web\xa2dc\xa5east1",
            versions: Versions::OURS,
        };
        let mut buf = [0; 200];
        let mut writer = serf_proto::internals::wire::Writer::new(&mut buf);
        native::encode_alive(1, &native::encode_record(peer), &mut writer).unwrap();
        let len = writer.len();
        buf[..len].to_vec()
    };
    (1..=10).map(alive).collect()
}

mod aes_128_of_1400_bytes {
    use super::*;

    #[divan::bench]
    fn seal_with_the_crate_alone(bencher: Bencher<'_, '_>) {
        let cipher = Aes128Gcm::new_from_slice(b"0123456789abcdef").unwrap();
        let mut text = noise().remove(0);
        let nonce = Nonce::from([7; 12]);
        bencher
            .counter(BytesCount::new(FRAME_BYTES))
            .bench_local(|| cipher.encrypt_inout_detached(black_box(&nonce), b"", text.as_mut_slice().into()).unwrap());
    }

    #[divan::bench]
    fn open_with_the_crate_alone(bencher: Bencher<'_, '_>) {
        let cipher = Aes128Gcm::new_from_slice(b"0123456789abcdef").unwrap();
        let nonce = Nonce::from([7; 12]);
        let mut sealed = noise().remove(0);
        let tag = cipher.encrypt_inout_detached(&nonce, b"", sealed.as_mut_slice().into()).unwrap();
        let mut text = vec![0; sealed.len()];
        bencher.counter(BytesCount::new(FRAME_BYTES)).bench_local(|| {
            text.copy_from_slice(black_box(&sealed));
            cipher.decrypt_inout_detached(&nonce, b"", text.as_mut_slice().into(), &tag).unwrap();
        });
    }

    #[divan::bench]
    fn pack_and_seal(bencher: Bencher<'_, '_>) {
        let (mut envelope, frames, mut buffers) = (envelope(true, false), noise(), PacketBuffers::new());
        bencher.counter(BytesCount::new(FRAME_BYTES)).bench_local(|| seal(&mut envelope, &frames, &mut buffers));
    }

    #[divan::bench]
    fn pack_and_seal_unencrypted(bencher: Bencher<'_, '_>) {
        let (mut envelope, frames, mut buffers) = (envelope(false, false), noise(), PacketBuffers::new());
        bencher.counter(BytesCount::new(FRAME_BYTES)).bench_local(|| seal(&mut envelope, &frames, &mut buffers));
    }

    #[divan::bench]
    fn open(bencher: Bencher<'_, '_>) {
        let mut envelope = envelope(true, false);
        let (packet, mut buffers) = (sealed(&mut envelope, &noise()), PacketBuffers::new());
        bencher.counter(BytesCount::new(FRAME_BYTES)).bench_local(|| {
            assert!(envelope.open(black_box(&packet), &mut buffers).is_ok());
        });
    }
}

mod ten_alives {
    use super::*;

    #[divan::bench]
    fn pack_and_compress(bencher: Bencher<'_, '_>) {
        let (mut envelope, frames, mut buffers) = (envelope(false, true), ten_alives(), PacketBuffers::new());
        bencher.bench_local(|| seal(&mut envelope, &frames, &mut buffers));
    }

    #[divan::bench]
    fn open_compressed_and_decode(bencher: Bencher<'_, '_>) {
        let mut envelope = envelope(false, true);
        let (packet, mut buffers) = (sealed(&mut envelope, &ten_alives()), PacketBuffers::new());
        assert_eq!(packet[0], 9, "it is compressed");
        bencher.bench_local(|| {
            let message = envelope.open(black_box(&packet), &mut buffers).unwrap();
            split(message).unwrap().map(native::decode).filter(Result::is_ok).count()
        });
    }

    #[divan::bench]
    fn open_plain_and_decode(bencher: Bencher<'_, '_>) {
        let mut envelope = envelope(false, false);
        let (packet, mut buffers) = (sealed(&mut envelope, &ten_alives()), PacketBuffers::new());
        bencher.bench_local(|| {
            let message = envelope.open(black_box(&packet), &mut buffers).unwrap();
            split(message).unwrap().map(native::decode).filter(Result::is_ok).count()
        });
    }
}
