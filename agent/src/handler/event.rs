//! What happens in a cluster, as handlers and RPC streams get it.

use serf_tokio::Query;

use crate::rpc::{EventRecord, Member};

/// An event of the agent's node, and how to answer it.
#[derive(Debug)]
pub(crate) struct AgentEvent {
    /// What handlers and streams get.
    pub(crate) data: Event,
    /// The query to answer, if it is one.
    pub(crate) query: Option<Query>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// To members.
    Members {
        /// What.
        change: MemberChange,
        /// To whom; never empty.
        members: Vec<Member>,
    },
    /// A user event came.
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
    /// A query came.
    Query {
        /// Its name.
        name: String,
        /// Its Lamport time.
        lamport: u64,
        /// Its payload.
        payload: Vec<u8>,
    },
}

/// What can happen to members.
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
    /// They were forgotten.
    Reap,
}

impl MemberChange {
    /// All of them.
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
    /// Its kind for handlers and streams: `member-join` and the like, `user` or `query`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Members { change, .. } => change.name(),
            Self::User { .. } => "user",
            Self::Query { .. } => "query",
        }
    }

    /// How the log calls it: `member-join`, `user-event: NAME`, `query: NAME`.
    pub fn description(&self) -> String {
        match self {
            Self::Members { change, .. } => change.name().into(),
            Self::User { name, .. } => format!("user-event: {name}"),
            Self::Query { name, .. } => format!("query: {name}"),
        }
    }

    /// What it takes in memory, nearly.
    pub fn bytes(&self) -> usize {
        let own = match self {
            Self::Members { members, .. } => members.iter().map(Member::bytes).sum(),
            Self::User { name, payload, .. } | Self::Query { name, payload, .. } => name.len() + payload.len(),
        };
        own + size_of::<Self>()
    }

    /// As a stream sends it; `id` names a query in its answer.
    pub fn to_record(&self, id: u64) -> EventRecord {
        // Bytes that came through gossip are nil when there are none.
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
        }
    }
}
