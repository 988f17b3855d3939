//! Query filters: select members by name and tags (`shouldProcessQuery` in serf's query.go). Caches compiled
//! expressions.
//!
//! Compiling an expression costs far more than comparing it, and every member compiles those of every query.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use super::pattern_error::PatternError;
use crate::limits::{
    PATTERN_BYTES_MAX, PATTERN_PROGRAM_BYTES_MAX, PATTERN_UNITS_BURST, PATTERN_UNITS_PER_SEC, QUERY_PATTERNS_LARGE_MAX,
    QUERY_PATTERNS_WIDE_MAX,
};
use crate::time::Instant;
use crate::token_bucket::TokenBucket;
use crate::types::Tags;

/// A condition on a member.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Filter {
    /// Its name is one of these, exactly.
    Nodes(Vec<Box<str>>),
    /// Its value of a tag matches an expression. A missing tag counts as empty.
    Tag {
        /// The tag's name.
        tag: Box<str>,
        /// The expression; matches at any position of the value.
        pattern: Pattern,
    },
}

impl Filter {
    /// Matches members with one of these names.
    pub fn nodes<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Nodes(names.into_iter().map(Into::into).collect())
    }

    /// Matches members whose value of `tag` matches `expression`, in Go's dialect, at any position.
    ///
    /// # Errors
    ///
    /// If the expression is invalid or too large, or the program is built without the feature `filters`. On the wire, such a filter matches no member.
    pub fn tag(tag: &str, expression: &str) -> Result<Self, PatternError> {
        Ok(Self::Tag { tag: tag.into(), pattern: Pattern::new(expression)? })
    }

    /// Whether a member with this name and these tags matches. A query is for members that match all its filters.
    pub fn passes(&self, name: &str, tags: &Tags) -> bool {
        match self {
            Self::Nodes(names) => Self::lists(names.iter().map(|name| &**name), name),
            Self::Tag { tag, pattern } => pattern.is_match(tags.get(tag).unwrap_or_default()),
        }
    }
    /// Whether `name` is among `names`.
    pub(super) fn lists<'a>(mut names: impl Iterator<Item = &'a str>, name: &str) -> bool {
        names.any(|wanted| wanted == name)
    }
}

/// The cache of compiled expressions, including those that failed to compile.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Patterns {
    /// Least recently used first.
    #[serde(with = "stored_expressions")]
    recent: VecDeque<(Box<str>, Result<Pattern, PatternError>)>,
    /// Rate limit for compiling expressions of other members.
    budget: TokenBucket<{ PATTERN_UNITS_BURST as u64 }, { PATTERN_UNITS_PER_SEC as u64 }>,
}

impl Patterns {
    /// Compiles the tag filters of a query, each a tag and an expression. `heard_at` is the time of arrival of another
    /// member's query; `None` for our own, which is exempt from the rate limit.
    ///
    /// All filters share one limit each for bytes, large expressions, and characters in wide sets. Whether a query
    /// exceeds them does not depend on the contents of the cache.
    pub(super) fn tag_filters<'a>(
        &mut self,
        heard_at: Option<Instant>,
        conditions: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<Vec<Filter>, PatternError> {
        // Lengths first: they cost nothing, while the first compilation already uses up the rate limit.
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
            // A refusal by the rate limit returns here and is not cached: the same expression may compile later.
            None => (expression.into(), self.compile(heard_at, expression)?),
        };
        let pattern = entry.1.clone();
        if self.recent.len() >= PATTERNS_KEPT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(entry);
        pattern
    }

    /// Compiles an expression, if the rate limit allows the most expensive one. A packet can hold hundreds of queries.
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
            Err(PatternError::Syntax | PatternError::TooLong { .. } | PatternError::Unsupported) => 1,
            Ok(_) | Err(PatternError::TooComplex { .. }) => UNITS_LARGE,
        };
        // Charged afterwards, since the cost is known only then. The check above ensures that it is covered.
        self.budget.take(now, units);
        Ok(pattern)
    }

    /// Number of cached expressions, and its limit.
    pub(super) fn usage(&self) -> (usize, usize) {
        (self.recent.len(), PATTERNS_KEPT_MAX)
    }
}

/// The maximum number of cached expressions. Ours: each takes up to about 100 KiB.
const PATTERNS_KEPT_MAX: usize = 16;

/// The cost of a large expression, in tokens.
const UNITS_LARGE: u64 = 8;

/// The cached expressions in a checkpoint. They are compiled anew.
mod stored_expressions {
    use alloc::vec::Vec;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Box, Pattern, PatternError, VecDeque};

    type Recent = VecDeque<(Box<str>, Result<Pattern, PatternError>)>;

    pub(super) fn serialize<S: Serializer>(recent: &Recent, serializer: S) -> Result<S::Ok, S::Error> {
        recent.iter().map(|(expression, _)| &**expression).collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Recent, D::Error> {
        let expressions = Vec::<Box<str>>::deserialize(deserializer)?;
        Ok(expressions.into_iter().map(|text| (text.clone(), Pattern::new(&text))).collect())
    }
}

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
    fn wide_sets_of_one_query_have_one_budget() {
        let all = r"(?i)[b-\x{4e262}]";
        assert!(compile(&mut Patterns::default(), None, [all]).is_ok());
        let error = Some(PatternError::TooComplex { limit: PATTERN_PROGRAM_BYTES_MAX });
        assert_eq!(compile(&mut Patterns::default(), None, [all, "(?i)[а-б]"]).err(), error);
    }

    #[test]
    fn a_small_expression_costs_a_unit_and_one_more_for_16_operators() {
        for (operators, units) in [(0, 1), (15, 1), (16, 2), (32, 3)] {
            let mut patterns = Patterns::default();
            let expression = |n: u32| format!("{n}{}", "a?".repeat(operators));
            let compiled = (0..100).filter(|&n| compile(&mut patterns, Some(Instant::ZERO), [&*expression(n)]).is_ok());
            // The most expensive one must always be covered.
            let most = (u64::from(PATTERN_UNITS_BURST) - UNITS_LARGE) / units + 1;
            assert_eq!(compiled.count() as u64, most, "{operators}");
        }
    }

    #[test]
    fn compilation_is_bounded_in_time_and_known_expressions_cost_nothing() {
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
