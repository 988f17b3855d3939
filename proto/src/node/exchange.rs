//! Exchanges on streams: what requests and replies say, and what they change.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use super::Node;
use crate::complaints::PeerAt;
use crate::core::{Ask, Dial, Origin};
use crate::envelope::Direction;
use crate::event::SeedFailureCause;
use crate::limits::STREAM_MESSAGE_BYTES_MAX;
use crate::outbox::{Outbox, Output};
use crate::policy::Candidate;
use crate::stats::DropReason;
use crate::stream::{Step, Unit, frame};
use crate::timer::NodeTimer;
use crate::types::{JoinId, StreamId};
use crate::wire::hashicorp::{self, ACK, PING, PUSH_PULL, USER};
use crate::wire::swim::{Ack, Message, Ping, State};
use crate::wire::{Codec, MemberState, PushPull, Writer, native};

impl Node {
    /// Opens the streams that were asked for.
    pub(super) fn open_dialed(&mut self, out: &mut Outbox) {
        let mut dials = core::mem::take(&mut self.core.dials);
        for dial in dials.drain(..) {
            self.open(dial, out);
        }
        self.core.dials = dials;
    }

    fn open(&mut self, Dial { to, ask, until }: Dial, out: &mut Outbox) {
        let stream = self.streams.dial(self.core.now, to, ask);
        self.core.timers.set(NodeTimer::Stream(stream), until);
        out.push(Output::Connect { stream, to });
    }

    /// The peer of a stream, for complaints.
    pub(super) fn peer_of(&self, id: StreamId) -> Option<PeerAt> {
        self.streams.peer(id).and_then(|addr| Origin::Exchange(addr).peer())
    }

    /// Closes a stream because there are too many, or too much is held for them. `handled` is whose input is being handled.
    pub(super) fn evict(&mut self, id: StreamId, handled: Option<PeerAt>, out: &mut Outbox) {
        self.complain_of_drops(handled);
        let peer = self.peer_of(id);
        let step = self.streams.evict(id);
        self.step(id, step, peer, out);
        self.complain_of_drops(peer);
    }

    /// Does what a stream's input amounts to.
    pub(super) fn step(&mut self, id: StreamId, step: Step<'_>, peer: Option<PeerAt>, out: &mut Outbox) {
        match step {
            Step::Wait => return,
            Step::Request(ask) => {
                if let Some(request) = self.request(ask) {
                    return self.write(id, request, Direction::Request, out);
                }
                // Too long for any peer to accept: the exchange ends at its deadline.
                return;
            }
            Step::Serve { from, unit } => self.serve(id, from, &unit, out),
            Step::Reply { ask, from, unit } => self.reply(ask, from, &unit, out),
            Step::Lost { ask, cause, fault } => {
                self.blame(fault);
                self.lost(ask, peer, cause);
            }
            Step::Gone { fault } => {
                self.blame(fault);
                self.complain(id, fault, out);
            }
        }
        out.push(Output::Close { stream: id });
    }

    /// Counts what was wrong with what came.
    fn blame(&mut self, fault: Option<DropReason>) {
        if let Some(reason) = fault {
            self.core.stats.drop(reason);
        }
    }

    /// Answers a request that could not be opened, so that its sender can tell its operator why (`handleConn` in memberlist's
    /// net.go).
    fn complain(&mut self, id: StreamId, fault: Option<DropReason>, out: &mut Outbox) {
        let Some(text) = fault.and_then(complaint).filter(|_| self.core.cfg.codec.reads(Codec::HashiCorp)) else {
            return;
        };
        let mut buf = [0; SMALL_MESSAGE_BYTES_MAX];
        let mut writer = Writer::new(&mut buf);
        if hashicorp::encode_error(text, &mut writer).is_ok() {
            let len = writer.len();
            self.write(id, Vec::from(&buf[..len]), Direction::Reply, out);
        }
    }

    /// Writes a message, unless it is too long for any peer to accept.
    fn write(&mut self, stream: StreamId, message: Vec<u8>, direction: Direction, out: &mut Outbox) {
        let Some(unit) = self.envelope.seal_record(message, direction) else { return };
        self.core.stats.stream_bytes_out += unit.len() as u64;
        out.push(Output::Write { stream, bytes: Bytes::from(unit) });
    }

    fn request(&mut self, ask: Ask) -> Option<Vec<u8>> {
        match ask {
            Ask::PushPull { join, codec } => self.request_push_pull(codec, join),
            Ask::Join { .. } => self.request_push_pull(self.core.codec(None, None), true),
            Ask::Greet { id, seed } => {
                let node = self.joins.remembered(id, seed)?;
                ping_request(self.core.codec(None, None), GREETING, node)
            }
            Ask::Reconnect { target, codec } => ping_request(codec, GREETING, self.core.roster.peer(target)?.name()),
            Ask::Ping { seq, target, codec } => ping_request(codec, seq, self.core.roster.peer(target)?.name()),
        }
    }

    fn request_push_pull(&mut self, codec: Codec, join: bool) -> Option<Vec<u8>> {
        self.core.stats.push_pulls_out += 1;
        self.push_pull(codec, join)
    }

    /// Everything that we know.
    pub(super) fn push_pull(&self, codec: Codec, join: bool) -> Option<Vec<u8>> {
        let Self { core, swim, serf, .. } = self;
        let nodes = swim.members_known();
        let room = swim.states_bytes(core, codec);
        match codec {
            Codec::Native => frame(native::STREAM_PUSH_PULL, room + serf.state_bytes(core), |body| {
                native::begin_push_pull(body, join, nodes);
                swim.write_states(core, codec, body);
                let room = STREAM_MESSAGE_BYTES_MAX.saturating_sub(body.len() + STREAM_HEAD_BYTES_MAX);
                serf.write_state(core, codec, room, body);
            }),
            Codec::HashiCorp => {
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

    /// Answers a request, in the codec that it came in. The answer to a push/pull is written before the request is merged, as
    /// memberlist has it, so that two nodes that exchange their states do not echo them.
    fn serve(&mut self, id: StreamId, from: SocketAddr, unit: &Unit<'_>, out: &mut Outbox) {
        let codec = unit.codec();
        if !self.core.cfg.codec.reads(codec) {
            return self.core.stats.drop(DropReason::Codec);
        }
        if unit.is(PUSH_PULL) {
            match PushPull::parse(codec, unit.body()) {
                Ok(remote) => {
                    self.core.stats.push_pulls_in += 1;
                    if remote.join() && !self.admits_merge(&remote) {
                        return self.complain(id, Some(DropReason::Vetoed), out);
                    }
                    if let Some(reply) = self.push_pull(codec, remote.join()) {
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
        } else {
            tracing::debug!(%from, kind = unit.kind, "a stream began with a message that does not belong there");
            self.core.stats.drop(DropReason::Unexpected);
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

    /// Takes a message for the layer above that came on a stream, because it was too long for a packet. It is not answered.
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

    /// Takes the reply to a request of ours.
    fn reply(&mut self, ask: Ask, from: SocketAddr, unit: &Unit<'_>, out: &mut Outbox) {
        let result = match ask {
            _ if !self.core.cfg.codec.reads(unit.codec()) => Err(SeedFailureCause::Malformed),
            _ if unit.kind == hashicorp::ERROR => {
                let text = hashicorp::decode_error(unit.body()).unwrap_or_default();
                self.core.detail = String::from_utf8_lossy(text).into_owned();
                Err(SeedFailureCause::Rejected)
            }
            Ask::PushPull { .. } | Ask::Join { .. } if unit.is(PUSH_PULL) => {
                match PushPull::parse(unit.codec(), unit.body()) {
                    Ok(remote) if is_join(ask) && !self.admits_merge(&remote) => Err(SeedFailureCause::Vetoed),
                    Ok(remote) => {
                        let ignore_old = self.ignores_old_events(ask);
                        let join = if let Ask::Join { id, .. } = ask { Some(id) } else { None };
                        self.merge(Origin::Reply(from), &remote, ignore_old, join, out)
                    }
                    Err(_) => Err(SeedFailureCause::Malformed),
                }
            }
            Ask::Ping { seq, .. } if unit.is(ACK) => match Codec::decode_body(unit.kind, unit.body()) {
                Ok(Message::Ack(ack)) if ack.seq == seq => {
                    self.swim.stream_acked(&mut self.core, seq);
                    Ok(())
                }
                _ => Err(SeedFailureCause::Malformed),
            },
            Ask::Greet { .. } | Ask::Reconnect { .. } if unit.is(ACK) => {
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
        self.exchange_ended(ask, Origin::Reply(from).peer(), result);
        match ask {
            Ask::Join { id, seed } => self.seed_done(id, seed, result),
            // A failed member was reached again. Its side may hold tombstones of us, from the time in which it thought us gone.
            Ask::PushPull { join: true, .. } if result.is_ok() => self.serf.announce_join(&mut self.core),
            Ask::Greet { id, seed } if result.is_ok() => self.exchange_next(from, Ask::Join { id, seed }, out),
            Ask::Greet { id, seed } => self.seed_done(id, seed, result),
            Ask::Reconnect { codec, .. } if result.is_ok() => {
                self.exchange_next(from, Ask::PushPull { join: true, codec }, out);
            }
            Ask::PushPull { .. } | Ask::Ping { .. } | Ask::Reconnect { .. } => {}
        }
    }

    /// The member that is remembered at an address has answered: states can be exchanged with it.
    fn exchange_next(&mut self, with: SocketAddr, ask: Ask, out: &mut Outbox) {
        let until = self.core.now + self.core.cfg.stream_timeout;
        self.open(Dial { to: with, ask, until }, out);
    }

    fn lost(&mut self, ask: Ask, peer: Option<PeerAt>, cause: SeedFailureCause) {
        tracing::debug!(?ask, %cause, "an exchange failed");
        self.exchange_ended(ask, peer, Err(cause));
        match (ask, cause) {
            // A ping for another node is not answered.
            (Ask::Greet { id, seed }, SeedFailureCause::Closed) => {
                self.seed_done(id, seed, Err(SeedFailureCause::OtherNode));
            }
            (Ask::Join { id, seed } | Ask::Greet { id, seed }, _) => self.seed_done(id, seed, Err(cause)),
            _ => {}
        }
    }

    /// Takes another node's state, membership first: what Serf says is about members.
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
        self.deliver_notifications(out);
        if !remote.user().is_empty() {
            // Of two sides that join each other, either may want to hear nothing old.
            let ignore_old = ignore_old || (remote.join() && self.joins.ignore_old());
            self.serf.merge(&mut self.core, remote.codec(), remote.user(), ignore_old, join);
        }
        Ok(())
    }

    /// Whether the application admits a merge with the other side's members. One that cannot be read is none.
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

/// A state as it is shown to the application; `None` for one that cannot be read.
fn candidate(member: MemberState<'_>) -> Option<Candidate<'_>> {
    Some(Candidate::new(member.announced.peer().ok()?, member.state == Some(State::Left)))
}

/// Whether an exchange is to bring two clusters together.
const fn is_join(ask: Ask) -> bool {
    matches!(ask, Ask::Join { .. } | Ask::PushPull { join: true, .. })
}

/// A ping that names the node that is to answer it.
fn ping_request(codec: Codec, seq: u32, node: &str) -> Option<Vec<u8>> {
    stream_message(codec, &Message::Ping(Ping { seq, node, source: None }))
}

/// A message that is one frame, on a stream.
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

/// What to tell a peer whose request could not be opened; its words are for people. Nothing when nobody would understand them.
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

/// The sequence number of the ping before an exchange. It has a stream of its own, on which nothing else is answered.
const GREETING: u32 = 1;

/// Room for a ping with the longest name, or a complaint.
const SMALL_MESSAGE_BYTES_MAX: usize = 512;

/// What stands before the states in a push/pull, in either codec.
const STREAM_HEAD_BYTES_MAX: usize = 64;
