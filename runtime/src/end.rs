//! The reasons for which a node ends.

use core::fmt;
use core::net::IpAddr;
use std::any::Any;

use serf_proto::LeaveReport;

/// Reason for which a node ended; see [`Serf::wait`](crate::Serf::wait).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The node left its cluster.
    Left(LeaveReport),
    /// The node was shut down without a leave, or its last handle was dropped.
    ShutDown,
    /// The node left because its host lost the address that the node advertised and has another. Members keep a live
    /// member at its address, so a running node cannot move: start a new node, which advertises the new address.
    AddressChanged {
        /// The advertised address.
        from: IpAddr,
        /// The host's new address.
        to: IpAddr,
    },
    /// A panic in one of the node's tasks, or in a callback that ran under the node's lock, stopped the node without a
    /// leave.
    Panicked {
        /// The task that panicked.
        task: &'static str,
        /// The panic message.
        message: String,
    },
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left(_) => f.write_str("the node has left its cluster"),
            Self::ShutDown => f.write_str("the node was shut down"),
            Self::AddressChanged { from, to } => {
                write!(f, "the node has left: the address of this host has changed from {from} to {to}")
            }
            Self::Panicked { task, message } => write!(f, "a panic in {task} stopped the node: {message}"),
        }
    }
}

/// Returns the panic message, if it is text.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}
