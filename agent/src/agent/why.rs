//! Builds the reply to `why`.

use super::Agent;
use crate::rpc::{Evidence, Why};

impl Agent {
    /// Why `name` is suspected, failed or left. The status is empty when no member has that name.
    pub(super) fn why(&self, name: &str) -> Why {
        let agent = self.serf.local().name().to_owned();
        let Some(member) = self.serf.member(name) else { return Why { agent, ..Why::default() } };
        let (status, address) = (member.status().to_string(), member.addr().to_string());
        let Some(why) = self.serf.why(name) else { return Why { agent, status, address, ..Why::default() } };
        let now = self.serf.now();
        Why {
            agent,
            status,
            address,
            incarnation: why.incarnation,
            suspected: why.suspected.as_ref().map(|evidence| Evidence::of(evidence, now)),
            accusers: why.accusers.iter().map(|name| name.to_string()).collect(),
            gone: why.gone.as_ref().map(|evidence| Evidence::of(evidence, now)),
            said_by: why.said_by.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}
