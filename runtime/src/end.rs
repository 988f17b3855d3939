//! How a node ends, and what ends it though nobody asked for it.

use core::fmt;
use core::net::IpAddr;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::any::Any;
use std::sync::Arc;

use futures_lite::FutureExt;
use serf_proto::{LeaveReport, NodeState};

use crate::address::{is_of_host, successor};
use crate::driver::Shared;
use crate::interfaces::of_host;
use crate::net::Net;

/// How a node ended; see [`Serf::wait`](crate::Serf::wait).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// It has left its cluster.
    Left(LeaveReport),
    /// It was shut down without a leave, or its last handle was dropped.
    ShutDown,
    /// It has left because its host has no longer the address that it chose to announce, and has another. Members keep a live member at
    /// its address, so a node cannot move: start it anew, and it announces the new one.
    AddressChanged {
        /// What it announced.
        from: IpAddr,
        /// What the host has instead.
        to: IpAddr,
    },
    /// A panic in one of its tasks, or in a callback that ran while it was locked, has stopped it without a leave.
    Panicked {
        /// Which task.
        task: &'static str,
        /// What the panic said.
        message: String,
    },
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left(_) => f.write_str("the node has left its cluster"),
            Self::ShutDown => f.write_str("the node was shut down"),
            Self::AddressChanged { from, to } => {
                write!(f, "the node has left, for its address {from} is not this host's any more, which has {to}")
            }
            Self::Panicked { task, message } => write!(f, "the node was stopped by a panic ({task}): {message}"),
        }
    }
}

impl<N: Net> Shared<N> {
    /// Runs a task without which the node is not whole: when it ends while the node runs, the node ends.
    pub(crate) async fn supervise(self: Arc<Self>, task: &'static str, work: impl Future<Output = ()>) {
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(()) => {}
            Err(panic) => self.fail(task, said(&*panic)),
        }
    }

    /// Stops the node, for it is broken.
    pub(crate) fn fail(&self, task: &'static str, message: String) {
        let mut engine = self.lock();
        if engine.running.is_none() {
            return;
        }
        tracing::error!(task, message, "the node is stopped: a panic has left it broken");
        engine.end = Some(End::Panicked { task, message });
        drop(engine);
        self.stop();
    }

    /// Watches an address that was chosen among those of the host, until the node has left or stopped. One that is gone may come back:
    /// the node is only not well. When another has taken its place the node leaves.
    pub(crate) async fn watch_address(self: Arc<Self>, ip: IpAddr, interface: String) {
        let mut missed = 0_u32;
        while self.lock().node.state() == NodeState::Alive {
            self.net.sleep(ADDRESS_CHECK_INTERVAL).await;
            if is_of_host(ip) {
                if missed >= CHECKS_MISSED {
                    tracing::info!(addr = %ip, "the address that this node announces is back");
                }
                missed = 0;
                self.counters.address_missing.store(false, Ordering::Relaxed);
                continue;
            }
            missed = missed.saturating_add(1);
            if missed < CHECKS_MISSED {
                continue;
            }
            if missed == CHECKS_MISSED {
                tracing::error!(addr = %ip, interface, "this host has no longer the address that this node announces: no other member can reach it");
                self.counters.address_missing.store(true, Ordering::Relaxed);
            }
            if let Some(to) = self.successor(&interface).await {
                return self.leave_for(ip, to);
            }
        }
    }

    /// The address that has taken the place of ours. It is looked for by a thread of its own, which may wait for the kernel.
    async fn successor(&self, interface: &str) -> Option<IpAddr> {
        let (found, next) = async_channel::bounded(1);
        let (interface, or_ipv6) = (interface.to_owned(), self.bound.is_ipv6());
        let thread = std::thread::Builder::new().name("serf-address".to_owned());
        let spawned = thread.spawn(move || _ = found.try_send(successor(&of_host(), &interface, or_ipv6)));
        spawned.ok()?;
        next.recv().await.ok()?
    }

    fn leave_for(self: &Arc<Self>, from: IpAddr, to: IpAddr) {
        tracing::error!(%from, %to, "the address of this host has changed: the node leaves; start it anew to announce the new one");
        self.call(|engine, now, out| {
            if engine.node.leave(now, out).is_ok() {
                engine.end = Some(End::AddressChanged { from, to });
            }
        });
    }
}

/// What a panic said, as far as it was text.
pub(crate) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text").to_owned()
}

/// How often is looked whether the host still has our address.
const ADDRESS_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// An address is gone when it was missed so often in a row: one that is renewed is away for a moment.
const CHECKS_MISSED: u32 = 3;
