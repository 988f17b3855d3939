//! Tests of more than one crate, against recorded bytes, scripts and the source, as one program. Those with HashiCorp's agents
//! are `interop`, which has a harness of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

mod coordinates;
mod envelope_vectors;
mod limits;
mod negative_packets;
mod scripts;
mod snapshots;
mod vectors;
mod walls;
