//! The faults of a run, as steps that can be left out.

use std::collections::BTreeSet;
use std::fmt;

use serf_proto::Instant;

/// The faults so far, and those that this run leaves out.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) steps: Vec<Step>,
    left_out: BTreeSet<usize>,
}

/// A fault that the test injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its number: the same in every run of the seed.
    pub(crate) number: usize,
    at: Instant,
    text: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.3} s  {}", self.at.as_secs_f64(), self.text)
    }
}

impl Faults {
    pub(crate) const fn without(left_out: BTreeSet<usize>) -> Self {
        Self { steps: Vec::new(), left_out }
    }

    /// Numbers a fault. Returns whether it is to take effect.
    pub(crate) fn admit(&mut self, at: Instant, text: impl FnOnce() -> String) -> bool {
        let number = self.steps.len();
        self.steps.push(Step { number, at, text: text() });
        !self.left_out.contains(&number)
    }

    /// Returns the faults that took effect.
    pub(crate) fn injected(&self) -> Vec<Step> {
        self.steps.iter().filter(|step| !self.left_out.contains(&step.number)).cloned().collect()
    }
}
