//! Phases of several steps, one after another.

use core::time::Duration;

use crate::tally::Tally;
use crate::world::World;

/// A phase of several steps. It ends with the last of them, or with the first that does not reach its goal in time.
pub(crate) trait PhaseSteps {
    /// Begins the next step; `None` when there is none left.
    fn next(&mut self, world: &mut World) -> Option<Step>;

    /// The step that began last is over, and this is what was counted in it. Checks what must hold, and tells figures of its
    /// own.
    fn end(&mut self, world: &mut World, tally: &Tally) -> Figures {
        let _unused = (world, tally);
        Figures::default()
    }
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its name in reports.
    pub(crate) name: &'static str,
    /// What is waited for, in a few words.
    pub(crate) goal: &'static str,
    /// How long it takes at the most.
    pub(crate) within: Duration,
}

/// What a step found out besides what is counted in any: stable names, and values. The names end with the unit, if there is one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(Vec<(&'static str, f64)>);

impl Figures {
    /// With one more figure.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Self {
        self.0.push((name, value));
        self
    }

    /// With one more count.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    pub(crate) fn with_count(self, name: &'static str, count: u64) -> Self {
        self.with(name, count as f64)
    }

    /// The figure of this name.
    pub fn of(&self, name: &str) -> Option<f64> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Names and values, in the order in which they should be read.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        self.0.iter().copied()
    }
}

impl serde::Serialize for Figures {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
