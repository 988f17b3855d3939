//! Events of the cluster, in the form for handlers and RPC streams.

use serf_tokio::Query;

use crate::rpc::{EventRecord, Member, PartitionShare};

/// An event of the agent's node, with the query to respond to.
#[derive(Debug)]
pub(crate) struct AgentEvent {
    /// The event, in the form for handlers and streams.
    pub(crate) data: Event,
    /// The query to respond to, if it is one.
    pub(crate) query: Option<Query>,
}

/// An event of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Members changed.
    Members {
        /// The change.
        change: MemberChange,
        /// The members; never empty.
        members: Vec<Member>,
    },
    /// A user event arrived.
    User {
        /// Its name.
        name: String,
        /// Its Lamport time.
        lamport: u64,
        /// Its payload.
        payload: Vec<u8>,
        /// Whether it may be merged with others of its name.
        coalesce: bool,
    },
    /// A query arrived.
    Query {
        /// Its name.
        name: String,
        /// Its Lamport time.
        lamport: u64,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// A part of the cluster is missing, or is there again. Ours; only with `-partition-signal`.
    Partition {
        /// The numbers.
        share: PartitionShare,
        /// Zones of which no member is alive.
        zones_lost: Vec<String>,
        /// The members that are alive; never empty.
        members: Vec<Member>,
    },
}

/// A change of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberChange {
    /// They joined.
    Join,
    /// They left.
    Leave,
    /// They failed.
    Failed,
    /// Their tags or addresses changed.
    Update,
    /// They were reaped.
    Reap,
}

impl MemberChange {
    /// All changes.
    pub const ALL: [Self; 5] = [Self::Join, Self::Leave, Self::Failed, Self::Update, Self::Reap];

    /// Its name for handlers and streams.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "member-join",
            Self::Leave => "member-leave",
            Self::Failed => "member-failed",
            Self::Update => "member-update",
            Self::Reap => "member-reap",
        }
    }
}

impl Event {
    /// Its kind for handlers and streams: `member-join` and the like, `user`, `query` or `partition`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Members { change, .. } => change.name(),
            Self::User { .. } => "user",
            Self::Query { .. } => "query",
            Self::Partition { .. } => PARTITION,
        }
    }

    /// The name of a user event or a query.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::User { name, .. } | Self::Query { name, .. } => Some(name),
            Self::Members { .. } | Self::Partition { .. } => None,
        }
    }

    /// Its description in the log: `member-join`, `user-event: NAME`, `query: NAME`, `partition: split, 3 of 9 …`.
    pub fn description(&self) -> String {
        match self {
            Self::Members { change, .. } => change.name().into(),
            Self::User { name, .. } => format!("user-event: {name}"),
            Self::Query { name, .. } => format!("query: {name}"),
            Self::Partition { share, .. } => format!("{PARTITION}: {share}"),
        }
    }

    /// Its approximate size in memory, in bytes.
    pub fn bytes(&self) -> usize {
        let own = match self {
            Self::Members { members, .. } => members.iter().map(Member::bytes).sum(),
            Self::Partition { zones_lost, members, .. } => {
                let zones: usize = zones_lost.iter().map(|zone| zone.len() + size_of::<String>()).sum();
                zones + members.iter().map(Member::bytes).sum::<usize>()
            }
            Self::User { name, payload, .. } | Self::Query { name, payload, .. } => name.len() + payload.len(),
        };
        own + size_of::<Self>()
    }

    /// Converts to the record of a stream; `id` names a query in its response.
    pub fn to_record(&self, id: u64) -> EventRecord {
        // An empty payload from gossip is nil.
        let some = |payload: &Vec<u8>| (!payload.is_empty()).then(|| payload.clone());
        match self {
            Self::Members { change, members } => {
                EventRecord::Members { event: change.name().into(), members: members.clone() }
            }
            Self::User { name, lamport, payload, coalesce } => {
                EventRecord::User { lamport: *lamport, name: name.clone(), payload: some(payload), coalesce: *coalesce }
            }
            Self::Query { name, lamport, payload } => {
                EventRecord::Query { id, lamport: *lamport, name: name.clone(), payload: some(payload) }
            }
            Self::Partition { share, zones_lost, members } => {
                EventRecord::Partition { share: *share, zones_lost: zones_lost.clone(), members: members.clone() }
            }
        }
    }
}

/// The kind of partition signals.
pub(super) const PARTITION: &str = "partition";
