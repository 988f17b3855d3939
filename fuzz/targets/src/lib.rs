//! Fuzz targets: functions that take any bytes and panic when a property does not hold.
//!
//! The properties: no input makes a decoder or a node panic, overflow, or use disproportionate memory or time; a
//! decoded message survives a round trip; a truncated message is rejected; equal inputs give equal outputs.
//!
//! The targets do not depend on a fuzzer: `tests/it/corpus.rs` runs every target over its corpus, and over every prefix
//! of each input. With [cargo-fuzz](https://github.com/rust-fuzz/cargo-fuzz), `cargo +nightly fuzz run TARGET` searches
//! for more inputs.

#![forbid(unsafe_code)]

mod agent_config;
mod bodies;
mod capture;
mod compression;
mod datagram;
mod filters;
mod inputs;
mod keyring;
mod mdns;
mod metrics_text;
mod results;
mod rpc;
mod scenario;
mod sealed;
mod snapshot;
mod stream;
mod subject;
mod two_nodes;

pub use agent_config::agent_config;
pub use bodies::{hashicorp_bodies, native_bodies};
pub use capture::capture;
pub use compression::{compressed_message, compression};
pub use datagram::{datagram_hashicorp, datagram_native, datagram_sealed};
pub use filters::filters;
pub use inputs::{Step, encode_steps, node_inputs};
pub use keyring::keyring;
pub use mdns::mdns;
pub use metrics_text::metrics_text;
pub use results::results;
pub use rpc::{rpc_replies, rpc_requests};
pub use scenario::scenario;
pub use sealed::{KEY, LABEL, NONCE};
pub use snapshot::snapshot;
pub use stream::stream;
pub use two_nodes::two_nodes;

/// A target: takes any bytes and panics when a property does not hold.
pub type Target = fn(&[u8]);

/// All targets by name, which is also the name of the wrapper and the corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("agent_config", agent_config),
    ("capture", capture),
    ("compression", compression),
    ("datagram_hashicorp", datagram_hashicorp),
    ("datagram_native", datagram_native),
    ("datagram_sealed", datagram_sealed),
    ("filters", filters),
    ("hashicorp_bodies", hashicorp_bodies),
    ("keyring", keyring),
    ("mdns", mdns),
    ("metrics_text", metrics_text),
    ("native_bodies", native_bodies),
    ("node_inputs", node_inputs),
    ("results", results),
    ("rpc_replies", rpc_replies),
    ("rpc_requests", rpc_requests),
    ("scenario", scenario),
    ("snapshot", snapshot),
    ("stream", stream),
    ("two_nodes", two_nodes),
];
