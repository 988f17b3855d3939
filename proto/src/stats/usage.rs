use super::Metric;

/// Fill level of a bounded collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Name: lower case, words joined by underscores, the unit last if it has one.
    pub name: &'static str,
    /// Current use.
    pub used: u64,
    /// Limit; see [`limits`](crate::limits).
    pub limit: u64,
}

impl Usage {
    /// A collection that holds `used` of `limit`.
    pub(crate) fn new(name: &'static str, used: usize, limit: usize) -> Self {
        Self { name, used: used as u64, limit: limit as u64 }
    }

    /// All collections as metrics: first the use, then the limits.
    pub fn gauges(all: &[Self]) -> impl Iterator<Item = Metric> {
        let gauge = |name, help, figure: fn(&Self) -> u64| {
            all.iter().map(move |usage| Metric::labelled(name, help, ("of", usage.name), figure(usage)))
        };
        let used = gauge("usage", "What bounded collections hold.", |usage| usage.used);
        used.chain(gauge("usage_limit", "What bounded collections may hold.", |usage| usage.limit))
    }
}
