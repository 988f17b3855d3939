//! Tests of the simulator as a library and as a command, in one binary.

mod chaos;
mod command_line;
mod common;
mod compare;
mod courses;
mod determinism;
mod experiments;
mod explain;
mod faults;
mod hostile;
mod pages;
mod phases;
mod replay;
