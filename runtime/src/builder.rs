//! Node construction.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serf_proto::{AfterLeave, Config, Identity, Node, OldEvents, Seed, Start};

use crate::address;
use crate::disk::is_in_use;
use crate::driver::{self, Setup};
use crate::error::StartError;
use crate::events::Events;
use crate::files::Files;
use crate::handlers::Handlers;
use crate::joining::{join_until_found, rejoin_until_found};
use crate::keyring_file::{KeyringFile, keys_at_start};
use crate::net::{Disk, Net};
use crate::options::Options;
use crate::retry::Retries;
use crate::serf::Serf;
use crate::snapshot::{Opened, SnapshotWriter};

/// Builder of a node, from [`Serf::builder`].
///
/// ```no_run
/// # use serf_runtime::{Handlers, Options, Serf, StartError, net::Net};
/// # fn start<N: Net>(net: N) -> Result<Serf<N>, StartError> {
/// let handlers = Handlers::new().on_user("deploy", |event| async move { println!("{:?}", event.payload) });
/// let serf = Serf::builder(Options::lan("web-1")).on(net).handlers(handlers).start()?;
/// # Ok(serf)
/// # }
/// ```
#[must_use = "a builder does nothing until it is started"]
pub struct Builder<N: Net> {
    options: Options,
    net: Option<N>,
    handlers: Option<Handlers>,
}

/// Start.
impl<N: Net> Serf<N> {
    /// Starts a node on the async runtime of the caller. The node is alone until it [joins](Self::join) a cluster or
    /// another node joins it. Short form of [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// Returns an error if the options contradict each other, the address cannot be bound, no address can be
    /// advertised, the snapshot or the keyring file is unusable or locked by another node, or the caller does not run
    /// on the runtime. A failed start releases everything that it acquired.
    pub fn start(options: Options) -> Result<Self, StartError> {
        Self::builder(options).start()
    }

    /// Returns a builder, for a node on another runtime, with [handlers](Builder::handlers), or with [a subscription
    /// from the first event on](Builder::start_with_events).
    pub const fn builder(options: Options) -> Builder<N> {
        Builder { options, net: None, handlers: None }
    }
}

impl<N: Net> Builder<N> {
    /// Sets the runtime. Default: the runtime of the caller of [`start`](Self::start).
    pub fn on(self, net: N) -> Self {
        Self { net: Some(net), ..self }
    }

    /// Registers handlers that receive every event from the first one on; otherwise like [`Serf::handle`]. A service
    /// that consists of handlers only then calls [`Serf::wait`].
    pub fn handlers(self, handlers: Handlers) -> Self {
        Self { handlers: Some(handlers), ..self }
    }

    /// Starts the node.
    ///
    /// # Errors
    ///
    /// As [`Serf::start`].
    pub fn start(self) -> Result<Serf<N>, StartError> {
        self.start_with_events().map(|(serf, _events)| serf)
    }

    /// Starts the node and returns a subscription to its [events](Serf::events) from the first one on. These include
    /// the node's own join and, for a node with a [snapshot](Options::snapshot), the events that it missed while it
    /// was down. A later subscription may miss both.
    ///
    /// # Errors
    ///
    /// As [`Serf::start`].
    pub fn start_with_events(self) -> Result<(Serf<N>, Events), StartError> {
        let Self { options, net, handlers } = self;
        let net = net.map_or_else(N::current, Ok).map_err(StartError::Runtime)?;
        let disk = net.disk();
        let config = configure(&*disk, options.protocol, options.keyring_file.as_deref(), options.snapshot.is_some())?;
        let seed = options.seed.map_or_else(|| seed(&net), Ok)?;
        let bound = net.bind(options.bind)?;
        let advertised = address::advertised(options.advertise, bound.addr, || net.addresses())?;
        if !config.admits(advertised.addr.ip()) {
            return Err(StartError::NotAllowed { addr: advertised.addr });
        }
        let identity = Identity::new(&options.name, advertised.addr, &options.tags).map_err(StartError::Identity)?;
        let keyring = options.keyring_file.map(|path| open_keyring(&disk, path)).transpose()?;
        // Last fallible step: from here on this node owns the file.
        let after_leave = if options.rejoin_after_leave { AfterLeave::Rejoin } else { AfterLeave::Forget };
        let opened = options.snapshot.map(|path| open_snapshot(&disk, path, after_leave)).transpose()?;
        let (start, snapshot) = opened.map_or((Start::new(), None), |(start, writer)| (start, Some(writer)));
        let has_policy = options.policy.is_some();
        let start = match options.policy {
            Some(policy) => start.with_policy(policy),
            None => start,
        };
        let was_member = start.snapshot.as_ref().is_some_and(|snapshot| snapshot.alive().count() > 0);
        let setup = Setup {
            net,
            bound,
            advertised,
            linger: config.transport().stream_timeout,
            subscriber_events_max: options.subscriber_events_max,
            files: Files { snapshot, keyring },
            retries: Retries::new(&seed),
            capture: options.capture,
            has_policy,
        };
        let (shared, [events, handled]) =
            driver::start(setup, |now, out| Node::new(config, &identity, &seed, now, start, out));
        let serf = Serf::of(Arc::clone(&shared));
        shared.net.started(serf.downgrade());
        if let Some(handlers) = handlers {
            shared.net.detach(shared.net.spawn_handlers(handlers.run(handled.with_responder(serf.responder()))));
        }
        if was_member {
            shared.net.detach(shared.net.spawn(rejoin_until_found(Arc::clone(&shared))));
        }
        if !options.join.is_empty() {
            // A former member receives the events that it missed, also if it comes back by this join and not by its snapshot.
            let old = if was_member { OldEvents::Deliver } else { OldEvents::Ignore };
            shared.net.detach(shared.net.spawn(join_until_found(Arc::clone(&shared), options.join, old)));
        }
        let events = events.with_responder(serf.responder());
        Ok((serf, events))
    }
}

impl<N: Net> fmt::Debug for Builder<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("options", &self.options).finish_non_exhaustive()
    }
}

fn configure(
    disk: &dyn Disk,
    mut protocol: serf_proto::Options,
    keyring_file: Option<&Path>,
    has_snapshot: bool,
) -> Result<Arc<Config>, StartError> {
    if let Some(path) = keyring_file {
        let transport = &mut protocol.transport;
        transport.encrypt_keys = keys_at_start(disk, path, core::mem::take(&mut transport.encrypt_keys))?;
    }
    protocol.transport.keyring_kept = keyring_file.is_some();
    protocol.serf.snapshot |= has_snapshot;
    Config::new(protocol).map(Arc::new).map_err(StartError::Config)
}

/// Reads a seed from the entropy source.
fn seed<N: Net>(net: &N) -> Result<Seed, StartError> {
    let mut entropy = [0; 32];
    net.entropy(&mut entropy).map_err(StartError::Entropy)?;
    Ok(Seed::from_bytes(entropy))
}

fn open_snapshot(
    disk: &Arc<dyn Disk>,
    path: PathBuf,
    after_leave: AfterLeave,
) -> Result<(Start, SnapshotWriter), StartError> {
    let opened = Opened::read(disk, &path, after_leave).and_then(|opened| {
        let start = Start::new().with_snapshot(opened.snapshot.clone());
        Ok((start, SnapshotWriter::start(opened)?))
    });
    opened.map_err(
        |source| {
            if is_in_use(&source) { StartError::InUse { path } } else { StartError::Snapshot { path, source } }
        },
    )
}

fn open_keyring(disk: &Arc<dyn Disk>, path: PathBuf) -> Result<KeyringFile, StartError> {
    KeyringFile::open(Arc::clone(disk), path.clone()).map_err(|_| StartError::InUse { path })
}
