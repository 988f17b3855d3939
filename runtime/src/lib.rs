//! An embeddable Serf node: membership, failure detection, user events and queries, on any async runtime.
//!
//! Use it through `serf-tokio` or `serf-smol`, which re-export everything here and define their [`Serf`]. The parts:
//!
//! - [`Options`] configures a node; [`Serf::start`] starts it, or [`Serf::builder`] with handlers or on another
//!   runtime.
//! - [`Serf`] is the handle: [join](Serf::join), [list the members](Serf::members), [send a user
//!   event](Serf::user_event), [send a query](Serf::query), [change the tags](Serf::set_tags) or [the
//!   keys](Serf::install_key), [leave](Serf::leave). Dropping the last handle stops the node.
//! - [`Events`] is a stream of events; [`Handlers`] calls functions for them.
//! - [`Net`](net::Net) is the trait that an async runtime implements.
//!
//! # For users of Serfer
//!
//! | [Serfer](https://github.com/johandry/serfer) | here |
//! |---|---|
//! | `New`, `NewDefault`, `NewSecure` with leaders, tags, keys | [`Options`] with [`join`](Options::join), [`tags`](Options::tags), [`encrypt_keys`](serf_proto::TransportOptions::encrypt_keys) |
//! | `Start` with a handler; `StartAndWait` | [`Serf::builder`] with [`handlers`](Builder::handlers); then [`Serf::wait`] |
//! | `Leave`, `Close`, `ForceLeave` | [`Serf::leave`], [`Serf::shutdown`] or dropping the last handle, [`Serf::force_leave`] |
//! | `MemberEventHandle`, `UserEventHandle`, `QueryEventHandle`; `*`; `NotFound` | [`Handlers::on_member`], [`on_user`](Handlers::on_user), [`on_query`](Handlers::on_query); `on_any_…`; [`otherwise`](Handlers::otherwise). In order, one after the other |
//! | `Event2UserEvent` and the like | `match` on [`Event`] |
//! | `Event`; `Query` and `GetResponse` | [`Serf::user_event`]; [`Serf::query`] and [`QueryStream::answers`], which ends when all have answered |
//! | `q.Respond` | what the handler returns, or [`Serf::respond`] |
//! | `Tags`, `Tag`, `SetTag`, `BindTags` | [`Serf::tags`], [`Serf::update_tags`], [`Serf::set_tags`] |
//! | `GetKeys`, `InstallKey`, `UseKey`, `RemoveKey`, `ListKeys` | [`Serf::keys`], [`Serf::install_key`], [`use_key`](Serf::use_key), [`remove_key`](Serf::remove_key), [`list_keys`](Serf::list_keys) |
//!
//! The protocol itself is [`serf_proto`], a state machine without IO; this crate adds sockets, time and randomness. A node
//! is locked for the duration of one input or command, a few microseconds, and never across an await. Every queue is
//! bounded: datagrams that wait for the socket, events that wait for a subscriber, replies that wait for a peer, snapshot
//! lines that wait for the disk.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod address_watch;
mod beacon;
mod builder;
mod call_buffers;
pub mod capture;
mod dials;
mod disk;
mod driver;
mod end;
mod engine;
mod error;
mod events;
mod files;
mod handlers;
mod interfaces;
mod join;
mod joining;
mod key_list;
mod keyring_file;
mod keys;
pub mod net;
mod options;
mod query;
#[cfg(feature = "metrics")]
mod recorder;
mod replace;
mod report;
mod responder;
mod retry;
mod seed;
mod send_queue;
mod serf;
mod signal;
mod snapshot;
mod socket;
mod span;
mod stats;
mod unwind;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use bytes;
pub use serf_proto;
pub use serf_proto::{
    Candidate, Coalescing, CodecChoice, Complaint, ComplaintKind, Coordinate, DropReason, EntropyError, Event,
    Evidence, ForceLeaveError, Histogram, Instant, Key, KeyAnswer, KeyError, KeyOperation, KeyReport, KeysError,
    LeaveReport, Member, MemberCounts, MemberEvent, MemberEventKind, Members, Metric, Name, NodeState, OldEvents,
    PartitionReport, PartitionShare, Peer, Policy, Query, QueryError, QueryId, QueryReport, Question, RespondError,
    Seed, SeedFailureCause, SetTagsError, SharedPolicy, Source, Status, Tags, Tombstone, UnknownWord, Usage, UserEvent,
    UserEventError, Veto, Why,
};

pub use crate::beacon::Beacon;
pub use crate::builder::Builder;
pub use crate::capture::Capture;
pub use crate::end::End;
pub use crate::error::{CommandError, KeyringFileError, LeaveError, NotWritten, StartError, Stopped, Transport};
pub use crate::events::{Events, Lagged};
pub use crate::handlers::Handlers;
pub use crate::keyring_file::{read_keyring_file, write_keyring_file};
pub use crate::options::{DEFAULT_PORT, Options};
pub use crate::query::{Answers, QueryStream, Reply};
pub use crate::report::{JoinError, JoinReport, SeedCause, SeedFailure};
pub use crate::retry::Retry;
pub use crate::seed::SeedError;
pub use crate::serf::{Serf, WeakSerf};
pub use crate::stats::Stats;

/// Locks a mutex and ignores poisoning: only a bug in another task causes it, and refusing to continue here would not
/// help.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
