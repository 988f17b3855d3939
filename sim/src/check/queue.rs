use serf_proto::{Config, QueueDepths};

use super::Finding;

/// Bounds of a node's broadcast queues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueBounds {
    swim: usize,
    serf: usize,
}

impl QueueBounds {
    /// Returns the bounds for a world of `nodes`: one membership broadcast per name, because a newer one replaces the
    /// older; for Serf's own queues the configured limit, or two per member if that is more.
    pub(crate) fn new(nodes: u32, config: &Config) -> Self {
        Self { swim: nodes as usize, serf: config.serf().queue_depth_max.max(nodes.saturating_mul(2)) as usize }
    }

    /// Checks the queues of a node that knows `known` members. A hostile member may announce more members than exist.
    /// The membership layer still announces members that Serf's layer has erased on request.
    pub(crate) fn check(self, depths: QueueDepths, known: usize) -> Option<Finding> {
        let serf = self.serf.max(2 * known);
        [
            ("membership", depths.swim, self.swim + known),
            ("intent", depths.intents, serf),
            ("query", depths.queries, serf),
            ("event", depths.events, serf),
        ]
        .into_iter()
        .find(|(_, depth, bound)| depth > bound)
        .map(|(queue, depth, bound)| Finding::QueueTooLong { queue, depth, bound })
    }
}

#[cfg(test)]
mod tests {
    use serf_proto::Options;

    use super::*;

    #[test]
    fn a_queue_beyond_its_bound_is_found() {
        let config = Config::new(Options::lan().with(|options| options.serf.queue_depth_max = 10)).unwrap();
        let bounds = QueueBounds::new(3, &config);
        let mut depths = QueueDepths::default();
        (depths.swim, depths.intents, depths.events) = (3, 10, 10);
        assert_eq!(bounds.check(depths, 0), None);
        depths.swim = 4;
        assert_eq!(bounds.check(depths, 0), Some(Finding::QueueTooLong { queue: "membership", depth: 4, bound: 3 }));
        (depths.swim, depths.events) = (0, 11);
        assert_eq!(bounds.check(depths, 0), Some(Finding::QueueTooLong { queue: "event", depth: 11, bound: 10 }));
    }
}
