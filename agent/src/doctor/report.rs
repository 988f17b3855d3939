//! The findings of an examination.

use crate::quote::shown;

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No fault.
    Ok,
    /// No fault, but useful to know.
    Note,
    /// A fault.
    Failed,
    /// The check was impossible, mostly because of another fault.
    Unknown,
}

impl Verdict {
    /// Its name in the report.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The name of the check, which stays stable.
    pub(crate) check: &'static str,
    pub(crate) verdict: Verdict,
    /// What was observed.
    pub(crate) found: String,
    /// What to do about it.
    pub(crate) advice: Option<String>,
}

/// All findings, in the order of the checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    /// The name of the node, if it is known.
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

    /// Adds a finding. Names and messages of the node are escaped, so that none acts on the terminal.
    fn add(&mut self, check: &'static str, verdict: Verdict, found: String, advice: Option<String>) {
        let advice = advice.map(|advice| shown(&advice).into_owned());
        self.findings.push(Finding { check, verdict, found: shown(&found).into_owned(), advice });
    }

    /// Whether no check failed.
    pub(crate) fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.verdict != Verdict::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_node_acts_on_no_terminal() {
        let mut report = Report::default();
        report.note("name", "a\nok       label\x1b[2J", "Ask it: 'serf why a\u{202e}'.");
        let Finding { found, advice, .. } = &report.findings[0];
        assert_eq!(found, "a\\nok       label\\x1b[2J");
        assert_eq!(advice.as_deref(), Some("Ask it: 'serf why a\\u202e'."));
    }
}
