use super::Metric;

/// How full one bounded collection of a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// What it is called: lower case, words joined by underscores, the unit last if it has one.
    pub name: &'static str,
    /// How much is in it.
    pub used: u64,
    /// How much may be in it; see [`limits`](crate::limits).
    pub limit: u64,
}

impl Usage {
    /// A collection that holds so much of so much.
    pub(crate) fn new(name: &'static str, used: usize, limit: usize) -> Self {
        Self { name, used: used as u64, limit: limit as u64 }
    }

    /// All of them, to show or export: what is used first, then the limits.
    pub fn gauges(all: &[Self]) -> impl Iterator<Item = Metric> {
        let gauge = |name, help, figure: fn(&Self) -> u64| {
            all.iter().map(move |usage| Metric::labelled(name, help, ("of", usage.name), figure(usage)))
        };
        let used = gauge("usage", "What bounded collections hold.", |usage| usage.used);
        used.chain(gauge("usage_limit", "What bounded collections may hold.", |usage| usage.limit))
    }
}
