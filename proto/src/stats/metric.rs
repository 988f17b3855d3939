/// A metric of a node, for display or export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Name: lower case, words joined by underscores, the unit last if it has one.
    pub name: &'static str,
    /// Help text: a sentence or two.
    pub help: &'static str,
    /// Label that distinguishes metrics of one name, as key and value.
    pub label: Option<(&'static str, &'static str)>,
    /// Value.
    pub value: u64,
}

impl Metric {
    /// A metric without a label.
    pub const fn plain(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help: help.trim_ascii_start(), label: None, value }
    }

    /// A metric with a label.
    pub const fn labelled(
        name: &'static str,
        help: &'static str,
        label: (&'static str, &'static str),
        value: u64,
    ) -> Self {
        Self { name, help: help.trim_ascii_start(), label: Some(label), value }
    }
}
