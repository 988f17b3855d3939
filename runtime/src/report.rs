//! Join reports, with the failure of each seed.

use core::fmt;
use core::net::SocketAddr;
use std::io;

use serf_proto::SeedFailureCause;
use thiserror::Error;

use crate::error::{STOPPED, system_words};
use crate::seed::SeedError;

/// Result of a join.
#[derive(Debug)]
#[non_exhaustive]
pub struct JoinReport {
    /// Number of addresses that accepted the join.
    pub contacted: u32,
    /// The failed seeds of the last attempt, with the reasons.
    pub failed: Vec<SeedFailure>,
    /// Number of attempts.
    pub attempts: u32,
}

/// Error of a join.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The list of seeds is empty.
    #[error("a join needs at least one seed")]
    NoSeeds,
    /// The node is leaving. Start a new one to return.
    #[error("the node has begun to leave the cluster; start a new one to return")]
    Leaving,
    /// The node was shut down before or during the join.
    #[error("{STOPPED}")]
    Stopped,
    /// No seed accepted the join. The report has the reason for each.
    #[error("none of {} seeds could be joined{}", .0.failed.len(), listed(&.0.failed))]
    NoSeedAnswered(JoinReport),
}

/// Formats the failures as the end of a sentence: `: one; two`.
fn listed(failures: &[SeedFailure]) -> String {
    let separators = core::iter::once(": ").chain(core::iter::repeat("; "));
    failures.iter().zip(separators).map(|(failure, separator)| format!("{separator}{failure}")).collect()
}

/// A failed seed.
#[derive(Debug)]
pub struct SeedFailure {
    /// The seed, as given.
    pub seed: String,
    /// Its address, if it was resolved.
    pub addr: Option<SocketAddr>,
    /// The reason.
    pub cause: SeedCause,
}

/// Reason for which a seed failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum SeedCause {
    /// The text is not an address.
    Malformed(SeedError),
    /// The name could not be resolved.
    Unresolved(io::Error),
    /// The name has only addresses of the other family: the node is bound to IPv4 and they are IPv6, or the reverse.
    OtherKind {
        /// The address that the node is bound to.
        bound: SocketAddr,
    },
    /// The connection failed.
    Unreachable(io::Error),
    /// The protocol versions of a member are incompatible with the others'. Names the member and the versions.
    Incompatible(String),
    /// The connection was established, but the exchange failed.
    Exchange(SeedFailureCause),
}

impl fmt::Display for SeedFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.seed)?;
        if let Some(addr) = self.addr
            && addr.to_string() != self.seed
        {
            write!(f, " ({addr})")?;
        }
        match &self.cause {
            SeedCause::Malformed(error) => write!(f, " {error}"),
            SeedCause::Unresolved(error) => write!(f, " cannot be resolved: {}", system_words(error)),
            SeedCause::OtherKind { bound } => {
                write!(f, " cannot be reached from {bound}: one is IPv4, the other IPv6; bind to [::] for dual-stack")
            }
            SeedCause::Unreachable(error) => {
                let error = system_words(error);
                write!(f, " cannot be reached: {error}: check that a node listens there and that firewalls allow TCP")
            }
            SeedCause::Incompatible(what) => write!(f, " cannot be joined: {what}"),
            SeedCause::Exchange(cause) => write!(f, " {cause}"),
        }
    }
}
