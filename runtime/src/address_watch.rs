//! Detects that the host has lost the advertised address.

use core::net::IpAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::Arc;

use serf_proto::NodeState;

use crate::address::{Chosen, successor};
use crate::end::End;
use crate::engine::Shared;
use crate::net::Net;

/// Polls an address that was selected from the host's interfaces, until the node has left or stopped. A missing address
/// may return, so at first only [`Stats::address_missing`](crate::Stats::address_missing) is set. When another address
/// has replaced it, the node leaves, if possible before the members declare it failed: members accept a new address for
/// a name that has left, but for one that has failed only after they have forgotten it.
pub(crate) async fn watch_address<N: Net>(shared: Arc<Shared<N>>, ip: IpAddr, chosen: Chosen) {
    let mut missed = 0_u32;
    while shared.lock().node.state() == NodeState::Alive {
        shared.net.sleep(ADDRESS_CHECK_INTERVAL).await;
        if shared.net.has_address(ip) {
            address_is_back(&shared, ip);
            missed = 0;
            continue;
        }
        missed = missed.saturating_add(1);
        if missed == CHECKS_MISSED_ERROR {
            let interface = &chosen.interface;
            tracing::error!(addr = %ip, interface, "this host has lost the advertised address: no other member can reach this node");
            shared.counters.address_missing.store(true, Ordering::Relaxed);
        }
        if missed >= CHECKS_MISSED_MOMENT
            && let Some(to) = find_successor(&shared, ip, &chosen, missed >= CHECKS_MISSED_LONG).await
        {
            return leave_for(&shared, ip, to);
        }
    }
}

fn address_is_back<N: Net>(shared: &Shared<N>, ip: IpAddr) {
    if shared.counters.address_missing.swap(false, Ordering::Relaxed) {
        tracing::info!(addr = %ip, "this host has the advertised address again");
    }
}

/// Searches for the replacement of our address. Runs on another thread, because the system calls may block.
async fn find_successor<N: Net>(
    shared: &Arc<Shared<N>>,
    gone: IpAddr,
    chosen: &Chosen,
    is_gone_for_long: bool,
) -> Option<IpAddr> {
    let (chosen, this) = (chosen.clone(), Arc::clone(shared));
    let look = move || successor(&this.net.addresses(), gone, &chosen, is_gone_for_long, this.bound.is_ipv6());
    shared.net.unblock(look).await.ok()?
}

fn leave_for<N: Net>(shared: &Arc<Shared<N>>, from: IpAddr, to: IpAddr) {
    tracing::error!(%from, %to, "the address of this host has changed: the node leaves; restart it to advertise the new address");
    shared.call(|engine, now, out| {
        if engine.node.leave(now, out).is_ok() {
            engine.end = Some(End::AddressChanged { from, to });
        }
    });
}

/// Interval between checks of the address. One check is one system call and sends nothing.
const ADDRESS_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Consecutive misses without any reaction: an address disappears briefly while it is renewed. Other members declare us
/// failed after about five seconds.
const CHECKS_MISSED_MOMENT: u32 = 2;

/// Consecutive misses after which an error is logged and [`Stats::address_missing`](crate::Stats::address_missing) is
/// set.
const CHECKS_MISSED_ERROR: u32 = 5;

/// Consecutive misses after which the absence counts as long.
const CHECKS_MISSED_LONG: u32 = 15;
