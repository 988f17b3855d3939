//! Where clients come in.

use core::fmt;
use std::io;
#[cfg(unix)]
use std::os::fd::OwnedFd;
#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

use super::connection;
use crate::agent::Agent;
use crate::endpoint::{go_words, keep_alive};
use crate::places::Places;
use crate::rpc::{AddressError, RpcAddress};

/// A socket that clients connect to.
pub(crate) enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// On this machine.
    #[cfg(unix)]
    Unix(UnixListener, PathBuf),
}

/// Why no client can connect.
#[derive(Debug)]
pub(crate) enum ListenError {
    /// The address is none.
    Address(AddressError),
    /// Nobody knows the host.
    Lookup { host: String },
    /// It cannot be listened on.
    Listen { network: &'static str, addr: String, step: &'static str, source: io::Error },
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => write!(f, "listen tcp: {error}"),
            Self::Lookup { host } => write!(f, "listen tcp: lookup {host}: no such host"),
            Self::Listen { network, addr, step, source } => {
                write!(f, "listen {network} {addr}: {step}{}", go_words(source))
            }
        }
    }
}

impl Listener {
    /// Listens on `addr`, see [`RpcAddress`].
    pub(crate) async fn bind(addr: &str) -> Result<Self, ListenError> {
        match RpcAddress::parse(addr).map_err(ListenError::Address)? {
            RpcAddress::Tcp { host, port } => listen(host, port).await.map(Self::Tcp),
            #[cfg(unix)]
            RpcAddress::Unix(path) => {
                let shown = path.display().to_string();
                let failed =
                    |source| ListenError::Listen { network: "unix", addr: shown.clone(), step: "bind: ", source };
                Ok(Self::Unix(bind_unix(&path).map_err(failed)?, path))
            }
            #[cfg(not(unix))]
            RpcAddress::Unix(path) => Err(ListenError::Listen {
                network: "unix",
                addr: path.display().to_string(),
                step: "",
                source: io::ErrorKind::Unsupported.into(),
            }),
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

/// Listens on a socket file, which only our user may open. One that a crash left behind is replaced.
#[cfg(unix)]
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let socket = bind_private(path)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(OwnedFd::from(socket).into())
}

/// A socket file that only our user may open, not yet listening: until then every connection is refused, so that no client
/// comes in before the mode is set.
#[cfg(unix)]
fn bind_private(path: &Path) -> io::Result<socket2::Socket> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let is_stale = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
        && std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if is_stale {
        std::fs::remove_file(path)?;
    }
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

#[cfg(unix)]
impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            _ = std::fs::remove_file(path);
        }
    }
}

/// Listens on a TCP port.
pub(crate) async fn listen(host: String, port: u16) -> Result<TcpListener, ListenError> {
    // As Go does it, no host is every address of this machine.
    let host = if host.is_empty() { "::".into() } else { host };
    let found: Vec<_> = match tokio::net::lookup_host((host.as_str(), port)).await {
        Ok(found) => found.collect(),
        Err(_) => return Err(ListenError::Lookup { host: host.clone() }),
    };
    // IPv4 first, as everywhere.
    let first = found.iter().find(|addr| addr.is_ipv4()).or_else(|| found.first()).copied();
    let target = first.ok_or(ListenError::Address(AddressError::Missing))?;
    let failed = |source| ListenError::Listen { network: "tcp", addr: target.to_string(), step: "bind: ", source };
    TcpListener::bind(target).await.map_err(failed)
}

/// Serves clients until the task is dropped.
pub(crate) async fn serve(agent: Arc<Agent>, listener: Listener) {
    let places = Places::new(clients_max(), clients_max() / 2);
    let mut is_full = false;
    loop {
        let accepted = match &listener {
            Listener::Tcp(tcp) => tcp.accept().await.map(|(socket, peer)| {
                // On this machine all clients have one address.
                let source = Some(peer.ip()).filter(|ip| !ip.is_loopback());
                (Client::Tcp(socket), source, peer.to_string())
            }),
            #[cfg(unix)]
            Listener::Unix(unix, _) => unix.accept().await.map(|(socket, _)| (Client::Unix(socket), None, "@".into())),
        };
        let accepted = accepted.map(|(client, source, peer)| {
            let Some(place) = places.admit(source) else {
                agent.tally.clients_refused.bump();
                if !is_full {
                    let text = format_args!("Too many clients, refusing {peer} and those after it");
                    agent.log.warn("agent.ipc", text);
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
                    connection::spawn(&agent, peer, place, reader, writer);
                }
                #[cfg(unix)]
                Client::Unix(socket) => {
                    let (reader, writer) = socket.into_split();
                    connection::spawn(&agent, peer, place, reader, writer);
                }
            }
        });
        if let Err(error) = accepted {
            agent.log.error("agent.ipc", format_args!("Failed to accept client: {}", go_words(&error)));
            // Out of files, mostly: clients that go make room.
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

enum Client {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// How many clients there may be. They must not use up the files that gossip needs.
fn clients_max() -> usize {
    #[cfg(unix)]
    let files =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).map_or(FILES, |limit| limit.0);
    #[cfg(not(unix))]
    let files = FILES;
    let clients = files.saturating_sub(FILES_RESERVED).clamp(CLIENTS_LEAST, CLIENTS_MAX);
    usize::try_from(clients).unwrap_or(usize::MAX)
}

/// Where the system does not say how many files we may have open.
const FILES: u64 = 1024;
/// For gossip, handlers, the snapshot and others.
const FILES_RESERVED: u64 = 256;
const CLIENTS_LEAST: u64 = 64;
const CLIENTS_MAX: u64 = 4096;

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Clients that have connected and are not accepted yet.
#[cfg(unix)]
const BACKLOG: i32 = 1024;

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_socket_file_has_its_mode_before_anybody_can_connect() {
        let path = std::env::temp_dir().join(format!("serf-agent-{}-mode.sock", std::process::id()));
        let socket = bind_private(&path).expect("can be bound");
        let mode = std::fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let refused = UnixStream::connect(&path).expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        drop(socket);
        // A crash has left it behind; it is replaced, and new clients can connect.
        let _listener = bind_unix(&path).expect("can be bound again");
        assert!(UnixStream::connect(&path).is_ok());
        std::fs::remove_file(&path).expect("is ours");
    }
}
