//! The expressions of queries. Compiling one costs far more than looking at it, and every member compiles those of every query.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::pattern::{Pattern, PatternError};
use crate::limits::{PATTERN_BYTES_MAX, PATTERN_PROGRAM_BYTES_MAX, QUERY_PATTERNS_LARGE_MAX, QUERY_PATTERNS_WIDE_MAX};

/// Expressions that were compiled, or could not be, the most recent last.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns(VecDeque<(Box<str>, Result<Pattern, PatternError>)>);

impl Patterns {
    /// Compiles the expressions of one query. They have one budget: so many bytes together, so many large ones and so many characters
    /// in wide sets. What is too much for one query does not depend on what is remembered.
    pub(super) fn of_query<'a>(
        &mut self,
        expressions: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Vec<Pattern>, PatternError> {
        let bytes = expressions.clone().map(str::len).sum();
        if bytes > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong { bytes, limit: PATTERN_BYTES_MAX });
        }
        let (mut large, mut wide) = (0, 0);
        let patterns = expressions.map(|expression| {
            let pattern = self.get(expression)?;
            large += usize::from(pattern.is_large());
            wide += pattern.wide_chars();
            if large > QUERY_PATTERNS_LARGE_MAX || wide > QUERY_PATTERNS_WIDE_MAX {
                return Err(PatternError::TooComplex { limit: PATTERN_PROGRAM_BYTES_MAX });
            }
            Ok(pattern)
        });
        patterns.collect()
    }

    fn get(&mut self, expression: &str) -> Result<Pattern, PatternError> {
        let known = self.0.iter().position(|(known, _)| **known == *expression).and_then(|at| self.0.remove(at));
        let entry = known.unwrap_or_else(|| (expression.into(), Pattern::new(expression)));
        let pattern = entry.1.clone();
        if self.0.len() >= PATTERNS_KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(entry);
        pattern
    }

    /// How many are remembered, and how many may be.
    pub(super) fn usage(&self) -> (usize, usize) {
        (self.0.len(), PATTERNS_KEPT_MAX)
    }
}

/// Expressions that are remembered compiled. Ours: each takes up to about 100 KiB.
const PATTERNS_KEPT_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn the_most_recent_expressions_are_remembered_and_each_once() {
        let mut patterns = Patterns::default();
        let all: Vec<_> = (0..PATTERNS_KEPT_MAX).map(|n| format!("^{n}$")).collect();
        for _ in 0..2 {
            assert_eq!(patterns.of_query(all.iter().map(|text| &**text)).unwrap().len(), PATTERNS_KEPT_MAX);
        }
        assert_eq!(patterns.of_query(["(", "a"].into_iter()).err(), Some(PatternError::Syntax));
        let known: Vec<&str> = patterns.0.iter().map(|(text, _)| &**text).collect();
        assert_eq!((known.len(), known[0], known[15]), (PATTERNS_KEPT_MAX, "^1$", "("));
    }

    #[test]
    fn the_expressions_of_one_query_have_one_budget_however_often_they_come() {
        let mut patterns = Patterns::default();
        let half = "a".repeat(PATTERN_BYTES_MAX / 2);
        assert!(patterns.of_query([&*half, &half].into_iter()).is_ok());
        let error = PatternError::TooLong { bytes: PATTERN_BYTES_MAX + 1, limit: PATTERN_BYTES_MAX };
        assert_eq!(patterns.of_query([&*half, &half, "a"].into_iter()).err(), Some(error));
        for _ in 0..2 {
            let large = [r"^\pL+$", r"^\pN+$", r"^\pS+$"];
            assert!(patterns.of_query(large[..QUERY_PATTERNS_LARGE_MAX].iter().copied()).is_ok());
            let error = Some(PatternError::TooComplex { limit: PATTERN_PROGRAM_BYTES_MAX });
            assert_eq!(patterns.of_query(large.into_iter()).err(), error);
            let wide = [r"(?i)\p{Greek}", r"(?i)\p{Latin}", r"(?i)\p{Han}"];
            assert_eq!(patterns.of_query(wide.into_iter()).err(), error);
        }
    }
}
