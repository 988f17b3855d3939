//! Tests of a service that embeds [`serf_tokio`], on a virtual network, clock and disk, with faults and a seed.
//!
//! A test starts replicas of the service on virtual hosts, injects faults, and asserts on what the replicas see. The service
//! is unchanged: it uses [`serf_tokio::Serf`], `tokio::spawn` and `tokio::time`. Ten virtual minutes of three hosts take
//! some 20 ms. All that chance decides derives from a seed, so that a failure is repeated by its number.
//!
//! # A test
//!
//! ```
//! use std::time::Duration;
//!
//! use serf_sim::{Network, check};
//! use serf_tokio::{Options, Serf, Status};
//!
//! # let ms = Duration::from_millis;
//! # let secs = Duration::from_secs;
//! /// The service: its real code has the same type and no knowledge of the simulation.
//! struct App { serf: Serf }
//!
//! impl App {
//!     async fn start(options: Options) -> Self {
//!         Self { serf: Serf::start(options).expect("the port is free") }
//!     }
//!
//!     fn replicas(&self) -> Vec<String> {
//!         let members = self.serf.members();
//!         let alive = members.iter().filter(|member| member.status() == Status::Alive);
//!         let mut names: Vec<String> = alive.map(|member| member.name().to_owned()).collect();
//!         names.sort();
//!         names
//!     }
//! }
//!
//! // #[test]
//! // fn views_survive_a_partition() {
//! check(1..=5, async |net: Network| {
//!     net.latency(ms(1)..ms(20)).loss(0.05);
//!     let apps = net.hosts(6, async |host| App::start(host.options()).await).await;
//!     net.settle(secs(60)).await; // or a panic that says whose views differ
//!
//!     let cut = net.partition(["n0", "n1"], ["n2", "n3", "n4", "n5"]);
//!     net.advance(secs(120)).await;
//!     assert_eq!(apps.of("n0").replicas(), ["n0", "n1"]);
//!     cut.heal(); // or drop it
//!     net.eventually(secs(90), || apps.agree(App::replicas)).await;
//!
//!     net.link("n0", "n4").one_way().loss(0.3);
//!     net.crash("n3"); // all its tasks end; its disk stays
//!     net.advance(secs(30)).await;
//!     net.restart("n3").await;
//!     net.pause("n2", secs(16)); // as a long pause of a virtual machine
//!     net.settle(secs(90)).await;
//!     net.assert_protocol();
//! });
//! // }
//! ```
//!
//! A failure prints the seed, the command that repeats it, the faults that are needed for it, and the last events:
//!
//! ```text
//! seed 17 fails after 94.350 virtual seconds: assertion failed: ...
//! at tests/rings.rs:41:9
//! repeat it with: SERF_SIM_SEED=17 cargo test rings_survive_a_partition
//! 1 of 6 faults are needed:
//!     31.204 s  crash n2
//! ```
//!
//! [`check`](check()) is a function and not an attribute, so that seeds may be any expression, a test has no other syntax than
//! Rust's, and a user compiles no procedural macro.
//!
//! # Faults
//!
//! | fault | method |
//! |---|---|
//! | latency, loss, duplicates, resets of streams on all links | [`latency`](Network::latency), [`loss`](Network::loss), [`duplicate`](Network::duplicate), [`stream_resets`](Network::stream_resets) |
//! | partition, isolation | [`partition`](Network::partition), [`isolate`](Network::isolate) |
//! | loss, delay or cut of a link, also one way | [`link`](Network::link) |
//! | crash, power failure, restart | [`crash`](Network::crash), [`power_off`](Network::power_off), [`restart`](Network::restart) |
//! | stall of a host; of its clock alone | [`pause`](Network::pause), [`stop_clock`](Network::stop_clock) |
//! | disk: full, slow, failing syncs, new | [`disk`](Network::disk) |
//! | all of these, drawn from the seed | [`chaos`](Network::chaos) |
//!
//! # The service's own traffic
//!
//! [`net`] has the sockets of `tokio::net` on the virtual network, for a service that also talks to its replicas directly.
//!
//! # How it works
//!
//! Each host has a tokio runtime with a paused clock, on the thread of the test. So a crash ends exactly the tasks of its
//! host, and a stall holds them. The tasks of nodes do not run there but on an executor of the simulation, which moves the
//! time from input to input. tokio has no API for the time of its next timer; a runtime with tasks is therefore run at ticks, whose
//! distance doubles from 1 ms to the [quantum](Network::quantum), 100 ms, while nothing happens. A timer of the service fires
//! at its own time of its host's clock, but what it sends is on the network up to a tick later.
//!
//! # Limits
//!
//! - Determinism is yours, too: use `biased` in `tokio::select!` (its random order cannot be seeded in stable tokio), no
//!   iteration over `HashMap`, no real clock, no threads. [`check`](check()) runs the first seed twice and fails if the runs differ.
//! - tokio's own sockets do not work on a virtual host. `tokio::fs` works and is the real disk.
//! - Computing takes no virtual time, and datagrams have no bandwidth.
//! - For thousands of nodes, use the protocol's simulator, `sim`, which runs an application's logic beside each of them; for
//!   real sockets with a virtual clock, `#[tokio::test(start_paused = true)]`.
//!
//! # Build profile
//!
//! The protocol's code dominates. A workspace compiles its dependencies without optimisation for tests, unless its
//! `Cargo.toml` has
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 2
//! ```

#![forbid(unsafe_code)]

mod chaos;
mod check;
mod checks;
mod clock;
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
