//! Exchanges: one request and one reply per stream, for either side.
//!
//! Drivers move the bytes. This module finds the end of a message, and enforces deadlines and limits. It does not
//! interpret messages; [`Node`](crate::Node) encodes and handles them.

mod framing;
mod inquiry;
mod pressure;
mod reader;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::inquiry::{Inquiry, Reply};
use self::reader::Reader;
pub(crate) use self::reader::{Unit, frame};
use crate::core::ExchangePurpose;
use crate::envelope::{Direction, Envelope};
use crate::event::SeedFailureCause;
use crate::fingerprint::Fingerprint;
use crate::limits::STREAM_SILENT_MAX;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::types::StreamId;

/// An event on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamInput<'a> {
    /// The stream that [`Output::Connect`](crate::Output::Connect) requested is open.
    Opened,
    /// Data arrived, in order.
    Data(&'a [u8]),
    /// The peer closed the stream. No data follows.
    Closed,
    /// Opening failed, or the stream broke.
    Failed,
}

/// The open streams of a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Streams {
    last: u64,
    /// Number of inbound streams.
    inbound: usize,
    /// Bytes buffered by all readers.
    unfinished_bytes: usize,
    live: BTreeMap<StreamId, Exchange>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Exchange {
    /// The remote address.
    peer: SocketAddr,
    role: Role,
    since: Instant,
    /// Number of bytes received.
    received_bytes: u64,
    reader: Reader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Role {
    /// Outbound, connecting; the request is not written yet.
    Dialing(ExchangePurpose),
    /// Outbound; the request is written.
    Awaiting(ExchangePurpose),
    /// Inbound.
    Serving,
}

impl Role {
    /// The direction of what we read.
    const fn incoming(self) -> Direction {
        match self {
            Self::Dialing(_) | Self::Awaiting(_) => Direction::Reply,
            Self::Serving => Direction::Request,
        }
    }
}

/// The next step of an exchange, for the node to execute.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// Wait for more input.
    Wait,
    /// Write the request.
    Request(ExchangePurpose),
    /// The request is complete: answer it. The exchange is over.
    Serve { from: SocketAddr, unit: Unit<'a> },
    /// The reply is complete. The exchange is over.
    Reply { purpose: ExchangePurpose, from: SocketAddr, unit: Unit<'a> },
    /// The exchange ended without a reply; `fault` if the data was invalid.
    Failed { purpose: ExchangePurpose, cause: SeedFailureCause, fault: Option<DropReason> },
    /// An inbound stream ended without a request.
    InboundEnded { fault: Option<DropReason> },
}

impl Streams {
    /// Adds an outbound exchange.
    pub(crate) fn dial(&mut self, now: Instant, to: SocketAddr, purpose: ExchangePurpose) -> StreamId {
        self.insert(now, to, Role::Dialing(purpose))
    }

    /// Adds an inbound exchange. The caller has [evicted](Self::evict) another at the limit.
    pub(crate) fn accept(&mut self, now: Instant, from: SocketAddr) -> StreamId {
        self.inbound += 1;
        self.insert(now, from, Role::Serving)
    }

    /// The id of a stream that is closed at once, and is never open.
    pub(crate) const fn refuse(&mut self) -> StreamId {
        self.last += 1;
        StreamId(self.last)
    }

    /// Reads a chunk of a stream; `envelope` opens it. `Ok(None)`: more bytes are needed, or the stream is closed.
    pub(crate) fn read<'a>(
        &mut self,
        id: StreamId,
        data: &'a [u8],
        envelope: &Envelope,
    ) -> Result<Option<Unit<'a>>, DropReason> {
        self.receive(id, data.len(), |reader, direction| reader.push(data, direction, envelope))
    }

    /// Reads a chunk of which only the result of [`read`](Self::read) is known.
    pub(crate) fn read_opened<'a>(
        &mut self,
        id: StreamId,
        bytes: usize,
        opened: Result<Option<&'a [u8]>, DropReason>,
    ) -> Result<Option<Unit<'a>>, DropReason> {
        self.receive(id, bytes, |reader, _| reader.push_opened(bytes, opened))
    }

    fn receive<'a>(
        &mut self,
        id: StreamId,
        bytes: usize,
        push: impl FnOnce(&mut Reader, Direction) -> Result<Option<Unit<'a>>, DropReason>,
    ) -> Result<Option<Unit<'a>>, DropReason> {
        let Some(exchange) = self.live.get_mut(&id) else { return Ok(None) };
        exchange.received_bytes += bytes as u64;
        let held = exchange.reader.held_bytes();
        let pushed = push(&mut exchange.reader, exchange.role.incoming());
        // Updated before `complete` and `end`, which subtract what the reader holds.
        self.unfinished_bytes = self.unfinished_bytes - held + exchange.reader.held_bytes();
        match exchange.role {
            // Before it is complete: a responder must not make us buffer more than we accept, as it is on the wire.
            Role::Awaiting(ExchangePurpose::Fetch { bytes_max, .. })
                if exchange.received_bytes > u64::from(bytes_max) + FETCH_OVERHEAD_BYTES =>
            {
                Err(DropReason::Limit)
            }
            _ => pushed,
        }
    }

    /// Handles what was [read](Self::read) from a stream.
    pub(crate) fn handle_read<'a>(&mut self, id: StreamId, read: Result<Option<Unit<'a>>, DropReason>) -> Step<'a> {
        match read {
            Ok(None) => Step::Wait,
            Ok(Some(unit)) => self.complete(id, unit),
            Err(fault) => self.end(id, cause_of(fault), Some(fault)),
        }
    }

    /// Handles an event on a stream; `envelope` opens the data. Events of closed streams are ignored.
    pub(crate) fn handle<'a>(&mut self, id: StreamId, input: StreamInput<'a>, envelope: &Envelope) -> Step<'a> {
        if let StreamInput::Data(data) = input {
            let read = self.read(id, data, envelope);
            return self.handle_read(id, read);
        }
        let Some(exchange) = self.live.get_mut(&id) else { return Step::Wait };
        match (input, exchange.role) {
            (StreamInput::Opened, Role::Dialing(purpose)) => {
                exchange.role = Role::Awaiting(purpose);
                Step::Request(purpose)
            }
            (StreamInput::Opened | StreamInput::Data(_), _) => Step::Wait,
            (StreamInput::Closed, _) => self.end(id, SeedFailureCause::Closed, None),
            // After the request was written the peer was reachable: it closed the stream without a reply.
            (StreamInput::Failed, Role::Awaiting(_)) => self.end(id, SeedFailureCause::Closed, None),
            (StreamInput::Failed, _) => self.end(id, SeedFailureCause::Unreachable, None),
        }
    }

    /// Deadline of a new inbound stream that stays idle.
    pub(crate) fn idle_deadline(now: Instant, timeout: Duration) -> Instant {
        now + timeout.min(STREAM_SILENT_MAX)
    }

    /// The extended deadline of a stream: a peer that has sent data gets the whole timeout. `None` if the deadline
    /// stands.
    pub(crate) fn extended_deadline(&self, id: StreamId, now: Instant, timeout: Duration) -> Option<Instant> {
        let exchange = self.live.get(&id).filter(|exchange| exchange.role == Role::Serving)?;
        let until = exchange.since + timeout;
        (exchange.received_bytes > 0 && until > now).then_some(until)
    }

    /// Ends a stream at its deadline; [`Step::Wait`] if it is closed already.
    pub(crate) fn expire(&mut self, id: StreamId) -> Step<'static> {
        self.end(id, SeedFailureCause::TimedOut, None)
    }

    /// Ends a stream to enforce a limit.
    pub(crate) fn evict(&mut self, id: StreamId) -> Step<'static> {
        self.end(id, SeedFailureCause::Closed, Some(DropReason::Limit))
    }

    /// Cancels our exchanges that match `is_obsolete`, and returns their streams.
    pub(crate) fn cancel(&mut self, is_obsolete: impl Fn(&ExchangePurpose) -> bool) -> Vec<StreamId> {
        let obsolete = self.live.iter().filter(|(_, exchange)| match &exchange.role {
            Role::Dialing(purpose) | Role::Awaiting(purpose) => is_obsolete(purpose),
            Role::Serving => false,
        });
        let obsolete: Vec<StreamId> = obsolete.map(|(id, _)| *id).collect();
        for id in &obsolete {
            self.remove(*id);
        }
        obsolete
    }

    /// The remote address of a stream.
    pub(crate) fn peer(&self, id: StreamId) -> Option<SocketAddr> {
        self.live.get(&id).map(|exchange| exchange.peer)
    }

    /// Number of open streams.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// Bytes buffered for incomplete messages.
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
            Some((from, Role::Awaiting(purpose))) => Step::Reply { purpose, from, unit },
            // A peer cannot reply before the request is written.
            Some((_, Role::Dialing(purpose))) => {
                let fault = Some(DropReason::Unexpected);
                Step::Failed { purpose, cause: SeedFailureCause::Malformed, fault }
            }
            None => Step::Wait,
        }
    }

    fn end(&mut self, id: StreamId, cause: SeedFailureCause, fault: Option<DropReason>) -> Step<'static> {
        match self.remove(id) {
            Some((_, Role::Dialing(purpose) | Role::Awaiting(purpose))) => Step::Failed { purpose, cause, fault },
            Some((_, Role::Serving)) => Step::InboundEnded { fault },
            None => Step::Wait,
        }
    }

    /// Feeds the open exchanges. Numbers of streams matter only while there are any.
    pub(crate) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { last, inbound: _, unfinished_bytes: _, live } = self;
        to.put(live.len());
        for (id, Exchange { peer, role, since, received_bytes, reader }) in live {
            to.put((last.wrapping_sub(id.0), peer, received_bytes));
            to.text(role);
            to.age(*since);
            to.text(reader);
        }
    }

    /// The number of the last stream.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }
}

/// Bytes of an answer on a stream besides its payload, at most: its headers, and those of the layers around it.
const FETCH_OVERHEAD_BYTES: u64 = 1024;

/// The cause of a failed exchange, from the fault in the reply.
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

    const PING: ExchangePurpose = ExchangePurpose::PushPull { join: false, codec: crate::wire::Codec::Native };

    #[test]
    fn an_exchange_that_fails_before_it_opens_was_unreachable() {
        let mut streams = Streams::default();
        let id = streams.dial(Instant::ZERO, "10.0.0.9:1".parse().unwrap(), PING);
        let step = streams.input(id, StreamInput::Failed);
        assert!(matches!(step, Step::Failed { purpose: PING, cause: SeedFailureCause::Unreachable, fault: None }));
        assert_eq!(streams.len(), 0);
    }

    #[test]
    fn a_stream_that_closes_before_the_reply_is_whole_is_lost() {
        let mut streams = Streams::default();
        let id = streams.dial(Instant::ZERO, "10.0.0.9:1".parse().unwrap(), PING);
        assert!(matches!(streams.input(id, StreamInput::Opened), Step::Request(PING)));
        assert!(matches!(streams.input(id, StreamInput::Data(&[0x46, 0, 0, 0, 9, 1])), Step::Wait));
        let step = streams.input(id, StreamInput::Closed);
        assert!(matches!(step, Step::Failed { cause: SeedFailureCause::Closed, .. }));
        assert!(matches!(streams.expire(id), Step::Wait), "the deadline of a finished stream means nothing");
    }
}
