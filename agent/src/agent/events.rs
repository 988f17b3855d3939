//! Converts the node's events to those of handlers and clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serf_tokio::serf_proto::{NameVerdict, NameVote};
use serf_tokio::{Event as NodeEvent, Events, Instant, Lagged, MemberEventKind, Name};

use super::{Agent, Stop};
use crate::handler::{AgentEvent, Event, MemberChange};
use crate::rpc::{Member, Versions};
use crate::tags;

/// Dispatches the node's events until the node stops. Nothing here blocks: handlers and clients have their own queues.
/// `previous` lists the members of the snapshot; the first one that is seen again is logged.
pub(super) async fn pump(agent: Arc<Agent>, mut events: Events, mut previous: Vec<(Name, SocketAddr)>) {
    let mut conflicts = Conflicts::default();
    while let Some(event) = events.next().await {
        match event {
            // Every message of the other claimant causes one of these events; only the log uses them.
            Ok(NodeEvent::NameConflict { existing, other })
                if !conflicts.is_news(existing.name(), other, agent.serf.now()) => {}
            Ok(event) => {
                if let NodeEvent::Member(joined) = &event
                    && joined.kind == MemberEventKind::Join
                    && let Some(known) =
                        joined.members.iter().find(|it| previous.iter().any(|(name, _)| **name == *it.name()))
                {
                    let text = format_args!("Re-joined to previously known node: {}: {}", known.name(), known.addr());
                    agent.log.info("serf", text);
                    previous.clear();
                }
                agent.handle(event);
            }
            Err(Lagged(count)) => {
                agent.log.warn("agent", format_args!("{count} events were dropped, the agent was too slow"))
            }
        }
    }
}

impl Agent {
    fn handle(&self, event: NodeEvent) {
        match event {
            NodeEvent::Member(event) => {
                let members = event.members.iter().map(member).collect();
                let data = Event::Members { change: change(event.kind), members };
                self.dispatch(AgentEvent { data, query: None });
            }
            NodeEvent::User(user) => {
                self.metrics.count("serf.events");
                self.metrics.count(&format!("serf.events.{}", user.name));
                let data = Event::User {
                    name: user.name.into(),
                    lamport: user.ltime,
                    payload: user.payload.to_vec(),
                    coalesce: user.coalesce,
                };
                self.dispatch(AgentEvent { data, query: None });
            }
            NodeEvent::Query(query) => {
                self.metrics.count("serf.queries");
                self.metrics.count(&format!("serf.queries.{}", query.name));
                let data = Event::Query {
                    name: query.name.to_string(),
                    lamport: query.id.ltime(),
                    payload: query.payload.to_vec(),
                };
                self.dispatch(AgentEvent { data, query: Some(query) });
            }
            NodeEvent::Suspected { member, accuser } if *accuser == *self.serf.local().name() => {
                let name = member.name();
                let text = format_args!("Suspect {name} has failed, no acks received");
                self.log.info("memberlist", text);
            }
            NodeEvent::NameConflict { existing, other } if existing.name() == self.serf.local().name() => {
                let text = format_args!(
                    "Node name conflicts with another node at {other}. Names must be unique! (Resolution enabled: {})",
                    self.resolves_names
                );
                self.log.error("serf", text);
            }
            NodeEvent::NameConflict { existing, other } => {
                let (name, addr) = (existing.name(), existing.addr());
                let text = format_args!("Name conflict for '{name}' both {addr} and {other} are claiming");
                self.log.warn("serf", text);
            }
            NodeEvent::NameVote(vote) => self.vote_over(vote),
            NodeEvent::Partition(report) => {
                self.metrics.count(if report.share.split { "serf.partition.split" } else { "serf.partition.whole" });
                let mut members: Vec<Member> = report.this_side.iter().map(member).collect();
                members.sort_unstable_by(|a, b| a.name.cmp(&b.name));
                let data = Event::Partition { share: report.share.into(), zones_lost: report.zones_lost, members };
                self.dispatch(AgentEvent { data, query: None });
            }
            _ => {}
        }
    }

    fn dispatch(&self, event: AgentEvent) {
        self.log.info("agent", format_args!("Received event: {}", event.data.description()));
        if let Some(page) = &self.status_page {
            page.note(&event);
        }
        let event = Arc::new(event);
        self.streams.deliver(&event);
        self.scripts.dispatch(&event);
    }

    fn vote_over(&self, vote: NameVote) {
        let all = vote.for_us + vote.against;
        match vote.verdict {
            NameVerdict::Lost => {
                let text = format_args!("minority in name conflict resolution, quitting [{} / {all}]", vote.for_us);
                self.log.warn("serf", text);
                self.stop(Stop::NameLost);
            }
            NameVerdict::Kept => {
                let text = format_args!("majority in name conflict resolution [{} / {all}]", vote.for_us);
                self.log.info("serf", text);
            }
            NameVerdict::Undecided => self.log.info("serf", "no majority in name conflict resolution"),
        }
    }
}

/// The name conflicts logged recently.
#[derive(Debug, Default)]
struct Conflicts(Vec<(String, SocketAddr, Instant)>);

impl Conflicts {
    /// Whether to log a conflict: once a minute per pair, for at most [`CONFLICTS_MAX`] pairs at a time.
    fn is_news(&mut self, name: &str, other: SocketAddr, now: Instant) -> bool {
        self.0.retain(|(.., logged_at)| now - *logged_at < CONFLICT_PAUSE);
        let is_known = self.0.iter().any(|(known, at, _)| known == name && *at == other);
        if is_known || self.0.len() >= CONFLICTS_MAX {
            return false;
        }
        self.0.push((name.to_owned(), other, now));
        true
    }
}

/// A persistent conflict is logged again after this time.
const CONFLICT_PAUSE: Duration = Duration::from_secs(60);

/// Conflicts logged within [`CONFLICT_PAUSE`]. The node's own log records summarise the others.
const CONFLICTS_MAX: usize = 16;

const fn change(kind: MemberEventKind) -> MemberChange {
    match kind {
        MemberEventKind::Join => MemberChange::Join,
        MemberEventKind::Leave => MemberChange::Leave,
        MemberEventKind::Failed => MemberChange::Failed,
        MemberEventKind::Update => MemberChange::Update,
        MemberEventKind::Reap => MemberChange::Reap,
    }
}

/// Converts a member to its RPC form.
pub(super) fn member(member: &serf_tokio::Member) -> Member {
    let versions = member.peer().versions();
    Member {
        name: member.name().into(),
        addr: Some(member.addr().ip()),
        port: member.addr().port(),
        tags: tags::of_node(&member.to_tags()),
        status: member.status().to_string(),
        protocol: Versions {
            min: versions.protocol_min(),
            max: versions.protocol_max(),
            current: versions.protocol_current(),
        },
        delegate: Versions {
            min: versions.delegate_min(),
            // Ours: a node announces one delegate version more, which marks it as able to read native frames. Users see
            // version 5.
            max: versions.delegate_max().min(PROTOCOL_MAX),
            current: versions.delegate_current(),
        },
    }
}

/// The newest Serf protocol version.
pub(super) const PROTOCOL_MAX: u8 = 5;

/// The oldest Serf protocol version that is understood.
pub(super) const PROTOCOL_MIN: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_conflict_is_logged_once_a_minute_and_a_flood_of_them_not_at_all() {
        let at = |secs| Instant::ZERO + Duration::from_secs(secs);
        let addr = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let mut conflicts = Conflicts::default();
        assert!(conflicts.is_news("n1", addr(1), at(0)));
        assert!(!conflicts.is_news("n1", addr(1), at(59)));
        assert!(conflicts.is_news("n1", addr(1), at(60)));
        assert!(conflicts.is_news("n1", addr(2), at(60)), "another claimant");
        let told = (0..1000).filter(|at_port| conflicts.is_news("n2", addr(*at_port), at(61))).count();
        assert_eq!((told, conflicts.0.len()), (CONFLICTS_MAX - 2, CONFLICTS_MAX));
    }
}
