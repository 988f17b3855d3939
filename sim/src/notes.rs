//! What a shard writes down about a whole run, apart from the counters of the current step.

use crate::explain::News;
use crate::series::Ledger;

/// Records of one shard. Nothing in the simulation depends on them.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Counters per virtual second.
    pub(crate) ledger: Ledger,
    /// What nodes learn about one member, if it is recorded.
    pub(crate) news: Option<News>,
}
