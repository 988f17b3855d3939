//! Features that HashiCorp's program lacks, from the user's side: processes of ours and, where it is installed, of
//! HashiCorp's (`/usr/bin/serf`, or the one that `SERF_REFERENCE` names).

#[cfg(unix)]
mod capture;
mod codec;
mod config;
mod dist;
mod doctor;
mod encryption;
mod json;
mod lab;
mod large_answers;
mod readme;
mod rolling;
mod shell;
mod top;
mod why;
