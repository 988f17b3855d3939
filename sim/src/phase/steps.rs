//! Phases with several steps.

use core::time::Duration;

use crate::tally::Tally;
use crate::world::World;

/// A phase with several steps. It ends after the last step, or with the first that misses its deadline.
pub(crate) trait PhaseSteps {
    /// Starts the next step; `None` after the last.
    fn next(&mut self, world: &mut World) -> Option<Step>;

    /// Ends the current step: checks its rules against the counters and returns additional figures.
    fn end(&mut self, world: &mut World, tally: &Tally) -> Figures {
        let _unused = (world, tally);
        Figures::default()
    }
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Name in reports.
    pub(crate) name: &'static str,
    /// Goal, in a few words.
    pub(crate) goal: &'static str,
    /// Deadline.
    pub(crate) within: Duration,
}

/// Additional figures of a step: stable names and values. The names end with the unit, if there is one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(Vec<(&'static str, f64)>);

impl Figures {
    /// Adds a figure.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Self {
        self.0.push((name, value));
        self
    }

    /// Adds a count.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    pub(crate) fn with_count(self, name: &'static str, count: u64) -> Self {
        self.with(name, count as f64)
    }

    /// Returns the figure of this name.
    pub fn of(&self, name: &str) -> Option<f64> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Iterates over names and values in the order of the report.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        self.0.iter().copied()
    }
}

impl serde::Serialize for Figures {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
