//! What comes of our own queries.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::core::{Core, Origin};
use crate::event::{Event, QueryReport};
use crate::roster::MemberIdx;
use crate::serf::Serf;
use crate::serf::conflict::Vote;
use crate::serf::keys::KeyTally;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::SerfTimer;
use crate::types::{Name, QueryId};
use crate::wire::serf::QueryResponse;

/// A query of ours that is under way.
#[derive(Clone, Debug)]
pub(in crate::serf) struct Asked {
    deadline: Instant,
    acks: bool,
    /// Who can answer and has not. Empty from the beginning when we know of nobody; then the deadline is waited for, since
    /// somebody may be there of whom we do not know.
    waiting: BTreeSet<MemberIdx>,
    heard: BTreeMap<Name, Heard>,
    /// How many of them are no members'.
    strangers: u32,
    acked: u32,
    answered: u32,
    pub(in crate::serf) purpose: Purpose,
}

/// What a member has said.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    ack: bool,
    answer: bool,
}

/// Who wants to know.
#[derive(Clone, Debug)]
pub(in crate::serf) enum Purpose {
    Application,
    Keys(KeyTally),
    Conflict(Vote),
}

impl Purpose {
    /// Whether it is over when all have answered of whom we know. Whoever has just come under a name that is not its own
    /// knows few of the others yet; a vote waits for them all.
    pub(super) const fn ends_early(&self) -> bool {
        !matches!(self, Self::Conflict(_))
    }
}

impl Asked {
    pub(super) const fn new(deadline: Instant, acks: bool, waiting: BTreeSet<MemberIdx>, purpose: Purpose) -> Self {
        Self { deadline, acks, waiting, heard: BTreeMap::new(), strangers: 0, acked: 0, answered: 0, purpose }
    }
}

impl Serf {
    /// Takes an acknowledgement or an answer (`handleQueryResponse` in serf). Each member's is told once, whichever way it came
    /// first.
    pub(in crate::serf) fn response_in(&mut self, core: &mut Core, origin: Origin, response: &QueryResponse<'_>) {
        let id = QueryId { ltime: response.ltime, id: response.id };
        let idx = core.roster.find(response.from);
        let is_stranger = idx.is_none_or(|idx| self.row(idx).status().is_none());
        let Some(asked) = self.queries.asked.get_mut(&id).filter(|asked| core.now <= asked.deadline) else {
            core.stats.query_late += 1;
            return;
        };
        let is_vote = if let Purpose::Conflict(vote) = &asked.purpose { vote.admits(core, origin, idx) } else { true };
        if response.from.is_empty() || (response.is_ack() && !asked.acks) || !is_vote {
            return core.stats.drop(DropReason::Unexpected);
        }
        let from = idx.map_or_else(|| Name::from(response.from), |idx| core.roster.name(idx));
        if is_stranger && !asked.heard.contains_key(&from) {
            if asked.strangers >= STRANGERS_MAX {
                return core.stats.drop(DropReason::Limit);
            }
            asked.strangers += 1;
        }
        let heard = asked.heard.entry(Name::clone(&from)).or_default();
        if if response.is_ack() { heard.ack } else { heard.answer } {
            let duplicates = if response.is_ack() {
                &mut core.stats.query_duplicate_acks
            } else {
                &mut core.stats.query_duplicate_responses
            };
            *duplicates += 1;
            return;
        }
        // Whoever answers has received the query, even if we shall never see the acknowledgement.
        if asked.acks && !core::mem::replace(&mut heard.ack, true) {
            asked.acked += 1;
            core.stats.query_acks += 1;
            if let Purpose::Application = asked.purpose {
                core.events.push(Event::QueryAck { id, from: Name::clone(&from) });
            }
        }
        if response.is_ack() {
            return;
        }
        heard.answer = true;
        asked.answered += 1;
        core.stats.query_responses += 1;
        match &mut asked.purpose {
            Purpose::Application => {
                let payload = Bytes::copy_from_slice(response.payload);
                core.events.push(Event::QueryResponse { id, from, payload });
            }
            Purpose::Keys(tally) => tally.note(core, from, response.payload),
            Purpose::Conflict(vote) => vote.note(core, response.payload),
        }
        if let Some(idx) = idx
            && asked.waiting.remove(&idx)
            && asked.waiting.is_empty()
        {
            self.end_query(core, id, true);
        }
    }

    /// The first of our own queries that are under way.
    #[cfg(test)]
    pub(crate) fn asking(&self) -> Option<QueryId> {
        self.queries.asked.keys().next().copied()
    }

    /// A member has gone: no query waits for it any longer.
    pub(in crate::serf) fn stop_waiting_for(&mut self, core: &mut Core, idx: MemberIdx) {
        let asked = self.queries.asked.iter_mut();
        let last =
            asked.filter_map(|(id, asked)| (asked.waiting.remove(&idx) && asked.waiting.is_empty()).then_some(*id));
        for id in last.collect::<Vec<_>>() {
            self.end_query(core, id, true);
        }
    }

    /// The time for some query of ours is up.
    pub(in crate::serf) fn queries_due(&mut self, core: &mut Core) {
        let due = self.queries.asked.iter().filter(|(_, asked)| asked.deadline <= core.now).map(|(id, _)| *id);
        for id in due.collect::<Vec<_>>() {
            self.end_query(core, id, false);
        }
        self.arm_queries(core);
    }

    /// Sets the timer for the query that ends first.
    pub(super) fn arm_queries(&self, core: &mut Core) {
        match self.queries.asked.values().map(|asked| asked.deadline).min() {
            Some(at) => core.timers.set(SerfTimer::Query, at),
            None => core.timers.clear(SerfTimer::Query),
        }
    }

    /// The application does not want to know any more. Its own queries only.
    pub(crate) fn cancel_query(&mut self, core: &mut Core, id: QueryId) -> bool {
        let is_applications =
            self.queries.asked.get(&id).is_some_and(|asked| matches!(asked.purpose, Purpose::Application));
        if is_applications {
            self.end_query(core, id, false);
        }
        is_applications
    }

    fn end_query(&mut self, core: &mut Core, id: QueryId, complete: bool) {
        let Some(asked) = self.queries.asked.remove(&id) else { return };
        self.arm_queries(core);
        let silent = asked.waiting.iter().map(|&idx| core.roster.name(idx)).collect();
        match asked.purpose {
            Purpose::Application => {
                let (acks, responses) = (asked.acked, asked.answered);
                core.events.push(Event::QueryEnded(QueryReport { id, acks, responses, silent, complete }));
            }
            Purpose::Keys(tally) => core.events.push(Event::Keys(tally.report(id, silent))),
            Purpose::Conflict(vote) => self.vote_over(core, &vote),
        }
    }
}

/// Names that are no members' of which one query takes answers: some may have joined a moment ago. Ours.
const STRANGERS_MAX: u32 = 64;
