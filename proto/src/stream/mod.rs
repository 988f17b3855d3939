//! Exchanges: one request and one reply on one stream, for either side.
//!
//! Adapters move bytes; where a message ends, how long an exchange may take and how many there may be is decided here.
//! What a request or reply means is not: [`Node`](crate::Node) composes and reads them.

mod framing;
mod inquiry;
mod pressure;
mod reader;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

pub use self::inquiry::{Inquiry, Reply};
use self::reader::Reader;
pub(crate) use self::reader::{Unit, frame};
use crate::core::Ask;
use crate::envelope::{Direction, Envelope};
use crate::event::SeedFailureCause;
use crate::limits::STREAM_SILENT_MAX;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::types::StreamId;

/// What happened to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamInput<'a> {
    /// The stream that [`Output::Connect`](crate::Output::Connect) asked for is open.
    Opened,
    /// Bytes came, in order.
    Data(&'a [u8]),
    /// The peer closed it. Nothing more comes.
    Closed,
    /// It could not be opened, or broke.
    Failed,
}

/// The streams of one node that are not finished.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    last: u64,
    /// How many of them peers have opened.
    inbound: usize,
    /// What all readers together hold, in bytes.
    unfinished_bytes: usize,
    live: BTreeMap<StreamId, Exchange>,
}

#[derive(Clone, Debug)]
struct Exchange {
    /// Who is at the other end.
    peer: SocketAddr,
    role: Role,
    since: Instant,
    /// How many bytes have come.
    received_bytes: u64,
    reader: Reader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// We asked for the stream; nothing is written yet.
    Dialing(Ask),
    /// Our request is written.
    Awaiting(Ask),
    /// The peer asked for the stream.
    Serving,
}

impl Role {
    /// Which way goes what we read.
    const fn incoming(self) -> Direction {
        match self {
            Self::Dialing(_) | Self::Awaiting(_) => Direction::Reply,
            Self::Serving => Direction::Request,
        }
    }
}

/// What a stream's input amounts to.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// Nothing yet.
    Wait,
    /// Write the request.
    Request(Ask),
    /// The peer's request is whole: answer it. The exchange is over.
    Serve { from: SocketAddr, unit: Unit<'a> },
    /// The reply is whole. The exchange is over.
    Reply { ask: Ask, from: SocketAddr, unit: Unit<'a> },
    /// The exchange is over without a reply; `fault` when that is because of what came.
    Lost { ask: Ask, cause: SeedFailureCause, fault: Option<DropReason> },
    /// A peer's stream is over without a request.
    Gone { fault: Option<DropReason> },
}

impl Streams {
    /// A new outgoing exchange.
    pub(crate) fn dial(&mut self, now: Instant, to: SocketAddr, ask: Ask) -> StreamId {
        self.insert(now, to, Role::Dialing(ask))
    }

    /// A new incoming exchange. One that must make room for it has been [forgotten](Self::evict) before.
    pub(crate) fn accept(&mut self, now: Instant, from: SocketAddr) -> StreamId {
        self.inbound += 1;
        self.insert(now, from, Role::Serving)
    }

    /// Takes what happened to a stream, of whose data `envelope` takes the layers off. An input for a stream that is over means
    /// nothing.
    pub(crate) fn handle<'a>(&mut self, id: StreamId, input: StreamInput<'a>, envelope: &Envelope) -> Step<'a> {
        let Some(exchange) = self.live.get_mut(&id) else { return Step::Wait };
        match (input, exchange.role) {
            (StreamInput::Opened, Role::Dialing(ask)) => {
                exchange.role = Role::Awaiting(ask);
                Step::Request(ask)
            }
            (StreamInput::Opened, _) => Step::Wait,
            (StreamInput::Data(data), role) => {
                exchange.received_bytes += data.len() as u64;
                let held = exchange.reader.held_bytes();
                let pushed = exchange.reader.push(data, role.incoming(), envelope);
                self.unfinished_bytes = self.unfinished_bytes - held + exchange.reader.held_bytes();
                match pushed {
                    Ok(None) => Step::Wait,
                    Ok(Some(unit)) => self.complete(id, unit),
                    Err(fault) => self.end(id, cause_of(fault), Some(fault)),
                }
            }
            (StreamInput::Closed, _) => self.end(id, SeedFailureCause::Closed, None),
            (StreamInput::Failed, Role::Awaiting(_)) => self.end(id, SeedFailureCause::Closed, None),
            (StreamInput::Failed, _) => self.end(id, SeedFailureCause::Unreachable, None),
        }
    }

    /// When the time of a new incoming stream is up, if it says nothing.
    pub(crate) fn silent_until(now: Instant, timeout: Duration) -> Instant {
        now + timeout.min(STREAM_SILENT_MAX)
    }

    /// Until when a stream may go on whose time seems to be up: a peer that has begun to speak has the whole timeout.
    pub(crate) fn may_go_on(&self, id: StreamId, now: Instant, timeout: Duration) -> Option<Instant> {
        let exchange = self.live.get(&id).filter(|exchange| exchange.role == Role::Serving)?;
        let until = exchange.since + timeout;
        (exchange.received_bytes > 0 && until > now).then_some(until)
    }

    /// The time for a stream is up; [`Step::Wait`] when it was over before.
    pub(crate) fn expire(&mut self, id: StreamId) -> Step<'static> {
        self.end(id, SeedFailureCause::TimedOut, None)
    }

    /// Ends a stream because there are too many of them, or too much is held for them.
    pub(crate) fn evict(&mut self, id: StreamId) -> Step<'static> {
        self.end(id, SeedFailureCause::Closed, Some(DropReason::Limit))
    }

    /// Forgets the exchanges of our own that `is_void` says, and names their streams.
    pub(crate) fn abandon(&mut self, is_void: impl Fn(&Ask) -> bool) -> Vec<StreamId> {
        let void = self.live.iter().filter(|(_, exchange)| match &exchange.role {
            Role::Dialing(ask) | Role::Awaiting(ask) => is_void(ask),
            Role::Serving => false,
        });
        let void: Vec<StreamId> = void.map(|(id, _)| *id).collect();
        for id in &void {
            self.remove(*id);
        }
        void
    }

    /// Who is at the other end of a stream.
    pub(crate) fn peer(&self, id: StreamId) -> Option<SocketAddr> {
        self.live.get(&id).map(|exchange| exchange.peer)
    }

    /// How many exchanges are under way.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// What all unfinished messages together have, in bytes.
    pub(crate) const fn unfinished_bytes(&self) -> usize {
        self.unfinished_bytes
    }

    fn insert(&mut self, since: Instant, peer: SocketAddr, role: Role) -> StreamId {
        self.last += 1;
        let id = StreamId(self.last);
        self.live.insert(id, Exchange { peer, role, since, received_bytes: 0, reader: Reader::default() });
        id
    }

    fn remove(&mut self, id: StreamId) -> Option<(SocketAddr, Role)> {
        let Exchange { peer, role, reader, .. } = self.live.remove(&id)?;
        self.unfinished_bytes -= reader.held_bytes();
        if role == Role::Serving {
            self.inbound -= 1;
        }
        Some((peer, role))
    }

    fn complete<'a>(&mut self, id: StreamId, unit: Unit<'a>) -> Step<'a> {
        match self.remove(id) {
            Some((from, Role::Serving)) => Step::Serve { from, unit },
            Some((from, Role::Awaiting(ask))) => Step::Reply { ask, from, unit },
            Some((_, Role::Dialing(ask))) => {
                let fault = Some(DropReason::Unexpected);
                Step::Lost { ask, cause: SeedFailureCause::Malformed, fault }
            }
            None => Step::Wait,
        }
    }

    fn end(&mut self, id: StreamId, cause: SeedFailureCause, fault: Option<DropReason>) -> Step<'static> {
        match self.remove(id) {
            Some((_, Role::Dialing(ask) | Role::Awaiting(ask))) => Step::Lost { ask, cause, fault },
            Some((_, Role::Serving)) => Step::Gone { fault },
            None => Step::Wait,
        }
    }
}

/// What an answer that was refused says about its sender.
const fn cause_of(fault: DropReason) -> SeedFailureCause {
    match fault {
        DropReason::Key => SeedFailureCause::Key,
        DropReason::Unencrypted => SeedFailureCause::Unencrypted,
        DropReason::Label => SeedFailureCause::Label,
        _ => SeedFailureCause::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::envelope::EnvelopeConfig;
    use crate::rng::Seed;

    impl Streams {
        fn input<'a>(&mut self, id: StreamId, input: StreamInput<'a>) -> Step<'a> {
            self.handle(id, input, &Envelope::new(EnvelopeConfig::default(), &Seed::from_u64(1)))
        }
    }

    const PING: Ask = Ask::PushPull { join: false, codec: crate::wire::Codec::Native };

    #[test]
    fn an_exchange_that_fails_before_it_opens_was_unreachable() {
        let mut streams = Streams::default();
        let id = streams.dial(Instant::ZERO, "10.0.0.9:1".parse().unwrap(), PING);
        let step = streams.input(id, StreamInput::Failed);
        assert!(matches!(step, Step::Lost { ask: PING, cause: SeedFailureCause::Unreachable, fault: None }));
        assert_eq!(streams.len(), 0);
    }

    #[test]
    fn a_stream_that_closes_before_the_reply_is_whole_is_lost() {
        let mut streams = Streams::default();
        let id = streams.dial(Instant::ZERO, "10.0.0.9:1".parse().unwrap(), PING);
        assert!(matches!(streams.input(id, StreamInput::Opened), Step::Request(PING)));
        assert!(matches!(streams.input(id, StreamInput::Data(&[0x46, 0, 0, 0, 9, 1])), Step::Wait));
        let step = streams.input(id, StreamInput::Closed);
        assert!(matches!(step, Step::Lost { cause: SeedFailureCause::Closed, .. }));
        assert!(matches!(streams.expire(id), Step::Wait), "the deadline of a finished stream means nothing");
    }
}
