//! The agent: a node with RPC, handlers, metrics, discovery and the log.

mod bootstrap;
mod capture;
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
mod seeds;
mod setup;
mod sinks;
mod status_page;
mod supervisor;
mod web;
mod why;

use std::path::PathBuf;
use std::sync::Arc;

use serf_tokio::{Capture, CodecChoice, Serf};
use tokio::sync::{Mutex, watch};

use self::bootstrap::Bootstrap;
pub use self::exposition::exposition;
use self::files::FileLimit;
use self::health::Health;
use self::metrics::Metrics;
pub use self::metrics::recorded;
use self::reaper::Children;
pub(crate) use self::run::run;
use self::scripts::Scripts;
use self::status_page::StatusPage;
use crate::config::SizeLimits;
use crate::log::Log;
use crate::rpc::server::Streams;
use crate::tally::Tally;

/// State shared by all parts of a running agent.
pub(crate) struct Agent {
    serf: Serf,
    log: Arc<Log>,
    metrics: Arc<Metrics>,
    tally: Arc<Tally>,
    health: Health,
    bootstrap: Bootstrap,
    /// `None` without `-ui`.
    status_page: Option<StatusPage>,
    /// The token required of clients; empty for none.
    rpc_auth: String,
    /// Only one client's patterns are compiled at a time.
    listing: Mutex<()>,
    streams: Streams,
    scripts: Scripts,
    children: Children,
    files: FileLimit,
    /// The capture that SIGUSR2 switches.
    capture: Option<Capture>,
    /// The Serf protocol version in use.
    protocol: u8,
    /// Whether a name conflict is resolved by a vote.
    resolves_names: bool,
    codec: CodecChoice,
    size_limits: SizeLimits,
    /// The file of tags. Locked while tags change, so that file and cluster agree.
    tags_file: Mutex<Option<PathBuf>>,
    /// Serialises operations on keys.
    key_operation: Mutex<()>,
    /// The reason to stop, once there is one.
    stop: watch::Sender<Option<Stop>>,
}

/// Why an agent stops by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// A client requested a leave.
    Left,
    /// Another node won the vote on the name.
    NameLost,
    /// No peer answered the joins.
    NoSeedAnswered,
    /// The node stopped by itself.
    NodeEnded,
}

impl Agent {
    /// Stops the agent, unless it is stopping already.
    fn stop(&self, why: Stop) {
        self.stop.send_if_modified(|stop| {
            let is_first = stop.is_none();
            stop.get_or_insert(why);
            is_first
        });
    }
}
