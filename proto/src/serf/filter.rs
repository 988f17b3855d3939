//! The members that a query is for: filters over names and tags (`shouldProcessQuery` in serf), and their compiled expressions.
//!
//! Compiling an expression costs far more than looking at it, and every member compiles those of every query.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::bucket::TokenBucket;
use super::pattern::{Pattern, PatternError};
use crate::limits::{
    PATTERN_BYTES_MAX, PATTERN_PROGRAM_BYTES_MAX, PATTERN_UNITS_BURST, PATTERN_UNITS_PER_SEC, QUERY_PATTERNS_LARGE_MAX,
    QUERY_PATTERNS_WIDE_MAX,
};
use crate::time::Instant;
use crate::types::Tags;

/// One condition that a member must meet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Filter {
    /// It has one of these names, exactly.
    Nodes(Vec<Box<str>>),
    /// Its value of a tag matches an expression. A tag that it does not have counts as empty.
    Tag {
        /// The tag.
        tag: Box<str>,
        /// What its value must match, anywhere.
        pattern: Pattern,
    },
}

impl Filter {
    /// Members with one of these names.
    pub fn nodes<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Nodes(names.into_iter().map(Into::into).collect())
    }

    /// Members whose value of `tag` matches `expression`, in Go's dialect, anywhere.
    ///
    /// # Errors
    ///
    /// When the expression is none, or too large. On the wire such a filter passes nobody.
    pub fn tag(tag: &str, expression: &str) -> Result<Self, PatternError> {
        Ok(Self::Tag { tag: tag.into(), pattern: Pattern::new(expression)? })
    }

    /// Whether a member of this name with these tags meets the condition. A query is for those that meet all.
    pub fn passes(&self, name: &str, tags: &Tags) -> bool {
        match self {
            Self::Nodes(names) => Self::lists(names.iter().map(|name| &**name), name),
            Self::Tag { tag, pattern } => pattern.is_match(tags.get(tag).unwrap_or_default()),
        }
    }
    /// Whether a member of this name is among those that are named.
    pub(super) fn lists<'a>(mut names: impl Iterator<Item = &'a str>, name: &str) -> bool {
        names.any(|wanted| wanted == name)
    }
}

/// Expressions that were compiled, or could not be.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns {
    /// The most recent last.
    recent: VecDeque<(Box<str>, Result<Pattern, PatternError>)>,
    /// How many of others may be compiled.
    budget: TokenBucket<{ PATTERN_UNITS_BURST as u64 }, { PATTERN_UNITS_PER_SEC as u64 }>,
}

impl Patterns {
    /// Compiles the conditions of one query on tags, each a tag and an expression: another member's, heard at `heard_at`, or with
    /// `None` our own.
    ///
    /// They share one budget of bytes, of large expressions and of characters in wide sets. Whether a query exceeds it does not depend on
    /// which expressions are kept.
    pub(super) fn tag_filters<'a>(
        &mut self,
        heard_at: Option<Instant>,
        conditions: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<Vec<Filter>, PatternError> {
        let bytes = conditions.clone().map(|(_, expression)| expression.len()).sum();
        if bytes > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong { bytes, limit: PATTERN_BYTES_MAX });
        }
        let (mut large, mut wide) = (0, 0);
        let filters = conditions.map(|(tag, expression)| {
            let pattern = self.get(heard_at, expression)?;
            large += usize::from(pattern.is_large());
            wide += pattern.wide_chars();
            if large > QUERY_PATTERNS_LARGE_MAX || wide > QUERY_PATTERNS_WIDE_MAX {
                return Err(PatternError::TooComplex { limit: PATTERN_PROGRAM_BYTES_MAX });
            }
            Ok(Filter::Tag { tag: tag.into(), pattern })
        });
        filters.collect()
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
        if self.budget.left(now) < UNITS_LARGE {
            return Err(PatternError::TooComplex { limit: PATTERN_PROGRAM_BYTES_MAX });
        }
        let pattern = Pattern::new(expression);
        let units = match &pattern {
            Ok(pattern) if !pattern.is_large() => u64::from(pattern.units()).min(UNITS_LARGE),
            Err(PatternError::Syntax | PatternError::TooLong { .. }) => 1,
            Ok(_) | Err(PatternError::TooComplex { .. }) => UNITS_LARGE,
        };
        self.budget.take(now, units);
        Ok(pattern)
    }

    /// How many are remembered, and how many may be.
    pub(super) fn usage(&self) -> (usize, usize) {
        (self.recent.len(), PATTERNS_KEPT_MAX)
    }
}

/// Expressions that are remembered compiled. Ours: each takes up to about 100 KiB.
const PATTERNS_KEPT_MAX: usize = 16;

/// What a large expression takes.
const UNITS_LARGE: u64 = 8;

#[cfg(test)]
mod tests {
    use alloc::format;
    use core::time::Duration;

    use super::*;

    fn compile<'a>(
        patterns: &mut Patterns,
        heard_at: Option<Instant>,
        expressions: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
    ) -> Result<Vec<Filter>, PatternError> {
        patterns.tag_filters(heard_at, expressions.into_iter().map(|expression| ("role", expression)))
    }

    #[test]
    fn names_are_compared_exactly() {
        let filter = Filter::nodes(["node-a", "node-b"]);
        let passes = |name| filter.passes(name, &Tags::default());
        assert!(passes("node-b") && !passes("node") && !passes("Node-a"));
        assert!(!Filter::nodes([]).passes("node-a", &Tags::default()), "a list of nobody is for nobody");
    }

    #[test]
    fn a_tag_matches_anywhere_and_one_that_is_missing_is_empty() {
        let tags: Tags = [("role", "db")].into_iter().collect();
        let passes = |tag, expression| Filter::tag(tag, expression).unwrap().passes("a", &tags);
        assert!(passes("role", "d") && passes("role", "^db$") && !passes("role", "web"));
        assert!(passes("nosuch", "^$") && passes("nosuch", "") && !passes("nosuch", "."));
        assert_eq!(Filter::tag("role", "(").err(), Some(PatternError::Syntax));
    }

    #[test]
    fn the_most_recent_expressions_are_remembered_and_each_once() {
        let mut patterns = Patterns::default();
        let all: Vec<_> = (0..PATTERNS_KEPT_MAX).map(|n| format!("^{n}$")).collect();
        for _ in 0..2 {
            assert_eq!(compile(&mut patterns, None, all.iter().map(|text| &**text)).unwrap().len(), PATTERNS_KEPT_MAX);
        }
        assert_eq!(compile(&mut patterns, None, ["(", "a"]).err(), Some(PatternError::Syntax));
        let known: Vec<&str> = patterns.recent.iter().map(|(text, _)| &**text).collect();
        assert_eq!((known.len(), known[0], known[15]), (PATTERNS_KEPT_MAX, "^1$", "("));
    }

    #[test]
    fn the_expressions_of_one_query_have_one_budget_however_often_they_come() {
        let mut patterns = Patterns::default();
        let half = "a".repeat(PATTERN_BYTES_MAX / 2);
        assert!(compile(&mut patterns, None, [&*half, &half]).is_ok());
        let error = PatternError::TooLong { bytes: PATTERN_BYTES_MAX + 1, limit: PATTERN_BYTES_MAX };
        assert_eq!(compile(&mut patterns, None, [&*half, &half, "a"]).err(), Some(error));
        for _ in 0..2 {
            let large = [r"^\pL+$", r"^\pN+$", r"^\pS+$"];
            assert!(compile(&mut patterns, None, large[..QUERY_PATTERNS_LARGE_MAX].iter().copied()).is_ok());
            let error = Some(PatternError::TooComplex { limit: PATTERN_PROGRAM_BYTES_MAX });
            assert_eq!(compile(&mut patterns, None, large).err(), error);
            let wide = [r"(?i)\p{Greek}", r"(?i)\p{Latin}", r"(?i)\p{Han}"];
            assert_eq!(compile(&mut patterns, None, wide).err(), error);
        }
    }

    #[test]
    fn however_many_queries_come_only_so_much_is_compiled_in_a_time_and_what_is_known_costs_nothing() {
        let mut patterns = Patterns::default();
        let now = Instant::from_nanos(5_000_000_000);
        let mut heard = |now, expression: &str| compile(&mut patterns, Some(now), [expression]).is_ok();
        let large = |n: u32| format!(r"|\pL{n}");
        let most = u64::from(PATTERN_UNITS_BURST) / UNITS_LARGE;
        let compiled = (0..1000).filter(|&n| heard(now, &large(n))).count();
        assert_eq!(compiled as u64, most);
        assert!(heard(now, &large(0)) && !heard(now, "^web$"), "what is known costs nothing");
        let later = now + Duration::from_secs(1) * 8 / PATTERN_UNITS_PER_SEC;
        assert!(heard(later, "^web$") && !heard(later, &large(1000)));
        assert!(compile(&mut patterns, None, ["^own$"]).is_ok(), "our own are not counted");
    }
}
