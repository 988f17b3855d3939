//! Builds the reply to `why`.

use serf_tokio::Source;

use super::Agent;
use crate::rpc::{Evidence, Why};

impl Agent {
    /// Why `name` is suspected, failed or left. The status is empty when no member has that name.
    pub(super) fn why(&self, name: &str) -> Why {
        let agent = self.serf.local().name().to_owned();
        let Some(member) = self.serf.member(name) else { return Why { agent, ..Why::default() } };
        let (status, address) = (member.status().to_string(), member.addr().to_string());
        let Some(why) = self.serf.why(name) else { return Why { agent, status, address, ..Why::default() } };
        Why {
            agent,
            status,
            address,
            incarnation: why.incarnation,
            suspected: why.suspected.as_ref().map(|evidence| self.evidence(evidence)),
            accusers: why.accusers.iter().map(|name| name.to_string()).collect(),
            gone: why.gone.as_ref().map(|evidence| self.evidence(evidence)),
            said_by: why.said_by.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }

    fn evidence(&self, evidence: &serf_tokio::Evidence) -> Evidence {
        let source = |how: &str| (how.to_owned(), String::new(), String::new());
        let (how, from, member) = match &evidence.source {
            Source::OwnProbe => source("own-probe"),
            Source::OwnTimer => source("own-timer"),
            Source::Ourselves => source("ourselves"),
            Source::Gossip { from, member } => {
                ("gossip".into(), from.to_string(), member.as_ref().map(ToString::to_string).unwrap_or_default())
            }
            Source::PushPull { with, member } => {
                ("push-pull".into(), with.to_string(), member.as_ref().map(ToString::to_string).unwrap_or_default())
            }
            _ => source("other"),
        };
        let ago = self.serf.now() - evidence.at;
        Evidence { ago, how, from, member }
    }
}
