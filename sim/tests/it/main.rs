//! The tests of the simulator as a library and as a command, as one program.

mod chaos;
mod command_line;
mod common;
mod courses;
mod determinism;
mod faults;
mod hostile;
mod phases;
