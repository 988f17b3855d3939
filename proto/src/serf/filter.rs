//! Who a query is for: filters over the names and tags of members (`shouldProcessQuery` in serf).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::pattern::{Pattern, PatternError};
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
            Self::Nodes(names) => names.iter().any(|wanted| **wanted == *name),
            Self::Tag { tag, pattern } => pattern.is_match(tags.get(tag).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
