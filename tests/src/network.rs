//! A few nodes on virtual time and a scripted network.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serf_proto::Key;
use serf_proto::{
    Coalescing, Config, Event, Identity, Instant, KeyOperation, MemberEvent, MemberEventKind, Node, OldEvents, Options,
    Outbox, Output, Question, Seed, Start, StreamId, StreamInput, Tags, Tombstone,
};

/// Returns the address of the node with this handle.
pub(crate) fn address(handle: char) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, (handle as u8) - b'a' + 1], PORT))
}

fn handle_at(addr: SocketAddr) -> Option<char> {
    let SocketAddr::V4(addr) = addr else { return None };
    Some(char::from(addr.ip().octets()[3].checked_add(b'a' - 1)?))
}

/// A packet or stream operation in transit.
#[derive(Debug)]
enum Delivery {
    Datagram {
        from: char,
        bytes: Bytes,
    },
    /// A connection request, with the stream's ID at the other node.
    Connect {
        from: char,
        stream: StreamId,
    },
    Opened {
        stream: StreamId,
    },
    Data {
        stream: StreamId,
        bytes: Bytes,
    },
    Closed {
        stream: StreamId,
    },
    Failed {
        stream: StreamId,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    now: Instant,
    nodes: BTreeMap<char, Node>,
    /// Report lines per node.
    reports: BTreeMap<char, String>,
    /// Deliveries by time of arrival, then in sending order.
    mail: BTreeMap<(Instant, u64), (char, Delivery)>,
    sent: u64,
    started: u64,
    /// Maps each end of a stream to the other.
    ends: BTreeMap<(char, StreamId), (char, StreamId)>,
    /// Nodes that receive no datagrams.
    deaf: BTreeSet<char>,
    /// Pairs of nodes without a connection.
    cuts: BTreeSet<(char, char)>,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Starts a node, with this key if any.
    pub(crate) fn start(&mut self, handle: char, name: &str, key: Option<Key>) -> Result<(), String> {
        if self.nodes.contains_key(&handle) {
            return Err(format!("{handle} runs already"));
        }
        let identity = Identity::new(name, address(handle), &Tags::default()).map_err(|error| error.to_string())?;
        let options =
            Options::lan().hashicorp_pace().with(|options| options.transport.encrypt_keys = key.into_iter().collect());
        let config = Config::new(options).map_err(|error| error.to_string())?;
        self.started += 1;
        let seed = Seed::from_u64(SEED).child(self.started);
        self.report(handle, if name == handle.to_string() { "starts".into() } else { format!("starts as {name}") });
        let mut out = Outbox::new();
        let node = Node::new(Arc::new(config), &identity, &seed, self.now, Start::new(), &mut out);
        self.nodes.insert(handle, node);
        self.route(handle, &mut out);
        Ok(())
    }

    pub(crate) fn join(&mut self, handle: char, seeds: &[SocketAddr], old: OldEvents) -> Result<(), String> {
        self.act(handle, |node, now, out| node.join(now, seeds, old, out))
    }

    pub(crate) fn leave(&mut self, handle: char) -> Result<(), String> {
        self.act(handle, |node, now, out| node.leave(now, out))
    }

    pub(crate) fn user_event(&mut self, handle: char, name: &str, payload: &str) -> Result<(), String> {
        self.act(handle, |node, now, out| node.user_event(now, name, payload.as_bytes(), Coalescing::Forbid, out))
    }

    pub(crate) fn query(&mut self, handle: char, name: &str, filters: &[&str]) -> Result<(), String> {
        let pairs: Vec<(&str, &str)> = filters.iter().filter_map(|filter| filter.split_once('=')).collect();
        let relays = pairs.iter().find(|(key, _)| *key == "relay").map_or(Ok(0), |(_, count)| count.parse());
        let relays = relays.map_err(|_| "over how many?".to_owned())?;
        let tags: Vec<(&str, &str)> = pairs.into_iter().filter(|(key, _)| *key != "relay").collect();
        let question = Question::new(name).of_tags(&tags).with_acks().relayed(relays);
        self.act(handle, |node, now, out| node.query(now, &question, out))
    }

    pub(crate) fn set_tags(&mut self, handle: char, tags: Vec<(&str, &str)>) -> Result<(), String> {
        let tags = tags.into_iter().collect();
        self.act(handle, |node, now, out| node.set_tags(now, &tags, out))
    }

    pub(crate) fn force_leave(&mut self, handle: char, name: &str, tombstone: Tombstone) -> Result<(), String> {
        self.act(handle, |node, now, out| node.force_leave(now, name, tombstone, out))
    }

    /// Sends a key operation from a node to all.
    pub(crate) fn change_keys(&mut self, handle: char, operation: KeyOperation, key: &Key) -> Result<(), String> {
        self.act(handle, |node, now, out| node.change_all_keys(now, operation, key.as_bytes(), 0, out))
    }

    /// Reports the keys of a node, each by its first byte, the primary first.
    pub(crate) fn report_keys(&mut self, handle: char) -> Result<(), String> {
        let node = self.nodes.get(&handle).ok_or_else(|| format!("{handle} does not run"))?;
        let keys: Vec<String> = node.keys().map(|key| key.as_bytes()[0].to_string()).collect();
        self.report(handle, format!("has keys: {}", keys.join(" ")));
        Ok(())
    }

    pub(crate) fn crash(&mut self, handle: char) -> Result<(), String> {
        self.nodes.remove(&handle).ok_or_else(|| format!("{handle} does not run"))?;
        self.report(handle, "crashes".into());
        let open: Vec<_> = self.ends.iter().filter(|((end, _), _)| *end == handle).map(|(a, b)| (*a, *b)).collect();
        for (ours, (peer, stream)) in open {
            self.ends.remove(&ours);
            self.ends.remove(&(peer, stream));
            self.post(handle, peer, Delivery::Failed { stream });
        }
        self.mail.retain(|_, (to, _)| *to != handle);
        Ok(())
    }

    pub(crate) fn deafen(&mut self, handle: char) -> Result<(), String> {
        self.deaf.insert(handle);
        Ok(())
    }

    pub(crate) fn cut(&mut self, one: char, other: char) -> Result<(), String> {
        self.cuts.extend([(one, other), (other, one)]);
        Ok(())
    }

    pub(crate) fn heal(&mut self) {
        self.deaf.clear();
        self.cuts.clear();
    }

    pub(crate) fn report_members(&mut self, handle: char) -> Result<(), String> {
        let node = self.nodes.get(&handle).ok_or_else(|| format!("{handle} does not run"))?;
        let mut members: Vec<String> =
            node.members().map(|member| format!("{} {}", member.name(), member.status())).collect();
        members.sort_unstable();
        self.report(handle, format!("knows: {}", members.join(", ")));
        Ok(())
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let mail = self.mail.first_key_value().map_or(Instant::MAX, |(&(at, _), _)| at);
            let wake = self.nodes.iter().filter_map(|(&handle, node)| Some((node.poll_timeout()?, handle))).min();
            let timer = wake.map_or(Instant::MAX, |(at, _)| at);
            if mail.min(timer) > end {
                self.now = end;
                return;
            }
            self.now = mail.min(timer);
            match wake {
                Some((_, handle)) if timer < mail => self.give(handle, |node, now, out| node.handle_timeout(now, out)),
                _ => {
                    let Some((_, (to, delivery))) = self.mail.pop_first() else { return };
                    self.deliver(to, delivery);
                }
            }
        }
    }

    /// Returns all reports, node by node.
    pub(crate) fn reports(&self) -> String {
        let mut all = String::new();
        for (handle, lines) in &self.reports {
            let blank = if all.is_empty() { "" } else { "\n" };
            let _ = write!(all, "{blank}{handle}\n{lines}");
        }
        all
    }

    fn act<T, E: std::error::Error>(
        &mut self,
        handle: char,
        command: impl FnOnce(&mut Node, Instant, &mut Outbox) -> Result<T, E>,
    ) -> Result<(), String> {
        let node = self.nodes.get_mut(&handle).ok_or_else(|| format!("{handle} does not run"))?;
        let mut out = Outbox::new();
        let result = command(node, self.now, &mut out).map(|_| ()).map_err(|error| error.to_string());
        self.route(handle, &mut out);
        result
    }

    /// Passes an input to a node. A crashed node ignores it.
    fn give(&mut self, handle: char, input: impl FnOnce(&mut Node, Instant, &mut Outbox)) {
        let Some(node) = self.nodes.get_mut(&handle) else { return };
        let mut out = Outbox::new();
        input(node, self.now, &mut out);
        self.route(handle, &mut out);
    }

    fn deliver(&mut self, to: char, delivery: Delivery) {
        match delivery {
            Delivery::Datagram { bytes, from } => {
                self.give(to, |node, now, out| node.handle_datagram(now, address(from), &bytes, out));
            }
            Delivery::Connect { from, stream } => self.accept(to, from, stream),
            Delivery::Opened { stream } => self.stream(to, stream, StreamInput::Opened),
            Delivery::Data { stream, bytes } => self.stream(to, stream, StreamInput::Data(&bytes)),
            Delivery::Closed { stream } => self.stream(to, stream, StreamInput::Closed),
            Delivery::Failed { stream } => self.stream(to, stream, StreamInput::Failed),
        }
    }

    fn stream(&mut self, to: char, stream: StreamId, input: StreamInput<'_>) {
        self.give(to, |node, now, out| node.handle_stream(now, stream, input, out));
    }

    fn accept(&mut self, to: char, from: char, theirs: StreamId) {
        let mut ours = None;
        self.give(to, |node, now, out| ours = Some(node.accept(now, address(from), out)));
        match ours {
            Some(ours) => {
                self.ends.insert((to, ours), (from, theirs));
                self.ends.insert((from, theirs), (to, ours));
                self.post(to, from, Delivery::Opened { stream: theirs });
            }
            None => self.post(to, from, Delivery::Failed { stream: theirs }),
        }
    }

    /// Executes a node's outputs. Every node answers every query immediately with its handle.
    fn route(&mut self, from: char, out: &mut Outbox) {
        let mut queries = Vec::new();
        while let Some(output) = out.pop() {
            match output {
                Output::Datagram { to, bytes } => {
                    if let Some(to) = handle_at(to).filter(|to| !self.deaf.contains(to)) {
                        self.post(from, to, Delivery::Datagram { from, bytes });
                    }
                }
                Output::Connect { stream, to } => {
                    if let Some(to) = handle_at(to) {
                        self.post(from, to, Delivery::Connect { from, stream });
                    }
                }
                Output::Write { stream, bytes } => {
                    self.post_to_peer(from, stream, |stream| Delivery::Data { stream, bytes });
                }
                Output::Close { stream } => {
                    self.post_to_peer(from, stream, |stream| Delivery::Closed { stream });
                    self.ends.remove(&(from, stream));
                }
                Output::Event(event) => {
                    self.report(from, describe(&event));
                    if let Event::Query(query) = event {
                        queries.push(query.id);
                    }
                }
                Output::Keyring { .. } => {}
                other => unreachable!("an output that this network does not know: {other:?}"),
            }
        }
        for id in queries {
            self.give(from, |node, now, out| _ = node.respond(now, id, from.to_string().as_bytes(), out));
        }
    }

    fn post_to_peer(&mut self, from: char, stream: StreamId, delivery: impl FnOnce(StreamId) -> Delivery) {
        if let Some(&(peer, stream)) = self.ends.get(&(from, stream)) {
            self.post(from, peer, delivery(stream));
        }
    }

    /// Sends a delivery. For a node that does not run, a stream is refused and everything else is lost.
    fn post(&mut self, from: char, to: char, delivery: Delivery) {
        if self.cuts.contains(&(from, to)) {
            return;
        }
        let at = self.now + LATENCY;
        let entry = match delivery {
            Delivery::Connect { stream, .. } if !self.nodes.contains_key(&to) => (from, Delivery::Failed { stream }),
            delivery => (to, delivery),
        };
        self.sent += 1;
        self.mail.insert((at, self.sent), entry);
    }

    fn report(&mut self, handle: char, what: String) {
        let tenths = (self.now.as_nanos() + 50_000_000) / 100_000_000;
        let time = format!("{}.{}s", tenths / 10, tenths % 10);
        let _ = writeln!(self.reports.entry(handle).or_default(), "{time:>8}  {what}");
    }
}

fn names(event: &MemberEvent) -> String {
    event.members.names().collect::<Vec<_>>().join(" ")
}

/// Describes an event as a line of a report.
pub fn describe(event: &Event) -> String {
    match event {
        Event::Member(event) if event.kind == MemberEventKind::Update => {
            let tags = event.members.iter().flat_map(|member| member.tags());
            let tags: Vec<String> = tags.map(|(key, value)| format!("{key}={value}")).collect();
            format!("{} {} {}", event.kind, names(event), tags.join(" "))
        }
        Event::Member(event) => format!("{} {}", event.kind, names(event)),
        Event::User(event) => {
            format!("user event {} {}", event.name, String::from_utf8_lossy(&event.payload)).trim_end().into()
        }
        Event::Query(query) => format!("query {} from {}", query.name, query.source),
        Event::QueryAck { from, .. } => format!("acknowledged by {from}"),
        Event::QueryResponse { from, payload, .. } => {
            format!("answered by {from}: {}", String::from_utf8_lossy(payload))
        }
        Event::QueryEnded(report) if report.complete => format!("all {} have answered", report.responses),
        Event::QueryEnded(report) => {
            format!(
                "the time is up: {} answers, none from {}",
                report.responses,
                report.silent.iter().map(|name| &**name).collect::<Vec<_>>().join(" ")
            )
        }
        Event::Keys(report) => {
            let done = report.answers.iter().filter(|answer| answer.done).count();
            let failures = report.failures().map(|answer| format!(", not by {}: {}", answer.from, answer.message));
            let silent = report.silent.iter().map(|name| format!(", no word from {name}"));
            format!("{}: done by {done}{}", report.operation, failures.chain(silent).collect::<String>())
        }
        Event::NameVote(vote) => {
            format!("vote on our name: {} for us, {} against: {:?}", vote.for_us, vote.against, vote.verdict)
        }
        Event::Joined(report) => {
            let failed: Vec<String> =
                report.failed.iter().map(|failure| format!(", {} {}", failure.addr, failure.cause)).collect();
            format!("joined through {}{}", report.contacted, failed.concat())
        }
        Event::LeftCluster(report) => format!("left, {}", if report.complete { "and all is told" } else { "untold" }),
        Event::Suspected { member, accuser } => format!("suspects {}, says {accuser}", member.name()),
        Event::NameConflict { existing, other } => {
            format!("name conflict: {} at {} and {other}", existing.name(), existing.addr())
        }
        other => format!("{other:?}"),
    }
}

const PORT: u16 = 7946;

/// One-way latency.
const LATENCY: Duration = Duration::from_millis(1);

const SEED: u64 = 1;
