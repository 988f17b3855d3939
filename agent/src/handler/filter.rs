//! Filters of handlers and streams.

use thiserror::Error;

use super::event::{Event, MemberChange, PARTITION};

/// One element of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventFilter {
    /// All events.
    Any,
    /// Changes of members.
    Members(MemberChange),
    /// User events with this name, with any when empty.
    User(String),
    /// Queries with this name, with any when empty.
    Query(String),
    /// Partition signals. Ours.
    Partition,
}

/// The element that is not a filter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("Invalid event filter: '{0}'")]
pub struct FilterError(pub String);

impl EventFilter {
    /// Parses a list such as `member-join,user:deploy`. An empty text matches everything; blanks are not trimmed
    /// (`ParseEventFilter` in `event_handler.go`).
    ///
    /// # Errors
    ///
    /// Names the first invalid element.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, FilterError> {
        if text.is_empty() {
            return Ok(vec![Self::Any]);
        }
        text.split(',').map(Self::parse).collect()
    }

    fn parse(element: &str) -> Result<Self, FilterError> {
        if let Some(name) = element.strip_prefix("user:") {
            return Ok(Self::User(name.into()));
        }
        if let Some(name) = element.strip_prefix("query:") {
            return Ok(Self::Query(name.into()));
        }
        match element {
            "*" => Ok(Self::Any),
            "user" => Ok(Self::User(String::new())),
            "query" => Ok(Self::Query(String::new())),
            PARTITION => Ok(Self::Partition),
            _ => {
                let change = MemberChange::ALL.into_iter().find(|change| change.name() == element);
                change.map(Self::Members).ok_or_else(|| FilterError(element.into()))
            }
        }
    }

    /// Whether `event` matches.
    pub fn matches(&self, event: &Event) -> bool {
        let named = |wanted: &String, name: &String| wanted.is_empty() || wanted == name;
        match (self, event) {
            (Self::Any, _) | (Self::Partition, Event::Partition { .. }) => true,
            (Self::Members(wanted), Event::Members { change, .. }) => wanted == change,
            (Self::User(wanted), Event::User { name, .. }) | (Self::Query(wanted), Event::Query { name, .. }) => {
                named(wanted, name)
            }
            _ => false,
        }
    }

    /// Its kind and name as `stats` lists them: `query:load`, `user:`, `*:`.
    pub fn label(&self) -> String {
        match self {
            Self::Any => "*:".into(),
            Self::Members(change) => format!("{}:", change.name()),
            Self::User(name) => format!("user:{name}"),
            Self::Query(name) => format!("query:{name}"),
            Self::Partition => format!("{PARTITION}:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::PartitionShare;

    fn user(name: &str) -> Event {
        Event::User { name: name.into(), lamport: 1, payload: vec![], coalesce: false }
    }

    fn query(name: &str) -> Event {
        Event::Query { name: name.into(), lamport: 1, payload: vec![] }
    }

    fn partition() -> Event {
        let share = PartitionShare { split: true, alive: 1, largest: 3, majority: false };
        Event::Partition { share, zones_lost: vec![], members: vec![] }
    }

    fn wants(filter: &str, event: &Event) -> usize {
        let filters = EventFilter::parse_list(filter).expect("is a filter");
        filters.iter().filter(|filter| filter.matches(event)).count()
    }

    #[test]
    fn filters_want_kinds_and_names() {
        let failed = Event::Members { change: MemberChange::Failed, members: vec![] };
        for (filter, deploy, load, failure) in [
            ("", 1, 1, 1),
            ("*", 1, 1, 1),
            ("user", 1, 0, 0),
            ("user:", 1, 0, 0),
            ("user:deploy", 1, 0, 0),
            ("user:other", 0, 0, 0),
            ("query:load", 0, 1, 0),
            ("query", 0, 1, 0),
            ("member-failed", 0, 0, 1),
            ("member-join", 0, 0, 0),
            ("member-failed,user:deploy", 1, 0, 1),
            ("user,user:deploy", 2, 0, 0),
        ] {
            let found = [wants(filter, &user("deploy")), wants(filter, &query("load")), wants(filter, &failed)];
            assert_eq!(found, [deploy, load, failure], "{filter}");
        }
    }

    #[test]
    fn partition_signals_are_wanted_by_name_and_by_those_that_want_all() {
        for (filter, count) in [("", 1), ("*", 1), ("partition", 1), ("user,query,member-failed", 0)] {
            assert_eq!(wants(filter, &partition()), count, "{filter}");
        }
        assert_eq!(wants("partition", &user("partition")), 0);
    }

    #[test]
    fn other_elements_are_refused() {
        for (text, element) in [
            ("FOO", "FOO"),
            ("member-join:x", "member-join:x"),
            ("user, query", " query"),
            ("user,", ""),
            ("user,bogus", "bogus"),
            ("partition:x", "partition:x"),
        ] {
            assert_eq!(EventFilter::parse_list(text), Err(FilterError(element.into())));
        }
    }
}
