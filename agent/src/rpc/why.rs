//! The command `why`: why a member is suspected, failed or left. Ours: HashiCorp's agents do not have it.

use std::time::Duration;

use serf_tokio::{Instant, Name, Source};

use super::decode::{DecodeError, Decoder};
use super::encode::Encoder;
use crate::quote::shown;

/// The agent's evidence that a member is not alive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// The name of the agent that replied.
    pub agent: String,
    /// The member's status, as in the list of members. Empty when the name is unknown.
    pub status: String,
    /// The member's address, `ip:port`.
    pub address: String,
    /// The incarnation at which the member is accused.
    pub incarnation: u32,
    /// When it was suspected. `None` when it was not, or was declared dead or left without a suspicion.
    pub suspected: Option<Evidence>,
    /// The members that suspect it.
    pub accusers: Vec<String>,
    /// When it was declared dead or left.
    pub gone: Option<Evidence>,
    /// The member that declared it. Empty when it is not dead or left.
    pub said_by: String,
}

impl Why {
    /// Whether the member is suspected now.
    pub const fn is_suspect(&self) -> bool {
        self.suspected.is_some() && self.gone.is_none()
    }
}

/// When and how the agent learned of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The age of the evidence.
    pub ago: Duration,
    /// `own-probe`, `own-timer`, `ourselves`, `gossip` or `push-pull`; later versions may add others.
    pub how: String,
    /// The source of the packet, or the peer of the push/pull: `ip:port`. Empty for the agent's own evidence.
    pub from: String,
    /// The member at that address. Empty when it is unknown.
    pub member: String,
}

impl Why {
    /// Writes the answer.
    pub fn encode(&self, to: &mut Encoder<'_>) {
        to.map(8).text("Accusers").list(self.accusers.len());
        for name in &self.accusers {
            to.text(name);
        }
        to.text("Address").text(&self.address).text("Agent").text(&self.agent);
        Evidence::encode(self.gone.as_ref(), to.text("Gone"));
        to.text("Incarnation").uint(self.incarnation.into()).text("SaidBy").text(&self.said_by);
        to.text("Status").text(&self.status);
        Evidence::encode(self.suspected.as_ref(), to.text("Suspected"));
    }

    /// Reads the answer.
    ///
    /// # Errors
    ///
    /// A value has the wrong type.
    pub fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut why = Self::default();
        from.fields(|key, from| {
            match key {
                b"Accusers" => why.accusers = from.list(Decoder::text)?,
                b"Address" => why.address = from.text()?,
                b"Agent" => why.agent = from.text()?,
                b"Gone" => why.gone = Evidence::decode(from)?,
                b"Incarnation" => why.incarnation = from.uint_below("an incarnation")?,
                b"SaidBy" => why.said_by = from.text()?,
                b"Status" => why.status = from.text()?,
                b"Suspected" => why.suspected = Evidence::decode(from)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(why)
    }
}

impl Evidence {
    /// Converts the evidence of a node, whose time is `now`.
    pub fn of(evidence: &serf_tokio::Evidence, now: Instant) -> Self {
        let name = |member: &Option<Name>| member.as_ref().map(ToString::to_string).unwrap_or_default();
        let (how, from, member) = match &evidence.source {
            Source::OwnProbe => ("own-probe", String::new(), String::new()),
            Source::OwnTimer => ("own-timer", String::new(), String::new()),
            Source::Ourselves => ("ourselves", String::new(), String::new()),
            Source::Gossip { from, member } => ("gossip", from.to_string(), name(member)),
            Source::PushPull { with, member } => ("push-pull", with.to_string(), name(member)),
            _ => ("other", String::new(), String::new()),
        };
        Self { ago: now - evidence.at, how: how.into(), from, member }
    }

    /// Describes how the agent of this name learned of the state.
    pub fn description(&self, agent: &str) -> String {
        let agent = shown(agent);
        let (from, member) = (shown(&self.from), shown(&self.member));
        let source = if member.is_empty() { from.into_owned() } else { format!("{member} ({from})") };
        match self.how.as_str() {
            "own-probe" => format!("{agent} pinged it and got no answer, neither directly nor through other members"),
            "own-timer" => format!("{agent} received no refutation in time"),
            "ourselves" => format!("{agent} is that node itself"),
            "gossip" => format!("{agent} received it from {source}"),
            "push-pull" => format!("{agent} learned it from the state of {source}"),
            other => other.into(),
        }
    }

    fn encode(evidence: Option<&Self>, to: &mut Encoder<'_>) {
        let Some(Self { ago, how, from, member }) = evidence else {
            to.nil();
            return;
        };
        let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
        to.map(4).text("Ago").uint(ago).text("From").text(from).text("How").text(how).text("Member").text(member);
    }

    /// Reads evidence; nil is `None`.
    fn decode(from: &mut Decoder<'_>) -> Result<Option<Self>, DecodeError> {
        let mut evidence = Self::default();
        from.fields(|key, from| {
            match key {
                b"Ago" => evidence.ago = Duration::from_nanos(from.uint()?),
                b"From" => evidence.from = from.text()?,
                b"How" => evidence.how = from.text()?,
                b"Member" => evidence.member = from.text()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok((!evidence.how.is_empty()).then_some(evidence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let suspected = Evidence {
            ago: Duration::from_millis(1500),
            how: "gossip".into(),
            from: "10.0.0.2:7946".into(),
            member: "b".into(),
        };
        let full = Why {
            agent: "a".into(),
            status: "failed".into(),
            address: "10.0.0.3:7946".into(),
            incarnation: 3,
            suspected: Some(suspected.clone()),
            accusers: vec!["a".into(), "b".into()],
            gone: Some(Evidence { how: "own-timer".into(), ..Evidence::default() }),
            said_by: "a".into(),
        };
        for why in [Why::default(), full] {
            let mut bytes = Vec::new();
            why.encode(&mut Encoder::new(&mut bytes));
            assert_eq!(Why::decode(&mut Decoder::new(&bytes)), Ok(why));
        }
    }
}
