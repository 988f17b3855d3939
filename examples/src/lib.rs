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

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex and ignores poisoning.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
