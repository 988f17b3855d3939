//! The agent: a node, and everything around it that people and programs see.

mod commands;
mod discovery;
mod events;
mod exposition;
mod figures;
mod files;
mod health;
mod invoke;
mod joining;
mod keys;
mod life;
mod metrics;
mod panics;
mod queries;
mod reaper;
mod run;
mod scripts;
mod setup;
mod sinks;
mod supervisor;
mod web;
mod why;

use std::path::PathBuf;
use std::sync::Arc;

use serf_tokio::Serf;
use tokio::sync::{Mutex, watch};

use self::files::FileLimit;
use self::health::Health;
use self::metrics::Metrics;
use self::reaper::Children;
pub(crate) use self::run::run;
use self::scripts::Scripts;
use crate::config::SizeLimits;
use crate::log::Log;
use crate::rpc::server::Streams;
use crate::tally::Tally;

/// What all parts of a running agent share.
pub(crate) struct Agent {
    serf: Serf,
    log: Arc<Log>,
    metrics: Arc<Metrics>,
    tally: Arc<Tally>,
    health: Health,
    /// The token that clients must show; empty for none.
    rpc_auth: String,
    /// One client's patterns are compiled at a time.
    listing: Mutex<()>,
    streams: Streams,
    scripts: Scripts,
    children: Children,
    files: FileLimit,
    /// The Serf protocol that we speak.
    protocol: u8,
    /// Whether the others are asked when another node has our name.
    resolves_names: bool,
    size_limits: SizeLimits,
    /// The file that keeps tags; held while tags change, so that file and cluster agree.
    tags_file: Mutex<Option<PathBuf>>,
    /// One operation on keys at a time.
    key_operation: Mutex<()>,
    /// Why the agent is to end.
    stop: watch::Sender<Option<Stop>>,
}

/// Why an agent ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// A client had it leave.
    Left,
    /// Another node has its name.
    NameLost,
    /// Nobody answered its joins.
    NobodyAnswers,
    /// Its node has ended by itself.
    NodeEnded,
}

impl Agent {
    /// Ends the agent, unless it ends already.
    fn stop(&self, why: Stop) {
        self.stop.send_if_modified(|stop| {
            let is_first = stop.is_none();
            stop.get_or_insert(why);
            is_first
        });
    }
}
