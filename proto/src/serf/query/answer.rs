//! Answering: straight to the requester, and over other members if it wants that.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::{Number, Search};
use crate::core::{Body, Core, Origin, Requester, Unicast};
use crate::event::Status;
use crate::roster::{MemberIdx, canonical};
use crate::serf::Serf;
use crate::serf::message::{decode, encode};
use crate::stats::DropReason;
use crate::types::QueryId;
use crate::wire::hashicorp::serf_bytes;
use crate::wire::serf::{Message, QueryResponse, Relay};

/// Why an answer was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RespondError {
    /// As HashiCorp's nodes encode it, it exceeds the limit, or it fits into no packet of ours.
    #[error("the answer takes {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The query has been answered: each node answers once.
    #[error("the query has been answered before")]
    Answered,
    /// The time for answers is over.
    #[error("the time for answers to the query is over")]
    Late,
    /// There was no such query, or it was long ago.
    #[error("there is no such query")]
    Unknown,
}

impl Serf {
    /// Answers a query that was delivered (`Respond` in serf).
    pub(crate) fn respond(&mut self, core: &mut Core, to: QueryId, payload: &[u8]) -> Result<(), RespondError> {
        let me = core.roster.name(self.members.me());
        let response = QueryResponse { ltime: to.ltime, id: to.id, from: &me, flags: 0, payload };
        let (bytes, limit) = (serf_bytes(&Message::QueryResponse(response)), response_limit(core));
        if bytes > limit {
            return Err(RespondError::TooLarge { bytes, limit });
        }
        let known = self.queries.recent.knows(to.ltime, |&number| number == Number(to.id));
        let Some(open) = self.queries.open.get_mut(&to) else {
            return Err(if known { RespondError::Late } else { RespondError::Unknown });
        };
        if open.answered {
            return Err(RespondError::Answered);
        }
        if core.now >= open.deadline {
            return Err(RespondError::Late);
        }
        open.answered = true;
        let requester = open.requester.clone();
        self.send_response(core, &requester, &response);
        Ok(())
    }

    /// Says that a query has come.
    pub(super) fn acknowledge(&mut self, core: &mut Core, requester: &Requester) {
        let me = core.roster.name(self.members.me());
        let QueryId { ltime, id } = requester.id;
        let ack = QueryResponse { ltime, id, from: &me, flags: QueryResponse::FLAG_ACK, payload: &[] };
        self.send_response(core, requester, &ack);
    }

    /// Answers a query that the application never sees. What is too large is not said.
    pub(in crate::serf) fn answer(&mut self, core: &mut Core, requester: &Requester, payload: &[u8]) {
        let me = core.roster.name(self.members.me());
        let response = QueryResponse { ltime: requester.id.ltime, id: requester.id.id, from: &me, flags: 0, payload };
        if serf_bytes(&Message::QueryResponse(response)) <= response_limit(core) {
            self.send_response(core, requester, &response);
        } else {
            tracing::warn!(query = %requester.id, "the answer is too large to be sent");
        }
    }

    /// Answers a requester that is no member, if the query came straight from it: no address that it could name is sent more than it
    /// has sent itself, and only once.
    pub(in crate::serf) fn answer_stranger(
        &self,
        core: &mut Core,
        origin: Origin,
        requester: &Requester,
        payload: &[u8],
    ) {
        let from = canonical(requester.addr);
        if origin != Origin::Packet(requester.addr) && origin != Origin::Packet(from) {
            return core.stats.drop(DropReason::Unexpected);
        }
        let me = core.roster.name(self.members.me());
        let response = QueryResponse { ltime: requester.id.ltime, id: requester.id.id, from: &me, flags: 0, payload };
        if serf_bytes(&Message::QueryResponse(response)) <= response_limit(core) {
            let message = encode(core.codec_for_all(), &Message::QueryResponse(response));
            core.unicasts.push(Unicast { to: from, peer: None, answers: None, body: Body::User(message) });
        }
    }

    /// Sends to the requester, and then over as many others as it wants. A relay that would be too large is left out: the direct
    /// way is taken all the same.
    fn send_response(&mut self, core: &mut Core, requester: &Requester, response: &QueryResponse<'_>) {
        if self.is_here(core, requester.addr) {
            return self.response_in(core, Origin::Local, response);
        }
        if !is_usable(requester.addr) {
            return core.stats.drop(DropReason::Malformed);
        }
        // serf's agents answer to whatever address a query names, so that one packet has a whole cluster send to a stranger.
        if !self.is_member(core, requester.addr, &requester.node) {
            return core.stats.drop(DropReason::Unexpected);
        }
        let reader = peer_at(core, canonical(requester.addr), &requester.node);
        let inner = encode(core.codec(reader, None), &Message::QueryResponse(*response));
        let relay = Relay { addr: requester.addr, node: &requester.node, inner: &inner };
        let head = serf_bytes(&Message::Relay(Relay { inner: &[], ..relay }));
        let relayed = head + serf_bytes(&Message::QueryResponse(*response)) <= response_limit(core);
        let wanted = if relayed { requester.relay_factor } else { 0 };
        let relays = self.draw_relays(core, wanted, requester);
        send(core, requester.addr, &requester.node, inner.clone());
        for idx in relays {
            let Some(to) = core.roster.peer(idx).map(|peer| peer.addr()) else { continue };
            // The relay must read what is around the answer, the requester the answer, and they need not read the same.
            let message = encode(core.codec(Some(idx), None), &Message::Relay(relay));
            core.unicasts.push(Unicast { to, peer: Some(idx), answers: None, body: Body::User(message) });
        }
    }

    /// Whom to send over: up to `wanted` different members that are alive and can do it, neither we nor the requester
    /// (`kRandomMembers` in serf, which may also choose the requester).
    fn draw_relays(&self, core: &mut Core, wanted: u8, requester: &Requester) -> Vec<MemberIdx> {
        let mut drawn = Vec::new();
        let wanted = usize::from(wanted).min(RELAYS_PER_ANSWER_MAX);
        let rows = self.members.slots();
        if wanted == 0 || (self.members.known() as usize) <= wanted {
            return drawn;
        }
        for _ in 0..rows.saturating_mul(DRAWS_PER_MEMBER).min(DRAWS_MAX) {
            let idx = MemberIdx(core.rng.query.below(rows));
            let can = self.members.row(idx).status() == Some(Status::Alive)
                && idx != self.members.me()
                && core.roster.peer(idx).is_some_and(|peer| {
                    let knows_how = peer.versions().protocol_max() >= PROTOCOL_RELAY;
                    knows_how && peer.addr() != canonical(requester.addr)
                });
            if can && !drawn.contains(&idx) {
                drawn.push(idx);
            }
            if drawn.len() == wanted {
                break;
            }
        }
        drawn
    }

    /// Passes an answer on (`relayResponse`'s other end in serf, which passes anything on to anybody). Only answers, and only to
    /// members.
    pub(in crate::serf) fn relay_in(&mut self, core: &mut Core, origin: Origin, relay: &Relay<'_>) {
        let response = match decode(core, relay.inner) {
            Ok(Message::QueryResponse(response)) => response,
            Err(DropReason::Codec) => return core.stats.drop(DropReason::Codec),
            _ => return core.stats.drop(DropReason::Unexpected),
        };
        if self.is_here(core, relay.addr) {
            return self.response_in(core, origin, &response);
        }
        if relay.inner.len() > core.cfg.message_room() {
            return core.stats.drop(DropReason::Limit);
        }
        if !self.is_member(core, relay.addr, relay.node) {
            return core.stats.drop(DropReason::Unexpected);
        }
        core.stats.query_relays += 1;
        send(core, relay.addr, relay.node, Bytes::copy_from_slice(relay.inner));
    }

    /// Whether a member of this name, or of any if it is empty, listens there. Agents from before 2019 do not say their names, and
    /// are looked for among all members; of several addresses in a short time only the first is.
    pub(in crate::serf) fn is_member(&mut self, core: &Core, addr: SocketAddr, node: &str) -> bool {
        let addr = canonical(addr);
        let listens =
            |idx: MemberIdx| self.members.has(idx) && core.roster.peer(idx).is_some_and(|peer| peer.addr() == addr);
        if !node.is_empty() {
            return core.roster.find(node).is_some_and(listens);
        }
        if let Some(last) = self.queries.searched
            && core.now - last.at < SEARCH_PAUSE
        {
            return last.addr == addr && last.found;
        }
        let found = self.members.rows().any(|(idx, _)| listens(idx));
        self.queries.searched = Some(Search { at: core.now, addr, found });
        found
    }

    /// Whether the address is our own.
    fn is_here(&self, core: &Core, addr: SocketAddr) -> bool {
        core.roster.peer(self.members.me()).is_some_and(|me| me.addr() == canonical(addr))
    }
}

fn send(core: &mut Core, to: SocketAddr, node: &str, message: Bytes) {
    let to = canonical(to);
    let peer = peer_at(core, to, node);
    core.unicasts.push(Unicast { to, peer, answers: None, body: Body::User(message) });
}

/// The member of this name, if it listens there.
fn peer_at(core: &Core, addr: SocketAddr, node: &str) -> Option<MemberIdx> {
    core.roster.find(node).filter(|&idx| core.roster.peer(idx).is_some_and(|peer| peer.addr() == addr))
}

fn is_usable(addr: SocketAddr) -> bool {
    addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast()
}

/// The largest answer.
pub(in crate::serf) fn response_limit(core: &Core) -> usize {
    (core.cfg.serf().query_response_bytes_max as usize).min(core.cfg.message_room())
}

/// memberlist's protocol version from which a member passes answers on.
const PROTOCOL_RELAY: u8 = 5;

/// How often it is tried to draw a relay, for each member, before it is done with fewer than wanted.
const DRAWS_PER_MEMBER: u32 = 3;

/// How often at the most. Ours: among many members that are gone serf draws three times as often as there are.
const DRAWS_MAX: u32 = 256;

/// Over how many others one answer goes, at the most. Ours: serf's agents send up to 255 packets for one that they received.
const RELAYS_PER_ANSWER_MAX: usize = 16;

/// How long no other address is looked for among all members. Ours: a packet may hold hundreds of queries.
const SEARCH_PAUSE: Duration = Duration::from_millis(10);
