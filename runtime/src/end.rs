//! How a node ends, and what ends it without a command.

use core::fmt;
use core::net::IpAddr;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::any::Any;
use std::sync::Arc;

use futures_lite::FutureExt;
use serf_proto::{LeaveReport, NodeState};

use crate::address::{Chosen, is_of_host, successor};
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
    /// the node is only not well. When another has taken its place the node leaves, before the others take it for failed if that can be:
    /// members let a name that has left go elsewhere, and one that has failed only when they have forgotten it.
    pub(crate) async fn watch_address(self: Arc<Self>, ip: IpAddr, chosen: Chosen) {
        let mut missed = 0_u32;
        while self.lock().node.state() == NodeState::Alive {
            self.net.sleep(ADDRESS_CHECK_INTERVAL).await;
            if is_of_host(ip) {
                self.address_is_back(ip);
                missed = 0;
                continue;
            }
            missed = missed.saturating_add(1);
            if missed == CHECKS_MISSED_ERROR {
                let interface = &chosen.interface;
                tracing::error!(addr = %ip, interface, "this host has no longer the address that this node announces: no other member can reach it");
                self.counters.address_missing.store(true, Ordering::Relaxed);
            }
            if missed >= CHECKS_MISSED_MOMENT
                && let Some(to) = self.successor(ip, &chosen, missed >= CHECKS_MISSED_LONG).await
            {
                return self.leave_for(ip, to);
            }
        }
    }

    fn address_is_back(&self, ip: IpAddr) {
        if self.counters.address_missing.swap(false, Ordering::Relaxed) {
            tracing::info!(addr = %ip, "the address that this node announces is back");
        }
    }

    /// The address that has taken the place of ours. It is looked for by a thread of its own, which may wait for the kernel.
    async fn successor(&self, gone: IpAddr, chosen: &Chosen, is_gone_for_long: bool) -> Option<IpAddr> {
        let (found, next) = async_channel::bounded(1);
        let (chosen, or_ipv6) = (chosen.clone(), self.bound.is_ipv6());
        let look = move || _ = found.try_send(successor(&of_host(), gone, &chosen, is_gone_for_long, or_ipv6));
        std::thread::Builder::new().name("serf-address".to_owned()).spawn(look).ok()?;
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

/// How often is looked whether the host still has our address: one call of the kernel that sends nothing.
const ADDRESS_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// An address that is renewed is away for a moment: so often it may be missed in a row and nothing is done. Others take us for
/// failed after some five seconds.
const CHECKS_MISSED_MOMENT: u32 = 2;

/// Missed so often in a row, it is an error and the node is not well.
const CHECKS_MISSED_ERROR: u32 = 5;

/// Missed so often in a row, it is gone for long.
const CHECKS_MISSED_LONG: u32 = 15;
