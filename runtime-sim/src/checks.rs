//! Rules of the protocol that hold under any fault, checked on the events of each node. The simulator of the protocol,
//! `sim`, checks more: it sees the state of a node after each call.

use std::collections::BTreeSet;

use bytes::Bytes;
use serf_proto::{Clocks, Instant, QueryId};
use serf_tokio::{Event, Name};

/// The checks of one host. What was delivered counts for the later lives of the host too, since a node with a snapshot
/// delivers nothing twice.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    events: BTreeSet<(u64, Box<str>, Bytes)>,
    queries: BTreeSet<QueryId>,
    answers: BTreeSet<(QueryId, Name)>,
    ended: BTreeSet<QueryId>,
    clocks: Clocks,
    /// Whether nodes of this host keep a snapshot: otherwise each life begins anew.
    pub(crate) has_snapshot: bool,
    pub(crate) violations: Vec<String>,
}

impl Checks {
    pub(crate) fn event(&mut self, now: Instant, event: &Event) {
        let finding = match event {
            Event::User(user) => {
                let is_new = self.events.insert((user.ltime, user.name.clone(), user.payload.clone()));
                (!is_new).then(|| format!("delivered user event {:?} of Lamport time {} twice", user.name, user.ltime))
            }
            Event::Query(query) => {
                (!self.queries.insert(query.id)).then(|| format!("delivered query {} twice", query.id))
            }
            Event::QueryResponse { id, from, .. } => {
                let is_fine = !self.ended.contains(id) && self.answers.insert((*id, from.clone()));
                (!is_fine).then(|| format!("reported {from}'s answer to query {id} twice or after its end"))
            }
            Event::QueryEnded(report) => {
                let reported = self.answers.iter().filter(|(id, _)| *id == report.id).count();
                let is_fine = self.ended.insert(report.id) && reported == report.responses as usize;
                (!is_fine).then(|| {
                    let counted = report.responses;
                    format!("ended query {} with {counted} answers, but reported {reported}", report.id)
                })
            }
            _ => None,
        };
        self.note(now, finding);
    }

    /// Checks that the Lamport clocks do not go back.
    pub(crate) fn clocks(&mut self, now: Instant, clocks: Clocks) {
        let last = core::mem::replace(&mut self.clocks, clocks);
        let pairs = [
            ("member", last.member, clocks.member),
            ("event", last.event, clocks.event),
            ("query", last.query, clocks.query),
        ];
        for (clock, from, to) in pairs {
            self.note(now, (to < from).then(|| format!("its {clock} clock went back from {from} to {to}")));
        }
    }

    pub(crate) fn end_life(&mut self) {
        let Self { events, queries, has_snapshot, violations, .. } = core::mem::take(self);
        (self.has_snapshot, self.violations) = (has_snapshot, violations);
        if has_snapshot {
            (self.events, self.queries) = (events, queries);
        }
    }

    fn note(&mut self, now: Instant, finding: Option<String>) {
        self.violations.extend(finding.map(|text| format!("at {:.6} s: {text}", now.as_secs_f64())));
    }
}

#[cfg(test)]
mod tests {
    use serf_tokio::UserEvent;

    use super::*;

    fn user(ltime: u64) -> Event {
        Event::User(UserEvent { ltime, name: "deploy".into(), payload: Bytes::new(), coalesce: false })
    }

    #[test]
    fn a_second_delivery_is_found_also_in_the_next_life_of_a_host_with_a_snapshot() {
        for has_snapshot in [false, true] {
            let mut checks = Checks { has_snapshot, ..Checks::default() };
            checks.event(Instant::ZERO, &user(1));
            checks.event(Instant::ZERO, &user(2));
            assert!(checks.violations.is_empty());
            checks.end_life();
            checks.event(Instant::ZERO, &user(1));
            assert_eq!(checks.violations.len(), usize::from(has_snapshot));
            checks.event(Instant::ZERO, &user(1));
            assert_eq!(checks.violations.len(), 1 + usize::from(has_snapshot));
        }
    }

    #[test]
    fn a_clock_that_goes_back_is_found() {
        let mut checks = Checks::default();
        let mut clocks = Clocks::default();
        clocks.event = 5;
        checks.clocks(Instant::ZERO, clocks);
        clocks.event = 4;
        checks.clocks(Instant::ZERO, clocks);
        assert_eq!(checks.violations, ["at 0.000000 s: its event clock went back from 5 to 4"]);
    }
}
