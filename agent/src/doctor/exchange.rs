//! TCP: a push/pull in which we list no members, so that the node learns nothing.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serf_tokio::serf_proto::diagnostics::hashicorp::{self, SerfState};
use serf_tokio::serf_proto::diagnostics::{Clocks, Envelope, Inquiry, Reply, State};
use serf_tokio::serf_proto::{DropReason, EnvelopeConfig, Versions};

use super::fresh_seed;

/// The outcome of an exchange.
#[derive(Debug)]
pub(super) enum Exchange {
    /// The connection failed.
    Unreachable(io::Error),
    /// Connected, but no reply arrived in time.
    Silent,
    /// The node closed the connection without a reply.
    Closed,
    /// The node replied that it cannot read our message.
    Complaint(String),
    /// A reply that none of our keys decrypts.
    Sealed,
    /// A reply that is not Serf's.
    Nonsense,
    /// The state of the node.
    View(View),
}

/// The state of a node.
#[derive(Debug)]
pub(super) struct View {
    pub(super) members: Vec<Seen>,
    /// `None` for a node without the Serf layer.
    pub(super) clocks: Option<Clocks>,
}

/// A member in the state of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) addr: SocketAddr,
    pub(super) state: State,
    pub(super) versions: Versions,
}

impl View {
    pub(super) fn find(&self, name: &str) -> Option<&Seen> {
        self.members.iter().find(|member| member.name == name)
    }

    pub(super) fn count(&self, state: State) -> usize {
        self.members.iter().filter(|member| member.state == state).count()
    }
}

/// Requests the state of the node at `to`. Every step may take `timeout`.
pub(super) fn exchange(to: SocketAddr, layers: &EnvelopeConfig, timeout: Duration) -> Exchange {
    let mut stream = match TcpStream::connect_timeout(&to, timeout) {
        Ok(stream) => stream,
        Err(error) => return Exchange::Unreachable(error),
    };
    // Accepts plain replies too, to report what is wrong with them.
    let layers = EnvelopeConfig { verify_incoming: false, ..layers.clone() };
    let mut inquiry = Inquiry::new(Envelope::new(layers, &fresh_seed()));
    let mut message = Vec::new();
    hashicorp::begin_push_pull(&mut message, false, 0, 0);
    let Some(request) = inquiry.request(message) else { return Exchange::Nonsense };
    let deadline = Instant::now() + timeout;
    _ = stream.set_write_timeout(Some(timeout));
    if stream.write_all(&request).is_err() {
        return Exchange::Closed;
    }
    match receive(&mut stream, &mut inquiry, deadline) {
        Ok(reply) => understand(&reply),
        Err(end) => end,
    }
}

fn receive(stream: &mut TcpStream, inquiry: &mut Inquiry, deadline: Instant) -> Result<Reply, Exchange> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Exchange::Silent);
        }
        _ = stream.set_read_timeout(Some(left));
        match stream.read(&mut piece) {
            Ok(0) => return Err(Exchange::Closed),
            Ok(len) => match inquiry.receive(&piece[..len]) {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(DropReason::Key) => return Err(Exchange::Sealed),
                Err(_) => return Err(Exchange::Nonsense),
            },
            Err(error) => match error.kind() {
                // The loop then checks the deadline.
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {}
                _ => return Err(Exchange::Closed),
            },
        }
    }
}

fn understand(reply: &Reply) -> Exchange {
    if reply.kind == hashicorp::ERROR {
        let text = hashicorp::decode_error(&reply.body).unwrap_or_default();
        return Exchange::Complaint(String::from_utf8_lossy(text).into_owned());
    }
    if reply.kind != hashicorp::PUSH_PULL {
        return Exchange::Nonsense;
    }
    let Ok(states) = hashicorp::PushPull::parse(&reply.body) else { return Exchange::Nonsense };
    let members = states.states().filter_map(|entry| {
        let peer = entry.peer().ok()?;
        // IPv4 may be written as IPv6.
        let addr = SocketAddr::new(peer.addr.ip().to_canonical(), peer.addr.port());
        Some(Seen { name: peer.name.into(), addr, state: entry.state?, versions: peer.versions })
    });
    let clocks = SerfState::parse(states.user).ok().map(|state| state.clocks);
    Exchange::View(View { members: members.collect(), clocks })
}

const PIECE_BYTES: usize = 64 << 10;
