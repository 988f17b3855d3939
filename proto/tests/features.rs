//! What a build without a feature refuses, and one with it does not:
//! `cargo test -p serf-proto --test features`, and the same with `--no-default-features`.

#![allow(clippy::unwrap_used, reason = "a test that cannot build its inputs has failed")]

use std::sync::Arc;

use serf_proto::{
    Config, ConfigError, Filter, Identity, Instant, Key, Node, Options, Outbox, PatternError, Seed, Start, Tags,
};

fn refused(options: Options) -> Option<ConfigError> {
    Config::new(options).err()
}

#[test]
fn a_key_needs_the_feature_encryption() {
    let options = Options::lan().with(|options| options.transport.encrypt_keys = vec![Key::new(&[7; 16]).unwrap()]);
    let refusal = ConfigError::Feature { setting: "encrypt_keys", feature: "encryption" };
    assert_eq!(refused(options), (!cfg!(feature = "encryption")).then_some(refusal));
}

#[test]
fn compressing_needs_the_feature_compression() {
    let options = Options::lan().with(|options| options.transport.compression = true);
    let refusal = ConfigError::Feature { setting: "compression", feature: "compression" };
    assert_eq!(refused(options), (!cfg!(feature = "compression")).then_some(refusal));
}

#[test]
fn a_compressed_packet_is_dropped_and_counted_without_the_feature_compression() {
    let mut out = Outbox::new();
    let identity = Identity::new("a", "127.0.0.1:7946".parse().unwrap(), &Tags::default()).unwrap();
    let config = Arc::new(Config::new(Options::lan()).unwrap());
    let mut node = Node::new(config, &identity, &Seed::from_u64(1), Instant::ZERO, Start::new(), &mut out);
    node.handle_datagram(Instant::ZERO, "127.0.0.1:7947".parse().unwrap(), COMPRESSED, &mut out);
    let dropped = node.stats().dropped(serf_proto::DropReason::Inflate);
    assert_eq!(dropped, u64::from(!cfg!(feature = "compression")));
}

#[test]
fn an_expression_in_a_filter_needs_the_feature_filters() {
    let refused = Filter::tag("role", "^web$").err();
    assert_eq!(refused, (!cfg!(feature = "filters")).then_some(PatternError::Unsupported));
}

/// A message of an unknown application that memberlist compressed: `compress_user` in tests/vectors.
const COMPRESSED: &[u8] = b"\
    \x09\x82\xa4\x41\x6c\x67\x6f\x00\xa3\x42\x75\x66\xda\x00\x2a\x00\x11\x84\x11\x33\x66\x60\x41\x82\x2d\
    \x0c\x2a\x44\xb8\xf0\xe0\x98\x84\x04\x1b\x42\x74\x68\x70\xa2\xc4\x86\x15\x31\x32\x8c\xc8\xf1\xa1\x46\
    \x8f\x1d\x33\x86\x44\x18\x10";
