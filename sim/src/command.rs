//! Commands to single nodes.

use core::time::Duration;

use serf_proto::{Instant, KeyOperation, QueryId};

use crate::hostile::Attack;

/// A command to a node. It touches only that node, so no thread needs another's nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Starts the process.
    Start(StartFrom),
    /// Joins through these nodes, or through drawn ones if empty.
    Join { contacts: Vec<u32> },
    /// Rejoins the cluster of an earlier life; joins through drawn nodes if none of its members is known.
    Rejoin,
    /// Sends a user event.
    UserEvent { name: String, payload: Vec<u8> },
    /// Sends a query to these nodes, or to all if empty.
    Query { query_params: QueryParams, nodes: Vec<String> },
    /// Answers a query with this number of bytes.
    Respond { to: QueryId, bytes: u32 },
    /// Sends a key operation to all nodes.
    ChangeKeys(KeyChange),
    /// Announces another role tag.
    SetRole(u32),
    /// Sends one round of an attack. Only for the hostile host.
    Assault(Attack),
    /// Leaves gracefully.
    Leave,
    /// Kills the process; its host stays up and refuses connections.
    Crash,
    /// Kills the process as a power failure does: unsynced records of its snapshot are lost, and one may be torn.
    LosePower {
        /// Decides how many, and where.
        draw: u32,
    },
    /// Stalls the process: it handles nothing until it resumes.
    Pause,
    /// Blocks the packets of the process until it resumes at `until`: inputs wait, outputs leave then, timers go on.
    Block { until: Instant },
    /// Resumes the process, which handles its queued inputs.
    Resume,
    /// Makes each input take this time on the host's processor; zero: none.
    SetInputCost(Duration),
    /// A slow processor is free again.
    Proceed,
    /// Stops the host's clock, while inputs go on arriving.
    StopClock,
    /// Sets the host's clock ahead and lets it run.
    StartClock { jump: Duration },
}

/// Initial state of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartFrom {
    /// Empty.
    Blank,
    /// Knows all nodes.
    Converged,
    /// Restored from its disk.
    FromDisk,
}

/// Parameters of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryParams {
    /// Number of relays for each answer, besides the direct packet.
    pub relay_factor: u8,
    /// Bytes per answer.
    pub answer_bytes: u32,
}

/// A key operation that a node sends to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The operation.
    pub operation: KeyOperation,
    /// The key.
    pub key: Vec<u8>,
    /// Number of relays for each answer, besides the direct packet.
    pub relay_factor: u8,
}

/// The name of the events of [`Fault::Event`](crate::Fault::Event).
pub(crate) const LOAD: &str = "load";

/// The name of the simulator's own queries, which all nodes answer.
pub(crate) const ROLL_CALL: &str = "roll-call";

/// The name of events whose payload starts with the time of their sending.
pub(crate) const TIMED: &str = "timed";
