//! Parses handlers in the form of the settings: `member-join,user:deploy=script`.

use thiserror::Error;

use super::event::Event;
use super::filter::EventFilter;

/// A script and the events it is run for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventHandler {
    /// The events it runs for.
    pub filter: EventFilter,
    /// The command for the shell; may be empty.
    pub script: String,
}

/// A handler for an unknown event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("Invalid event script: Event '{event}' invoking '{script}'")]
pub struct HandlerError {
    /// The invalid element of the filter.
    pub event: String,
    /// The script.
    pub script: String,
}

impl EventHandler {
    /// Parses a filter, `=` and a script; without `=` the whole is a script for all events. A list of events gives a
    /// handler for each (`ParseEventScript` in `event_handler.go`).
    ///
    /// # Errors
    ///
    /// Names the unknown event.
    pub fn parse(text: &str) -> Result<Vec<Self>, HandlerError> {
        let (filter, script) = text.split_once('=').unwrap_or(("", text));
        let filters =
            EventFilter::parse_list(filter).map_err(|error| HandlerError { event: error.0, script: script.into() })?;
        Ok(filters.into_iter().map(|filter| Self { filter, script: script.into() }).collect())
    }

    /// Whether it runs for `event`.
    pub fn wants(&self, event: &Event) -> bool {
        self.filter.matches(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_equals_sign_divides_filter_and_script() {
        let handler = |filter, script: &str| EventHandler { filter, script: script.into() };
        assert_eq!(EventHandler::parse("x.sh"), Ok(vec![handler(EventFilter::Any, "x.sh")]));
        assert_eq!(EventHandler::parse("=x.sh"), Ok(vec![handler(EventFilter::Any, "x.sh")]));
        assert_eq!(EventHandler::parse(""), Ok(vec![handler(EventFilter::Any, "")]));
        assert_eq!(EventHandler::parse("*=A=b x.sh"), Ok(vec![handler(EventFilter::Any, "A=b x.sh")]));
        assert_eq!(
            EventHandler::parse("user:a,query=x.sh"),
            Ok(vec![
                handler(EventFilter::User("a".into()), "x.sh"),
                handler(EventFilter::Query(String::new()), "x.sh")
            ])
        );
    }

    #[test]
    fn an_unknown_event_is_reported_with_its_script() {
        let error = |text| EventHandler::parse(text).expect_err(text).to_string();
        assert_eq!(error("bogus=foo.sh"), "Invalid event script: Event 'bogus' invoking 'foo.sh'");
        assert_eq!(error("member-join,bogus:x=foo.sh"), "Invalid event script: Event 'bogus:x' invoking 'foo.sh'");
        assert_eq!(error("FOO=bar baz.sh"), "Invalid event script: Event 'FOO' invoking 'bar baz.sh'");
    }
}
