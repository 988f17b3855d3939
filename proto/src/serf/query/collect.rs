//! Collection of acks and responses to our own queries.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::fetch::Offers;
use crate::core::{Core, Origin};
use crate::event::{Event, QueryReport};
use crate::fingerprint::Fingerprint;
use crate::roster::MemberIdx;
use crate::serf::Serf;
use crate::serf::conflict::Vote;
use crate::serf::keys::KeyTally;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::SerfTimer;
use crate::types::{Name, QueryId};
use crate::wire::serf::QueryResponse;

/// A running query of this node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PendingQuery {
    begun: Instant,
    deadline: Instant,
    acks: bool,
    /// Members that have not responded. Starts empty if we expect none; the query then runs to its deadline, since
    /// there may be members that we do not know.
    waiting: BTreeSet<MemberIdx>,
    /// Expected members, without this one, that have not acked. Only while the time until all have acked is measured.
    unacked: Option<BTreeSet<MemberIdx>>,
    received: BTreeMap<Name, Received>,
    /// Number of responders that are not members.
    strangers: u32,
    acked: u32,
    answered: u32,
    /// Bytes of the answers.
    answers_bytes: usize,
    /// Large answers that members have offered.
    offers: Offers,
    purpose: QueryPurpose,
}

impl PendingQuery {
    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self {
            begun: _,
            deadline,
            acks,
            waiting,
            unacked: _,
            received,
            strangers,
            acked,
            answered,
            answers_bytes,
            offers,
            purpose,
        } = self;
        to.deadline(*deadline);
        to.put((acks, waiting, strangers, acked, answered, received.len()));
        for (from, Received { ack, answer }) in received {
            to.put((from, ack, answer));
        }
        to.put(answers_bytes);
        offers.fingerprint(to);
        to.text(purpose);
    }
}

/// Whether a sender has acked and responded.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Received {
    ack: bool,
    answer: bool,
}

/// Classification of an ack or response.
enum ResponseClass {
    News {
        /// Whether this is the first evidence that the query reached the sender.
        first_ack: bool,
    },
    Duplicate,
    /// From one more sender that is not a member, beyond the limit.
    TooManyStrangers,
}

/// The purpose of a query, with the state that it accumulates.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::serf) enum QueryPurpose {
    Application,
    Keys(KeyTally),
    Conflict(Vote),
}

impl QueryPurpose {
    /// Whether the query ends when all expected members have responded. A vote always runs to its deadline: a node
    /// whose name is taken may have just started, and know few of the voters.
    pub(super) const fn ends_early(&self) -> bool {
        !matches!(self, Self::Conflict(_))
    }
}

impl PendingQuery {
    /// A query of the member `me`, from now to `deadline`.
    pub(super) fn new(
        now: Instant,
        deadline: Instant,
        acks: bool,
        waiting: BTreeSet<MemberIdx>,
        purpose: QueryPurpose,
        me: MemberIdx,
    ) -> Self {
        let others = || waiting.iter().copied().filter(|&idx| idx != me).collect::<BTreeSet<_>>();
        let unacked = acks.then(others).filter(|others| !others.is_empty());
        Self {
            begun: now,
            deadline,
            acks,
            waiting,
            unacked,
            received: BTreeMap::new(),
            strangers: 0,
            acked: 0,
            answered: 0,
            answers_bytes: 0,
            offers: Offers::default(),
            purpose,
        }
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) const fn answers_bytes(&self) -> usize {
        self.answers_bytes
    }

    #[cfg(test)]
    pub(super) const fn pretend_answers(&mut self, bytes: usize) {
        self.answers_bytes += bytes;
    }

    pub(super) const fn offers(&self) -> &Offers {
        &self.offers
    }

    pub(super) const fn offers_mut(&mut self) -> &mut Offers {
        &mut self.offers
    }

    /// Whether this member has answered.
    pub(super) fn has_answer(&self, from: &Name) -> bool {
        self.received.get(from).is_some_and(|received| received.answer)
    }

    /// Records the ack that an offer of a member implies. Returns whether it is the first.
    pub(super) fn note_ack(&mut self, from: &Name) -> bool {
        self.acks && matches!(self.note(from, true, true), ResponseClass::News { first_ack: true })
    }

    pub(super) const fn purpose_mut(&mut self) -> &mut QueryPurpose {
        &mut self.purpose
    }

    pub(super) const fn purpose(&self) -> &QueryPurpose {
        &self.purpose
    }

    /// Whether this query accepts such a response from this sender.
    fn admits(&self, core: &Core, origin: Origin, idx: Option<MemberIdx>, response: &QueryResponse<'_>) -> bool {
        let is_wanted = self.acks || !response.is_ack();
        let may_vote =
            || if let QueryPurpose::Conflict(vote) = &self.purpose { vote.admits(core, origin, idx) } else { true };
        !response.from.is_empty() && is_wanted && may_vote()
    }

    /// Records a response.
    fn note(&mut self, from: &Name, is_member: bool, is_ack: bool) -> ResponseClass {
        if !is_member && !self.received.contains_key(from) {
            if self.strangers >= STRANGERS_MAX {
                return ResponseClass::TooManyStrangers;
            }
            self.strangers += 1;
        }
        // Acks and responses are deduplicated separately, as the relayed copies of each arrive independently.
        let received = self.received.entry(Name::clone(from)).or_default();
        if if is_ack { received.ack } else { received.answer } {
            return ResponseClass::Duplicate;
        }
        // A response implies the ack, which may have been lost.
        let first_ack = self.acks && !core::mem::replace(&mut received.ack, true);
        received.answer |= !is_ack;
        self.acked += u32::from(first_ack);
        self.answered += u32::from(!is_ack);
        ResponseClass::News { first_ack }
    }

    /// Measures the time of a member's first ack. An answer implies that the member was reached, but not when.
    pub(super) fn time_ack(&mut self, core: &mut Core, idx: MemberIdx, is_ack: bool) {
        if !is_ack {
            self.unacked = None;
            return;
        }
        let took = core.now - self.begun;
        core.stats.dissemination_times.record(took);
        if self.unacked.take_if(|unacked| unacked.remove(&idx) && unacked.is_empty()).is_some() {
            core.stats.dissemination_all_times.record(took);
        }
    }

    /// No longer expects the ack of a member that is gone. If it was the last one, the time until all have acked is
    /// unknown: this one would be the time until its failure was noticed.
    fn forget_ack(&mut self, idx: MemberIdx) {
        self.unacked.take_if(|unacked| unacked.remove(&idx) && unacked.is_empty());
    }

    /// Removes an expected member. Returns whether it was the last.
    fn stop_waiting_for(&mut self, idx: MemberIdx) -> bool {
        self.waiting.remove(&idx) && self.waiting.is_empty()
    }
}

impl Serf {
    /// Handles an ack or a response (`handleQueryResponse` in serf.go). Each sender's is delivered once, whether direct
    /// or relayed.
    pub(in crate::serf) fn response_in(&mut self, core: &mut Core, origin: Origin, response: &QueryResponse<'_>) {
        let id = QueryId { ltime: response.ltime, id: response.id };
        if response.is_offer() {
            return self.offer_in(core, id, response);
        }
        let idx = core.roster.find(response.from);
        let Some(query) = self.queries.pending.get_mut(&id).filter(|query| core.now <= query.deadline) else {
            core.stats.query_late += 1;
            return;
        };
        // Before anything is recorded: a rejected response must not occupy the sender's entry.
        if !query.admits(core, origin, idx, response) {
            return core.stats.drop(DropReason::Unexpected);
        }
        let from = idx.map_or_else(|| Name::from(response.from), |idx| core.roster.name(idx));
        let payload = (!response.is_ack()).then_some(response.payload);
        self.take_response(core, id, from, idx, payload);
    }

    /// Records an ack, or a response if there is a payload. `idx` is the sender's, if the roster knows it.
    pub(super) fn take_response(
        &mut self,
        core: &mut Core,
        id: QueryId,
        from: Name,
        idx: Option<MemberIdx>,
        payload: Option<&[u8]>,
    ) {
        let is_member = idx.is_some_and(|idx| self.members.has(idx));
        let me = self.members.me();
        let Some(query) = self.queries.pending.get(&id) else { return };
        if !self.queries.has_room(query, payload.map_or(0, <[u8]>::len)) {
            return core.stats.drop(DropReason::Limit);
        }
        let Some(query) = self.queries.pending.get_mut(&id) else { return };
        let first_ack = match query.note(&from, is_member, payload.is_none()) {
            ResponseClass::News { first_ack } => first_ack,
            ResponseClass::Duplicate if payload.is_none() => return core.stats.query_duplicate_acks += 1,
            ResponseClass::Duplicate => return core.stats.query_duplicate_responses += 1,
            ResponseClass::TooManyStrangers => return core.stats.drop(DropReason::Limit),
        };
        // The ack event precedes the response event, also when the response implies the ack.
        if first_ack {
            core.stats.query_acks += 1;
            if let Some(idx) = idx.filter(|&idx| is_member && idx != me) {
                query.time_ack(core, idx, payload.is_none());
            }
            if let QueryPurpose::Application = query.purpose {
                core.events.push(Event::QueryAck { id, from: Name::clone(&from) });
            }
        }
        let Some(payload) = payload else { return };
        core.stats.query_responses += 1;
        query.answers_bytes += payload.len();
        self.queries.answers_bytes += payload.len();
        match &mut query.purpose {
            QueryPurpose::Application => {
                let payload = Bytes::copy_from_slice(payload);
                core.events.push(Event::QueryResponse { id, from, payload });
            }
            QueryPurpose::Keys(tally) => tally.note(core, from, payload),
            QueryPurpose::Conflict(vote) => vote.note(core, payload),
        }
        if idx.is_some_and(|idx| query.stop_waiting_for(idx)) {
            self.end_query(core, id, true);
        }
    }

    /// The oldest running query of this node.
    #[cfg(test)]
    pub(crate) fn asking(&self) -> Option<QueryId> {
        self.queries.pending.keys().next().copied()
    }

    /// Stops expecting responses of a member that is gone.
    pub(in crate::serf) fn stop_waiting_for(&mut self, core: &mut Core, idx: MemberIdx) {
        let pending = self.queries.pending.iter_mut();
        // Collected first: `end_query` removes from the map.
        let over = pending.filter_map(|(id, query)| {
            query.forget_ack(idx);
            query.stop_waiting_for(idx).then_some(*id)
        });
        for id in over.collect::<Vec<_>>() {
            self.end_query(core, id, true);
        }
    }

    /// Ends the queries of this node whose deadline has passed.
    pub(in crate::serf) fn queries_due(&mut self, core: &mut Core) {
        let due = self.queries.pending.iter().filter(|(_, query)| query.deadline <= core.now).map(|(id, _)| *id);
        for id in due.collect::<Vec<_>>() {
            let is_incomplete = self.queries.pending.get(&id).is_some_and(|query| query.unacked.is_some());
            core.stats.disseminations_incomplete += u64::from(is_incomplete);
            self.end_query(core, id, false);
        }
        self.queries.forget_held(core.now);
        self.fetch_offered(core);
        self.arm_queries(core);
    }

    /// Arms the timer for the earliest deadline, of a query of this node or of one with a large answer of ours, or for the
    /// next try of a fetch that failed.
    pub(super) fn arm_queries(&self, core: &mut Core) {
        let ours = self.queries.pending.values().map(|query| query.deadline);
        let tries = self.queries.pending.values().filter_map(|query| query.offers.next_due(core.now));
        match ours.chain(self.queries.held_until()).chain(tries).min() {
            Some(at) => core.timers.set(SerfTimer::Query, at),
            None => core.timers.clear(SerfTimer::Query),
        }
    }

    /// Ends a query of the application early. Returns false for an internal or unknown query.
    pub(crate) fn cancel_query(&mut self, core: &mut Core, id: QueryId) -> bool {
        let is_applications =
            self.queries.pending.get(&id).is_some_and(|query| matches!(query.purpose, QueryPurpose::Application));
        if is_applications {
            self.end_query(core, id, false);
        }
        is_applications
    }

    fn end_query(&mut self, core: &mut Core, id: QueryId, complete: bool) {
        let Some(query) = self.queries.pending.remove(&id) else { return };
        self.queries.answers_bytes -= query.answers_bytes;
        self.abandon_fetches(core, id);
        // After the removal: the timer must not fire for a query that has ended.
        self.arm_queries(core);
        let silent = query.waiting.iter().map(|&idx| core.roster.name(idx)).collect();
        match query.purpose {
            QueryPurpose::Application => {
                let (acks, responses) = (query.acked, query.answered);
                core.events.push(Event::QueryEnded(QueryReport { id, acks, responses, silent, complete }));
            }
            QueryPurpose::Keys(tally) => core.events.push(Event::Keys(tally.report(id, silent))),
            QueryPurpose::Conflict(vote) => self.vote_over(core, &vote),
        }
    }
}

/// The maximum number of responders of one query that are not members; some may have just joined. Ours.
const STRANGERS_MAX: u32 = 64;
