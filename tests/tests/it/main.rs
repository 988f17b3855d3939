//! Tests that span crates, against recorded bytes, scripts and the source, in one binary. Those with HashiCorp's agents
//! are in `interop`, which has its own harness.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

mod coordinates;
mod envelope_vectors;
mod limits;
mod negative_packets;
mod scripts;
mod snapshots;
mod vectors;
mod walls;
