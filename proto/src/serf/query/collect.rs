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
pub(super) struct Asked {
    deadline: Instant,
    acks: bool,
    /// Members that can answer and have not. Empty from the beginning when we know of none; then the deadline is waited for, since
    /// there may be members of which we do not know.
    waiting: BTreeSet<MemberIdx>,
    heard: BTreeMap<Name, Heard>,
    /// How many of them are no members.
    strangers: u32,
    acked: u32,
    answered: u32,
    purpose: Purpose,
}

/// What a member has said.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    ack: bool,
    answer: bool,
}

/// What an acknowledgement or an answer is worth.
enum Worth {
    News {
        /// Whether the query reached the sender, as far as we knew, only now.
        first_ack: bool,
    },
    Duplicate,
    /// One more sender that is no member.
    TooManyStrangers,
}

/// What a query is asked for.
#[derive(Clone, Debug)]
pub(in crate::serf) enum Purpose {
    Application,
    Keys(KeyTally),
    Conflict(Vote),
}

impl Purpose {
    /// Whether it is over when all members that we know have answered. A node that has just come under a name that is not its own
    /// knows few of the others yet; a vote waits for them all.
    pub(super) const fn ends_early(&self) -> bool {
        !matches!(self, Self::Conflict(_))
    }
}

impl Asked {
    pub(super) const fn new(deadline: Instant, acks: bool, waiting: BTreeSet<MemberIdx>, purpose: Purpose) -> Self {
        Self { deadline, acks, waiting, heard: BTreeMap::new(), strangers: 0, acked: 0, answered: 0, purpose }
    }

    pub(super) const fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// Whether the query asks for such a response, of this sender.
    fn admits(&self, core: &Core, origin: Origin, idx: Option<MemberIdx>, response: &QueryResponse<'_>) -> bool {
        let is_wanted = self.acks || !response.is_ack();
        let may_vote =
            || if let Purpose::Conflict(vote) = &self.purpose { vote.admits(core, origin, idx) } else { true };
        !response.from.is_empty() && is_wanted && may_vote()
    }

    /// Notes that a response came.
    fn note(&mut self, from: &Name, is_member: bool, is_ack: bool) -> Worth {
        if !is_member && !self.heard.contains_key(from) {
            if self.strangers >= STRANGERS_MAX {
                return Worth::TooManyStrangers;
            }
            self.strangers += 1;
        }
        let heard = self.heard.entry(Name::clone(from)).or_default();
        if if is_ack { heard.ack } else { heard.answer } {
            return Worth::Duplicate;
        }
        // Who answers has received the query, even if its acknowledgement never arrives.
        let first_ack = self.acks && !core::mem::replace(&mut heard.ack, true);
        heard.answer |= !is_ack;
        self.acked += u32::from(first_ack);
        self.answered += u32::from(!is_ack);
        Worth::News { first_ack }
    }

    /// A member is not waited for any longer. Returns whether it was the last.
    fn stop_waiting_for(&mut self, idx: MemberIdx) -> bool {
        self.waiting.remove(&idx) && self.waiting.is_empty()
    }
}

impl Serf {
    /// Takes an acknowledgement or an answer (`handleQueryResponse` in serf). Each member's is delivered once, whichever way it came
    /// first.
    pub(in crate::serf) fn response_in(&mut self, core: &mut Core, origin: Origin, response: &QueryResponse<'_>) {
        let id = QueryId { ltime: response.ltime, id: response.id };
        let idx = core.roster.find(response.from);
        let is_member = idx.is_some_and(|idx| self.members.has(idx));
        let Some(asked) = self.queries.asked.get_mut(&id).filter(|asked| core.now <= asked.deadline) else {
            core.stats.query_late += 1;
            return;
        };
        if !asked.admits(core, origin, idx, response) {
            return core.stats.drop(DropReason::Unexpected);
        }
        let is_ack = response.is_ack();
        let from = idx.map_or_else(|| Name::from(response.from), |idx| core.roster.name(idx));
        let first_ack = match asked.note(&from, is_member, is_ack) {
            Worth::News { first_ack } => first_ack,
            Worth::Duplicate if is_ack => return core.stats.query_duplicate_acks += 1,
            Worth::Duplicate => return core.stats.query_duplicate_responses += 1,
            Worth::TooManyStrangers => return core.stats.drop(DropReason::Limit),
        };
        if first_ack {
            core.stats.query_acks += 1;
            if let Purpose::Application = asked.purpose {
                core.events.push(Event::QueryAck { id, from: Name::clone(&from) });
            }
        }
        if is_ack {
            return;
        }
        core.stats.query_responses += 1;
        match &mut asked.purpose {
            Purpose::Application => {
                let payload = Bytes::copy_from_slice(response.payload);
                core.events.push(Event::QueryResponse { id, from, payload });
            }
            Purpose::Keys(tally) => tally.note(core, from, response.payload),
            Purpose::Conflict(vote) => vote.note(core, response.payload),
        }
        if idx.is_some_and(|idx| asked.stop_waiting_for(idx)) {
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
        let over = asked.filter_map(|(id, asked)| asked.stop_waiting_for(idx).then_some(*id));
        for id in over.collect::<Vec<_>>() {
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

    /// Ends a query before its time. Only the application's can be cancelled.
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
