//! Executes the requests of RPC clients.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serf_tokio::serf_proto::{Pattern, PatternError};
use serf_tokio::{CommandError, ForceLeaveError, KeyOperation, LeaveError, NodeState, SetTagsError, UserEventError};

use super::events::member;
use super::setup::announced;
use super::{Agent, Stop};
use crate::config::write_tags_file;
use crate::endpoint::go_words;
use crate::handler::EventFilter;
use crate::log::{Level, Log};
use crate::quote::quote;
use crate::rpc::server::{CloseConnection, ReplyQueue, STREAMS_MAX, Service, StreamError, Streams};
use crate::rpc::{
    Coordinate, Member, MemberFilter, Request, UserEvent, encode_coordinate, encode_join_count, encode_members,
    encode_stats,
};
use crate::tags;
use crate::tally::Tally;

impl Service for Agent {
    fn log(&self) -> &Arc<Log> {
        &self.log
    }

    fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    fn count(&self, name: &str) {
        self.metrics.count(name);
    }

    fn streams(&self) -> &Streams {
        &self.streams
    }

    fn token(&self) -> &str {
        &self.rpc_auth
    }

    async fn serve(
        self: &Arc<Self>,
        replies: &Arc<ReplyQueue>,
        seq: u64,
        request: Request,
    ) -> Result<(), CloseConnection> {
        serve(self, replies, seq, request).await
    }
}

async fn serve(
    agent: &Arc<Agent>,
    replies: &Arc<ReplyQueue>,
    seq: u64,
    request: Request,
) -> Result<(), CloseConnection> {
    let done = |result: Result<(), String>| replies.reply(seq, result.err().as_deref().unwrap_or_default(), |_| {});
    match request {
        // Handled by the connection.
        Request::Handshake { .. } | Request::Auth { .. } => {}
        Request::Event(event) => done(agent.user_event(&event)),
        Request::ForceLeave { node, prune } => done(agent.force_leave(&node, prune)),
        Request::Join { existing, replay } => {
            let joined = agent.join(&existing, replay).await;
            let (error, count) = joined.map_or_else(|why| (why, 0), |count| (String::new(), count));
            replies.reply(seq, &error, |to| encode_join_count(count.into(), to));
        }
        Request::Members => agent.members(replies, seq, |_| true),
        Request::MembersFiltered(filter) => return agent.members_filtered(replies, seq, filter).await,
        Request::Tags { set, delete } => done(agent.change_tags(set, &delete).await),
        Request::Stats => replies.reply(seq, "", |to| encode_stats(&agent.figures(), to)),
        Request::Coordinate { node } => {
            let coordinate = agent.coordinate(&node);
            replies.reply(seq, "", |to| encode_coordinate(coordinate.as_ref(), to));
        }
        Request::Why { node } => {
            let why = agent.why(&node);
            replies.reply(seq, "", |to| why.encode(to));
        }
        Request::Leave => return leave(agent, replies, seq).await,
        Request::Stop { seq: stopped } => {
            replies.stop(stopped);
            done(Ok(()));
        }
        Request::InstallKey { key } => keys(agent, replies, seq, KeyOperation::Install, &key).await,
        Request::UseKey { key } => keys(agent, replies, seq, KeyOperation::Use, &key).await,
        Request::RemoveKey { key } => keys(agent, replies, seq, KeyOperation::Remove, &key).await,
        Request::ListKeys => keys(agent, replies, seq, KeyOperation::List, "").await,
        Request::Query(query) => agent.ask(replies, seq, &query),
        Request::Respond { id, payload } => done(agent.respond(replies, id, &payload.unwrap_or_default())),
        Request::Stream { filter } => stream(agent, replies, seq, &filter),
        Request::Monitor { level } => monitor(replies, seq, &level),
    }
    Ok(())
}

async fn keys(agent: &Agent, replies: &ReplyQueue, seq: u64, operation: KeyOperation, key: &str) {
    let (error, report) = agent.keys(operation, key).await;
    replies.reply(seq, &error, |to| report.encode(to));
}

/// Leaves the cluster, answers, and ends the agent.
async fn leave(agent: &Agent, replies: &ReplyQueue, seq: u64) -> Result<(), CloseConnection> {
    agent.log.info("agent.ipc", "Graceful leave triggered");
    if agent.serf.state() == NodeState::Leaving {
        replies.reply(seq, "Leave already in progress", |_| {});
        return Ok(());
    }
    let left = agent.leave().await;
    replies.reply(seq, left.err().as_deref().unwrap_or_default(), |_| {});
    // The client must receive its reply before the process exits.
    _ = tokio::time::timeout(ANSWER_TIMEOUT, replies.below(1)).await;
    tokio::task::yield_now().await;
    agent.stop(Stop::Left);
    Err(CloseConnection)
}

fn stream(agent: &Agent, replies: &Arc<ReplyQueue>, seq: u64, filter: &str) {
    let error = if filter.split(',').nth(STREAM_FILTERS_MAX).is_some() {
        format!("Too many event filters, at most {STREAM_FILTERS_MAX} a stream")
    } else {
        match EventFilter::parse_list(filter).map(|filters| replies.begin_stream(&agent.streams, seq, filters)) {
            Ok(Ok(())) => return,
            Ok(Err(StreamError::Exists)) => "Stream with given sequence exists".into(),
            Ok(Err(StreamError::TooMany)) => format!("Too many streams, at most {STREAMS_MAX} a client"),
            Err(_) => "Invalid event filter".into(),
        }
    };
    replies.reply(seq, &error, |_| {});
}

fn monitor(replies: &ReplyQueue, seq: u64, level: &str) {
    let error = match Level::parse(level) {
        Some(level) => match replies.begin_monitor(seq, level) {
            Ok(()) => return,
            Err(_) => "Monitor already exists".into(),
        },
        None => format!("Unknown log level: {}", level.to_uppercase()),
    };
    replies.reply(seq, &error, |_| {});
}

impl Agent {
    fn user_event(&self, event: &UserEvent) -> Result<(), String> {
        let payload = event.payload.as_deref().unwrap_or_default();
        self.log.debug(
            "agent",
            format_args!(
                "Requesting user event send: {}. Coalesced: {}. Payload: {}",
                event.name,
                event.coalesce,
                quote(&payload[..payload.len().min(PAYLOAD_SHOWN_BYTES_MAX)])
            ),
        );
        let (bytes, limit) = (event.name.len() + payload.len(), self.size_limits.user_event_bytes_max);
        let sent = if bytes > limit as usize {
            Err(format!("user event exceeds configured limit of {limit} bytes before encoding"))
        } else {
            self.serf.user_event(&event.name, payload, event.coalesce).map_err(|error| match error {
                CommandError::Refused(UserEventError::TooLarge { .. }) => {
                    format!("encoded user event exceeds configured limit of {limit} bytes after encoding")
                }
                error => error.to_string(),
            })
        };
        sent.inspect_err(|why| self.log.warn("agent", format_args!("failed to send user event: {why}")))
    }

    fn force_leave(&self, node: &str, prune: bool) -> Result<(), String> {
        let how = if prune { " (prune)" } else { "" };
        self.log.info("agent", format_args!("Force leaving node{how}: {node}"));
        match self.serf.force_leave(node, prune) {
            // Ours: a name that cannot exist is treated as an unknown name, which is not an error.
            Ok(()) | Err(CommandError::Refused(ForceLeaveError::Nobody { .. })) => Ok(()),
            Err(CommandError::Refused(ForceLeaveError::Ourselves)) => {
                Err("a node does not force itself to leave, use 'serf leave'".into())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Replies with every member that `wants` accepts, sorted by name.
    fn members(&self, replies: &ReplyQueue, seq: u64, wants: impl Fn(&Member) -> bool) {
        let mut members: Vec<Member> = self.serf.members().iter().map(member).filter(wants).collect();
        members.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        replies.reply(seq, "", |to| encode_members(members.iter(), to));
    }

    /// Replies with every member that matches. Patterns are compiled and matched on another thread, so that a client's
    /// patterns cannot delay gossip.
    async fn members_filtered(
        &self,
        replies: &ReplyQueue,
        seq: u64,
        filter: MemberFilter,
    ) -> Result<(), CloseConnection> {
        let patterns = filter.tags.values().chain([&filter.name, &filter.status]);
        let bytes: usize = patterns.map(String::len).sum();
        if bytes > PATTERNS_BYTES_MAX {
            let why = format!("The filters have {bytes} bytes, at most {PATTERNS_BYTES_MAX} a request");
            replies.refuse(seq, "members-filtered", &why);
            return Ok(());
        }
        if filter == MemberFilter::default() {
            self.members(replies, seq, |_| true);
            return Ok(());
        }
        let _one_at_a_time = self.listing.lock().await;
        let members = self.serf.members();
        let listing = tokio::task::spawn_blocking(move || {
            let filter = Filter::new(&filter).ok()?;
            let mut members: Vec<_> = members.iter().map(member).filter(|member| filter.wants(member)).collect();
            members.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            Some(members)
        });
        // HashiCorp's agent sends no reply to a bad pattern, and client libraries depend on that.
        let members = listing.await.ok().flatten().ok_or(CloseConnection)?;
        replies.reply(seq, "", |to| encode_members(members.iter(), to));
        Ok(())
    }

    /// Changes tags. A tag that is both set and deleted is set.
    async fn change_tags(&self, set: BTreeMap<String, String>, delete: &[String]) -> Result<(), String> {
        let file = self.tags_file.lock().await;
        let mut tags = tags::of_node(&serf_tokio::Tags::decode(self.serf.local().meta()));
        tags.retain(|key, _| !delete.contains(key));
        tags.extend(set);
        self.announce_tags(file.as_deref(), tags).await
    }

    /// Applies the tags that changed in the settings. Tags set by clients stay.
    pub(super) async fn reload_tags(
        &self,
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        let gone: Vec<String> = before.keys().filter(|key| !after.contains_key(*key)).cloned().collect();
        let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
        let changed = changed.map(|(key, value)| (key.clone(), value.clone())).collect();
        self.change_tags(changed, &gone).await
    }

    /// Writes tags to their file, then announces them to the cluster.
    async fn announce_tags(&self, file: Option<&Path>, tags: BTreeMap<String, String>) -> Result<(), String> {
        let own: serf_tokio::Tags = announced(tags.clone(), self.protocol).into_iter().collect();
        if own.encode().len() > serf_tokio::serf_proto::limits::META_BYTES_MAX {
            return Err(TAGS_TOO_LONG.into());
        }
        if let Some(file) = file {
            let file = file.to_owned();
            // The write may block on a slow disk.
            let written = match tokio::task::spawn_blocking(move || write_tags_file(&file, &tags)).await {
                Ok(written) => written.map_err(|error| go_words(&error)),
                Err(error) => Err(error.to_string()),
            };
            if let Err(why) = written {
                let why = format!("Failed to write tags file: {why}");
                self.log.error("agent", &why);
                return Err(why);
            }
        }
        self.serf.set_tags(&own).map_err(|error| match error {
            CommandError::Refused(SetTagsError::TooLarge { .. }) => TAGS_TOO_LONG.into(),
            error => error.to_string(),
        })
    }

    fn coordinate(&self, node: &str) -> Option<Coordinate> {
        let found = self.serf.coordinate_of(node)?;
        let (error, adjustment, height) = (found.error(), found.adjustment(), found.height());
        Some(Coordinate { vec: found.vec().to_vec(), error, adjustment, height })
    }

    fn respond(&self, replies: &ReplyQueue, id: u64, payload: &[u8]) -> Result<(), String> {
        let is_open = |query: &serf_tokio::Query| !self.serf.time_left(query).is_zero();
        let query = replies.query(id, is_open).ok_or("No pending queries matching ID")?;
        self.serf.respond(query.id, payload).map_err(|error| self.respond_failure(error))
    }

    /// Leaves the cluster and waits until the leave is complete.
    pub(super) async fn leave(&self) -> Result<(), String> {
        self.log.info("agent", "requesting graceful leave from Serf");
        let left = self.serf.leave().await;
        left.map(drop).map_err(|error| match error {
            LeaveError::Stopped => "Leave called after Shutdown".into(),
            // Other errors: the node has left, but the snapshot does not record it, and the next start rejoins.
            error => error.to_string(),
        })
    }
}

/// Patterns that must match the whole of a member's tags, status and name.
struct Filter<'a> {
    name: Option<Pattern>,
    status: Option<Pattern>,
    tags: Vec<(&'a str, Pattern)>,
}

impl<'a> Filter<'a> {
    fn new(filter: &'a MemberFilter) -> Result<Self, PatternError> {
        // HashiCorp's anchors without grouping: `a|b` means `^a` or `b$`.
        let whole = |text: &str| Pattern::new(&format!("^{text}$"));
        let given = |text: &str| (!text.is_empty()).then(|| whole(text)).transpose();
        let tags = filter.tags.iter().map(|(tag, text)| Ok((tag.as_str(), whole(text)?)));
        Ok(Self { name: given(&filter.name)?, status: given(&filter.status)?, tags: tags.collect::<Result<_, _>>()? })
    }

    /// Whether a member matches. A missing tag counts as empty.
    fn wants(&self, member: &Member) -> bool {
        let matches = |pattern: &Option<Pattern>, text: &str| pattern.as_ref().is_none_or(|it| it.is_match(text));
        let tag = |(tag, pattern): &(&str, Pattern)| {
            pattern.is_match(member.tags.get(*tag).map(String::as_str).unwrap_or_default())
        };
        matches(&self.name, &member.name) && matches(&self.status, &member.status) && self.tags.iter().all(tag)
    }
}

pub(super) const TAGS_TOO_LONG: &str = "Encoded length of tags exceeds limit of 512 bytes";

const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Limit on the patterns of one `members-filtered`, name and status included, in bytes. A longer request is refused,
/// because compile time grows with the length.
const PATTERNS_BYTES_MAX: usize = 4096;

/// Limit on the event filters of one stream. A request with more is refused, because every filter is evaluated for
/// every event.
const STREAM_FILTERS_MAX: usize = 64;

/// Bytes of a payload that are logged. The log record itself is bounded, too.
pub(super) const PAYLOAD_SHOWN_BYTES_MAX: usize = 4096;
