//! The expressions of queries. Compiling one costs far more than looking at it, and every member compiles those of every query.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::pattern::{Pattern, PatternError};
use crate::limits::{
    PATTERN_BYTES_MAX, PATTERN_PROGRAM_BYTES_MAX, PATTERN_UNITS_BURST, PATTERN_UNITS_PER_SEC, QUERY_PATTERNS_LARGE_MAX,
    QUERY_PATTERNS_WIDE_MAX,
};
use crate::time::Instant;

/// Expressions that were compiled, or could not be.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns {
    /// The most recent last.
    recent: VecDeque<(Box<str>, Result<Pattern, PatternError>)>,
    /// When the budget for those of others is whole again, if nothing more is taken from it.
    whole_at: Instant,
}

impl Patterns {
    /// Compiles the expressions of one query: another member's, heard at `heard_at`, or with `None` our own.
    ///
    /// They share one budget of bytes, of large expressions and of characters in wide sets. Whether a query exceeds it does not depend on
    /// which expressions are remembered.
    pub(super) fn of_query<'a>(
        &mut self,
        heard_at: Option<Instant>,
        expressions: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Vec<Pattern>, PatternError> {
        let bytes = expressions.clone().map(str::len).sum();
        if bytes > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong { bytes, limit: PATTERN_BYTES_MAX });
        }
        let (mut large, mut wide) = (0, 0);
        let patterns = expressions.map(|expression| {
            let pattern = self.get(heard_at, expression)?;
            large += usize::from(pattern.is_large());
            wide += pattern.wide_chars();
            if large > QUERY_PATTERNS_LARGE_MAX || wide > QUERY_PATTERNS_WIDE_MAX {
                return Err(PatternError::TooComplex { limit: PATTERN_PROGRAM_BYTES_MAX });
            }
            Ok(pattern)
        });
        patterns.collect()
    }

    fn get(&mut self, heard_at: Option<Instant>, expression: &str) -> Result<Pattern, PatternError> {
        let known = self.recent.iter().position(|(known, _)| **known == *expression);
        let entry = match known.and_then(|at| self.recent.remove(at)) {
            Some(entry) => entry,
            None => (expression.into(), self.compile(heard_at, expression)?),
        };
        let pattern = entry.1.clone();
        if self.recent.len() >= PATTERNS_KEPT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(entry);
        pattern
    }

    /// Compiles an expression if there is time for the most costly one. A packet may hold hundreds of queries.
    fn compile(
        &mut self,
        heard_at: Option<Instant>,
        expression: &str,
    ) -> Result<Result<Pattern, PatternError>, PatternError> {
        let Some(now) = heard_at else { return Ok(Pattern::new(expression)) };
        if self.whole_at > now + UNIT * (PATTERN_UNITS_BURST - UNITS_LARGE) {
            return Err(PatternError::TooComplex { limit: PATTERN_PROGRAM_BYTES_MAX });
        }
        let pattern = Pattern::new(expression);
        let units = match &pattern {
            Ok(pattern) if !pattern.is_large() => pattern.units().min(UNITS_LARGE),
            Err(PatternError::Syntax | PatternError::TooLong { .. }) => 1,
            Ok(_) | Err(PatternError::TooComplex { .. }) => UNITS_LARGE,
        };
        self.whole_at = self.whole_at.max(now) + UNIT * units;
        Ok(pattern)
    }

    /// How many are remembered, and how many may be.
    pub(super) fn usage(&self) -> (usize, usize) {
        (self.recent.len(), PATTERNS_KEPT_MAX)
    }
}

/// Expressions that are remembered compiled. Ours: each takes up to about 100 KiB.
const PATTERNS_KEPT_MAX: usize = 16;

/// The time in which the budget for one unit comes back.
const UNIT: Duration = Duration::from_nanos(1_000_000_000 / PATTERN_UNITS_PER_SEC as u64);

/// What a large expression takes.
const UNITS_LARGE: u32 = 8;

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn the_most_recent_expressions_are_remembered_and_each_once() {
        let mut patterns = Patterns::default();
        let all: Vec<_> = (0..PATTERNS_KEPT_MAX).map(|n| format!("^{n}$")).collect();
        for _ in 0..2 {
            assert_eq!(patterns.of_query(None, all.iter().map(|text| &**text)).unwrap().len(), PATTERNS_KEPT_MAX);
        }
        assert_eq!(patterns.of_query(None, ["(", "a"].into_iter()).err(), Some(PatternError::Syntax));
        let known: Vec<&str> = patterns.recent.iter().map(|(text, _)| &**text).collect();
        assert_eq!((known.len(), known[0], known[15]), (PATTERNS_KEPT_MAX, "^1$", "("));
    }

    #[test]
    fn the_expressions_of_one_query_have_one_budget_however_often_they_come() {
        let mut patterns = Patterns::default();
        let half = "a".repeat(PATTERN_BYTES_MAX / 2);
        assert!(patterns.of_query(None, [&*half, &half].into_iter()).is_ok());
        let error = PatternError::TooLong { bytes: PATTERN_BYTES_MAX + 1, limit: PATTERN_BYTES_MAX };
        assert_eq!(patterns.of_query(None, [&*half, &half, "a"].into_iter()).err(), Some(error));
        for _ in 0..2 {
            let large = [r"^\pL+$", r"^\pN+$", r"^\pS+$"];
            assert!(patterns.of_query(None, large[..QUERY_PATTERNS_LARGE_MAX].iter().copied()).is_ok());
            let error = Some(PatternError::TooComplex { limit: PATTERN_PROGRAM_BYTES_MAX });
            assert_eq!(patterns.of_query(None, large.into_iter()).err(), error);
            let wide = [r"(?i)\p{Greek}", r"(?i)\p{Latin}", r"(?i)\p{Han}"];
            assert_eq!(patterns.of_query(None, wide.into_iter()).err(), error);
        }
    }

    #[test]
    fn however_many_queries_come_only_so_much_is_compiled_in_a_time_and_what_is_known_costs_nothing() {
        let mut patterns = Patterns::default();
        let now = Instant::from_nanos(5_000_000_000);
        let mut heard = |now, expression: &str| patterns.of_query(Some(now), [expression].into_iter()).is_ok();
        let large = |n: u32| format!(r"|\pL{n}");
        let most = PATTERN_UNITS_BURST / UNITS_LARGE;
        let compiled = (0..1000).filter(|&n| heard(now, &large(n))).count();
        assert_eq!(compiled, most as usize);
        assert!(heard(now, &large(0)) && !heard(now, "^web$"), "what is known costs nothing");
        let later = now + UNIT * UNITS_LARGE;
        assert!(heard(later, "^web$") && !heard(later, &large(1000)));
        assert!(patterns.of_query(None, ["^own$"].into_iter()).is_ok(), "our own are not counted");
    }
}
