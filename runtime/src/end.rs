//! How a node ends.

use core::fmt;
use core::net::IpAddr;
use std::any::Any;

use serf_proto::LeaveReport;

/// How a node ended; see [`Serf::wait`](crate::Serf::wait).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// It has left its cluster.
    Left(LeaveReport),
    /// It was shut down without a leave, or its last handle was dropped.
    ShutDown,
    /// It has left because its host has no longer the address that it chose to announce, and has another. Members keep a live member at
    /// its address, so a node cannot move: start it anew, and it announces the new one.
    AddressChanged {
        /// What it announced.
        from: IpAddr,
        /// What the host has instead.
        to: IpAddr,
    },
    /// A panic in one of its tasks, or in a callback that ran while it was locked, has stopped it without a leave.
    Panicked {
        /// Which task.
        task: &'static str,
        /// What the panic said.
        message: String,
    },
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left(_) => f.write_str("the node has left its cluster"),
            Self::ShutDown => f.write_str("the node was shut down"),
            Self::AddressChanged { from, to } => {
                write!(f, "the node has left, for its address {from} is not this host's any more, which has {to}")
            }
            Self::Panicked { task, message } => write!(f, "the node was stopped by a panic ({task}): {message}"),
        }
    }
}

/// What a panic said, as far as it was text.
pub(crate) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text").to_owned()
}
