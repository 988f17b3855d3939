//! What a fuzzer may try on the protocol: functions that take any bytes and panic when a claim does not hold.
//!
//! The claims: nothing that arrives makes a reader or a node panic, overflow, or use memory or time out of proportion; what was read
//! is read the same when it is written again; what is cut short is refused; the same inputs give the same outputs.
//!
//! Nothing here needs a fuzzer: `tests/it/corpus.rs` runs every target over its corpus, and over every beginning of each input. With
//! [cargo-fuzz](https://github.com/rust-fuzz/cargo-fuzz), `cargo +nightly fuzz run TARGET` looks for more.

#![forbid(unsafe_code)]

mod bodies;
mod compression;
mod datagram;
mod filters;
mod inputs;
mod rpc;
mod sealed;
mod snapshot;
mod stream;
mod subject;

pub use bodies::{hashicorp_bodies, native_bodies};
pub use compression::{compressed_message, compression};
pub use datagram::{datagram_hashicorp, datagram_native, datagram_sealed};
pub use filters::filters;
pub use inputs::{Step, encode_steps, node_inputs};
pub use rpc::{rpc_replies, rpc_requests};
pub use sealed::{KEY, LABEL, NONCE};
pub use snapshot::snapshot;
pub use stream::stream;

/// Takes any bytes; panics when a claim does not hold.
pub type Target = fn(&[u8]);

/// Every target by its name, which is that of its wrapper and of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("compression", compression),
    ("datagram_hashicorp", datagram_hashicorp),
    ("datagram_native", datagram_native),
    ("datagram_sealed", datagram_sealed),
    ("filters", filters),
    ("hashicorp_bodies", hashicorp_bodies),
    ("native_bodies", native_bodies),
    ("node_inputs", node_inputs),
    ("rpc_replies", rpc_replies),
    ("rpc_requests", rpc_requests),
    ("snapshot", snapshot),
    ("stream", stream),
];
