//! Large answers at the requester: offers of members, and the fetches of the answers.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::collect::{PendingQuery, QueryPurpose};
use super::{Number, Queries};
use crate::core::{Core, ExchangePurpose};
use crate::event::Event;
use crate::fingerprint::Fingerprint;
use crate::limits::{
    ANSWERS_BYTES_MAX, FETCH_PAUSE, FETCH_TRIES_MAX, FETCHES_MAX, FETCHES_PER_QUERY_MAX, QUERY_ANSWERS_BYTES_MAX,
};
use crate::roster::MemberIdx;
use crate::serf::Serf;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::types::QueryId;
use crate::wire::Codec;
use crate::wire::serf::QueryResponse;

/// The running fetches of a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Fetches {
    last: u32,
    running: BTreeMap<u32, Fetch>,
}

/// A large answer that is being fetched.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Fetch {
    query: QueryId,
    offer: Offer,
}

/// A large answer that can be fetched.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Offer {
    from: MemberIdx,
    /// Fetches that failed.
    failures: u32,
    /// Earliest time of the next one.
    due: Instant,
}

/// The offers for one query.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Offers {
    /// Members that made one: one each.
    made: BTreeSet<MemberIdx>,
    queue: VecDeque<Offer>,
    /// Number of fetches that run.
    running: usize,
    /// Whether the application is behind, so that no fetch is started.
    is_held: bool,
}

impl Fetches {
    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { last, running } = self;
        to.put(running.len());
        for (number, fetch) in running {
            let Fetch { query, offer: Offer { from, failures, due: _ } } = fetch;
            to.put((last.wrapping_sub(*number), query.ltime, query.id, from, failures));
        }
    }
}

impl Offers {
    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { made, queue, running, is_held } = self;
        to.put((made, queue.len(), running, is_held));
        for Offer { from, failures, due } in queue {
            to.put((from, failures));
            to.deadline(*due);
        }
    }

    /// When the next of those that wait after a failure is due.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        self.queue.iter().map(|offer| offer.due).filter(|due| *due > now && !self.is_held).min()
    }

    /// Takes the next offer that is due.
    fn take_due(&mut self, now: Instant) -> Option<Offer> {
        let at = self.queue.iter().position(|offer| offer.due <= now)?;
        self.queue.remove(at)
    }
}

impl Queries {
    /// The next offer to fetch, of the query with the fewest running fetches.
    fn next_offer(&self, now: Instant) -> Option<QueryId> {
        if self.fetches.running.len() >= FETCHES_MAX {
            return None;
        }
        let can_start = |query: &PendingQuery| {
            let Offers { queue, running, is_held, .. } = query.offers();
            *running < FETCHES_PER_QUERY_MAX && !is_held && queue.iter().any(|offer| offer.due <= now)
        };
        let startable = self.pending.iter().filter(|(_, query)| can_start(query));
        startable.min_by_key(|(id, query)| (query.offers().running, **id)).map(|(id, _)| *id)
    }

    /// Counts answers to a query that never arrived.
    #[cfg(test)]
    pub(in crate::serf) fn pretend_answers(&mut self, id: QueryId, bytes: usize) {
        self.answers_bytes += bytes;
        self.pending.get_mut(&id).expect("it is running").pretend_answers(bytes);
    }

    /// Whether running queries may accept this many more bytes of answers, and this one, too.
    pub(super) fn has_room(&self, query: &PendingQuery, bytes: usize) -> bool {
        query.answers_bytes() + bytes <= QUERY_ANSWERS_BYTES_MAX && self.answers_bytes + bytes <= ANSWERS_BYTES_MAX
    }
}

impl Serf {
    /// Forgets the offers of a member, before its index may be that of another, and closes the streams to it.
    pub(in crate::serf) fn forget_offers(&mut self, core: &mut Core, idx: MemberIdx) {
        for query in self.queries.pending.values_mut() {
            let Offers { made, queue, .. } = query.offers_mut();
            made.remove(&idx);
            queue.retain(|offer| offer.from != idx);
        }
        self.abandon(core, |fetch| fetch.offer.from == idx);
        self.fetch_offered(core);
    }

    /// Closes the streams of a query that has ended.
    pub(super) fn abandon_fetches(&mut self, core: &mut Core, id: QueryId) {
        self.abandon(core, |fetch| fetch.query == id);
        self.fetch_offered(core);
    }

    fn abandon(&mut self, core: &mut Core, is_obsolete: impl Fn(&Fetch) -> bool) {
        let running = self.queries.fetches.running.iter();
        let obsolete: Vec<u32> = running.filter(|(_, fetch)| is_obsolete(fetch)).map(|(number, _)| *number).collect();
        for number in obsolete {
            self.end_fetch(number);
            core.abandoned.push(number);
        }
    }

    /// Handles an offer of a large answer. It implies the ack, as the answer does.
    pub(super) fn offer_in(&mut self, core: &mut Core, id: QueryId, response: &QueryResponse<'_>) {
        let limit = core.cfg.serf().query_answer_bytes_max as usize;
        let from = core.roster.find(response.from).filter(|&idx| self.can_offer(core, idx));
        let Some(query) = self.queries.pending.get(&id).filter(|query| core.now <= query.deadline()) else {
            return self.fetch_late(core, id);
        };
        let (Some(from), QueryPurpose::Application) = (from, query.purpose()) else {
            return core.stats.drop(DropReason::Unexpected);
        };
        // Before the offer is noted, so that the member is asked again if there is room later.
        if limit == 0 || !self.queries.has_room(query, limit) {
            return core.stats.drop(DropReason::Limit);
        }
        let name = core.roster.name(from);
        let Some(query) = self.queries.pending.get_mut(&id) else { return };
        if query.has_answer(&name) || !query.offers_mut().made.insert(from) {
            core.stats.query_duplicate_responses += 1;
            return;
        }
        query.offers_mut().queue.push_back(Offer { from, failures: 0, due: core.now });
        core.stats.query_offers += 1;
        if query.note_ack(&name) {
            query.time_ack(core, from, false);
            core.stats.query_acks += 1;
            core.events.push(Event::QueryAck { id, from: name });
        }
        self.fetch_offered(core);
    }

    /// Only live members make offers, and only those that read a fetch: it is in the native codec, and goes to the address
    /// of the member's row.
    fn can_offer(&self, core: &Core, idx: MemberIdx) -> bool {
        let reads_native = core.roster.peer(idx).is_some_and(|peer| peer.versions().reads_native());
        let ours = core.cfg.transport().codec.reads(Codec::Native);
        ours && reads_native && idx != self.members.me() && self.members.row(idx).is_live()
    }

    /// Counts an offer or a large answer that no running query waits for. One for a query that we never sent is no
    /// answer of a slow member, so it is worth a complaint.
    fn fetch_late(&self, core: &mut Core, id: QueryId) {
        if self.queries.recent.knows(id.ltime, |&number| number == Number(id.id)) {
            core.stats.query_late += 1;
        } else {
            core.stats.drop(DropReason::Unexpected);
        }
    }

    /// Starts fetches, as many as may run. One takes half of the time that is left at most, so that the offers that wait
    /// for a peer that hangs have the other half.
    ///
    /// Terminates: each pass takes an offer from a queue.
    pub(super) fn fetch_offered(&mut self, core: &mut Core) {
        let bytes_max = core.cfg.serf().query_answer_bytes_max;
        while let Some(id) = self.queries.next_offer(core.now) {
            let Some(query) = self.queries.pending.get_mut(&id) else { return };
            let until = core.now + ((query.deadline() - core.now) / 2).min(core.cfg.transport().stream_timeout);
            let Some(offer) = query.offers_mut().take_due(core.now) else { return };
            let Some(to) = self.live_addr(core, offer.from) else {
                core.stats.query_fetches_failed += 1;
                continue;
            };
            let fetches = &mut self.queries.fetches;
            fetches.last = fetches.last.wrapping_add(1);
            let number = fetches.last;
            fetches.running.insert(number, Fetch { query: id, offer });
            if let Some(query) = self.queries.pending.get_mut(&id) {
                query.offers_mut().running += 1;
            }
            core.dial(to, ExchangePurpose::Fetch { number, bytes_max }, until);
        }
    }

    fn live_addr(&self, core: &Core, idx: MemberIdx) -> Option<SocketAddr> {
        core.roster.peer(idx).filter(|_| self.members.row(idx).is_live()).map(|peer| peer.addr())
    }

    /// The query of a fetch.
    pub(crate) fn fetched_query(&self, number: u32) -> Option<QueryId> {
        self.queries.fetches.running.get(&number).map(|fetch| fetch.query)
    }

    /// Handles a large answer that was fetched.
    pub(crate) fn fetched(&mut self, core: &mut Core, number: u32, payload: &[u8]) {
        let Some(Fetch { query: id, offer }) = self.end_fetch(number) else { return };
        if payload.len() > core.cfg.serf().query_answer_bytes_max as usize {
            core.stats.drop(DropReason::Limit);
            core.stats.query_fetches_failed += 1;
        } else if self.queries.pending.get(&id).is_none_or(|query| core.now > query.deadline()) {
            core.stats.query_late += 1;
        } else {
            core.stats.query_fetches += 1;
            self.take_response(core, id, core.roster.name(offer.from), Some(offer.from), Some(payload));
        }
        self.fetch_offered(core);
    }

    /// Handles a fetch that failed. It is tried again after a pause: the responder may have been loaded, and an offer that
    /// another member forged in its name precedes its own, which changes nothing then.
    pub(crate) fn fetch_failed(&mut self, core: &mut Core, number: u32) {
        let Some(Fetch { query: id, offer }) = self.end_fetch(number) else { return };
        let due = core.now + FETCH_PAUSE * (1 << offer.failures.min(FETCH_TRIES_MAX));
        let offer = Offer { failures: offer.failures + 1, due, ..offer };
        match self.queries.pending.get_mut(&id) {
            Some(query) if offer.failures < FETCH_TRIES_MAX && due < query.deadline() => {
                query.offers_mut().queue.push_back(offer);
                self.arm_queries(core);
            }
            Some(_) => {
                core.stats.query_fetches_failed += 1;
                tracing::debug!(query = %id, from = %core.roster.name(offer.from), "cannot fetch an answer");
            }
            None => {}
        }
        self.fetch_offered(core);
    }

    fn end_fetch(&mut self, number: u32) -> Option<Fetch> {
        let fetch = self.queries.fetches.running.remove(&number)?;
        if let Some(query) = self.queries.pending.get_mut(&fetch.query) {
            query.offers_mut().running -= 1;
        }
        Some(fetch)
    }

    /// Holds the fetches for a query, or releases them. False if there is no such query.
    pub(crate) fn hold_answers(&mut self, core: &mut Core, id: QueryId, is_held: bool) -> bool {
        let Some(query) = self.queries.pending.get_mut(&id) else { return false };
        query.offers_mut().is_held = is_held;
        self.fetch_offered(core);
        self.arm_queries(core);
        true
    }
}
