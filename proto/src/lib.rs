//! Serf's protocol as a state machine that does no IO.
//!
//! A [`Node`] is one member of a cluster. It is given packets, stream bytes, the time and commands; it says what to do in
//! an [`Outbox`]: send this datagram, open that stream, tell the application. It owns no socket, no clock, no thread and no
//! source of entropy, so the same inputs always give the same outputs, and thousands of nodes run in one process.
//!
//! # The loop around a node
//!
//! 1. Give it whatever came: [`Node::handle_datagram`], [`Node::handle_stream`], or a command such as [`Node::join`].
//! 2. Do everything in the outbox, in order.
//! 3. Sleep until [`Node::poll_timeout`], then call [`Node::handle_timeout`]; or until something else comes.
//!
//! A call leaves nothing pending inside: all its effects are in the outbox when it returns.
//!
//! # The parts
//!
//! `swim` is membership and failure detection (SWIM with Lifeguard's extensions, by memberlist's rules); `serf` is what Serf
//! adds: clocks, join and leave intents, tags, user events. Neither knows the other; [`Node`] wires them. `wire` turns bytes
//! to messages, `envelope` packets to frames, `stream` exchanges on streams to whole messages.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod broadcast;
mod complaints;
mod config;
mod core;
pub mod envelope;
mod event;
mod input;
pub mod limits;
#[doc(hidden)]
pub mod msgpack;
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
mod types;
pub mod wire;

pub use bytes;
pub use complaints::{Complaint, ComplaintKind};
pub use config::{CodecChoice, Config, ConfigError, Options};
pub use event::{
    AddressFailure, Event, Evidence, JoinOutcome, KeyAnswer, KeyOperation, KeyReport, LeaveReport, Member, MemberEvent,
    MemberEventKind, MembersEvent, NameVerdict, NameVote, Query, QueryReport, SeedFailureCause, Source, Status,
    UserEvent,
};
pub use input::Input;
pub use node::{
    ForceLeaveError, JoinError, LeaveError, Node, NodeState, OldEvents, SetTagsError, SocketFailure, Start,
    UserEventError, Why,
};
pub use outbox::{Outbox, Output};
pub use policy::{Candidate, Policy, SharedPolicy, Veto};
pub use rng::{Rng, Seed};
pub use roster::{Directory, Identity, IdentityError, Peer, canonical};
pub use serf::{
    Coordinate, CoordinateError, Filter, KeysError, LatencyFilter, Pattern, PatternError, QueryError, Question,
    RespondError, Vivaldi,
};
pub use stats::{Clocks, DropReason, MemberCounts, Metric, Pruned, QueueDepths, Sent, Stats, Usage};
pub use stream::{Inquiry, Reply, StreamInput};
pub use time::Instant;
pub use types::{
    AfterLeave, JoinId, KeyringChange, Name, QueryId, Record, Replay, Snapshot, StreamId, Tags, UnknownWord,
};
pub use wire::{Codec, MessageKind, Versions};
