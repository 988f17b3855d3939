//! Tests of a service that embeds [`serf_tokio`], on a virtual network, clock and disk, with faults and a seed.

#![forbid(unsafe_code)]

mod chaos;
mod check;
mod checks;
mod digest;
mod disk;
mod executor;
mod faults;
mod host;
mod links;
pub mod net;
mod network;
mod runtime;
mod simulation;
mod sockets;
mod timeline;
mod world;

use core::pin::pin;
use core::task::Poll;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use crate::check::{Run, check, run};
pub use crate::network::{Apps, Fault, Host, HostFiles, Link, Network};
pub use crate::timeline::{Entry, Timeline};

/// Locks a mutex and ignores poisoning: a panic of a test is reported as itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the first of two futures.
async fn first(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    core::future::poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => other.as_mut().poll(cx),
    })
    .await;
}
