//! Services on [`serf_tokio`] to copy from. Each is a module that knows nothing of tests, a program in `src/bin`, and a test
//! of its claims in `tests/it`, in the simulator and over many seeds.
//!
//! | module | service | claim that its test checks |
//! |---|---|---|
//! | [`ring`] | sharded cache with a consistent-hash ring | all replicas agree on the owner of a key, a bounded time after a change |
//! | [`leader`] | leader by lowest name, with a fencing token | the store accepts no write of a leader after one of its successor |
//! | [`deploy`] | rolling deploy by user events | one replica at a time is down for the deploy; all get the newest version |
//! | [`config`] | distribution of a configuration by queries | every replica gets it, also one that was away |

#![forbid(unsafe_code)]

pub mod config;
pub mod deploy;
pub mod leader;
pub mod ring;

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serf_tokio::Options;

/// Options of a program from its arguments: its name, its address, and the addresses of members to join.
///
/// # Errors
///
/// If name or address is missing, or the address is none.
pub fn options_from_args() -> Result<Options, Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, bind, seeds @ ..] = &args[..] else { return Err("usage: NAME BIND [SEED...]".into()) };
    let bind = bind.parse()?;
    Ok(Options::lan(name).with(|options| (options.bind, options.join) = (bind, seeds.to_vec())))
}

/// Locks a mutex and ignores poisoning.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
