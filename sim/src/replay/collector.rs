//! Collects what a replayed node learned: from its events, and from what changed in its view of the members.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serf_agent::rpc::Evidence;
use serf_proto::internals::envelope::split;
use serf_proto::internals::wire::Codec;
use serf_proto::internals::wire::swim::Message;
use serf_proto::{
    ComplaintKind, Event, Input, Instant, MemberCounts, Node, Output, SocketFailure, Status, Tombstone, Why,
};
use serf_runtime::capture::Trigger;

use super::load::File;
use super::player::Step;
use super::{Command, Fact, What};

/// Collects the facts of one run.
pub(crate) struct Collector {
    node: String,
    facts: Vec<Fact>,
    view: View,
    /// Errors of the system that were reported.
    failures: BTreeSet<String>,
    /// When the last datagram of each address came.
    heard: BTreeMap<SocketAddr, Instant>,
}

/// What a node believed after an input.
#[derive(Default)]
struct View {
    counts: Option<MemberCounts>,
    updates: u64,
    members: BTreeMap<String, Member>,
    incarnation: u32,
    health_score: u32,
    complaints: BTreeMap<(ComplaintKind, String), String>,
}

/// A member in a view.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    status: Status,
    addr: SocketAddr,
    tags: Vec<(String, String)>,
    is_suspected: bool,
    accusers: Vec<String>,
}

/// Where facts of one input go.
struct At {
    at: Instant,
    unix_ns: u64,
}

impl Collector {
    pub(crate) fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            facts: Vec::new(),
            view: View::default(),
            failures: BTreeSet::new(),
            heard: BTreeMap::new(),
        }
    }

    pub(crate) fn facts(self) -> Vec<Fact> {
        self.facts
    }

    /// Records the beginning of the run. The state at it is the view that later inputs change.
    pub(crate) fn file(&mut self, file: &File, node: &Node) {
        let at = At { at: file.head.at, unix_ns: file.head.unix_ns };
        let is_first = self.view.counts.is_none();
        if is_first {
            self.view = View::of(node);
            let why = match file.head.trigger {
                Trigger::Start => "the node has started",
                Trigger::SwitchedOn => "the capture was switched on",
                Trigger::Full => "the files before this one were removed",
                Trigger::Gap => "inputs before this one were lost",
            };
            let counts = node.member_counts();
            let text = format!(
                "the capture of {} begins, because {why}; members known: {}, alive: {}",
                self.node,
                self.view.members.len(),
                counts.live
            );
            self.record(&at, None, What::Capture, text);
        }
    }

    /// Records what an input changed.
    pub(crate) fn step(&mut self, step: &Step<'_>) {
        let at = At { at: step.at, unix_ns: step.unix_ns };
        if let Input::Opened { from, .. } = step.input {
            self.heard.insert(*from, step.at);
        }
        self.input(&at, step.input);
        for output in step.outputs {
            if let Output::Event(event) = output {
                self.event(&at, event);
            }
        }
        self.changes(&at, step);
    }

    fn input(&mut self, at: &At, input: &Input) {
        let node = &self.node;
        let text = match input {
            Input::Join { seeds, .. } => {
                let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
                format!("{node} joins through {}", seeds.join(", "))
            }
            Input::Rejoin { .. } => format!("{node} rejoins the cluster of an earlier run"),
            Input::UserEvent { name, payload, .. } => {
                format!("{node} sends the user event {name} ({} bytes)", payload.len())
            }
            Input::Query { name, payload, .. } => format!("{node} sends the query {name} ({} bytes)", payload.len()),
            Input::SetTags(tags) => format!("{node} announces the tags {tags:?}"),
            Input::ForceLeave { name, tombstone } => {
                let prune = if *tombstone == Tombstone::Erase { ", and forgets it" } else { "" };
                format!("{node} declares {name} left, by a command{prune}")
            }
            Input::Leave => format!("{node} begins to leave, by a command"),
            Input::ChangeAllKeys { operation, .. } => format!("{node} asks all members: {operation}"),
            Input::SocketFailed { failure, words } => {
                let text = match failure {
                    SocketFailure::Send(to) => format!("the system of {node} refuses to send to {to}: {words}"),
                    SocketFailure::Receive => format!("the system of {node} fails to receive: {words}"),
                    SocketFailure::Accept => format!("the system of {node} fails to accept streams: {words}"),
                    _ => format!("a socket of {node} fails: {words}"),
                };
                if self.failures.insert(text.clone()) {
                    self.record(at, None, What::Trouble, text);
                }
                return;
            }
            _ => return,
        };
        let command = match input {
            Input::UserEvent { name, .. } => Some(Command::UserEvent(name.clone())),
            Input::Leave => Some(Command::Leave),
            _ => None,
        };
        self.push(at, None, What::Command, text, command);
    }

    fn event(&mut self, at: &At, event: &Event) {
        let node = &self.node;
        let (what, text) = match event {
            Event::User(event) => {
                let bytes = event.payload.len();
                (What::UserEvent, format!("{node} delivers the user event {} ({bytes} bytes)", event.name))
            }
            Event::Query(query) => {
                (What::Query, format!("{node} delivers the query {} of {}", query.name, query.source))
            }
            Event::QueryEnded(report) => {
                let silent = if report.silent.is_empty() {
                    String::new()
                } else {
                    format!("; no answer from {}", report.silent.join(", "))
                };
                (What::Query, format!("a query of {node} ends with {} answers{silent}", report.responses))
            }
            Event::Joined(report) => {
                let failed: Vec<String> =
                    report.failed.iter().map(|failed| format!("{} ({})", failed.addr, failed.cause)).collect();
                let failed = if failed.is_empty() { String::new() } else { format!("; not {}", failed.join(", ")) };
                (What::Command, format!("the join of {node} reached {} of its seeds{failed}", report.contacted))
            }
            Event::LeftCluster(_) => (What::Left, format!("{node} has left")),
            Event::NameConflict { existing, other } => {
                let text =
                    format!("another node claims the name {}: {other}, beside {}", existing.name(), existing.addr());
                (What::Trouble, text)
            }
            Event::NameVote(vote) => (
                What::Trouble,
                format!("the vote on the name of {node}: {} for it, {} against", vote.for_us, vote.against),
            ),
            _ => return,
        };
        self.record(at, None, what, text);
    }

    /// Compares the node's view with the one before the input.
    fn changes(&mut self, at: &At, step: &Step<'_>) {
        let node = step.node;
        self.own_changes(at, step);
        self.complaints(at, node);
        let (counts, updates) = (node.member_counts(), node.stats().member_updates + node.stats().member_joins);
        let is_same = self.view.counts.as_ref() == Some(&counts) && self.view.updates == updates;
        // While a member is suspected, others may confirm it, which changes no count.
        if is_same && counts.suspected == 0 {
            return;
        }
        (self.view.counts, self.view.updates) = (Some(counts), updates);
        let members = members(node);
        let before = core::mem::take(&mut self.view.members);
        for (name, now) in &members {
            if before.get(name) != Some(now) {
                self.member(at, node, name, before.get(name), now);
            }
        }
        for name in before.keys().filter(|name| !members.contains_key(*name)) {
            self.record(at, Some(name), What::Forgotten, format!("{} forgets {name}", self.node));
        }
        self.view.members = members;
    }

    fn member(&mut self, at: &At, node: &Node, name: &str, before: Option<&Member>, now: &Member) {
        let observer = self.node.clone();
        let why = node.why(name);
        let is_news = before.is_none_or(|before| before.status != now.status);
        match (before, now.status) {
            (None, Status::Alive) if !now.is_suspected => {
                self.record(at, Some(name), What::Join, format!("{observer} sees {name} join ({})", now.addr));
            }
            (_, Status::Failed | Status::Left) if is_news => self.gone(at, name, now, why.as_ref()),
            (_, Status::Leaving) if is_news => {
                self.record(at, Some(name), What::Leaving, format!("{observer} learns that {name} leaves"));
            }
            (Some(before), Status::Alive) if is_news => {
                let text = format!("{observer} sees {name} alive again; it was {}", before.status);
                self.record(at, Some(name), What::Alive, text);
            }
            (Some(before), Status::Alive) if before.is_suspected && !now.is_suspected => {
                let incarnation = node.incarnation_of(name).unwrap_or_default();
                let text = format!("{name} refutes: {observer} sees it alive (at its incarnation {incarnation})");
                self.record(at, Some(name), What::Alive, text);
            }
            _ => {}
        }
        if now.is_suspected {
            self.suspected(at, name, before, now, why.as_ref());
        }
        if let Some(before) = before.filter(|before| before.tags != now.tags || before.addr != now.addr) {
            let place = if before.addr == now.addr { String::new() } else { format!(" at {}", now.addr) };
            let text = format!("{observer} learns of {name}{place} with the tags {:?}", now.tags);
            self.record(at, Some(name), What::Update, text);
        }
    }

    fn suspected(&mut self, at: &At, name: &str, before: Option<&Member>, now: &Member, why: Option<&Why>) {
        let observer = self.node.clone();
        let known = before.filter(|before| before.is_suspected).map_or(&[][..], |before| &before.accusers);
        if known.is_empty() {
            let evidence = why.and_then(|why| why.suspected.as_ref()).map(|evidence| self.described(at, evidence));
            let accusers = now.accusers.join(", ");
            let evidence = evidence.map(|evidence| format!("; {evidence}")).unwrap_or_default();
            let heard = self.heard(at, now.addr);
            let text = format!("{observer} suspects {name}, accused by {accusers}{evidence}{heard}");
            self.record(at, Some(name), What::Suspect, text);
        } else {
            for accuser in now.accusers.iter().filter(|accuser| !known.contains(accuser)) {
                let text = if *accuser == observer {
                    format!("{observer} suspects {name}, too: it pinged it and got no answer")
                } else {
                    format!("{observer} learns that {accuser} suspects {name}, too")
                };
                self.record(at, Some(name), What::Confirm, text);
            }
        }
    }

    fn gone(&mut self, at: &At, name: &str, now: &Member, why: Option<&Why>) {
        let status = now.status;
        let said_by = why.and_then(|why| why.said_by.as_deref());
        let what = match (status, said_by) {
            (Status::Left, Some(by)) if by == name => "left: it said so itself".to_owned(),
            (Status::Left, _) => "left".to_owned(),
            (_, Some(by)) => format!("declared failed by {by}"),
            (_, None) => "declared failed".to_owned(),
        };
        let evidence =
            why.and_then(|why| why.gone.as_ref()).map(|evidence| format!("; {}", self.described(at, evidence)));
        let accusers = why.filter(|why| status == Status::Failed && !why.accusers.is_empty()).map(|why| {
            let names: Vec<&str> = why.accusers.iter().map(|name| &**name).collect();
            format!(". Who suspected it: {} (at its incarnation {})", names.join(", "), why.incarnation)
        });
        let heard = if status == Status::Failed { self.heard(at, now.addr) } else { String::new() };
        let text = format!("{name} {what}{}{heard}{}", evidence.unwrap_or_default(), accusers.unwrap_or_default());
        let kind = if status == Status::Left { What::Left } else { What::Failed };
        self.record(at, Some(name), kind, format!("{} sees: {text}", self.node));
    }

    fn own_changes(&mut self, at: &At, step: &Step<'_>) {
        let node = step.node;
        let (incarnation, score) = (node.incarnation(), node.health_score());
        if (incarnation, score) == (self.view.incarnation, self.view.health_score) {
            return;
        }
        let observer = self.node.clone();
        if incarnation > self.view.incarnation && node.stats().refutations > 0 {
            let said = accusations(step.input, &observer);
            let said = if said.is_empty() { "an accusation".to_owned() } else { said.join(", and ") };
            let text = format!("{observer} refutes {said}: its incarnation is now {incarnation}");
            self.record(at, Some(&observer), What::Refute, text);
        }
        if score != self.view.health_score {
            let how = if score > self.view.health_score {
                "doubts its own connection more"
            } else {
                "trusts its own connection more"
            };
            self.record(at, Some(&observer), What::Health, format!("{observer} {how}: its health score is {score}"));
        }
        (self.view.incarnation, self.view.health_score) = (incarnation, score);
    }

    fn complaints(&mut self, at: &At, node: &Node) {
        let now = complaints(node);
        if now.len() == self.view.complaints.len() && now.keys().eq(self.view.complaints.keys()) {
            return;
        }
        let before = core::mem::take(&mut self.view.complaints);
        for (key, text) in &now {
            if !before.contains_key(key) {
                self.record(at, None, What::Trouble, format!("{}: {text}", self.node));
            }
        }
        for (key, text) in &before {
            if !now.contains_key(key) {
                self.record(at, None, What::Over, format!("{}: over: {text}", self.node));
            }
        }
        self.view.complaints = now;
    }

    /// How long ago a packet came from the address: a member that is silent differs from one that is heard and does not answer.
    fn heard(&self, at: &At, addr: SocketAddr) -> String {
        self.heard.get(&addr).map_or_else(String::new, |last| {
            format!("; the last packet from its address came {:.1} s before", (at.at - *last).as_secs_f64())
        })
    }

    fn described(&self, at: &At, evidence: &serf_proto::Evidence) -> String {
        Evidence::of(evidence, at.at).description(&self.node)
    }

    fn record(&mut self, at: &At, member: Option<&str>, what: What, text: String) {
        self.push(at, member, what, text, None);
    }

    fn push(&mut self, at: &At, member: Option<&str>, what: What, text: String, command: Option<Command>) {
        let fact = Fact {
            unix_ns: at.unix_ns,
            at: at.at,
            node: self.node.clone(),
            member: member.map(str::to_owned),
            what,
            text,
            command,
        };
        self.facts.push(fact);
    }
}

/// An accusation of this node in a packet: its author, and the sender of the packet.
fn accusations(input: &Input, own: &str) -> Vec<String> {
    let Input::Opened { from, opened: Ok(packet), .. } = input else { return Vec::new() };
    let Ok(frames) = split(packet) else { return Vec::new() };
    let said = frames.filter_map(|frame| match Codec::decode(frame) {
        Ok(Message::Suspect(it)) if it.node == own => Some(("suspects it", it)),
        Ok(Message::Dead(it)) if it.node == own => Some(("declares it failed", it)),
        _ => None,
    });
    said.map(|(what, it)| format!("that {} {what} (at incarnation {}; received from {from})", it.from, it.incarnation))
        .collect()
}

impl View {
    fn of(node: &Node) -> Self {
        Self {
            counts: Some(node.member_counts()),
            updates: node.stats().member_updates + node.stats().member_joins,
            members: members(node),
            incarnation: node.incarnation(),
            health_score: node.health_score(),
            complaints: complaints(node),
        }
    }
}

fn members(node: &Node) -> BTreeMap<String, Member> {
    let has_suspects = node.member_counts().suspected > 0;
    let view = |member: serf_proto::Member| {
        let why = if has_suspects { node.why(member.name()) } else { None };
        let suspicion = why.filter(|why| why.gone.is_none() && why.suspected.is_some());
        let accusers = suspicion.as_ref().map(|why| why.accusers.iter().map(ToString::to_string).collect());
        let tags = member.tags().map(|(tag, value)| (tag.to_owned(), value.to_owned())).collect();
        let seen = Member {
            status: member.status(),
            addr: member.addr(),
            tags,
            is_suspected: suspicion.is_some(),
            accusers: accusers.unwrap_or_default(),
        };
        (member.name().to_owned(), seen)
    };
    node.members().map(view).collect()
}

fn complaints(node: &Node) -> BTreeMap<(ComplaintKind, String), String> {
    let described = |complaint: serf_proto::Complaint| {
        let peer = complaint.peer.map_or_else(|| "other peers".to_owned(), |peer| peer.to_string());
        let subject = complaint.member.map_or_else(|| peer.clone(), |member| format!("{member} ({peer})"));
        let text = match complaint.kind {
            ComplaintKind::Refused(reason) => format!("input of {subject} is dropped: {}", reason.name()),
            ComplaintKind::Encrypted => format!("{subject} encrypts, and this node has no key"),
            ComplaintKind::UdpBlocked => {
                format!("{subject} answers pings over TCP and not over UDP: UDP is blocked in one or both directions")
            }
            ComplaintKind::UdpIndirect => {
                format!("{subject} answers pings through other members only: UDP is blocked between it and this node")
            }
            ComplaintKind::Exchange => format!("exchanges of state with {subject} fail: TCP is blocked, or it refuses"),
            ComplaintKind::Send => format!("the system refuses to send to {subject}"),
            ComplaintKind::Receive => "the system fails to receive".to_owned(),
            ComplaintKind::Accept => "the system fails to accept streams".to_owned(),
            _ => format!("trouble with {subject}"),
        };
        ((complaint.kind, peer), text)
    };
    node.complaints().map(described).collect()
}
