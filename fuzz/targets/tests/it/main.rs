//! Tests of the corpus: all inputs, the seeds, and the expected effects of the named inputs.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

mod corpus;
mod mended;
mod seeds;
