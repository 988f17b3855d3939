//! Beacons: measure the dissemination time, from this node to all members.

use core::time::Duration;
use std::collections::BTreeSet;

use serf_proto::{Name, QueryError, Question, Status};

use crate::error::CommandError;
use crate::net::Net;
use crate::query::Reply;
use crate::serf::Serf;

/// How far a beacon has reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Beacon {
    /// Number of other members that acknowledged.
    pub acks: u32,
    /// Live members that did not. Empty: `took` is the time until the last of all.
    pub silent: Vec<Name>,
    /// Time until the last acknowledgement that was waited for, or until the end of the query.
    pub took: Duration,
}

/// Beacons.
impl<N: Net> Serf<N> {
    /// Measures the dissemination time from this node to all live members: sends a query by gossip, as every event is sent,
    /// and waits for their acknowledgements, which come directly. Returns when all have acknowledged, at the latest at
    /// the [default timeout of queries](Self::default_query_timeout).
    ///
    /// The query is the `_serf_ping` of `serf reachability`, which HashiCorp's nodes acknowledge too; no application
    /// sees it. It costs each member one broadcast and one datagram. The times are added to the histograms
    /// `dissemination` and `dissemination_all` of [`Stats::histograms`](crate::Stats::histograms), like those of every
    /// query [with acks](Question::with_acks).
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query), and if the node stops meanwhile.
    pub async fn beacon(&self) -> Result<Beacon, CommandError<QueryError>> {
        let begun = self.now();
        let own = self.local();
        let members = self.members();
        let live = members.iter().filter(|member| matches!(member.status(), Status::Alive | Status::Leaving));
        let others = live.map(|member| Name::from(member.name())).filter(|name| **name != *own.name());
        let mut silent: BTreeSet<Name> = others.collect();
        let mut replies = self.query(&Question::new(PING).with_acks())?;
        let mut acks = 0;
        while !silent.is_empty() {
            match replies.next().await.ok_or(CommandError::Stopped)? {
                Ok(Reply::Ack(from)) if *from != *own.name() => {
                    acks += 1;
                    silent.remove(&from);
                }
                Ok(Reply::Ended(_)) => break,
                // An ack that was lost because this task was too slow: its sender counts as silent.
                _ => {}
            }
        }
        Ok(Beacon { acks, silent: silent.into_iter().collect(), took: self.now() - begun })
    }
}

/// The query to which every node answers with an acknowledgement only (`pingQuery` in serf's internal_query.go).
const PING: &str = "_serf_ping";
