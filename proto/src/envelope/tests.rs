use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::types::Key;

fn seal_frames(frames: &[Vec<u8>], checksum: bool) -> Vec<u8> {
    let mut buffers = PacketBuffers::new();
    let mut packer = Packer::new(&mut buffers, 1400);
    for frame in frames {
        packer.frame(|w| w.put(frame)).unwrap();
    }
    let packed = packer.finish();
    seal(packed, Caps { checksum }, &mut buffers).to_vec()
}

#[test]
fn a_single_frame_goes_bare() {
    assert_eq!(seal_frames(&[vec![1, 2, 3]], false), [1, 2, 3]);
}

#[test]
fn a_compound_is_written_as_memberlist_writes_it() {
    let bytes = seal_frames(&[vec![1, 2, 3], vec![9]], false);
    assert_eq!(bytes, [7, 2, 0, 3, 0, 1, 1, 2, 3, 9]);
}

#[test]
fn a_packet_never_exceeds_its_size_and_a_frame_too_long_changes_nothing() {
    let mut buffers = PacketBuffers::new();
    let mut packer = Packer::new(&mut buffers, 1400);
    let mut frames = 0;
    while packer.frame(|w| w.put(&[1; 100])).is_ok() {
        frames += 1;
    }
    assert_eq!(frames, 13);
    packer.frame(|w| w.put(&[1; 60])).unwrap();
    let packed = packer.finish();
    assert!(seal(packed, Caps { checksum: true }, &mut buffers).len() <= 1400);
}

#[test]
fn a_frame_that_fills_the_packet_is_taken_and_one_byte_more_is_not() {
    type Add = fn(&mut Packer<'_>, &[u8]) -> Result<(), Full>;
    let mut buffers = PacketBuffers::new();
    let room = Packer::new(&mut buffers, 100).room();
    let frame = vec![1; room + 1];
    let adds: [Add; 3] = [
        |packer, frame| packer.frame(|w| w.put(frame)),
        |packer, frame| packer.copy(frame),
        |packer, frame| packer.join(&frame[..9], &frame[9..]),
    ];
    for add in adds {
        let mut packer = Packer::new(&mut buffers, 100);
        assert_eq!(add(&mut packer, &frame), Err(Full));
        assert_eq!(add(&mut packer, &frame[..room]), Ok(()));
        assert_eq!(packer.finish().bytes(), room);
    }
}

#[test]
fn the_layers_take_as_many_bytes_as_they_say() {
    for (label, keys) in [("", &[][..]), ("", &[1]), ("dc1", &[]), ("dc1", &[1])] {
        let mut envelope = envelope(label, keys.iter().copied(), false);
        assert_eq!(
            sealed_by(&mut envelope, &[vec![1; 9]], false).len(),
            9 + envelope.overhead_bytes(),
            "{label} {keys:?}"
        );
    }
}

#[test]
fn an_unreadable_datagram_looks_encrypted_if_it_is_long_and_begins_with_a_version_and_there_is_no_key() {
    let looks = |keys: &[u8], first, len| {
        let mut datagram = vec![9; len];
        datagram[0] = first;
        envelope("", keys.iter().copied(), false).may_be_encrypted(&datagram)
    };
    let least = crypt::OVERHEAD_BYTES + 1;
    assert!(looks(&[], 0, least) && looks(&[], 1, least));
    assert!(!looks(&[], 2, least) && !looks(&[], 1, least - 1) && !looks(&[1], 1, least) && !looks(&[1], 1, least - 1));
}

#[test]
fn only_a_message_of_several_frames_is_a_compound() {
    let is_compound = |bytes: &[u8]| split(bytes).map(|parts| parts.is_compound());
    assert_eq!(is_compound(&seal_frames(&[vec![1]], false)), Ok(false));
    assert_eq!(is_compound(&seal_frames(&[vec![1], vec![2]], false)), Ok(true));
}

#[test]
fn a_packer_is_empty_until_its_first_frame() {
    let mut buffers = PacketBuffers::new();
    let mut packer = Packer::new(&mut buffers, 100);
    assert!(packer.is_empty());
    packer.copy(&[1]).unwrap();
    assert!(!packer.is_empty());
}

#[test]
fn keyrings_are_equal_if_they_have_the_same_keys_in_the_same_order() {
    let ring = |keys: &[u8]| Keyring::new(keys.iter().map(|byte| key(*byte))).unwrap();
    assert!(ring(&[1, 2]) == ring(&[1, 2]));
    assert!(ring(&[1, 2]) != ring(&[2, 1]) && ring(&[1]) != ring(&[1, 2]));
}

#[test]
fn no_more_than_255_frames_go_into_one_packet() {
    let mut buffers = PacketBuffers::new();
    let mut packer = Packer::new(&mut buffers, 60_000);
    for _ in 0..255 {
        packer.frame(|w| w.put_u8(1)).unwrap();
    }
    assert_eq!(packer.frame(|w| w.put_u8(1)), Err(Full));
}

#[test]
fn a_wrong_checksum_is_refused() {
    let mut bytes = seal_frames(&[vec![1, 2, 3]], true);
    assert_eq!(open(&bytes), Ok(&[1, 2, 3][..]));
    bytes[7] ^= 1;
    assert_eq!(open(&bytes), Err(DropReason::Checksum));
}

#[test]
fn a_short_table_is_refused_and_a_frame_past_the_end_ends_the_packet() {
    assert!(split(&[7]).is_err());
    assert!(split(&[7, 2, 0, 1, 0]).is_err());
    assert!(split(&[]).is_err());
    let mut parts = split(&[7, 2, 0, 1, 0, 9, 5]).unwrap();
    assert_eq!(parts.next(), Some(&[5][..]));
    assert_eq!(parts.next(), None);
    assert!(parts.damaged());
}

#[test]
fn an_empty_frame_is_left_out_and_is_damage() {
    let mut parts = split(&[7, 3, 0, 0, 0, 1, 0, 0, 9]).unwrap();
    assert_eq!(parts.next(), Some(&[9][..]));
    assert_eq!(parts.next(), None);
    assert!(parts.damaged());
}

/// Envelope settings that a test varies.
#[derive(Clone, Debug)]
struct Layers {
    label: &'static str,
    key: Option<u8>,
    compression: bool,
    checksum: bool,
}

fn layers() -> impl Strategy<Value = Layers> {
    let label = prop_oneof![Just(""), Just("dc1")];
    (label, prop::option::of(1_u8..4), any::<bool>(), any::<bool>())
        .prop_map(|(label, key, compression, checksum)| Layers { label, key, compression, checksum })
}

fn key(byte: u8) -> Key {
    // 16, 24 and 32 bytes.
    Key::new(&[byte; 40][..8 * usize::from(byte % 3 + 2)]).unwrap()
}

fn envelope(label: &str, keys: impl IntoIterator<Item = u8>, compression: bool) -> Envelope {
    let keyring = Keyring::new(keys.into_iter().map(key)).unwrap();
    let label = Label::parse(label).unwrap();
    let config = EnvelopeConfig { label, keyring, compression, ..EnvelopeConfig::default() };
    Envelope::new(config, &Seed::from_u64(1))
}

impl Layers {
    fn envelope(&self) -> Envelope {
        envelope(self.label, self.key, self.compression)
    }
}

fn sealed_by(envelope: &mut Envelope, frames: &[Vec<u8>], checksum: bool) -> Vec<u8> {
    let mut buffers = PacketBuffers::new();
    let mut packer = envelope.packer(&mut buffers, 1400);
    for frame in frames {
        packer.frame(|w| w.put(frame)).unwrap();
    }
    let packed = packer.finish();
    envelope.seal(packed, Caps { checksum }, &mut buffers).to_vec()
}

fn opened(envelope: &Envelope, datagram: &[u8]) -> Result<Vec<u8>, DropReason> {
    envelope.open(datagram, &mut PacketBuffers::new()).map(<[u8]>::to_vec)
}

#[test]
fn a_full_packet_is_never_longer_than_the_packet_size_whatever_is_around_it() {
    for label in ["", "dc1"] {
        for keys in [&[][..], &[1]] {
            let mut envelope = envelope(label, keys.iter().copied(), true);
            let mut buffers = PacketBuffers::new();
            let mut packer = envelope.packer(&mut buffers, 1400);
            let mut rng = Rng::stream(&Seed::from_u64(2), 0);
            while packer.frame(|w| w.put(&rng.bytes::<60>())).is_ok() {}
            let rest = packer.room();
            if rest > 0 {
                packer.frame(|w| w.put(&[0xee; 60][..rest])).unwrap();
            }
            let packed = packer.finish();
            let sealed = envelope.seal(packed, Caps { checksum: true }, &mut buffers);
            assert_eq!(sealed.len(), 1400, "not one byte is wasted");
        }
    }
}

#[test]
fn every_flipped_bit_of_an_encrypted_packet_is_refused() {
    let mut ours = envelope("dc1", [1], true);
    let sealed = sealed_by(&mut ours, &[vec![0x44; 40], vec![0x45; 9]], true);
    assert!(opened(&ours, &sealed).is_ok());
    for bit in 0..sealed.len() * 8 {
        let mut damaged = sealed.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(opened(&ours, &damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn every_truncation_of_an_encrypted_packet_is_refused() {
    let mut ours = envelope("dc1", [1], false);
    let sealed = sealed_by(&mut ours, &[vec![0x44; 40]], true);
    for len in 0..sealed.len() {
        assert!(opened(&ours, &sealed[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn any_key_of_the_ring_opens_and_only_the_first_seals() {
    let sealed = sealed_by(&mut envelope("", [2], false), &[vec![0x44; 3]], false);
    assert_eq!(opened(&envelope("", [1, 2], false), &sealed), Ok(vec![0x44; 3]));
    assert_eq!(opened(&envelope("", [1, 3], false), &sealed), Err(DropReason::Key));
    let sealed = sealed_by(&mut envelope("", [1, 2], false), &[vec![0x44; 3]], false);
    assert_eq!(opened(&envelope("", [2], false), &sealed), Err(DropReason::Key));
}

#[test]
fn a_key_rotation_loses_nothing_if_its_steps_are_taken_everywhere_in_turn() {
    let (mut a, mut b) = (envelope("", [1], false), envelope("", [1], false));
    let check = |a: &mut Envelope, b: &mut Envelope| {
        let frames = [vec![0x44; 3]];
        let sealed = [sealed_by(a, &frames, false), sealed_by(b, &frames, false)];
        sealed.iter().all(|sealed| opened(a, sealed).is_ok() && opened(b, sealed).is_ok())
    };
    let steps: [fn(&mut Keyring); 3] = [
        |ring| ring.install(&key(2)).unwrap(),
        |ring| ring.use_key(&key(2)).unwrap(),
        |ring| ring.remove(&key(1)).unwrap(),
    ];
    for step in steps {
        step(a.keyring_mut());
        assert!(check(&mut a, &mut b), "one node has taken the step");
        step(b.keyring_mut());
        assert!(check(&mut a, &mut b), "both have");
    }
    let old = sealed_by(&mut envelope("", [1], false), &[vec![0x44; 3]], false);
    assert_eq!(opened(&a, &old), Err(DropReason::Key), "the old key is forgotten");
}

#[test]
fn no_two_packets_have_the_same_nonce() {
    let mut ours = envelope("", [1], false);
    let mut nonces: Vec<Vec<u8>> =
        (0..100).map(|_| sealed_by(&mut ours, &[vec![0x44]], false)[1..13].to_vec()).collect();
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), 100);
}

#[test]
fn what_is_not_encrypted_is_refused_only_where_encryption_is_demanded() {
    let plain = sealed_by(&mut envelope("", [], false), &[vec![0x44; 3]], true);
    let demanding = envelope("", [1], false);
    assert_eq!(opened(&demanding, &plain), Err(DropReason::Unencrypted));
    let config = EnvelopeConfig { verify_incoming: false, ..demanding.config };
    let lenient = Envelope::new(config, &Seed::from_u64(1));
    assert_eq!(opened(&lenient, &plain), Ok(vec![0x44; 3]));
}

#[test]
fn a_node_that_does_not_encrypt_yet_reads_what_is_encrypted() {
    let config = EnvelopeConfig {
        keyring: Keyring::new([key(1)]).unwrap(),
        verify_outgoing: false,
        verify_incoming: false,
        ..EnvelopeConfig::default()
    };
    let mut upgrading = Envelope::new(config, &Seed::from_u64(1));
    assert_eq!(sealed_by(&mut upgrading, &[vec![0x44; 3]], false), [0x44; 3]);
    let sealed = sealed_by(&mut envelope("", [1], false), &[vec![0x44; 3]], false);
    assert_eq!(opened(&upgrading, &sealed), Ok(vec![0x44; 3]));
}

/// Compresses `bytes` `times` times.
fn compressed(bytes: &[u8], times: u32) -> Vec<u8> {
    let mut message = bytes.to_vec();
    for _ in 0..times {
        let mut out = vec![];
        let start = compress::pack([&message, &[]], &mut vec![], &mut out).unwrap();
        message = out.split_off(start);
        // Bytes after the record are ignored; they make it compressible again.
        message.resize(message.len() + 2_000, 0);
    }
    message
}

#[test]
fn a_packet_is_sealed_compressed_if_that_makes_it_shorter() {
    let (frames, mut compressing) = ([vec![7; 300], vec![7; 200]], envelope("", [], true));
    let datagram = sealed_by(&mut compressing, &frames, false);
    assert_eq!((datagram[0], datagram.len() < 100), (compress::TYPE, true), "{} bytes", datagram.len());
    assert_eq!(
        opened(&compressing, &datagram),
        opened(&compressing, &sealed_by(&mut envelope("", [], false), &frames, false))
    );
    let noise = vec![(0..200).collect::<Vec<u8>>()];
    assert_eq!(sealed_by(&mut compressing, &noise, false), noise[0]);
}

#[test]
fn a_bomb_in_a_packet_is_refused_and_costs_no_more_memory_than_the_limit() {
    let plain = envelope("", [], false);
    let largest = compressed(&vec![0x44; PACKET_INFLATED_BYTES_MAX], 1);
    assert_eq!(opened(&plain, &largest).map(|message| message.len()), Ok(PACKET_INFLATED_BYTES_MAX));
    let bomb = compressed(&vec![0x44; PACKET_INFLATED_BYTES_MAX + 1], 1);
    let mut buffers = PacketBuffers::new();
    assert_eq!(plain.open(&bomb, &mut buffers), Err(DropReason::Inflate));
    assert!(buffers.inflated.capacity() <= 2 * PACKET_INFLATED_BYTES_MAX);
}

#[test]
fn what_is_compressed_twice_is_refused() {
    let plain = envelope("", [], false);
    assert_eq!(opened(&plain, &compressed(&[0x44; 500], 1)), Ok(vec![0x44; 500]));
    assert_eq!(opened(&plain, &compressed(&[0x44; 500], 2)), Err(DropReason::Inflate));
}

proptest! {
    #[test]
    fn what_was_sealed_in_any_layers_opens_to_the_same_frames(
        frames in prop::collection::vec(prop::collection::vec(0x40_u8..0x44, 1..60), 1..12),
        layers in layers(),
    ) {
        let mut envelope = layers.envelope();
        let bytes = sealed_by(&mut envelope, &frames, layers.checksum);
        let message = opened(&envelope, &bytes).unwrap();
        let parts: Vec<Vec<u8>> = split(&message).unwrap().map(<[u8]>::to_vec).collect();
        prop_assert_eq!(parts, frames);
    }

    #[test]
    fn any_bytes_behind_any_layers_are_opened_or_refused_without_a_panic(
        bytes in prop::collection::vec(prop_oneof![Just(9_u8), Just(0), Just(1), Just(12), any::<u8>()], 0..300),
        layers in layers(),
        inside: bool,
    ) {
        let mut envelope = layers.envelope();
        let bytes = if inside && !bytes.is_empty() { sealed_by(&mut envelope, &[bytes], layers.checksum) } else { bytes };
        if let Ok(message) = opened(&envelope, &bytes) && let Ok(parts) = split(&message) {
            prop_assert!(parts.map(<[u8]>::len).sum::<usize>() <= message.len());
        }
    }

    #[test]
    fn what_was_sealed_opens_to_the_same_frames(
        frames in prop::collection::vec(prop::collection::vec(0x40_u8..0x50, 1..60), 1..12),
        checksum: bool,
    ) {
        let bytes = seal_frames(&frames, checksum);
        let parts: Vec<Vec<u8>> = split(open(&bytes).unwrap()).unwrap().map(<[u8]>::to_vec).collect();
        prop_assert_eq!(parts, frames);
    }

    #[test]
    fn any_bytes_open_and_split_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = open(&bytes) && let Ok(parts) = split(message) {
            prop_assert!(parts.map(<[u8]>::len).sum::<usize>() <= bytes.len());
        }
    }
}
