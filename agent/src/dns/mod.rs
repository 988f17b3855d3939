//! Looks up SRV records, which the system's resolver cannot (RFC 2782).
//!
//! Names of hosts are left to the system's resolver, which knows the hosts file and other sources besides DNS.

mod message;
mod resolv;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use self::message::{Answer, Kind, Query, Reading};
pub(crate) use self::message::{Target, ip, parse};
pub(crate) use self::resolv::Resolver;
use crate::endpoint::go_words;

/// Why a lookup has no result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum DnsError {
    /// The text is not a name.
    #[error("{0:?} is not a DNS name: parts have 1 to 63 bytes, all of it 253 at most")]
    Name(String),
    /// The name does not exist, or has no such records.
    #[error("{name} has no {kind} record, answers the name server {server}")]
    None { name: String, kind: &'static str, server: SocketAddr },
    /// No server gave an answer; the last failure.
    #[error("no name server answers for {name}: {server}: {why}; see /etc/resolv.conf")]
    Failed { name: String, server: SocketAddr, why: String },
}

impl Resolver {
    /// The targets of a service, best first: by priority, then by weight. Relative names are looked up in the search
    /// domains too. A target has the addresses that came with the answer, if any did.
    ///
    /// # Errors
    ///
    /// See [`DnsError`].
    pub(crate) async fn services(&self, name: &str) -> Result<Vec<Target>, DnsError> {
        let mut targets = self.search(name, Kind::Srv).await?.targets;
        targets.sort_by_key(|target| (target.priority, core::cmp::Reverse(target.weight)));
        Ok(targets)
    }

    /// The addresses of a host, from these name servers only.
    ///
    /// # Errors
    ///
    /// See [`DnsError`].
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let mut found = Vec::new();
        let mut first_error = None;
        for kind in [Kind::A, Kind::Aaaa] {
            match self.ask_all(host, kind).await {
                Ok(answer) => found.extend(answer.addresses),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match first_error {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// Asks for the name in each domain in turn, until one has records. The error is that of the name as given.
    async fn search(&self, name: &str, kind: Kind) -> Result<Answer, DnsError> {
        let mut first_error = None;
        for candidate in self.candidates(name) {
            match self.ask_all(&candidate, kind).await {
                Ok(answer) => return Ok(answer),
                Err(error @ DnsError::Failed { .. }) => return Err(error),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| DnsError::Name(name.into())))
    }

    /// Asks the servers in turn, until one answers.
    async fn ask_all(&self, name: &str, kind: Kind) -> Result<Answer, DnsError> {
        let query = Query::new(name, kind).ok_or_else(|| DnsError::Name(name.into()))?;
        let mut failure = None;
        for _ in 0..self.attempts {
            for server in &self.servers {
                let answered = timeout(self.timeout, ask(*server, &query)).await;
                match answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                    Ok(Reading::Answer(answer)) if answer.has(kind) => return Ok(answer),
                    Ok(Reading::Answer(_) | Reading::NoName) => {
                        return Err(DnsError::None { name: name.into(), kind: kind.name(), server: *server });
                    }
                    Ok(Reading::Refused(why)) => failure = Some((*server, why.to_owned())),
                    Ok(Reading::Truncated) => failure = Some((*server, "the answer is cut".to_owned())),
                    Err(error) => failure = Some((*server, go_words(&error))),
                }
            }
        }
        let (server, why) = failure.unwrap_or_else(|| (SocketAddr::from(([0, 0, 0, 0], 53)), "there is none".into()));
        Err(DnsError::Failed { name: name.into(), server, why })
    }
}

/// Asks one server, over TCP if its answer does not fit into a datagram.
async fn ask(server: SocketAddr, query: &Query) -> io::Result<Reading> {
    match ask_over_udp(server, query).await? {
        Reading::Truncated => ask_over_tcp(server, query).await,
        reading => Ok(reading),
    }
}

async fn ask_over_udp(server: SocketAddr, query: &Query) -> io::Result<Reading> {
    let any: IpAddr = if server.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
    // A new port for each query, and connected: an answer must guess the port and the number, and the system drops
    // datagrams from other addresses.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query.bytes()).await?;
    let mut packet = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let length = socket.recv(&mut packet).await?;
        if let Some(reading) = query.read(&packet[..length]) {
            return Ok(reading);
        }
    }
}

async fn ask_over_tcp(server: SocketAddr, query: &Query) -> io::Result<Reading> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.bytes().len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    stream.write_all(&[&length.to_be_bytes()[..], query.bytes()].concat()).await?;
    let mut packet = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut packet).await?;
    query.read(&packet).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The largest datagram that is read, in bytes. Without EDNS a server sends 512 at most.
const DATAGRAM_BYTES_MAX: usize = 4096;

/// Bounds on the settings of `resolv.conf`, in seconds and tries; those of the C library.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
const ATTEMPTS_MAX: u32 = 5;
