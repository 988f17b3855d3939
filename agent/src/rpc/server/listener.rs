//! Where clients come in.

use core::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

use super::connection;
use crate::agent::Agent;
use crate::endpoint::go_words;
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
    /// It cannot be listened on.
    Listen { network: &'static str, addr: String, step: &'static str, source: io::Error },
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => write!(f, "listen tcp: {error}"),
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
            RpcAddress::Tcp { host, port } => {
                // As Go does it, no host is every address of this machine.
                let host = if host.is_empty() { "::".into() } else { host };
                let found: Vec<_> = match tokio::net::lookup_host((host.as_str(), port)).await {
                    Ok(found) => found.collect(),
                    Err(_) => {
                        let source = io::Error::other("no such host");
                        return Err(ListenError::Listen {
                            network: "tcp",
                            addr: addr.into(),
                            step: "lookup: ",
                            source,
                        });
                    }
                };
                // IPv4 first, as everywhere.
                let first = found.iter().find(|addr| addr.is_ipv4()).or_else(|| found.first()).copied();
                let target = first.ok_or(ListenError::Address(AddressError::Missing))?;
                let failed =
                    |source| ListenError::Listen { network: "tcp", addr: target.to_string(), step: "bind: ", source };
                TcpListener::bind(target).await.map(Self::Tcp).map_err(failed)
            }
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
fn bind_unix(path: &PathBuf) -> io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let is_stale = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
        && std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if is_stale {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(unix)]
impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            _ = std::fs::remove_file(path);
        }
    }
}

/// Serves clients until the task is dropped.
pub(crate) async fn serve(agent: Arc<Agent>, listener: Listener) {
    loop {
        let accepted = match &listener {
            Listener::Tcp(tcp) => tcp.accept().await.map(|(socket, peer)| {
                _ = socket.set_nodelay(true);
                let (reader, writer) = socket.into_split();
                connection::spawn(&agent, peer.to_string(), reader, writer);
            }),
            #[cfg(unix)]
            Listener::Unix(unix, _) => unix.accept().await.map(|(socket, _)| {
                let (reader, writer) = socket.into_split();
                connection::spawn(&agent, "@".into(), reader, writer);
            }),
        };
        if let Err(error) = accepted {
            agent.log.error("agent.ipc", format_args!("Failed to accept client: {}", go_words(&error)));
            // Out of files, mostly: clients that go make room.
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
