/// One figure of a node, with what is needed to show or export it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// What it is called: lower case, words joined by underscores, the unit last if it has one.
    pub name: &'static str,
    /// What it says, in a sentence or two.
    pub help: &'static str,
    /// What tells it from others of its name: what they differ in, and which one this is.
    pub label: Option<(&'static str, &'static str)>,
    /// How much.
    pub value: u64,
}

impl Metric {
    /// The only one of its name.
    pub const fn plain(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help: help.trim_ascii_start(), label: None, value }
    }

    /// One of several of its name.
    pub const fn labelled(
        name: &'static str,
        help: &'static str,
        label: (&'static str, &'static str),
        value: u64,
    ) -> Self {
        Self { name, help: help.trim_ascii_start(), label: Some(label), value }
    }
}
