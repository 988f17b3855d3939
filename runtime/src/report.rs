//! How a join went, and what was wrong with each seed.

use core::fmt;
use core::net::SocketAddr;
use std::io;

use serf_proto::SeedFailureCause;
use thiserror::Error;

use crate::error::{STOPPED, system_words};
use crate::seed::SeedError;

/// How a join went.
#[derive(Debug)]
#[non_exhaustive]
pub struct JoinReport {
    /// How many addresses answered and let us in.
    pub contacted: u32,
    /// The seeds that did not, with the reason; of the last attempt.
    pub failed: Vec<SeedFailure>,
    /// How many attempts were made.
    pub attempts: u32,
}

/// Why a join reached no member.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No seed was given.
    #[error("a join needs at least one seed")]
    NoSeeds,
    /// The node has begun to leave. Start a new one to return.
    #[error("the node has begun to leave the cluster; start a new one to return")]
    Leaving,
    /// The node was shut down, before or meanwhile.
    #[error("{STOPPED}")]
    Stopped,
    /// None of the seeds let us in. The report says why each did not.
    #[error("none of {} seeds let us in{}", .0.failed.len(), listed(&.0.failed))]
    NobodyAnswered(JoinReport),
}

/// The failures as they stand behind a sentence: `: one; two`.
fn listed(failures: &[SeedFailure]) -> String {
    let separators = core::iter::once(": ").chain(core::iter::repeat("; "));
    failures.iter().zip(separators).map(|(failure, separator)| format!("{separator}{failure}")).collect()
}

/// A seed that did not help to join.
#[derive(Debug)]
pub struct SeedFailure {
    /// The seed as it was given.
    pub seed: String,
    /// The address that it stood for, when it got that far.
    pub addr: Option<SocketAddr>,
    /// What went wrong.
    pub cause: SeedCause,
}

/// What can go wrong with a seed.
#[derive(Debug)]
#[non_exhaustive]
pub enum SeedCause {
    /// What was given is not an address.
    Malformed(SeedError),
    /// The name could not be resolved.
    Unresolved(io::Error),
    /// The name has addresses of the other kind only: we are bound to IPv4 and they are IPv6, or the reverse.
    OtherKind {
        /// Where we are bound.
        bound: SocketAddr,
    },
    /// No connection could be opened, for this reason.
    Unreachable(io::Error),
    /// States were exchanged, and a member's protocol versions do not go with the others': which member's, and which versions.
    Incompatible(String),
    /// A connection was opened, and what followed failed.
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
                write!(f, " cannot be reached from {bound}: one is IPv4, the other IPv6; bind to [::] for both")
            }
            SeedCause::Unreachable(error) => {
                let error = system_words(error);
                write!(f, " cannot be reached: {error}: is a node listening there, and is TCP let through?")
            }
            SeedCause::Incompatible(what) => write!(f, " cannot be joined: {what}"),
            SeedCause::Exchange(cause) => write!(f, " {cause}"),
        }
    }
}
