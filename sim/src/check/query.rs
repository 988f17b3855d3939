use std::collections::BTreeSet;

use serf_proto::{QueryId, QueryReport};

use super::Finding;

/// Checks that a node delivers each query at most once, reports one answer per member and none after the end, and that
/// the counts of the report match.
#[derive(Debug, Default)]
pub(super) struct QueryCheck {
    delivered: BTreeSet<QueryId>,
    answers: BTreeSet<(QueryId, Box<str>)>,
    ended: BTreeSet<QueryId>,
}

impl QueryCheck {
    pub(super) fn deliver(&mut self, id: QueryId) -> Option<Finding> {
        (!self.delivered.insert(id)).then_some(Finding::QueryTwice { id })
    }

    pub(super) fn answer(&mut self, id: QueryId, from: &str) -> Option<Finding> {
        let is_fine = !self.ended.contains(&id) && self.answers.insert((id, from.into()));
        (!is_fine).then(|| Finding::AnswerTwice { id, from: from.into() })
    }

    pub(super) fn end(&mut self, report: &QueryReport) -> Option<Finding> {
        let answers = self.answers.iter().filter(|(id, _)| *id == report.id).count();
        self.answers.retain(|(id, _)| *id != report.id);
        let silent = report.silent.is_empty();
        let is_fine = self.ended.insert(report.id) && answers == report.responses as usize && silent >= report.complete;
        (!is_fine).then_some(Finding::QueryEndWrong { id: report.id, answers, counted: report.responses })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serf_proto::{Config, Event, Identity, Instant, Node, Options, Outbox, Output, Question, Seed, Start, Tags};

    use super::*;

    /// A query that only its sender answered, and its report.
    fn answered() -> (QueryId, QueryReport) {
        let mut out = Outbox::new();
        let identity = Identity::new("a", "10.0.0.1:7946".parse().unwrap(), &Tags::default()).unwrap();
        let config = Arc::new(Config::new(Options::lan()).unwrap());
        let mut node = Node::new(config, &identity, &Seed::from_u64(1), Instant::ZERO, Start::new(), &mut out);
        let id = node.query(Instant::ZERO, &Question::new("q"), &mut out).unwrap();
        node.respond(Instant::ZERO, id, b"", &mut out).unwrap();
        let report = out.drain().find_map(|output| match output {
            Output::Event(Event::QueryEnded(report)) => Some(report),
            _ => None,
        });
        (id, report.unwrap())
    }

    #[test]
    fn a_second_delivery_and_a_second_answer_are_found() {
        let (mut check, (id, _)) = (QueryCheck::default(), answered());
        assert_eq!((check.deliver(id), check.deliver(id)), (None, Some(Finding::QueryTwice { id })));
        let twice = Finding::AnswerTwice { id, from: "b".into() };
        assert_eq!((check.answer(id, "b"), check.answer(id, "c"), check.answer(id, "b")), (None, None, Some(twice)));
    }

    #[test]
    fn an_answer_after_the_end_and_wrong_numbers_are_found() {
        let (mut check, (id, report)) = (QueryCheck::default(), answered());
        assert_eq!(check.answer(id, "a"), None);
        assert_eq!(check.end(&report), None);
        assert!(check.answer(id, "b").is_some());
        let mut other = QueryCheck::default();
        assert_eq!(other.end(&report), Some(Finding::QueryEndWrong { id, answers: 0, counted: 1 }));
    }
}
