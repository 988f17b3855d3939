//! What the simulator can do to a node.

use serf_proto::{KeyOperation, QueryId};

use crate::hostile::Attack;

/// What the simulator does to a node. Only the node itself is touched, so no thread needs another's nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// The process starts.
    Start(StartFrom),
    /// Join through these nodes, or through drawn ones when there are none.
    Join { contacts: Vec<u32> },
    /// Find the cluster of the earlier life again, or join through drawn nodes when none of it is known.
    Rejoin,
    /// Send a user event.
    UserEvent { name: String, payload: Vec<u8> },
    /// Ask these nodes, or all when there are none.
    Query { query_params: QueryParams, nodes: Vec<String> },
    /// Answer a query with so many bytes.
    Respond { to: QueryId, bytes: u32 },
    /// Ask all to do something to their keys.
    ChangeKeys(KeyChange),
    /// Announce another role.
    SetRole(u32),
    /// Send what an attack consists of. Only for the hostile host.
    Assault(Attack),
    /// Leave gracefully.
    Leave,
    /// The process dies; its host stays up and refuses connections.
    Crash,
    /// The process stalls: nothing is handled until it resumes.
    Pause,
    /// The process goes on.
    Resume,
}

/// What a process knows when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartFrom {
    /// Nothing.
    Blank,
    /// Everybody.
    Converged,
    /// What the disk says of its earlier life.
    FromDisk,
}

/// How a node asks all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryParams {
    /// Over how many other nodes each answer goes besides the direct way.
    pub relay_factor: u8,
    /// How many bytes each answer carries.
    pub answer_bytes: u32,
}

/// What a node asks all to do to their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// What.
    pub operation: KeyOperation,
    /// With which key.
    pub key: Vec<u8>,
    /// Over how many other nodes each answer goes besides the direct way.
    pub relay_factor: u8,
}

/// The name of the events of [`Fault::Event`](crate::Fault::Event).
pub(crate) const LOAD: &str = "load";
