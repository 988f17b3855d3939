//! Exchanges on streams: what requests and replies say, and what they change.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use super::{Node, OldEvents};
use crate::core::Ask;
use crate::envelope::Direction;
use crate::event::SeedFailureCause;
use crate::outbox::{Outbox, Output, StreamId};
use crate::stats::DropReason;
use crate::stream::{Step, Unit, frame};
use crate::time::Instant;
use crate::timer::Many;
use crate::wire::native::{self, STREAM_ACK, STREAM_PING, STREAM_PUSH_PULL};
use crate::wire::swim::{Ack, Message, Ping};
use crate::wire::{Codec, PushPull, Writer};

impl Node {
    /// Opens a stream to somebody, for an exchange that must be over at `until`.
    pub(super) fn dial(&mut self, to: SocketAddr, ask: Ask, until: Instant, out: &mut Outbox) {
        let stream = self.streams.dial(ask);
        self.core.timers.push(until, Many::Stream(stream));
        out.push(Output::Connect { stream, to });
    }

    /// Does what a stream's input amounts to.
    pub(super) fn step(&mut self, id: StreamId, step: Step<'_>, out: &mut Outbox) {
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
            Step::Reply { ask, unit } => self.reply(ask, &unit, out),
            Step::Lost { ask, cause, fault } => {
                self.blame(fault);
                self.lost(ask, cause);
            }
            Step::Gone { fault } => self.blame(fault),
        }
        out.push(Output::Close { stream: id });
    }

    /// Counts what was wrong with what came.
    fn blame(&mut self, fault: Option<DropReason>) {
        if let Some(reason) = fault {
            self.core.stats.drop(reason);
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
            Ask::PushPull { .. } | Ask::Join { .. } => {
                self.core.stats.push_pulls_out += 1;
                self.push_pull(!matches!(ask, Ask::PushPull { join: false }))
            }
            Ask::Ping { seq, target } => {
                let node = self.core.roster.name_ref(target);
                stream_message(STREAM_PING, &Message::Ping(Ping { seq, node, source: None }))
            }
        }
    }

    /// Everything that we know.
    fn push_pull(&self, join: bool) -> Option<Vec<u8>> {
        let room = self.swim.states_bytes(&self.core, Codec::Native) + self.serf.state_bytes(&self.core);
        frame(STREAM_PUSH_PULL, room, |body| {
            native::begin_push_pull(body, join, self.swim.members_known());
            self.swim.write_states(&self.core, Codec::Native, body);
            self.serf.write_state(&self.core, Codec::Native, body);
        })
    }

    /// Answers a request. The answer is written before the request is merged, as memberlist has it, so that two nodes that
    /// exchange their states do not echo them.
    fn serve(&mut self, id: StreamId, from: SocketAddr, unit: &Unit<'_>, out: &mut Outbox) {
        match unit.kind {
            STREAM_PUSH_PULL => match PushPull::parse(Codec::Native, unit.body()) {
                Ok(remote) => {
                    self.core.stats.push_pulls_in += 1;
                    if let Some(reply) = self.push_pull(remote.join()) {
                        self.write(id, reply, Direction::Reply, out);
                    }
                    let _refused = self.merge(&remote, false, out);
                }
                Err(_) => self.core.stats.drop(DropReason::Malformed),
            },
            STREAM_PING => self.serve_ping(id, unit.body(), out),
            _ => {
                tracing::debug!(%from, kind = unit.kind, "a stream began with a message that does not belong there");
                self.core.stats.drop(DropReason::Unexpected);
            }
        }
    }

    fn serve_ping(&mut self, id: StreamId, body: &[u8], out: &mut Outbox) {
        match native::decode_body(STREAM_PING, body) {
            Ok(Message::Ping(ping)) if self.swim.is_for_us(&self.core, ping.node) => {
                let ack = Message::Ack(Ack { seq: ping.seq, payload: &[] });
                if let Some(reply) = stream_message(STREAM_ACK, &ack) {
                    self.write(id, reply, Direction::Reply, out);
                }
            }
            Ok(_) => self.core.stats.drop(DropReason::NotForUs),
            Err(_) => self.core.stats.drop(DropReason::Malformed),
        }
    }

    /// Takes the reply to a request of ours.
    fn reply(&mut self, ask: Ask, unit: &Unit<'_>, out: &mut Outbox) {
        let result = match (ask, unit.kind) {
            (Ask::PushPull { .. } | Ask::Join { .. }, STREAM_PUSH_PULL) => {
                match PushPull::parse(Codec::Native, unit.body()) {
                    Ok(remote) => {
                        let ignore_old = self.ignores_old_events(ask);
                        self.merge(&remote, ignore_old, out)
                    }
                    Err(_) => Err(SeedFailureCause::Malformed),
                }
            }
            (Ask::Ping { seq, .. }, STREAM_ACK) => match native::decode_body(STREAM_ACK, unit.body()) {
                Ok(Message::Ack(ack)) if ack.seq == seq => {
                    self.swim.stream_acked(seq);
                    Ok(())
                }
                _ => Err(SeedFailureCause::Malformed),
            },
            _ => Err(SeedFailureCause::Malformed),
        };
        if result == Err(SeedFailureCause::Malformed) {
            self.core.stats.drop(DropReason::Malformed);
        }
        if let Ask::Join { id, seed } = ask {
            self.seed_done(id, seed, result);
        }
    }

    fn lost(&mut self, ask: Ask, cause: SeedFailureCause) {
        tracing::debug!(?ask, %cause, "an exchange failed");
        if let Ask::Join { id, seed } = ask {
            self.seed_done(id, seed, Err(cause));
        }
    }

    /// Takes another node's state, membership first: what Serf says is about members.
    fn merge(&mut self, remote: &PushPull<'_>, ignore_old: bool, out: &mut Outbox) -> Result<(), SeedFailureCause> {
        if self.swim.merge(&mut self.core, remote).is_err() {
            return Err(SeedFailureCause::Refused);
        }
        self.deliver_notifications(out);
        if !remote.user().is_empty() {
            // Of two sides that join each other, either may want to hear nothing old.
            let ignore_old = ignore_old || (remote.join() && self.joins_ignore_old());
            self.serf.merge(&mut self.core, remote.codec(), remote.user(), ignore_old);
        }
        Ok(())
    }

    fn joins_ignore_old(&self) -> bool {
        self.joins.values().any(|join| join.old == OldEvents::Ignore)
    }
}

/// A message that is one frame, on a stream.
fn stream_message(kind: u8, message: &Message<'_>) -> Option<Vec<u8>> {
    let mut buf = [0; SMALL_MESSAGE_BYTES_MAX];
    let mut writer = Writer::new(&mut buf);
    native::encode(message, &mut writer).ok()?;
    let len = writer.len();
    frame(kind, len, |body| body.extend_from_slice(&buf[1..len]))
}

/// Room for a ping with the longest name.
const SMALL_MESSAGE_BYTES_MAX: usize = 512;
