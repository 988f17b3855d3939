//! The corpus: every input that it has, what it begins with, and what its named inputs must do.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

mod corpus;
mod mended;
mod seeds;
