//! The listening sockets of RPC.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};

use super::{Service, connection};
use crate::endpoint::{go_words, keep_alive};
use crate::places::Places;
use crate::platform::{LocalListener, LocalStream, file_limit};
use crate::rpc::{AddressError, RpcAddress};

/// A listening socket.
pub(crate) enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// A socket file.
    Local(LocalListener),
}

/// Why listening failed.
#[derive(Debug, Error)]
pub(crate) enum ListenError {
    /// The address is invalid.
    #[error("listen tcp: {0}")]
    Address(#[from] AddressError),
    /// The host name has no address.
    #[error("listen tcp: lookup {host}: no such host")]
    Lookup { host: String },
    /// The system cannot listen on it.
    #[error("listen {network} {addr}: bind: {}", go_words(source))]
    Listen { network: &'static str, addr: String, source: io::Error },
}

impl Listener {
    /// Listens on `addr`, see [`RpcAddress`].
    pub(crate) async fn bind(addr: &str) -> Result<Self, ListenError> {
        match RpcAddress::parse(addr)? {
            RpcAddress::Tcp { host, port } => listen(host, port).await.map(Self::Tcp),
            RpcAddress::Unix(path) => {
                let addr = path.display().to_string();
                let failed = |source| ListenError::Listen { network: "unix", addr, source };
                LocalListener::bind(&path).map(Self::Local).map_err(failed)
            }
        }
    }

    /// The address as the banner shows it.
    pub(crate) fn shown(&self, configured: &str) -> String {
        match self {
            Self::Tcp(listener) if configured.ends_with(":0") => {
                listener.local_addr().map_or_else(|_| configured.into(), |addr| addr.to_string())
            }
            _ => configured.into(),
        }
    }
}

/// Listens on a TCP port.
pub(crate) async fn listen(host: String, port: u16) -> Result<TcpListener, ListenError> {
    // As in Go, an empty host means every address of this machine.
    let host = if host.is_empty() { "::".into() } else { host };
    let found: Vec<_> = match tokio::net::lookup_host((host.as_str(), port)).await {
        Ok(found) => found.collect(),
        Err(_) => return Err(ListenError::Lookup { host: host.clone() }),
    };
    // IPv4 first, as everywhere.
    let first = found.iter().find(|addr| addr.is_ipv4()).or_else(|| found.first()).copied();
    let target = first.ok_or(ListenError::Address(AddressError::Missing))?;
    let failed = |source| ListenError::Listen { network: "tcp", addr: target.to_string(), source };
    TcpListener::bind(target).await.map_err(failed)
}

/// Serves clients until the task is dropped.
pub(crate) async fn serve(service: Arc<impl Service>, listener: Listener) {
    let wrong_tokens = Arc::default();
    let places = Places::new(clients_max(), clients_max() / 2);
    let mut is_full = false;
    loop {
        let accepted = match &listener {
            Listener::Tcp(tcp) => tcp.accept().await.map(|(socket, peer)| {
                // All clients on this machine have one address, so the limit per source does not apply.
                let source = Some(peer.ip()).filter(|ip| !ip.is_loopback());
                (Client::Tcp(socket), source, peer.to_string())
            }),
            Listener::Local(local) => local.accept().await.map(|socket| (Client::Local(socket), None, "@".into())),
        };
        let accepted = accepted.map(|(client, source, peer)| {
            let Some(place) = places.admit(source) else {
                service.tally().clients_refused.bump();
                if !is_full {
                    let text = format_args!("Too many clients, refusing {peer} and those after it");
                    service.log().warn("agent.ipc", text);
                }
                is_full = true;
                return;
            };
            is_full = false;
            match client {
                Client::Tcp(socket) => {
                    _ = socket.set_nodelay(true);
                    keep_alive(&socket);
                    let (reader, writer) = socket.into_split();
                    connection::spawn(&service, &wrong_tokens, peer, place, reader, writer);
                }
                Client::Local(socket) => {
                    let (reader, writer) = socket.into_split();
                    connection::spawn(&service, &wrong_tokens, peer, place, reader, writer);
                }
            }
        });
        if let Err(error) = accepted {
            service.log().error("agent.ipc", format_args!("Failed to accept client: {}", go_words(&error)));
            // Mostly out of files; closing connections frees some.
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

enum Client {
    Tcp(TcpStream),
    Local(LocalStream),
}

/// Limit on clients. They must not use up the files that gossip needs.
fn clients_max() -> usize {
    let clients = file_limit().unwrap_or(FILES).saturating_sub(FILES_RESERVED).clamp(CLIENTS_LEAST, CLIENTS_MAX);
    usize::try_from(clients).unwrap_or(usize::MAX)
}

/// Assumed limit of open files where the system does not report one.
const FILES: u64 = 1024;
/// Files reserved for gossip, handlers, the snapshot and others.
const FILES_RESERVED: u64 = 256;
const CLIENTS_LEAST: u64 = 64;
const CLIENTS_MAX: u64 = 4096;

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
