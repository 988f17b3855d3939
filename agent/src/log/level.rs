//! Levels of log records.

use core::fmt;

/// The severity of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// Internal events.
    Debug,
    /// Events relevant to an operator.
    Info,
    /// Possible problems.
    Warn,
    /// Failures.
    Err,
}

impl Level {
    /// All levels, the most detailed first.
    pub const ALL: [Self; 5] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Err];

    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Err => "ERR",
        }
    }

    /// Parses a name in any case; `None` for an unknown level.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(name))
    }

    /// Whether a filter of this level passes `record`. A record without a known level always passes
    /// (`LevelFilter.Check` in `logutils`).
    pub fn passes(self, record: &str) -> bool {
        Self::of_record(record).is_none_or(|level| level >= self)
    }

    /// The level in the first brackets of `record`; `None` when it is not a known one.
    pub fn of_record(record: &str) -> Option<Self> {
        let (_, after) = record.split_once('[')?;
        let (name, _) = after.split_once(']')?;
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_pass_from_the_level_on_and_without_one() {
        let record = "2026/11/21 02:20:12 [INFO] agent: Serf agent starting";
        assert!(Level::Info.passes(record) && Level::Trace.passes(record));
        assert!(!Level::Warn.passes(record));
        assert!(Level::Err.passes("no level") && Level::Err.passes("[BOGUS] x"));
        assert!(!Level::Err.passes("[DEBUG] [ERR] the first brackets count"));
    }

    #[test]
    fn levels_are_read_in_any_case() {
        assert_eq!(Level::parse("wArN"), Some(Level::Warn));
        assert_eq!(Level::parse("WARNING"), None);
        assert_eq!(Level::parse(""), None);
    }
}
