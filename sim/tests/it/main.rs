//! Tests of the simulator as a library and as a command, in one binary.

mod apps;
mod chaos;
#[cfg(feature = "cli")]
mod command_line;
mod common;
#[cfg(feature = "cli")]
mod compare;
mod courses;
mod determinism;
#[cfg(feature = "cli")]
mod experiments;
#[cfg(feature = "cli")]
mod explain;
mod faults;
mod hostile;
#[cfg(feature = "cli")]
mod pages;
mod phases;
#[cfg(feature = "replay")]
mod replay;
