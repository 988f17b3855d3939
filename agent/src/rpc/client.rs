//! A blocking client, for programs and for our command line. Use one thread per client.

use core::fmt;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::decode::{DecodeError, Decoder};
use super::member::{Coordinate, Member};
use super::reply::{
    EventRecord, KeyReport, QueryRecord, ReplyHeader, Stats, decode_coordinate, decode_join_count, decode_log,
    decode_members, decode_stats,
};
use super::request::{MemberFilter, Query, Request, UserEvent};
use super::why::Why;
use super::wire::Wire;
use super::{AUTHENTICATION_REQUIRED, DEFAULT_ADDRESS, IPC_VERSION, UNSUPPORTED_COMMAND};

/// How to reach an agent, and its timeouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// Its address, see [`RpcAddress::parse`](super::RpcAddress::parse). Default `127.0.0.1:7373`.
    pub address: String,
    /// Its token; empty for an agent without one. Default empty.
    pub auth_key: String,
    /// How long connecting may take. Default 10 s.
    pub dial_timeout: Duration,
    /// How long one request may take to be sent. Default 10 s.
    pub write_timeout: Duration,
    /// Timeout of requests that the agent answers from memory: the handshake, members, metrics, coordinates, events and
    /// subscriptions. HashiCorp's client waits for ever. Default 15 s.
    pub reply_timeout: Duration,
    /// Timeout of changes that the agent first broadcasts: tags and force-leave, which last up to the agent's broadcast
    /// timeout, 5 s by default. Joins, leaves and keys have no timeout. Default 90 s.
    pub broadcast_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            address: DEFAULT_ADDRESS.into(),
            auth_key: String::new(),
            dial_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            reply_timeout: Duration::from_secs(15),
            broadcast_timeout: Duration::from_secs(90),
        }
    }
}

/// A connection to an agent.
///
/// ```no_run
/// use serf_agent::rpc::{Client, ClientOptions};
///
/// let mut client = Client::connect(&ClientOptions::default())?;
/// for member in client.members()? {
///     println!("{} is {}", member.name, member.status);
/// }
/// # Ok::<(), serf_agent::rpc::ClientError>(())
/// ```
pub struct Client {
    wire: Wire,
    seq_next: u64,
    /// The encoded handshake and token, until they are sent with the first command.
    greeting: Vec<u8>,
    /// Parts of the greeting that are not answered yet.
    greetings: VecDeque<(u64, &'static str)>,
    subscriptions: Vec<(u64, Kind)>,
    /// Records that arrived while an answer was awaited.
    records: VecDeque<(u64, Record)>,
    dropped: u64,
    reply_timeout: Duration,
    broadcast_timeout: Duration,
}

/// A record of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// An event of a stream, see [`Client::stream`].
    Event {
        /// The event, `None` when its kind is unknown.
        event: Option<EventRecord>,
        /// The record's body as received.
        body: Vec<u8>,
    },
    /// A line of the log, see [`Client::monitor`].
    Log(String),
    /// An ack or answer of a query, see [`Client::query`].
    Query(QueryRecord),
}

/// Why a command failed. Displayed with the messages of HashiCorp's client.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The connection failed: the address, and the reason.
    #[error("{0}")]
    Dial(String),
    /// Connected, but the handshake or the token failed, see [`Client::connect_eagerly`].
    #[error("{0}")]
    Greeting(Box<Self>),
    /// The agent refused, with this message.
    #[error("{0}")]
    Refused(String),
    /// A change to the keys failed on some members; the report names them.
    #[error("{0}")]
    Keys(String, Box<KeyReport>),
    /// The agent closed the connection, or it broke.
    #[error("client closed")]
    Closed,
    /// The agent did not answer in time.
    #[error("no answer to {command} within {} s", waited.as_secs())]
    Silent {
        /// The command.
        command: &'static str,
        /// The timeout.
        waited: Duration,
    },
    /// The received bytes are not an agent's.
    #[error("the other side is not a Serf agent: {0}")]
    Decode(DecodeError),
}

impl From<DecodeError> for ClientError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl Client {
    /// Connects and sends the handshake, and the token if there is one.
    ///
    /// # Errors
    ///
    /// The agent cannot be reached or refuses.
    pub fn connect(options: &ClientOptions) -> Result<Self, ClientError> {
        let mut client = Self::connect_eagerly(options)?;
        let greeting = core::mem::take(&mut client.greeting);
        client.wire.send(&greeting)?;
        client.settle()?;
        Ok(client)
    }

    /// Connects, and sends the handshake together with the first command, which saves a round trip. If the agent
    /// refuses it, the command fails with [`ClientError::Greeting`].
    ///
    /// The agent does not run the command then, with one exception: given a token although it requires none, it reports
    /// an error and goes on. So with a token, use this for commands that change nothing.
    ///
    /// # Errors
    ///
    /// The agent cannot be reached.
    pub fn connect_eagerly(options: &ClientOptions) -> Result<Self, ClientError> {
        let mut client = Self {
            wire: Wire::dial(options)?,
            seq_next: 1,
            greeting: Vec::with_capacity(256),
            greetings: VecDeque::new(),
            subscriptions: Vec::new(),
            records: VecDeque::new(),
            dropped: 0,
            reply_timeout: options.reply_timeout,
            broadcast_timeout: options.broadcast_timeout,
        };
        client.greet(&Request::Handshake { version: IPC_VERSION });
        if !options.auth_key.is_empty() {
            client.greet(&Request::Auth { key: options.auth_key.clone() });
        }
        Ok(client)
    }

    /// Lists all members that the agent remembers.
    ///
    /// # Errors
    ///
    /// The agent refuses or does not answer. So for all commands.
    pub fn members(&mut self) -> Result<Vec<Member>, ClientError> {
        self.ask(&Request::Members, decode_members)
    }

    /// Lists the members that match `filter`.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members); the agent closes the connection when a pattern is not a regular expression.
    pub fn members_filtered(&mut self, filter: MemberFilter) -> Result<Vec<Member>, ClientError> {
        self.ask(&Request::MembersFiltered(filter), decode_members)
    }

    /// Sends a user event. Returns when the agent has queued it.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members).
    pub fn event(&mut self, event: UserEvent) -> Result<(), ClientError> {
        self.command(&Request::Event(event))
    }

    /// Forces the failed member `node` to the state left; with `prune` it is forgotten, too.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members).
    pub fn force_leave(&mut self, node: &str, prune: bool) -> Result<(), ClientError> {
        self.command(&Request::ForceLeave { node: node.into(), prune })
    }

    /// Joins the cluster of any of `addresses` and returns how many answered; with `replay` old user events are
    /// delivered.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members); also when no address answered.
    pub fn join(&mut self, addresses: &[String], replay: bool) -> Result<i64, ClientError> {
        self.ask(&Request::Join { existing: addresses.to_vec(), replay }, decode_join_count)
    }

    /// Sets and deletes tags of the agent. A tag in both is set.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members).
    pub fn update_tags(&mut self, set: BTreeMap<String, String>, delete: Vec<String>) -> Result<(), ClientError> {
        self.command(&Request::Tags { set, delete })
    }

    /// Returns the agent's statistics.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members).
    pub fn stats(&mut self) -> Result<Stats, ClientError> {
        self.ask(&Request::Stats, decode_stats)
    }

    /// Returns the coordinate of `node`, `None` when the agent has none.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members).
    pub fn coordinate(&mut self, node: &str) -> Result<Option<Coordinate>, ClientError> {
        self.ask(&Request::Coordinate { node: node.into() }, decode_coordinate)
    }

    /// Returns why `node` is suspected, failed or left. Ours: HashiCorp's agents do not have this command.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members); an agent of HashiCorp's refuses with [`UNSUPPORTED_COMMAND`].
    pub fn why(&mut self, node: &str) -> Result<Why, ClientError> {
        self.ask(&Request::Why { node: node.into() }, Why::decode)
    }

    /// Makes the agent leave the cluster and exit.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members).
    pub fn leave(&mut self) -> Result<(), ClientError> {
        self.command(&Request::Leave)
    }

    /// Adds a key, in base64, to the keyrings of all members.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members), and [`ClientError::Keys`] when members failed.
    pub fn install_key(&mut self, key: &str) -> Result<KeyReport, ClientError> {
        self.keys(&Request::InstallKey { key: key.into() })
    }

    /// Makes an installed key the primary one of all members, which encrypts.
    ///
    /// # Errors
    ///
    /// As [`install_key`](Self::install_key).
    pub fn use_key(&mut self, key: &str) -> Result<KeyReport, ClientError> {
        self.keys(&Request::UseKey { key: key.into() })
    }

    /// Removes a key from the keyrings of all members.
    ///
    /// # Errors
    ///
    /// As [`install_key`](Self::install_key).
    pub fn remove_key(&mut self, key: &str) -> Result<KeyReport, ClientError> {
        self.keys(&Request::RemoveKey { key: key.into() })
    }

    /// Counts the keys of all members.
    ///
    /// # Errors
    ///
    /// As [`install_key`](Self::install_key).
    pub fn list_keys(&mut self) -> Result<KeyReport, ClientError> {
        self.keys(&Request::ListKeys)
    }

    /// Sends a query to the cluster. The answers arrive as [`Record::Query`] with the returned number; the last is
    /// [`QueryRecord::Done`].
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members).
    pub fn query(&mut self, query: Query) -> Result<u64, ClientError> {
        self.subscribe(&Request::Query(query), Kind::Query)
    }

    /// Subscribes to the events of `filter`. They arrive as [`Record::Event`] with the returned number.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members).
    pub fn stream(&mut self, filter: &str) -> Result<u64, ClientError> {
        self.subscribe(&Request::Stream { filter: filter.into() }, Kind::Stream)
    }

    /// Subscribes to the agent's log, first the kept records, then new ones. Lines arrive as [`Record::Log`] with the
    /// returned number.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members).
    pub fn monitor(&mut self, level: &str) -> Result<u64, ClientError> {
        self.subscribe(&Request::Monitor { level: level.into() }, Kind::Monitor)
    }

    /// Answers the query that a stream of this connection delivered under `id`.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members).
    pub fn respond(&mut self, id: u64, payload: Vec<u8>) -> Result<(), ClientError> {
        self.command(&Request::Respond { id, payload: Some(payload) })
    }

    /// Ends a subscription. Records in flight are lost.
    ///
    /// # Errors
    ///
    /// As [`members`](Self::members).
    pub fn stop(&mut self, subscription: u64) -> Result<(), ClientError> {
        let answer = self.command(&Request::Stop { seq: subscription });
        self.subscriptions.retain(|(seq, _)| *seq != subscription);
        self.records.retain(|(seq, _)| *seq != subscription);
        answer
    }

    /// Waits for the next record of any subscription, `None` when `timeout` passes without one. Without a timeout it
    /// waits for ever.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn next_record(&mut self, timeout: Option<Duration>) -> Result<Option<(u64, Record)>, ClientError> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            if let Some(record) = self.records.pop_front() {
                return Ok(Some(record));
            }
            let Some(header) = self.wire.receive(deadline)? else { return Ok(None) };
            let header = ReplyHeader::decode(&mut Decoder::new(header))?;
            self.receive_record(&header)?;
        }
    }

    /// Records dropped because [`next_record`](Self::next_record) was not called while answers were awaited. The queue
    /// holds 4096.
    pub const fn records_dropped(&self) -> u64 {
        self.dropped
    }

    fn command(&mut self, request: &Request) -> Result<(), ClientError> {
        let seq = self.send(request)?;
        let deadline = self.deadline(request);
        let header = self.await_reply(seq, &deadline)?;
        if header.error.is_empty() { Ok(()) } else { Err(ClientError::Refused(header.error)) }
    }

    fn ask<T>(
        &mut self,
        request: &Request,
        decode: impl FnOnce(&mut Decoder<'_>) -> Result<T, DecodeError>,
    ) -> Result<T, ClientError> {
        let (error, answer) = self.request_with_error_body(request, decode)?;
        if error.is_empty() { Ok(answer) } else { Err(ClientError::Refused(error)) }
    }

    /// Sends a request whose reply has a body even on an error, unless the token is missing.
    fn request_with_error_body<T>(
        &mut self,
        request: &Request,
        decode: impl FnOnce(&mut Decoder<'_>) -> Result<T, DecodeError>,
    ) -> Result<(String, T), ClientError> {
        let seq = self.send(request)?;
        let deadline = self.deadline(request);
        let header = self.await_reply(seq, &deadline)?;
        if header.error == AUTHENTICATION_REQUIRED || header.error == UNSUPPORTED_COMMAND {
            return Err(ClientError::Refused(header.error));
        }
        let body = self.wire.receive(deadline.deadline)?.ok_or_else(|| deadline.lost())?;
        Ok((header.error, decode(&mut Decoder::new(body))?))
    }

    fn keys(&mut self, request: &Request) -> Result<KeyReport, ClientError> {
        let (error, report) = self.request_with_error_body(request, KeyReport::decode)?;
        if error.is_empty() { Ok(report) } else { Err(ClientError::Keys(error, Box::new(report))) }
    }

    fn subscribe(&mut self, request: &Request, kind: Kind) -> Result<u64, ClientError> {
        let seq = self.seq_next;
        self.command(request)?;
        self.subscriptions.push((seq, kind));
        Ok(seq)
    }

    fn greet(&mut self, request: &Request) {
        self.greetings.push_back((self.seq_next, request.command()));
        request.encode(self.seq_next, &mut self.greeting);
        self.seq_next += 1;
    }

    /// Waits for the answers to the handshake and the token.
    fn settle(&mut self) -> Result<(), ClientError> {
        while let Some((seq, command)) = self.greetings.pop_front() {
            let header = self.await_header(seq, &RequestTimeout::new(command, Some(self.reply_timeout)))?;
            if !header.error.is_empty() {
                return Err(ClientError::Refused(header.error));
            }
        }
        Ok(())
    }

    fn send(&mut self, request: &Request) -> Result<u64, ClientError> {
        let seq = self.seq_next;
        self.seq_next += 1;
        let mut bytes = core::mem::take(&mut self.greeting);
        request.encode(seq, &mut bytes);
        self.wire.send(&bytes)?;
        Ok(seq)
    }

    fn deadline(&self, request: &Request) -> RequestTimeout {
        let timeout = match request {
            Request::Join { .. } | Request::Leave | Request::ListKeys => None,
            Request::InstallKey { .. } | Request::UseKey { .. } | Request::RemoveKey { .. } => None,
            Request::Tags { .. } | Request::ForceLeave { .. } => Some(self.broadcast_timeout),
            _ => Some(self.reply_timeout),
        };
        RequestTimeout::new(request.command(), timeout)
    }

    fn await_reply(&mut self, seq: u64, deadline: &RequestTimeout) -> Result<ReplyHeader, ClientError> {
        self.settle().map_err(|error| ClientError::Greeting(Box::new(error)))?;
        self.await_header(seq, deadline)
    }

    fn await_header(&mut self, seq: u64, deadline: &RequestTimeout) -> Result<ReplyHeader, ClientError> {
        loop {
            let header = self.wire.receive(deadline.deadline)?.ok_or_else(|| deadline.lost())?;
            let header = ReplyHeader::decode(&mut Decoder::new(header))?;
            if header.seq == seq {
                return Ok(header);
            }
            self.receive_record(&header)?;
        }
    }

    /// Reads the body of a record and queues it. A header that matches no subscription is skipped; whether a body
    /// follows is unknown.
    fn receive_record(&mut self, header: &ReplyHeader) -> Result<(), ClientError> {
        let Some(at) = self.subscriptions.iter().position(|(seq, _)| *seq == header.seq) else { return Ok(()) };
        let kind = self.subscriptions[at].1;
        let deadline = Instant::now() + self.reply_timeout;
        let body = self.wire.receive(Some(deadline))?.ok_or(ClientError::Closed)?;
        let from = &mut Decoder::new(body);
        let record = match kind {
            Kind::Monitor => Some(Record::Log(decode_log(from)?)),
            Kind::Stream => Some(Record::Event { event: EventRecord::decode(from)?, body: body.to_vec() }),
            Kind::Query => QueryRecord::decode(from)?.map(Record::Query),
        };
        if record == Some(Record::Query(QueryRecord::Done)) {
            self.subscriptions.swap_remove(at);
        }
        match record {
            Some(record) if self.records.len() < RECORDS_MAX => self.records.push_back((header.seq, record)),
            Some(_) => self.dropped += 1,
            None => {}
        }
        Ok(())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("subscriptions", &self.subscriptions).finish_non_exhaustive()
    }
}

/// The deadline of a request.
struct RequestTimeout {
    command: &'static str,
    timeout: Duration,
    /// `None` for requests without a timeout.
    deadline: Option<Instant>,
}

impl RequestTimeout {
    fn new(command: &'static str, timeout: Option<Duration>) -> Self {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        Self { command, timeout: timeout.unwrap_or_default(), deadline }
    }

    const fn lost(&self) -> ClientError {
        ClientError::Silent { command: self.command, waited: self.timeout }
    }
}

/// The records of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Stream,
    Monitor,
    Query,
}

/// Records queued while an answer is awaited.
const RECORDS_MAX: usize = 4096;
