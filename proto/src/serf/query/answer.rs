//! Query responses: sent directly to the requester and, if it asks for that, through relays.

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

/// Why a response was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RespondError {
    /// It exceeds the limit: in HashiCorp's encoding that of a packet
    /// ([`query_response_bytes_max`](crate::SerfOptions::query_response_bytes_max)), or, if the requester can fetch a
    /// large answer, that of its payload ([`query_answer_bytes_max`](crate::SerfOptions::query_answer_bytes_max)).
    #[error("the response takes {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The large answers to other queries, which wait to be fetched, leave no room for one more.
    #[error("a response of {bytes} bytes exceeds the {limit} bytes for responses that wait to be fetched")]
    Full {
        /// The size of the response, in bytes.
        bytes: usize,
        /// The limit of all of them, in bytes.
        limit: usize,
    },
    /// The query has been answered already: each node responds once.
    #[error("the query was already answered")]
    Answered,
    /// The query's deadline has passed.
    #[error("the deadline of the query has passed")]
    Late,
    /// The query is unknown, or too old to be remembered.
    #[error("there is no such query")]
    Unknown,
}

impl Serf {
    /// Responds to a delivered query (`Respond` in serf's event.go). Ours: a response that exceeds a packet is offered to
    /// the requester, if that can fetch it.
    pub(crate) fn respond(&mut self, core: &mut Core, to: QueryId, payload: &[u8]) -> Result<(), RespondError> {
        let me = core.roster.name(self.members.me());
        let response = QueryResponse { ltime: to.ltime, id: to.id, from: &me, flags: 0, payload };
        let (bytes, limit) = (serf_bytes(&Message::QueryResponse(response)), response_limit(core));
        let is_large = bytes > limit;
        if is_large {
            match self.large_answer_max(core, to) {
                None => return Err(RespondError::TooLarge { bytes, limit }),
                Some(limit) if payload.len() > limit => {
                    return Err(RespondError::TooLarge { bytes: payload.len(), limit });
                }
                Some(_) => {}
            }
        }
        // The deadline has removed the open query, so only the memory of numbers distinguishes a late response from an
        // unknown query.
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
        let requester = open.requester.clone();
        let is_held = is_large && !self.is_here(core, requester.addr);
        if is_held {
            self.hold(core, to, payload)?;
        }
        // Only after all checks: a response that is refused may be tried again.
        if let Some(open) = self.queries.open.get_mut(&to) {
            open.answered = true;
        }
        let offer = QueryResponse { flags: QueryResponse::FLAG_OFFER, payload: &[], ..response };
        self.send_response(core, &requester, if is_held { &offer } else { &response });
        Ok(())
    }

    /// Sends an ack of a query.
    pub(super) fn acknowledge(&mut self, core: &mut Core, requester: &Requester) {
        let me = core.roster.name(self.members.me());
        let QueryId { ltime, id } = requester.id;
        let ack = QueryResponse { ltime, id, from: &me, flags: QueryResponse::FLAG_ACK, payload: &[] };
        self.send_response(core, requester, &ack);
    }

    /// Responds to an internal query. A response over the limit is logged and not sent.
    pub(in crate::serf) fn answer(&mut self, core: &mut Core, requester: &Requester, payload: &[u8]) {
        let me = core.roster.name(self.members.me());
        let response = QueryResponse { ltime: requester.id.ltime, id: requester.id.id, from: &me, flags: 0, payload };
        if serf_bytes(&Message::QueryResponse(response)) <= response_limit(core) {
            self.send_response(core, requester, &response);
        } else {
            tracing::warn!(query = %requester.id, "the response is too large to be sent");
        }
    }

    /// Responds to a requester that is not a member, if the query arrived directly from it. Sent once, without relays, and
    /// only to the source address of the query, so that a query cannot direct traffic at a third address.
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

    /// Sends a response to the requester, and through as many relays as it asks for. A relayed message over the limit
    /// is skipped; the direct one is still sent.
    fn send_response(&mut self, core: &mut Core, requester: &Requester, response: &QueryResponse<'_>) {
        // A query of our own: handled without a packet.
        if self.is_here(core, requester.addr) {
            return self.response_in(core, Origin::Local, response);
        }
        if !is_usable(requester.addr) {
            return core.stats.drop(DropReason::Malformed);
        }
        // HashiCorp's responds to any address in a query, so that one packet makes a whole cluster send to a victim.
        if !self.is_member(core, requester.addr, &requester.node) {
            return core.stats.drop(DropReason::Unexpected);
        }
        let reader = peer_at(core, canonical(requester.addr), &requester.node);
        let inner = encode(core.codec(reader, None), &Message::QueryResponse(*response));
        let relay = Relay { addr: requester.addr, node: &requester.node, inner: &inner };
        let head = serf_bytes(&Message::Relay(Relay { inner: &[], ..relay }));
        // The limit covers the whole relay message, head included (`relayResponse` in serf's query.go).
        let relayed = head + serf_bytes(&Message::QueryResponse(*response)) <= response_limit(core);
        let wanted = if relayed { requester.relay_factor } else { 0 };
        let relays = self.draw_relays(core, wanted, requester);
        send(core, requester.addr, &requester.node, inner.clone());
        for idx in relays {
            let Some(to) = core.roster.peer(idx).map(|peer| peer.addr()) else { continue };
            // Two codecs: the envelope's is for the relay, the response's for the requester, and they may differ.
            let message = encode(core.codec(Some(idx), None), &Message::Relay(relay));
            core.unicasts.push(Unicast { to, peer: Some(idx), answers: None, body: Body::User(message) });
        }
    }

    /// Draws up to `wanted` distinct relays: live members that support relaying, excluding this node and the requester
    /// (`kRandomMembers` in serf's query.go, which may also draw the requester).
    fn draw_relays(&self, core: &mut Core, wanted: u8, requester: &Requester) -> Vec<MemberIdx> {
        let mut drawn = Vec::new();
        let wanted = usize::from(wanted).min(RELAYS_PER_ANSWER_MAX);
        let rows = self.members.slots();
        if wanted == 0 || (self.members.known() as usize) <= wanted {
            return drawn;
        }
        for _ in 0..rows.saturating_mul(DRAWS_PER_MEMBER).min(DRAWS_MAX) {
            let idx = MemberIdx(core.rng.query.below(rows));
            // Rejection sampling over all rows; bounded, since few rows may qualify.
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

    /// Forwards a relayed response to its requester. HashiCorp's forwards any message to any address. Ours forwards
    /// query responses only, and to members only.
    pub(in crate::serf) fn relay_in(&mut self, core: &mut Core, origin: Origin, relay: &Relay<'_>) {
        let response = match decode(core, relay.inner) {
            Ok(Message::QueryResponse(response)) => response,
            Err(DropReason::Codec) => return core.stats.drop(DropReason::Codec),
            _ => return core.stats.drop(DropReason::Unexpected),
        };
        // After the check of the type: no other message is accepted through a relay.
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

    /// Whether a member with this name, or any member if the name is empty, has this address. Agents from before 2019
    /// send no name, which requires a search of all members; it is limited to one address per [`SEARCH_PAUSE`].
    pub(in crate::serf) fn is_member(&mut self, core: &Core, addr: SocketAddr, node: &str) -> bool {
        let addr = canonical(addr);
        let listens =
            |idx: MemberIdx| self.members.has(idx) && core.roster.peer(idx).is_some_and(|peer| peer.addr() == addr);
        if !node.is_empty() {
            return core.roster.find(node).is_some_and(listens);
        }
        // The last address is answered from memory; any other is refused until the pause is over.
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
    pub(super) fn is_here(&self, core: &Core, addr: SocketAddr) -> bool {
        core.roster.peer(self.members.me()).is_some_and(|me| me.addr() == canonical(addr))
    }
}

fn send(core: &mut Core, to: SocketAddr, node: &str, message: Bytes) {
    let to = canonical(to);
    let peer = peer_at(core, to, node);
    core.unicasts.push(Unicast { to, peer, answers: None, body: Body::User(message) });
}

/// The member with this name, if it has this address.
pub(super) fn peer_at(core: &Core, addr: SocketAddr, node: &str) -> Option<MemberIdx> {
    core.roster.find(node).filter(|&idx| core.roster.peer(idx).is_some_and(|peer| peer.addr() == addr))
}

fn is_usable(addr: SocketAddr) -> bool {
    addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast()
}

/// The maximum size of a response, in bytes.
pub(in crate::serf) fn response_limit(core: &Core) -> usize {
    (core.cfg.serf().query_response_bytes_max as usize).min(core.cfg.message_room())
}

/// memberlist's protocol version from which a member relays responses.
const PROTOCOL_RELAY: u8 = 5;

/// Draws per row before the search for relays gives up.
const DRAWS_PER_MEMBER: u32 = 3;

/// The maximum number of draws. Ours: serf draws three times per member, however many of them are gone.
const DRAWS_MAX: u32 = 256;

/// The maximum number of relays per response. Ours: serf's agents send up to 255 packets for one that they receive.
const RELAYS_PER_ANSWER_MAX: usize = 16;

/// The minimum time between two searches of all members. Ours: a packet can hold hundreds of queries.
const SEARCH_PAUSE: Duration = Duration::from_millis(10);
