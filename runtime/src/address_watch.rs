//! Notices that the host has lost the address that the node announces.

use core::net::IpAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::Arc;

use serf_proto::NodeState;

use crate::address::{Chosen, is_of_host, successor};
use crate::end::End;
use crate::engine::Shared;
use crate::interfaces::of_host;
use crate::net::Net;

/// Watches an address that was chosen among those of the host, until the node has left or stopped. One that is gone may come back:
/// the node is only not well. When another has taken its place the node leaves, before the others take it for failed if that can be:
/// members let a name that has left go elsewhere, and one that has failed only when they have forgotten it.
pub(crate) async fn watch_address<N: Net>(shared: Arc<Shared<N>>, ip: IpAddr, chosen: Chosen) {
    let mut missed = 0_u32;
    while shared.lock().node.state() == NodeState::Alive {
        shared.net.sleep(ADDRESS_CHECK_INTERVAL).await;
        if is_of_host(ip) {
            address_is_back(&shared, ip);
            missed = 0;
            continue;
        }
        missed = missed.saturating_add(1);
        if missed == CHECKS_MISSED_ERROR {
            let interface = &chosen.interface;
            tracing::error!(addr = %ip, interface, "this host has no longer the address that this node announces: no other member can reach it");
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
        tracing::info!(addr = %ip, "the address that this node announces is back");
    }
}

/// The address that has taken the place of ours. It is looked for by a thread of its own, which may wait for the kernel.
async fn find_successor<N: Net>(
    shared: &Shared<N>,
    gone: IpAddr,
    chosen: &Chosen,
    is_gone_for_long: bool,
) -> Option<IpAddr> {
    let (found, next) = async_channel::bounded(1);
    let (chosen, or_ipv6) = (chosen.clone(), shared.bound.is_ipv6());
    let look = move || _ = found.try_send(successor(&of_host(), gone, &chosen, is_gone_for_long, or_ipv6));
    std::thread::Builder::new().name("serf-address".to_owned()).spawn(look).ok()?;
    next.recv().await.ok()?
}

fn leave_for<N: Net>(shared: &Arc<Shared<N>>, from: IpAddr, to: IpAddr) {
    tracing::error!(%from, %to, "the address of this host has changed: the node leaves; start it anew to announce the new one");
    shared.call(|engine, now, out| {
        if engine.node.leave(now, out).is_ok() {
            engine.end = Some(End::AddressChanged { from, to });
        }
    });
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
