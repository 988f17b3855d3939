//! Large answers at the responder: held until the requester fetches them over a stream.
//!
//! The requester opens the stream, not the responder. So a query with a forged source makes no node send more than the
//! offer, which is smaller than an answer in a packet, and the requester decides how many answers it buffers at a time.
//! HashiCorp's nodes would take a response of any size on a stream. They are sent none, because their limit protects
//! their applications.

use core::net::IpAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Queries;
use super::answer::{RespondError, peer_at, response_limit};
use crate::core::Core;
use crate::limits::{ANSWERS_HELD_BYTES_MAX, ANSWERS_HELD_FOR_ONE_BYTES_MAX};
use crate::msgpack::write::{longest_raw, raw_bytes};
use crate::roster::{MemberIdx, canonical};
use crate::serf::Serf;
use crate::time::Instant;
use crate::types::QueryId;
use crate::wire::Codec;
use crate::wire::hashicorp::serf_bytes;
use crate::wire::serf::{Message, QueryResponse};

/// A large answer that waits to be fetched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) payload: Bytes,
    /// Whether it was fetched. It is kept, because the stream may break.
    pub(super) is_fetched: bool,
}

impl Queries {
    /// Bytes of the large answers that wait to be fetched.
    pub(in crate::serf) fn held_bytes(&self) -> usize {
        self.open.values().filter_map(|open| open.held.as_ref()).map(|held| held.payload.len()).sum()
    }

    /// When the first of them expires.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.open.values().filter(|open| open.held.is_some()).map(|open| open.deadline).min()
    }

    /// Frees those that have expired.
    pub(super) fn forget_held(&mut self, now: Instant) {
        for open in self.open.values_mut().filter(|open| open.deadline <= now) {
            open.held = None;
        }
    }

    /// The payloads of large answers.
    pub(super) fn held_mut(&mut self) -> impl Iterator<Item = &mut Bytes> {
        self.open.values_mut().filter_map(|open| open.held.as_mut()).map(|held| &mut held.payload)
    }
}

impl Serf {
    /// The largest payload of a response to this query, in bytes. `None` if it cannot be answered, or not any longer.
    pub(crate) fn answer_bytes_max(&self, core: &Core, to: QueryId) -> Option<usize> {
        self.queries.open.get(&to).filter(|open| !open.answered && core.now < open.deadline)?;
        let me = core.roster.name(self.members.me());
        let empty = QueryResponse { ltime: to.ltime, id: to.id, from: &me, flags: 0, payload: &[] };
        let head = serf_bytes(&Message::QueryResponse(empty)) - raw_bytes(0);
        let in_a_packet = response_limit(core).checked_sub(head).and_then(longest_raw);
        in_a_packet.max(self.large_answer_max(core, to))
    }

    /// The largest payload of a large answer to this query, in bytes. `None` if its requester cannot fetch one.
    pub(super) fn large_answer_max(&self, core: &Core, to: QueryId) -> Option<usize> {
        let limit = core.cfg.serf().query_answer_bytes_max as usize;
        let requester = &self.queries.open.get(&to)?.requester;
        if limit == 0 || !core.cfg.transport().codec.reads(Codec::Native) {
            return None;
        }
        let fetches = |idx: MemberIdx| {
            let reads_native = core.roster.peer(idx).is_some_and(|peer| peer.versions().reads_native());
            reads_native && self.members.row(idx).is_live()
        };
        // Our own query needs no stream.
        let can_fetch = self.is_here(core, requester.addr)
            || peer_at(core, canonical(requester.addr), &requester.node).is_some_and(fetches);
        can_fetch.then_some(limit)
    }

    /// Holds a large answer until the query's deadline. At the limit forgets answers that were fetched. The answers to one
    /// requester that waits for none of them take a share of the memory only.
    pub(super) fn hold(&mut self, core: &mut Core, to: QueryId, payload: &[u8]) -> Result<(), RespondError> {
        self.queries.forget_held(core.now);
        let bytes = payload.len();
        let requester = self.queries.open.get(&to).map(|open| open.requester.addr);
        let (mut waiting, mut of_requester) = (0, 0);
        for open in self.queries.open.values() {
            let waits = open.held.as_ref().filter(|held| !held.is_fetched).map_or(0, |held| held.payload.len());
            waiting += waits;
            of_requester += if requester == Some(open.requester.addr) { waits } else { 0 };
        }
        for (used, limit) in [(of_requester, ANSWERS_HELD_FOR_ONE_BYTES_MAX), (waiting, ANSWERS_HELD_BYTES_MAX)] {
            if used + bytes > limit {
                return Err(RespondError::Full { bytes, limit });
            }
        }
        let mut used = self.queries.held_bytes();
        // The lowest Lamport time first, hence roughly the oldest.
        for open in self.queries.open.values_mut() {
            if used + bytes > ANSWERS_HELD_BYTES_MAX
                && let Some(fetched) = open.held.take_if(|held| held.is_fetched)
            {
                used -= fetched.payload.len();
            }
        }
        if let Some(open) = self.queries.open.get_mut(&to) {
            open.held = Some(Held { payload: Bytes::copy_from_slice(payload), is_fetched: false });
        }
        self.arm_queries(core);
        Ok(())
    }

    /// The large answer to a query, for a peer that fetches it. Only the requester's fetch counts as one.
    pub(crate) fn offered(&mut self, core: &Core, query: QueryId, peer: IpAddr) -> Option<Bytes> {
        let open = self.queries.open.get_mut(&query).filter(|open| core.now < open.deadline)?;
        let held = open.held.as_mut()?;
        held.is_fetched |= canonical(open.requester.addr).ip() == peer;
        Some(held.payload.clone())
    }
}
