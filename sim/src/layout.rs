//! How the nodes of a world differ: groups with their own options and links, and nodes that start later.

use serf_proto::{Config, Tags};

use crate::net::Topology;

/// Differences between the nodes of a world. The default: there are none.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Group of each node, as an index into `configs`; empty if all nodes are of group 0.
    pub group_of: Vec<u16>,
    /// Options of the nodes of each group; empty if all have the world's.
    pub configs: Vec<Config>,
    /// Tags of the nodes of each group, beside those of all nodes; empty if no group has its own.
    pub tags: Vec<Tags>,
    /// Links between the groups; `None` if all links follow the world's model.
    pub topology: Option<Topology>,
    /// Whether a node is unknown to the others at a converged start, because it starts later; empty if none is.
    pub is_late: Vec<bool>,
}

impl Layout {
    /// Returns the group of a node.
    pub(crate) fn group(&self, node: u32) -> u16 {
        self.group_of.get(node as usize).copied().unwrap_or(0)
    }

    /// Returns the tags of a node.
    pub(crate) fn tags(&self, node: u32) -> Tags {
        let mut tags: Tags = [("role", "web")].into();
        let own = self.tags.get(usize::from(self.group(node))).into_iter().flatten();
        own.for_each(|(key, value)| tags.set(key, value));
        tags
    }

    /// Whether a node starts later than the others.
    pub(crate) fn is_late(&self, node: u32) -> bool {
        self.is_late.get(node as usize).is_some_and(|is_late| *is_late)
    }
}
