//! Starting a node.

use core::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serf_proto::{AfterLeave, Config, Identity, Node, OldEvents, Seed, Start};

use crate::driver::{self, Setup};
use crate::error::StartError;
use crate::events::Events;
use crate::files::Files;
use crate::handlers::Handlers;
use crate::joining::{join_until_found, rejoin_until_found};
use crate::keyring_file::{KeyringFile, keys_at_start};
use crate::net::Net;
use crate::options::NodeOptions;
use crate::replace::is_in_use;
use crate::serf::Serf;
use crate::snapshot::{Opened, SnapshotWriter};
use crate::{address, interfaces, socket};

/// A node that is about to start, from [`Serf::builder`].
///
/// ```no_run
/// # use serf_runtime::{Handlers, NodeOptions, Serf, StartError, net::Net};
/// # fn start<N: Net>(net: N) -> Result<Serf<N>, StartError> {
/// let handlers = Handlers::new().on_user("deploy", |event| async move { println!("{:?}", event.payload) });
/// let serf = Serf::builder(NodeOptions::lan("web-1")).on(net).handlers(handlers).start()?;
/// # Ok(serf)
/// # }
/// ```
#[must_use = "a builder does nothing until it is started"]
pub struct Builder<N: Net> {
    options: NodeOptions,
    net: Option<N>,
    handlers: Option<Handlers>,
}

/// Starting.
impl<N: Net> Serf<N> {
    /// Starts a node on the runtime that the caller runs on. It is alone until it [joins](Self::join) or is joined. The short form of
    /// [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// When the options do not go together, the address cannot be listened on, there is none to advertise, the snapshot or the keyring
    /// cannot be used or another node uses it, or the caller does not run on the runtime. Nothing is left behind.
    pub fn start(options: NodeOptions) -> Result<Self, StartError> {
        Self::builder(options).start()
    }

    /// Prepares a node that is to start on another runtime, with [handlers](Builder::handlers), or with
    /// [its first events](Builder::start_with_events).
    pub const fn builder(options: NodeOptions) -> Builder<N> {
        Builder { options, net: None, handlers: None }
    }
}

impl<N: Net> Builder<N> {
    /// Runs the node on this runtime. Default: the one that the caller of [`start`](Self::start) runs on.
    pub fn on(self, net: N) -> Self {
        Self { net: Some(net), ..self }
    }

    /// Runs handlers that miss no event: they are called from the very first on, and otherwise as with [`Serf::handle`]. A service
    /// that consists of handlers only then [waits](Serf::wait).
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

    /// Starts the node and returns its [events](Serf::events) from the very first on: our own joining, and, for a node with a
    /// [snapshot](NodeOptions::snapshot), those that it missed while it was gone. A subscription that begins later may come too late for
    /// them.
    ///
    /// # Errors
    ///
    /// As [`Serf::start`].
    pub fn start_with_events(self) -> Result<(Serf<N>, Events), StartError> {
        let Self { options, net, handlers } = self;
        let net = net.map_or_else(N::current, Ok).map_err(StartError::Runtime)?;
        let config = configure(options.protocol, options.keyring_file.as_deref(), options.snapshot.is_some())?;
        let seed = seed()?;
        let sockets = socket::bind(address::of_both_kinds(options.bind))?;
        let advertised = address::advertised(options.advertise, sockets.addr, interfaces::of_host)?;
        let identity = Identity::new(&options.name, advertised.addr, &options.tags).map_err(StartError::Identity)?;
        let udp = net.udp(sockets.udp).map_err(StartError::Runtime)?;
        let listener = net.listener(sockets.tcp).map_err(StartError::Runtime)?;
        let keyring = options.keyring_file.map(open_keyring).transpose()?;
        // Last of all that can fail: from here on the file is ours.
        let after_leave = if options.rejoin_after_leave { AfterLeave::Rejoin } else { AfterLeave::Forget };
        let opened = options.snapshot.map(|path| open_snapshot(path, after_leave)).transpose()?;
        let (start, snapshot) = opened.map_or((Start::new(), None), |(start, writer)| (start, Some(writer)));
        let start = match options.policy {
            Some(policy) => start.with_policy(policy),
            None => start,
        };
        let was_member = start.snapshot.as_ref().is_some_and(|snapshot| snapshot.alive().count() > 0);
        let setup = Setup {
            net,
            udp,
            listener,
            bound: sockets.addr,
            advertised,
            linger: config.stream_timeout,
            subscriber_events_max: options.subscriber_events_max,
            files: Files { snapshot, keyring },
        };
        let (shared, [events, handled]) =
            driver::start(setup, |now, out| Node::new(config, &identity, &seed, now, start, out));
        let serf = Serf::of(Arc::clone(&shared));
        if let Some(handlers) = handlers {
            shared.net.detach(shared.net.spawn(handlers.run(handled.with_responder(serf.responder()))));
        }
        if was_member {
            shared.net.detach(shared.net.spawn(rejoin_until_found(Arc::clone(&shared))));
        }
        if !options.join.is_empty() {
            // A former member gets the events that it missed, by whichever way it comes back.
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
    protocol: serf_proto::Options,
    keyring_file: Option<&Path>,
    has_snapshot: bool,
) -> Result<Arc<Config>, StartError> {
    let encrypt_keys = match keyring_file {
        Some(path) => keys_at_start(path, protocol.encrypt_keys)?,
        None => protocol.encrypt_keys,
    };
    let protocol = serf_proto::Options {
        encrypt_keys,
        snapshot: has_snapshot || protocol.snapshot,
        keyring_kept: keyring_file.is_some(),
        ..protocol
    };
    Config::new(protocol).map(Arc::new).map_err(StartError::Config)
}

/// A seed from the operating system's entropy.
fn seed() -> Result<Seed, StartError> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).map_err(|error| StartError::Entropy(io::Error::other(error.to_string())))?;
    Ok(Seed::from_bytes(entropy))
}

fn open_snapshot(path: PathBuf, after_leave: AfterLeave) -> Result<(Start, SnapshotWriter), StartError> {
    let opened = Opened::read(&path, after_leave).and_then(|opened| {
        let start = Start::new().with_snapshot(opened.snapshot.clone());
        Ok((start, SnapshotWriter::start(opened)?))
    });
    opened.map_err(
        |source| {
            if is_in_use(&source) { StartError::InUse { path } } else { StartError::Snapshot { path, source } }
        },
    )
}

fn open_keyring(path: PathBuf) -> Result<KeyringFile, StartError> {
    KeyringFile::open(path.clone()).map_err(|_| StartError::InUse { path })
}
