//! What an examination found.

use crate::quote::shown;

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Not wrong, but worth knowing.
    Note,
    /// Wrong.
    Failed,
    /// It could not be looked at, mostly for something else that is wrong.
    Unknown,
}

impl Verdict {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What was looked at: a stable word.
    pub(crate) check: &'static str,
    pub(crate) verdict: Verdict,
    /// What was seen.
    pub(crate) found: String,
    /// What to do about it.
    pub(crate) advice: Option<String>,
}

/// All checks, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    /// The name of the node, when it was learnt.
    pub(crate) node: Option<String>,
}

impl Report {
    pub(super) fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Verdict::Ok, found.into(), None);
    }

    pub(super) fn note(&mut self, check: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.add(check, Verdict::Note, found.into(), Some(advice.into()));
    }

    pub(super) fn failed(&mut self, check: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.add(check, Verdict::Failed, found.into(), Some(advice.into()));
    }

    pub(super) fn unknown(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Verdict::Unknown, found.into(), None);
    }

    /// Names and complaints are the node's words: they are shown such that none acts on the terminal.
    fn add(&mut self, check: &'static str, verdict: Verdict, found: String, advice: Option<String>) {
        let advice = advice.map(|advice| shown(&advice).into_owned());
        self.findings.push(Finding { check, verdict, found: shown(&found).into_owned(), advice });
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.verdict != Verdict::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_of_itself_acts_on_no_terminal() {
        let mut report = Report::default();
        report.note("name", "a\nok       label\x1b[2J", "Ask it: 'serf why a\u{202e}'.");
        let Finding { found, advice, .. } = &report.findings[0];
        assert_eq!(found, "a\\nok       label\\x1b[2J");
        assert_eq!(advice.as_deref(), Some("Ask it: 'serf why a\\u202e'."));
    }
}
