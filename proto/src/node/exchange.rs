//! Exchanges on streams: builds requests, serves them, and handles replies.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use super::Node;
use crate::complaints::PeerAt;
use crate::core::{Dial, ExchangePurpose, Origin, Sometimes};
use crate::envelope::Direction;
use crate::event::SeedFailureCause;
use crate::limits::STREAM_MESSAGE_BYTES_MAX;
use crate::outbox::{Outbox, Output};
use crate::policy::Candidate;
use crate::roster::canonical;
use crate::stats::DropReason;
use crate::stream::{Step, Unit, frame};
use crate::timer::NodeTimer;
use crate::types::{JoinId, QueryId, StreamId};
use crate::wire::hashicorp::{self, ACK, PING, PUSH_PULL, USER};
use crate::wire::swim::{Ack, Message, Ping, State};
use crate::wire::{Codec, MemberState, PushPull, Writer, native};

impl Node {
    /// Opens the streams that the layers requested, and closes those that they no longer need.
    pub(super) fn open_dialed(&mut self, out: &mut Outbox) {
        // Take the buffer, and give it back for its capacity: `open` needs `self`.
        let mut dials = core::mem::take(&mut self.core.dials);
        for dial in dials.drain(..) {
            self.open(dial, out);
        }
        self.core.dials = dials;
        if !self.core.abandoned.is_empty() {
            let abandoned = core::mem::take(&mut self.core.abandoned);
            self.cancel_streams(
                |purpose| matches!(purpose, ExchangePurpose::Fetch { number, .. } if abandoned.contains(number)),
                out,
            );
        }
    }

    /// Closes the streams that were opened for these purposes, without a report of a failure.
    pub(super) fn cancel_streams(&mut self, is_obsolete: impl Fn(&ExchangePurpose) -> bool, out: &mut Outbox) {
        for stream in self.streams.cancel(is_obsolete) {
            out.push(Output::Close { stream });
        }
    }

    fn open(&mut self, Dial { to, purpose, until }: Dial, out: &mut Outbox) {
        let stream = self.streams.dial(self.core.now, to, purpose);
        self.core.timers.set(NodeTimer::Stream(stream), until);
        out.push(Output::Connect { stream, to });
    }

    /// The peer of a stream, for complaints.
    pub(super) fn peer_of(&self, id: StreamId) -> Option<PeerAt> {
        self.streams.peer(id).and_then(|addr| Origin::Exchange(addr).peer())
    }

    /// Evicts a stream, because there are too many or their buffers hold too much. `handled` is the peer of the current
    /// input.
    pub(super) fn evict(&mut self, id: StreamId, handled: Option<PeerAt>, out: &mut Outbox) {
        // Twice: drops before this line belong to the current input's peer, those after it to the evicted stream's.
        self.complain_of_drops(handled);
        self.core.met.note(Sometimes::StreamEvicted);
        let peer = self.peer_of(id);
        let step = self.streams.evict(id);
        self.step(id, step, peer, out);
        self.complain_of_drops(peer);
    }

    /// Executes the step that the stream state machine returned. Closes the stream, unless the step keeps it open.
    pub(super) fn step(&mut self, id: StreamId, step: Step<'_>, peer: Option<PeerAt>, out: &mut Outbox) {
        match step {
            Step::Wait => return,
            Step::Request(purpose) => {
                if let Some(request) = self.request(purpose) {
                    return self.write(id, request, Direction::Request, out);
                }
                // The request exceeds what any peer accepts; the deadline ends the exchange.
                return;
            }
            Step::Serve { from, unit } => self.serve(id, from, &unit, out),
            Step::Reply { purpose, from, unit } => self.reply(purpose, from, &unit, out),
            Step::Failed { purpose, cause, fault } => {
                self.count_fault(fault);
                self.exchange_failed(purpose, peer, cause);
            }
            Step::InboundEnded { fault } => {
                self.count_fault(fault);
                self.send_error(id, fault, out);
            }
        }
        out.push(Output::Close { stream: id });
    }

    /// Counts the fault as a drop.
    fn count_fault(&mut self, fault: Option<DropReason>) {
        if let Some(reason) = fault {
            self.core.stats.drop(reason);
        }
    }

    /// Replies to a request that could not be opened with an error message, so that the sender can log the cause
    /// (`handleConn` in memberlist's net.go).
    fn send_error(&mut self, id: StreamId, fault: Option<DropReason>, out: &mut Outbox) {
        let Some(text) = fault.and_then(complaint).filter(|_| self.core.cfg.transport().codec.reads(Codec::HashiCorp))
        else {
            return;
        };
        let mut buf = [0; SMALL_MESSAGE_BYTES_MAX];
        let mut writer = Writer::new(&mut buf);
        if hashicorp::encode_error(text, &mut writer).is_ok() {
            let len = writer.len();
            self.write(id, Vec::from(&buf[..len]), Direction::Reply, out);
        }
    }

    /// Writes a message to a stream. Drops one that exceeds what any peer accepts.
    fn write(&mut self, stream: StreamId, message: Vec<u8>, direction: Direction, out: &mut Outbox) {
        self.digest_content(core::iter::once(&*message));
        let Some(unit) = self.envelope.seal_record(message, direction) else { return };
        self.core.stats.stream_bytes_out += unit.len() as u64;
        out.push(Output::Write { stream, bytes: Bytes::from(unit) });
    }

    fn request(&mut self, purpose: ExchangePurpose) -> Option<Vec<u8>> {
        match purpose {
            ExchangePurpose::PushPull { join, codec } => self.request_push_pull(codec, join),
            ExchangePurpose::Join { .. } => self.request_push_pull(self.core.codec(None, None), true),
            ExchangePurpose::Greet { id, seed } => {
                let node = self.joins.remembered(id, seed)?;
                ping_request(self.core.codec(None, None), GREETING, node)
            }
            ExchangePurpose::Reconnect { target, codec } => {
                ping_request(codec, GREETING, self.core.roster.peer(target)?.name())
            }
            ExchangePurpose::Ping { seq, target, codec } => {
                ping_request(codec, seq, self.core.roster.peer(target)?.name())
            }
            ExchangePurpose::Fetch { number, .. } => {
                let QueryId { ltime, id } = self.serf.fetched_query(number)?;
                frame(native::STREAM_FETCH, SMALL_MESSAGE_BYTES_MAX, |body| native::Fetch { ltime, id }.encode(body))
            }
        }
    }

    fn request_push_pull(&mut self, codec: Codec, join: bool) -> Option<Vec<u8>> {
        self.core.stats.push_pulls_out += 1;
        self.push_pull(codec, join)
    }

    /// Builds a push/pull message with the state of all members and of the Serf layer. `None` if it exceeds the limit.
    pub(super) fn push_pull(&self, codec: Codec, join: bool) -> Option<Vec<u8>> {
        let Self { core, swim, serf, .. } = self;
        let nodes = swim.members_known();
        let room = swim.states_bytes(core, codec);
        // Members first. The Serf state gets the bytes that are left, because it can be cut and the member list cannot.
        match codec {
            Codec::Native => frame(native::STREAM_PUSH_PULL, room + serf.state_bytes(core), |body| {
                native::begin_push_pull(body, join, nodes);
                swim.write_states(core, codec, body);
                let room = STREAM_MESSAGE_BYTES_MAX.saturating_sub(body.len() + STREAM_HEAD_BYTES_MAX);
                serf.write_state(core, codec, room, body);
            }),
            Codec::HashiCorp => {
                // HashiCorp's header states the length of the user state, so both parts are written before it.
                let mut states = Vec::with_capacity(room);
                swim.write_states(core, codec, &mut states);
                let mut user = Vec::with_capacity(serf.state_bytes(core));
                let room = STREAM_MESSAGE_BYTES_MAX.saturating_sub(states.len() + STREAM_HEAD_BYTES_MAX);
                serf.write_state(core, codec, room, &mut user);
                let mut message = Vec::with_capacity(STREAM_HEAD_BYTES_MAX + states.len() + user.len());
                hashicorp::begin_push_pull(&mut message, join, nodes, u32::try_from(user.len()).ok()?);
                message.extend_from_slice(&states);
                message.extend_from_slice(&user);
                (message.len() <= STREAM_MESSAGE_BYTES_MAX).then_some(message)
            }
        }
    }

    /// Serves a request in its own codec. The reply to a push/pull is written before the request is merged, as in
    /// memberlist's `handleConn`, so that two nodes do not echo each other's state.
    fn serve(&mut self, id: StreamId, from: SocketAddr, unit: &Unit<'_>, out: &mut Outbox) {
        let codec = unit.codec();
        if !self.core.cfg.transport().codec.reads(codec) {
            return self.core.stats.drop(DropReason::Codec);
        }
        if unit.is(PUSH_PULL) {
            match PushPull::parse(codec, unit.body()) {
                Ok(remote) => {
                    self.core.stats.push_pulls_in += 1;
                    // A merge veto applies to joins only, as `NotifyMerge` does in memberlist.
                    if remote.join() && !self.admits_merge(&remote) {
                        return self.send_error(id, Some(DropReason::Vetoed), out);
                    }
                    // Before `merge`, which would put the peer's own states into the reply.
                    if let Some(reply) = self.push_pull(self.reply_codec(&remote), remote.join()) {
                        self.write(id, reply, Direction::Reply, out);
                    }
                    let _refused = self.merge(Origin::Exchange(from), &remote, false, None, out);
                }
                Err(_) => self.core.stats.drop(DropReason::Malformed),
            }
        } else if unit.is(PING) {
            self.serve_ping(id, unit, out);
        } else if unit.is(USER) {
            self.take_user(from, codec, unit.body());
        } else if unit.kind == native::STREAM_FETCH {
            self.serve_fetch(id, from, unit, out);
        } else {
            tracing::debug!(%from, kind = unit.kind, "a stream began with an unexpected message");
            self.core.stats.drop(DropReason::Unexpected);
        }
    }

    /// The codec of the reply to a push/pull: that of the request. Ours: a newcomer cannot know what we read, so it
    /// writes HashiCorp's codec; the reply is native if its own state says that it reads that.
    fn reply_codec(&self, remote: &PushPull<'_>) -> Codec {
        let newcomer = remote.newcomer().and_then(|newcomer| newcomer.announced.peer().ok());
        let reads_native = newcomer.is_some_and(|peer| peer.versions.reads_native());
        if reads_native {
            self.core.cfg.transport().codec.writes(newcomer.map(|peer| peer.versions), None)
        } else {
            remote.codec()
        }
    }

    fn serve_ping(&mut self, id: StreamId, unit: &Unit<'_>, out: &mut Outbox) {
        match Codec::decode_body(unit.kind, unit.body()) {
            Ok(Message::Ping(ping)) if self.swim.is_for_us(&self.core, ping.node) => {
                let ack = Message::Ack(Ack { seq: ping.seq, payload: &[] });
                if let Some(reply) = stream_message(unit.codec(), &ack) {
                    self.write(id, reply, Direction::Reply, out);
                }
            }
            Ok(Message::Ping(ping)) => {
                self.core.drop_naming(DropReason::NotForUs, format_args!("{}", ping.node));
            }
            Ok(_) => self.core.stats.drop(DropReason::Unexpected),
            Err(_) => self.core.stats.drop(DropReason::Malformed),
        }
    }

    /// Replies with our large answer to a query. The stream is closed without a reply if there is none. Any peer may fetch
    /// it, as any peer may ask: the address of a stream is not forged, so that no answer goes to a third address.
    fn serve_fetch(&mut self, id: StreamId, from: SocketAddr, unit: &Unit<'_>, out: &mut Outbox) {
        let Ok(native::Fetch { ltime, id: number }) = native::Fetch::decode(unit.body()) else {
            return self.core.stats.drop(DropReason::Malformed);
        };
        let query = QueryId { ltime, id: number };
        let Some(payload) = self.serf.offered(&self.core, query, canonical(from).ip()) else {
            // No complaint: it may have expired, or a third node has forged the offer.
            return self.core.stats.drop_expected(DropReason::Unexpected);
        };
        self.core.stats.query_answers_served += 1;
        let write = |body: &mut Vec<u8>| native::push_answer(body, &payload);
        if let Some(reply) = frame(native::STREAM_ANSWER, 1 + payload.len(), write) {
            self.write(id, reply, Direction::Reply, out);
        }
    }

    /// Handles a message for the Serf layer that was sent on a stream because it exceeds a packet. It has no reply.
    fn take_user(&mut self, from: SocketAddr, codec: Codec, body: &[u8]) {
        let message = match codec {
            Codec::Native => Ok(body),
            Codec::HashiCorp => hashicorp::decode_user(body),
        };
        match message {
            Ok(message) if !message.is_empty() => self.serf.handle(&mut self.core, Origin::Exchange(from), message),
            Ok(_) => {}
            Err(_) => self.core.stats.drop(DropReason::Malformed),
        }
    }

    /// Handles the reply to a request of this node.
    fn reply(&mut self, purpose: ExchangePurpose, from: SocketAddr, unit: &Unit<'_>, out: &mut Outbox) {
        let result = match purpose {
            _ if !self.core.cfg.transport().codec.reads(unit.codec()) => Err(SeedFailureCause::Malformed),
            _ if unit.kind == hashicorp::ERROR => {
                let text = hashicorp::decode_error(unit.body()).unwrap_or_default();
                self.core.detail = String::from_utf8_lossy(text).into_owned();
                Err(SeedFailureCause::Rejected)
            }
            ExchangePurpose::PushPull { .. } | ExchangePurpose::Join { .. } if unit.is(PUSH_PULL) => {
                match PushPull::parse(unit.codec(), unit.body()) {
                    Ok(remote) if is_join(purpose) && !self.admits_merge(&remote) => Err(SeedFailureCause::Vetoed),
                    Ok(remote) => {
                        let ignore_old = self.ignores_old_events(purpose);
                        let join = if let ExchangePurpose::Join { id, .. } = purpose { Some(id) } else { None };
                        self.merge(Origin::Reply(from), &remote, ignore_old, join, out)
                    }
                    Err(_) => Err(SeedFailureCause::Malformed),
                }
            }
            ExchangePurpose::Ping { seq, .. } if unit.is(ACK) => match Codec::decode_body(unit.kind, unit.body()) {
                Ok(Message::Ack(ack)) if ack.seq == seq => {
                    self.swim.stream_acked(&mut self.core, seq);
                    Ok(())
                }
                _ => Err(SeedFailureCause::Malformed),
            },
            ExchangePurpose::Fetch { number, .. } if unit.kind == native::STREAM_ANSWER => {
                match native::decode_answer(unit.body()) {
                    Ok(payload) => {
                        self.serf.fetched(&mut self.core, number, payload);
                        Ok(())
                    }
                    Err(_) => Err(SeedFailureCause::Malformed),
                }
            }
            ExchangePurpose::Greet { .. } | ExchangePurpose::Reconnect { .. } if unit.is(ACK) => {
                match Codec::decode_body(unit.kind, unit.body()) {
                    Ok(Message::Ack(ack)) if ack.seq == GREETING => Ok(()),
                    _ => Err(SeedFailureCause::Malformed),
                }
            }
            _ => Err(SeedFailureCause::Malformed),
        };
        if result == Err(SeedFailureCause::Malformed) {
            self.core.stats.drop(DropReason::Malformed);
        }
        self.exchange_ended(purpose, Origin::Reply(from).peer(), result);
        // After the merge: a follow-up exchange or the next seed must see the merged state.
        match purpose {
            ExchangePurpose::Join { id, seed } => self.seed_done(id, seed, result),
            // Contact with a failed member is restored. Its side may hold leave intents about this node from the time
            // that it was considered failed; a fresh join intent overrides them.
            ExchangePurpose::PushPull { join: true, .. } if result.is_ok() => self.announce_join(false),
            ExchangePurpose::Greet { id, seed } if result.is_ok() => {
                self.open_after_ping(from, ExchangePurpose::Join { id, seed }, out)
            }
            ExchangePurpose::Greet { id, seed } => self.seed_done(id, seed, result),
            ExchangePurpose::Fetch { number, .. } if result.is_err() => self.serf.fetch_failed(&mut self.core, number),
            ExchangePurpose::Reconnect { codec, .. } if result.is_ok() => {
                self.open_after_ping(from, ExchangePurpose::PushPull { join: true, codec }, out);
            }
            ExchangePurpose::PushPull { .. }
            | ExchangePurpose::Ping { .. }
            | ExchangePurpose::Fetch { .. }
            | ExchangePurpose::Reconnect { .. } => {}
        }
    }

    /// Opens the exchange after the ping: the member at the address has confirmed its name.
    fn open_after_ping(&mut self, with: SocketAddr, purpose: ExchangePurpose, out: &mut Outbox) {
        let until = self.core.now + self.core.cfg.transport().stream_timeout;
        self.open(Dial { to: with, purpose, until }, out);
    }

    fn exchange_failed(&mut self, purpose: ExchangePurpose, peer: Option<PeerAt>, cause: SeedFailureCause) {
        tracing::debug!(?purpose, %cause, "an exchange failed");
        self.exchange_ended(purpose, peer, Err(cause));
        match (purpose, cause) {
            // A node with another name closes the stream without an ack.
            (ExchangePurpose::Greet { id, seed }, SeedFailureCause::Closed) => {
                self.seed_done(id, seed, Err(SeedFailureCause::OtherNode));
            }
            (ExchangePurpose::Join { id, seed } | ExchangePurpose::Greet { id, seed }, _) => {
                self.seed_done(id, seed, Err(cause))
            }
            (ExchangePurpose::Fetch { number, .. }, _) => self.serf.fetch_failed(&mut self.core, number),
            _ => {}
        }
    }

    /// Merges a remote state: membership first, because the Serf state refers to members.
    pub(super) fn merge(
        &mut self,
        origin: Origin,
        remote: &PushPull<'_>,
        ignore_old: bool,
        join: Option<JoinId>,
        out: &mut Outbox,
    ) -> Result<(), SeedFailureCause> {
        if self.swim.merge(&mut self.core, origin, remote).is_err() {
            return Err(SeedFailureCause::Refused);
        }
        self.spare_gossip(remote, join);
        // Between the two: Serf must have a row for each new member before it reads intents about it.
        self.deliver_notifications(out);
        if !remote.user().is_empty() {
            // Both sides may be joining; either one may have asked to ignore old events.
            let ignore_old = ignore_old || (remote.join() && self.joins.ignore_old());
            self.serf.merge(&mut self.core, remote.codec(), remote.user(), ignore_old, join);
        }
        Ok(())
    }

    /// Dequeues news that others gossip already, if every member takes part in anti-entropy: what a newcomer learns from
    /// the cluster that it joins, and the newcomer itself, which announces its join.
    fn spare_gossip(&mut self, remote: &PushPull<'_>, join: Option<JoinId>) {
        if !self.swim.all_compare_digests() {
            return;
        }
        if join.is_some_and(|id| self.joins.began_alone(id)) {
            self.swim.keep_only_own_broadcast();
        } else if let Some(newcomer) = remote.newcomer().and_then(|newcomer| self.core.roster.find_bytes(newcomer.name))
        {
            self.swim.leave_announcement_to(newcomer);
        }
    }

    /// Asks the policy whether to merge with the members of the other side. Members that cannot be decoded are left
    /// out.
    fn admits_merge(&mut self, remote: &PushPull<'_>) -> bool {
        let Some(policy) = &self.core.policy else { return true };
        let others: Vec<Candidate<'_>> = match remote {
            PushPull::Native(remote) => remote.states().map(MemberState::from).filter_map(candidate).collect(),
            PushPull::HashiCorp(remote) => remote.states().map(MemberState::from).filter_map(candidate).collect(),
        };
        let admitted = policy.admits_merge(&others);
        if !admitted {
            self.core.stats.drop(DropReason::Vetoed);
        }
        admitted
    }
}

/// A member state in the form that the policy sees; `None` if it cannot be decoded.
fn candidate(member: MemberState<'_>) -> Option<Candidate<'_>> {
    Some(Candidate::new(member.announced.peer().ok()?, member.state == Some(State::Left)))
}

/// Whether an exchange may merge two clusters.
const fn is_join(purpose: ExchangePurpose) -> bool {
    matches!(purpose, ExchangePurpose::Join { .. } | ExchangePurpose::PushPull { join: true, .. })
}

/// Encodes a ping for the node of this name.
fn ping_request(codec: Codec, seq: u32, node: &str) -> Option<Vec<u8>> {
    stream_message(codec, &Message::Ping(Ping { seq, node, source: None }))
}

/// Encodes a message of one frame for a stream.
fn stream_message(codec: Codec, message: &Message<'_>) -> Option<Vec<u8>> {
    let mut buf = [0; SMALL_MESSAGE_BYTES_MAX];
    let mut writer = Writer::new(&mut buf);
    codec.encode(message, &mut writer).ok()?;
    let len = writer.len();
    match codec {
        Codec::Native => frame(buf[0], len, |body| body.extend_from_slice(&buf[1..len])),
        Codec::HashiCorp => Some(Vec::from(&buf[..len])),
    }
}

/// Error text for a peer whose request could not be opened, meant for operators. `None` for faults that the peer would
/// not understand.
const fn complaint(fault: DropReason) -> Option<&'static str> {
    match fault {
        DropReason::Label => Some("the label of the stream is not that of this cluster"),
        DropReason::Unencrypted => Some("this cluster is encrypted and the stream is not"),
        DropReason::Key => Some("no key of this node opens the stream"),
        DropReason::Inflate => Some("the stream cannot be decompressed"),
        DropReason::Vetoed => Some("this cluster does not merge with that of the stream"),
        _ => None,
    }
}

/// Sequence number of the ping before an exchange. Constant, because the ping has a stream of its own.
const GREETING: u32 = 1;

/// Buffer size for a ping with the longest name, or an error message, in bytes.
const SMALL_MESSAGE_BYTES_MAX: usize = 512;

/// Bytes before the states of a push/pull, at most, in either codec.
const STREAM_HEAD_BYTES_MAX: usize = 64;
