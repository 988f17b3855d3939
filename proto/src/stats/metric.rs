/// A metric of a node, for display or export: a number, or a [`Histogram`](crate::Histogram).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric<V = u64> {
    /// Name: lower case, words joined by underscores, the unit last if it has one. That of a histogram leaves the unit out.
    pub name: &'static str,
    /// Help text: a sentence or two.
    pub help: &'static str,
    /// Label that distinguishes metrics of one name, as key and value.
    pub label: Option<(&'static str, &'static str)>,
    /// Value.
    pub value: V,
}

impl<V> Metric<V> {
    /// A metric without a label.
    pub const fn plain(name: &'static str, help: &'static str, value: V) -> Self {
        Self { name, help: help.trim_ascii_start(), label: None, value }
    }

    /// A metric with a label.
    pub const fn labelled(
        name: &'static str,
        help: &'static str,
        label: (&'static str, &'static str),
        value: V,
    ) -> Self {
        Self { name, help: help.trim_ascii_start(), label: Some(label), value }
    }
}
