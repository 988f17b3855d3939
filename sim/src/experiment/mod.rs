//! Experiments: scenario files, sweeps over their parameters and seeds, and the shares of several machines.
//!
//! A scenario file is parsed into a [`document`], whose lists are axes of a sweep. Each combination is a [`file::File`],
//! checked into a [`plan`], and with a seed it is a cell: one run, one results file. `docs/experiments.md` describes the
//! files.

mod assertion;
pub(crate) mod campaign;
pub(crate) mod document;
mod file;
pub(crate) mod options;
mod plan;
mod run;
pub(crate) mod schema;
pub(crate) mod shard;
pub(crate) mod shipped;
pub(crate) mod table;
mod timeline;
mod values;

pub(crate) use self::plan::key;
