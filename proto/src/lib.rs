//! Serf's protocol as a sans-IO state machine.
//!
//! A [`Node`] is one member of a cluster. It consumes datagrams, stream data, timeouts and commands, and returns its
//! effects in an [`Outbox`]: datagrams to send, streams to open, events for the application. It owns no socket, clock,
//! thread or entropy source. Equal inputs give equal outputs, and one process can run thousands of nodes.
//!
//! This crate does not perform IO. The `serf-runtime` crates drive a node with threads or an async executor. Use this
//! crate directly to write another driver, a simulation or a test.
//!
//! # The run loop
//!
//! 1. Pass each input to the node: [`Node::handle_datagram`], [`Node::handle_stream`], [`Node::accept`], or a command
//!    such as [`Node::join`].
//! 2. Drain the outbox after each call, and carry out its outputs in order. A call leaves nothing pending: all of its
//!    effects are in the outbox when it returns.
//! 3. Sleep until [`Node::poll_timeout`] or the next input. At the timeout, call [`Node::handle_timeout`].
//!
//! Every call takes the current time as an [`Instant`]: nanoseconds since an origin of the driver's choice, from a
//! monotonic clock.
//!
//! ```
//! use std::net::{SocketAddr, UdpSocket};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use serf_proto::{
//!     Config, Event, Identity, Instant, Node, OldEvents, Options, Outbox, Output, Seed, Start, StreamInput, Tags,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let socket = UdpSocket::bind("127.0.0.1:0")?;
//! let config = Arc::new(Config::new(Options::local())?);
//! let tags: Tags = [("role", "web")].into_iter().collect();
//! let identity = Identity::new("web-1", socket.local_addr()?, &tags)?;
//! let seed = Seed::from_bytes([7; 32]); // In production: 32 bytes from the operating system.
//!
//! let origin = std::time::Instant::now();
//! let now = || Instant::from_nanos(u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX));
//! let mut out = Outbox::new();
//! let mut node = Node::new(config, &identity, &seed, now(), Start::new(), &mut out);
//! node.join(now(), &["127.0.0.1:7946".parse()?], OldEvents::Ignore, &mut out)?;
//!
//! let mut buf = [0; 65_507];
//! loop {
//!     // Carry out the outputs. An input to the node may add more, so drain until the outbox is empty.
//!     while let Some(output) = out.pop() {
//!         match output {
//!             Output::Datagram { to, bytes } => _ = socket.send_to(&bytes, to)?,
//!             // This driver has no streams: every connection attempt fails at once.
//!             Output::Connect { stream, to: _ } => node.handle_stream(now(), stream, StreamInput::Failed, &mut out),
//!             Output::Event(Event::Member(event)) => println!("{event}"),
//!             Output::Event(event) => println!("{event:?}"),
//!             // Writes, snapshot records and key changes.
//!             _ => {}
//!         }
//!     }
//!
//!     // Wait for a datagram, at most until the next timeout. A read timeout of zero is an error, hence the minimum.
//!     let timeout = node.poll_timeout().map(|at| (at - now()).max(Duration::from_millis(1)));
//!     socket.set_read_timeout(timeout)?;
//!     if let Ok((len, from)) = socket.recv_from(&mut buf) {
//!         node.handle_datagram(now(), from, &buf[..len], &mut out);
//!     }
//!     if node.poll_timeout().is_some_and(|at| at <= now()) {
//!         node.handle_timeout(now(), &mut out);
//!     }
//! #   if now() > Instant::from_nanos(300_000_000) {
//! #       break;
//! #   }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! Two layers hold the protocol. Neither depends on the other; `node` connects them.
//!
//! | module | content |
//! |---|---|
//! | `node` | [`Node`]: routes inputs to the layers and their effects to the outbox; joins, leave, push/pull |
//! | `swim` | membership and failure detection: SWIM with Lifeguard's extensions, by memberlist's rules |
//! | `serf` | what Serf adds: Lamport clocks, join and leave intents, user events, queries, coordinates, reaping |
//! | `core` | state that the node lends to both layers, with the queues of their effects |
//!
//! They stand on the following modules:
//!
//! | module | content |
//! |---|---|
//! | `roster` | interned members: names, records, addresses; [`Directory`] shares them between nodes |
//! | `broadcast` | transmit queues: broadcasts ordered by transmit count |
//! | `timer`, `time` | timers of a node; [`Instant`] |
//! | `rng` | [`Seed`], and one RNG stream per concern |
//! | `complaints` | rate-limited log lines about peers that are refused or unreachable |
//! | `policy` | [`Policy`]: vetoes by the application |
//! | `config` | [`Options`], validated into a [`Config`] |
//!
//! Bytes become messages in these:
//!
//! | module | content |
//! |---|---|
//! | `envelope` | layers of a packet: label, encryption, checksum, compression, compound |
//! | `stream` | exchanges on streams: reassembly, deadlines, eviction |
//! | `wire` | messages, in HashiCorp's codec and in the native one |
//! | `msgpack` | the subset of MessagePack that HashiCorp's codec uses |
//! | `sink` | destinations for encoded bytes |
//!
//! The interface consists of:
//!
//! | module | content |
//! |---|---|
//! | `input` | [`Input`]: all inputs as one type, for recording and replay |
//! | `outbox` | [`Outbox`] and [`Output`] |
//! | `event` | [`Event`] and its parts |
//! | `stats` | [`Stats`]: counters; [`Usage`]: fill levels |
//! | [`limits`] | limits of buffers, queues and messages |
//! | `types` | names, tags, ids, keys and [`Snapshot`] |
//! | [`diagnostics`] | requests to a node from a program that is not a member |
//! | `conceal` | [`Concealer`]: replaces keys and payloads in recorded inputs |
//! | `fingerprint` | what decides the behaviour of a node, hashed |
//! | `named` | macro for enums whose variants have names |
//!
//! # Features
//!
//! The crate is `no_std` with `alloc`. Features:
//!
//! - `std` (default): dependencies may use CPU instructions for checksums. The crate itself does not use `std`.
//! - `generate`: random keys from the operating system's entropy. No node reads it.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod broadcast;
mod complaints;
mod conceal;
mod config;
mod core;
pub mod diagnostics;
mod envelope;
mod event;
mod fingerprint;
mod input;
#[doc(hidden)]
pub mod internals;
pub mod limits;
mod msgpack;
mod named;
mod node;
mod outbox;
mod policy;
mod rng;
mod roster;
mod serf;
mod sink;
mod stats;
mod stream;
mod swim;
mod time;
mod timer;
mod token_bucket;
mod types;
mod waits;
mod wire;

/// Version of this crate. Recorded inputs and checkpoints are read by the version that wrote them.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub use bytes;
pub use complaints::{Complaint, ComplaintKind};
pub use conceal::{Concealed, Concealer};
pub use config::{CodecChoice, Config, ConfigError, Options, SerfOptions, SwimOptions, TransportOptions};
pub use envelope::{EnvelopeConfig, Keyring, KeyringError, Label};
pub use event::{
    AddressFailure, Event, Evidence, JoinOutcome, KeyAnswer, KeyOperation, KeyReport, LeaveReport, Member, MemberEvent,
    MemberEventKind, Members, NameVerdict, NameVote, PartitionReport, PartitionShare, Query, QueryReport,
    SeedFailureCause, Source, Status, UserEvent,
};
pub use input::Input;
pub use ipnet::IpNet;
pub use node::{
    CheckpointError, Coalescing, ForceLeaveError, JoinError, LeaveError, Node, NodeState, OldEvents, Outputs,
    SetTagsError, SocketFailure, Start, Tap, Tombstone, Unsaved, UserEventError, Why,
};
pub use outbox::{Outbox, Output};
pub use policy::{Candidate, Policy, SharedPolicy, Veto};
pub use rng::{Rng, Seed};
pub use roster::{Directory, Identity, IdentityError, Peer, canonical};
pub use serf::{
    Coordinate, CoordinateError, Filter, KeysError, LatencyFilter, Pattern, PatternError, QueryError, Question,
    RespondError, Vivaldi,
};
pub use stats::{Clocks, DropReason, Histogram, MemberCounts, Metric, Pruned, QueueDepths, Sent, Stats, Usage};
pub use stream::StreamInput;
pub use time::Instant;
#[cfg(feature = "generate")]
pub use types::EntropyError;
pub use types::{
    AfterLeave, JoinId, Key, KeyError, KeyringChange, Name, QueryId, Record, Replay, Snapshot, StreamId, Tags,
    UnknownWord,
};
pub use wire::{Codec, MessageKind, Versions};

/// Runs the example of the README as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
