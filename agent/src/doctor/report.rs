//! What an examination found.

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

    fn add(&mut self, check: &'static str, verdict: Verdict, found: String, advice: Option<String>) {
        self.findings.push(Finding { check, verdict, found, advice });
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.verdict != Verdict::Failed)
    }
}
