//! The layers around packets, byte for byte in HashiCorp's format.
//!
//! Nonces are drawn from a seed, so recorded ciphertexts are opened rather than reproduced: success proves the same
//! order of layers and the same authenticated bytes.

use std::path::Path;

use serde_json::Value;
use serf_proto::internals::envelope::{Caps, Envelope, PacketBuffers, split};
use serf_proto::{DropReason, EnvelopeConfig, Key, Keyring, Label, Seed};

fn vectors() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/memberlist.json");
    let text = std::fs::read_to_string(path).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

fn vector(id: &str) -> Value {
    vectors().into_iter().find(|vector| vector["id"] == id).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn bytes(id: &str) -> Vec<u8> {
    unhex(vector(id)["hex"].as_str().unwrap())
}

/// Returns an envelope with the label and the key of a vector.
fn envelope(inputs: &Value) -> Envelope {
    let key = inputs["key"].as_str().map(|key| Key::new(&unhex(key)).unwrap());
    let config = EnvelopeConfig {
        label: Label::parse(inputs["label"].as_str().unwrap_or_default()).unwrap(),
        keyring: Keyring::new(key).unwrap(),
        ..EnvelopeConfig::default()
    };
    Envelope::new(config, &Seed::from_u64(1))
}

fn open(id: &str) -> Result<Vec<u8>, DropReason> {
    let vector = vector(id);
    envelope(&vector["inputs"]).open(&bytes(id), &mut PacketBuffers::new()).map(<[u8]>::to_vec)
}

fn frames(message: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut parts = split(message).unwrap();
    let mut frames = vec![];
    for frame in parts.by_ref() {
        frames.push(frame.to_vec());
    }
    (frames, parts.damaged())
}

/// Seals `frame` as one datagram and returns its payload.
fn seal(config: EnvelopeConfig, frame: &[u8], checksum: bool) -> Vec<u8> {
    let mut envelope = Envelope::new(config, &Seed::from_u64(1));
    let mut buffers = PacketBuffers::new();
    let mut packer = envelope.packer(&mut buffers, 65_000);
    packer.frame(|w| w.put(frame)).unwrap();
    let packed = packer.finish();
    envelope.seal(packed, Caps { checksum }, &mut buffers).to_vec()
}

#[test]
fn every_packet_that_hashicorp_sealed_opens_to_its_message() {
    let mut opened = 0;
    for vector in vectors().iter().filter(|vector| vector["kind"] == "packet") {
        let message = &vector["inputs"]["message"];
        let inner = match message["type"].as_str().unwrap() {
            "ping" => bytes("ping"),
            "user_packet" => [&[8], &unhex(message["payload_hex"].as_str().unwrap())[..]].concat(),
            other => panic!("a packet of {other}"),
        };
        let id = vector["id"].as_str().unwrap();
        assert_eq!(open(id), Ok(inner), "{id}");
        opened += 1;
    }
    assert_eq!(opened, 10);
}

#[test]
fn checksum_label_and_compression_are_written_as_hashicorp_writes_them() {
    let config = EnvelopeConfig::default;
    let (ping, user) = (bytes("ping"), unhex(vector("compress_user")["inputs"]["inner_hex"].as_str().unwrap()));
    let compressing = EnvelopeConfig { compression: true, ..config() };
    assert_eq!(seal(config(), &ping, true), bytes("pkt_crc"));
    assert_eq!(seal(compressing.clone(), &ping, false), bytes("pkt_compress_small_not_used"));
    assert_eq!(seal(compressing.clone(), &user, false), bytes("compress_user"));
    assert_eq!(seal(compressing, &user, true), bytes("pkt_crc_compress"));
    let labelled = EnvelopeConfig { label: Label::parse("dc1").unwrap(), ..config() };
    assert_eq!(seal(labelled, &ping, false), bytes("pkt_label_plain"));
}

#[test]
fn what_is_compressed_is_written_and_read_as_go_does() {
    for id in ["compress_user", "compress_zeros600"] {
        let inner = unhex(vector(id)["inputs"]["inner_hex"].as_str().unwrap_or_default());
        let opened = open(id).unwrap();
        assert!(inner.is_empty() || opened == inner, "{id}");
        let compressing = EnvelopeConfig { compression: true, ..EnvelopeConfig::default() };
        assert_eq!(seal(compressing, &opened, false), bytes(id), "{id}");
    }
}

#[test]
fn packets_that_no_node_sends_are_handled_as_they_must_be() {
    let open_plain = |id: &str| open(id).map(|message| frames(&message));
    assert_eq!(open_plain("neg_compound_last_truncated"), Ok((vec![b"\x08a".to_vec(), b"\x08b".to_vec()], true)));
    assert_eq!(open_plain("neg_compound_trailing"), Ok((vec![b"\x08a".to_vec()], false)));
    assert_eq!(open_plain("neg_compound_zero_len_part"), Ok((vec![b"\x08a".to_vec()], true)));
    assert!(split(&open("neg_compound_len_table_short").unwrap()).is_err());
    assert_eq!(open("neg_crc_mismatch"), Err(DropReason::Checksum));
    assert_eq!(open("neg_compress_no_eoi"), Err(DropReason::Inflate));
    assert_eq!(open("neg_compress_algo"), Err(DropReason::Inflate));
    for id in ["neg_label_empty", "neg_label_short"] {
        for label in ["", "dc1"] {
            let label = Label::parse(label).unwrap();
            let envelope = Envelope::new(EnvelopeConfig { label, ..EnvelopeConfig::default() }, &Seed::from_u64(1));
            assert_eq!(envelope.open(&bytes(id), &mut PacketBuffers::new()), Err(DropReason::Label), "{id}");
        }
    }
}
