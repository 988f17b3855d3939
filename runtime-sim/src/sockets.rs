//! The sockets of the hosts: datagrams, connection requests and streams.

use core::net::{IpAddr, SocketAddr};
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::Waker;

use bytes::{Buf as _, Bytes};
use serf_proto::Instant;
use serf_tokio::sim::{Datagrams, Listener, Stream};

use crate::host::HostEnv;
use crate::links::{RETRANSMISSION_MAX, RETRANSMISSION_MIN};
use crate::world::{Payload, Segment, State};

/// Whose socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Node,
    /// The application, which runs on the tokio runtime of its host.
    Application,
}

/// A bound socket for datagrams.
#[derive(Debug)]
pub(crate) struct UdpState {
    inbox: VecDeque<(SocketAddr, Bytes)>,
    inbox_bytes: usize,
    reader: Option<Waker>,
    owner: Owner,
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct ListenerState {
    accepted: VecDeque<u64>,
    acceptor: Option<Waker>,
    owner: Owner,
}

/// A stream between two hosts. Side 0 has connected, side 1 has accepted.
#[derive(Debug)]
pub(crate) struct Conn {
    hosts: [usize; 2],
    pub(crate) addrs: [SocketAddr; 2],
    ends: [End; 2],
    /// `None` until the connection request was answered.
    is_accepted: Option<bool>,
    owner: [Owner; 2],
}

pub(crate) type Side = usize;

/// One end of a stream.
#[derive(Debug, Default)]
struct End {
    /// Received and not yet read.
    inbox: VecDeque<Bytes>,
    is_at_end: bool,
    is_reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Not yet on the network, because a partition holds it up.
    outbox: VecDeque<Segment>,
    /// Bytes written that the peer has not read.
    unread_bytes: usize,
    has_shut_down: bool,
    is_closed: bool,
    /// The pause before the next try of a segment that a partition holds up.
    retry: Option<Duration>,
    /// Segments do not overtake one another.
    last_arrival: Instant,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Data(bytes) => write!(f, "Data({} bytes)", bytes.len()),
            Self::Fin => f.write_str("Fin"),
            Self::Reset => f.write_str("Reset"),
        }
    }
}

impl Conn {
    pub(crate) fn side_of(&self, host: usize) -> Option<Side> {
        self.hosts.iter().position(|other| *other == host)
    }
}

impl State {
    fn wake(&mut self, host: usize, owner: Owner, waker: Option<Waker>) {
        self.wakes.extend(waker);
        if owner == Owner::Application {
            self.dirty.insert(host);
        }
    }

    // Datagrams.

    pub(crate) fn bind_udp(&mut self, host: usize, addr: SocketAddr, owner: Owner) -> io::Result<SocketAddr> {
        self.check_ip(host, addr.ip())?;
        let port = self.free_port(host, addr.port())?;
        let state = UdpState { inbox: VecDeque::new(), inbox_bytes: 0, reader: None, owner };
        if self.hosts[host].udp.contains_key(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.hosts[host].udp.insert(port, state);
        Ok(SocketAddr::new(addr.ip(), port))
    }

    pub(crate) fn bind_tcp(&mut self, host: usize, addr: SocketAddr, owner: Owner) -> io::Result<SocketAddr> {
        self.check_ip(host, addr.ip())?;
        let port = self.free_port(host, addr.port())?;
        let state = ListenerState { accepted: VecDeque::new(), acceptor: None, owner };
        if self.hosts[host].listeners.contains_key(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.hosts[host].listeners.insert(port, state);
        Ok(SocketAddr::new(addr.ip(), port))
    }

    fn check_ip(&self, host: usize, ip: IpAddr) -> io::Result<()> {
        if ip.is_unspecified() || ip == self.hosts[host].ip {
            Ok(())
        } else {
            Err(io::ErrorKind::AddrNotAvailable.into())
        }
    }

    fn free_port(&mut self, host: usize, wanted: u16) -> io::Result<u16> {
        if wanted != 0 {
            return Ok(wanted);
        }
        let host = &mut self.hosts[host];
        for _ in 0..u16::MAX {
            let port = host.next_port;
            host.next_port = host.next_port.checked_add(1).unwrap_or(PORT_EPHEMERAL_FIRST);
            if !host.udp.contains_key(&port) && !host.listeners.contains_key(&port) {
                return Ok(port);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    pub(crate) fn deliver(&mut self, host: usize, to: SocketAddr, from: SocketAddr, bytes: Bytes) {
        let Some(socket) = self.hosts[host].udp.get_mut(&to.port()) else { return };
        if socket.inbox_bytes + bytes.len() > UDP_BUFFER_BYTES {
            return;
        }
        socket.inbox_bytes += bytes.len();
        socket.inbox.push_back((from, bytes.clone()));
        let (owner, waker) = (socket.owner, socket.reader.take());
        self.trace_input(host, from, &bytes);
        self.wake(host, owner, waker);
    }

    // Streams.

    /// Sends a connection request.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        host: usize,
        from_ip: IpAddr,
        to: SocketAddr,
        owner: Owner,
    ) -> io::Result<u64> {
        let to = serf_proto::canonical(to);
        let Some(peer) = self.host_at(to.ip()) else { return Err(io::ErrorKind::HostUnreachable.into()) };
        let port = self.free_port(host, 0)?;
        let ip = if from_ip.is_unspecified() { self.hosts[host].ip } else { from_ip };
        let ends = [End { last_arrival: now, ..End::default() }, End { last_arrival: now, ..End::default() }];
        self.conns_opened += 1;
        let id = self.conns_opened;
        let (addrs, owner) = ([SocketAddr::new(ip, port), to], [owner, Owner::Node]);
        self.conns.insert(id, Conn { hosts: [host, peer], addrs, ends, is_accepted: None, owner });
        self.request_at(now, id, RETRANSMISSION_MIN);
        Ok(id)
    }

    /// Sends the request, again and again until it arrives.
    fn request_at(&mut self, now: Instant, conn: u64, pause: Duration) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        let [from, to] = state.hosts;
        match self.links.segment_latency(&mut self.hosts[from].rng, from, to) {
            Some(after) => self.push(now + after, Payload::Request { host: to, conn }),
            None => {
                state.ends[0].retry = Some((pause * 2).min(RETRANSMISSION_MAX));
                self.push(now + pause, Payload::Retry { host: from, conn, side: 0 });
            }
        }
    }

    pub(crate) fn request(&mut self, host: usize, conn: u64) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        let [from, _] = state.hosts;
        let port = state.addrs[1].port();
        let listener = self.hosts[host].listeners.get_mut(&port).filter(|it| it.accepted.len() < BACKLOG);
        let is_accepted = listener.is_some();
        let mut woken = None;
        if let Some(listener) = listener {
            state.owner[1] = listener.owner;
            listener.accepted.push_back(conn);
            woken = Some((listener.owner, listener.acceptor.take()));
        }
        let peer = state.addrs[0];
        if let Some((owner, waker)) = woken {
            self.trace_input(host, peer, b"connect");
            self.wake(host, owner, waker);
        }
        // An answer that a partition holds up comes when the request was repeated; here it is late instead.
        let after = self.links.segment_latency(&mut self.hosts[host].rng, host, from).unwrap_or(RETRANSMISSION_MAX);
        let at = self.now + after;
        if let Some(state) = self.conns.get_mut(&conn) {
            state.ends[1].last_arrival = at;
        }
        self.push(at, Payload::Established { host: from, conn, is_accepted });
    }

    pub(crate) fn established(&mut self, conn: u64, is_accepted: bool) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        state.is_accepted = Some(is_accepted);
        state.ends[0].retry = None;
        let (host, owner, waker) = (state.hosts[0], state.owner[0], state.ends[0].writer.take());
        self.wake(host, owner, waker);
    }

    fn write(&mut self, now: Instant, conn: u64, side: Side, segment: Segment) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        state.ends[side].outbox.push_back(segment);
        self.pump_at(now, conn, side, false);
    }

    pub(crate) fn pump(&mut self, conn: u64, side: Side, is_retry: bool) {
        self.pump_at(self.now, conn, side, is_retry);
    }

    /// Puts the written segments on the network, unless a partition holds them up.
    fn pump_at(&mut self, now: Instant, conn: u64, side: Side, is_retry: bool) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        let pause = state.ends[side].retry;
        if is_retry && side == 0 && state.is_accepted.is_none() {
            return self.request_at(now, conn, pause.unwrap_or(RETRANSMISSION_MIN));
        }
        if pause.is_some() && !is_retry {
            return;
        }
        loop {
            let Some(state) = self.conns.get_mut(&conn) else { return };
            let (host, to) = (state.hosts[side], state.hosts[1 - side]);
            let end = &mut state.ends[side];
            if end.outbox.is_empty() {
                end.retry = None;
                return;
            }
            let Some(after) = self.links.segment_latency(&mut self.hosts[host].rng, host, to) else {
                let pause = pause.unwrap_or(RETRANSMISSION_MIN);
                end.retry = Some((pause * 2).min(RETRANSMISSION_MAX));
                return self.push(now + pause, Payload::Retry { host, conn, side });
            };
            let at = (now + after).max(end.last_arrival);
            end.last_arrival = at;
            if let Some(segment) = end.outbox.pop_front() {
                let is_reset = matches!(segment, Segment::Data(_)) && host != to && {
                    let reset_ppm = self.links.reset_ppm;
                    self.hosts[host].rng.chance(reset_ppm)
                };
                if is_reset {
                    self.push(now, Payload::Segment { host, conn, side, segment: Segment::Reset });
                }
                let segment = if is_reset { Segment::Reset } else { segment };
                self.push(at, Payload::Segment { host: to, conn, side: 1 - side, segment });
            }
        }
    }

    pub(crate) fn receive(&mut self, conn: u64, side: Side, segment: Segment) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        let (host, owner, peer) = (state.hosts[side], state.owner[side], state.addrs[1 - side]);
        let end = &mut state.ends[side];
        let mut traced = Bytes::new();
        match segment {
            Segment::Data(bytes) => {
                traced = bytes.clone();
                end.inbox.push_back(bytes);
            }
            Segment::Fin => end.is_at_end = true,
            Segment::Reset => end.is_reset = true,
        }
        let wakers = [end.reader.take(), end.writer.take()];
        self.trace_input(host, peer, &traced);
        for waker in wakers {
            self.wake(host, owner, waker);
        }
    }

    fn close_side(&mut self, now: Instant, conn: u64, side: Side) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        let end = &mut state.ends[side];
        end.is_closed = true;
        let is_unread = !end.inbox.is_empty();
        let has_shut_down = core::mem::replace(&mut end.has_shut_down, true);
        if state.ends.iter().all(|end| end.is_closed) && state.ends.iter().all(|end| end.outbox.is_empty()) {
            self.conns.remove(&conn);
        } else if is_unread {
            // As TCP does when received bytes are thrown away.
            self.write(now, conn, side, Segment::Reset);
        } else if !has_shut_down {
            self.write(now, conn, side, Segment::Fin);
        }
    }

    /// The process of one side has died: its system resets the stream.
    pub(crate) fn abort(&mut self, conn: u64, side: Side) {
        let now = self.now;
        self.forget_side(conn, side);
        self.write(now, conn, side, Segment::Reset);
    }

    /// One side has disappeared.
    pub(crate) fn forget_side(&mut self, conn: u64, side: Side) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        let end = &mut state.ends[side];
        (end.is_closed, end.is_reset, end.has_shut_down) = (true, true, true);
        end.inbox.clear();
        end.outbox.clear();
    }
}

/// Handle of a socket for datagrams.
#[derive(Debug)]
pub(crate) struct Udp {
    env: Arc<HostEnv>,
    pub(crate) addr: SocketAddr,
}

impl Udp {
    pub(crate) fn bind(env: &Arc<HostEnv>, addr: SocketAddr, owner: Owner) -> io::Result<Self> {
        let addr = env.with_live(|state| state.bind_udp(env.index, addr, owner))?;
        Ok(Self { env: Arc::clone(env), addr })
    }
}

impl Drop for Udp {
    fn drop(&mut self) {
        _ = self.env.with_live(|state| {
            state.hosts[self.env.index].udp.remove(&self.addr.port());
            Ok(())
        });
    }
}

impl Datagrams for Udp {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let readable = self.env.with_live(|state| {
            let Some(socket) = state.hosts[self.env.index].udp.get_mut(&self.addr.port()) else { return Ok(false) };
            let is_readable = !socket.inbox.is_empty();
            if !is_readable {
                socket.reader = Some(cx.waker().clone());
            }
            Ok(is_readable)
        });
        // A host that is down is silent; its tasks are about to end.
        if matches!(readable, Ok(true)) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.env.with_live(|state| {
            let socket = state.hosts[self.env.index].udp.get_mut(&self.addr.port());
            let (from, bytes) = socket
                .and_then(|socket| {
                    let taken = socket.inbox.pop_front()?;
                    socket.inbox_bytes -= taken.1.len();
                    Some(taken)
                })
                .ok_or(io::ErrorKind::WouldBlock)?;
            let len = bytes.len().min(buffer.len());
            buffer[..len].copy_from_slice(&bytes[..len]);
            Ok((len, from))
        })
    }

    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        if datagram.len() > DATAGRAM_BYTES_MAX {
            return Err(io::Error::other("message too long"));
        }
        let now = self.env.virtual_time();
        _ = self.env.with_live(|state| {
            let ip = if self.addr.ip().is_unspecified() { state.hosts[self.env.index].ip } else { self.addr.ip() };
            state.send(now, self.env.index, SocketAddr::new(ip, self.addr.port()), to, datagram);
            Ok(())
        });
        Ok(datagram.len())
    }
}

/// Handle of a listener.
#[derive(Debug)]
pub(crate) struct Tcp {
    env: Arc<HostEnv>,
    pub(crate) addr: SocketAddr,
}

impl Tcp {
    pub(crate) fn bind(env: &Arc<HostEnv>, addr: SocketAddr, owner: Owner) -> io::Result<Self> {
        let addr = env.with_live(|state| state.bind_tcp(env.index, addr, owner))?;
        Ok(Self { env: Arc::clone(env), addr })
    }

    pub(crate) fn poll_accept_stream(&self, cx: &Context<'_>) -> Poll<io::Result<(StreamEnd, SocketAddr)>> {
        let accepted = self.env.with_live(|state| {
            let Some(listener) = state.hosts[self.env.index].listeners.get_mut(&self.addr.port()) else {
                return Ok(None);
            };
            let conn = listener.accepted.pop_front();
            if conn.is_none() {
                listener.acceptor = Some(cx.waker().clone());
            }
            Ok(conn.and_then(|id| Some((id, state.conns.get(&id)?.addrs[0]))))
        });
        match accepted {
            Ok(Some((conn, from))) => Poll::Ready(Ok((StreamEnd { env: Arc::clone(&self.env), conn, side: 1 }, from))),
            _ => Poll::Pending,
        }
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        _ = self.env.with_live(|state| {
            state.hosts[self.env.index].listeners.remove(&self.addr.port());
            Ok(())
        });
    }
}

impl Listener for Tcp {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Arc<dyn Stream>, SocketAddr)>> {
        self.poll_accept_stream(cx).map_ok(|(stream, from)| (Arc::new(stream) as _, from))
    }
}

/// Handle of one end of a stream.
#[derive(Debug)]
pub(crate) struct StreamEnd {
    env: Arc<HostEnv>,
    conn: u64,
    side: Side,
}

impl StreamEnd {
    pub(crate) async fn connect(env: Arc<HostEnv>, from_ip: IpAddr, to: SocketAddr, owner: Owner) -> io::Result<Self> {
        let now = env.virtual_time();
        let conn = env.with_live(|state| state.open(now, env.index, from_ip, to, owner))?;
        let this = Self { env, conn, side: 0 };
        let answered = core::future::poll_fn(|cx| {
            let answered = this.with_conn(|state, side| {
                if state.is_accepted.is_none() {
                    state.ends[side].writer = Some(cx.waker().clone());
                }
                Ok(state.is_accepted)
            });
            match answered {
                Ok(None) => Poll::Pending,
                Ok(Some(is_accepted)) => Poll::Ready(Ok(is_accepted)),
                Err(error) => Poll::Ready(Err(error)),
            }
        });
        if answered.await? { Ok(this) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
    }

    pub(crate) fn addrs(&self) -> io::Result<[SocketAddr; 2]> {
        self.with_conn(|conn, side| Ok([conn.addrs[side], conn.addrs[1 - side]]))
    }

    fn with_conn<R>(&self, f: impl FnOnce(&mut Conn, Side) -> io::Result<R>) -> io::Result<R> {
        self.env.with_live(|state| match state.conns.get_mut(&self.conn) {
            Some(conn) => f(conn, self.side),
            None => Err(io::ErrorKind::ConnectionReset.into()),
        })
    }

    fn poll(&self, cx: &Context<'_>, is_ready: impl FnOnce(&End) -> bool, reads: bool) -> Poll<io::Result<()>> {
        let ready = self.with_conn(|conn, side| {
            let end = &mut conn.ends[side];
            if end.is_reset || is_ready(end) {
                return Ok(true);
            }
            *(if reads { &mut end.reader } else { &mut end.writer }) = Some(cx.waker().clone());
            Ok(false)
        });
        match ready {
            Ok(false) => Poll::Pending,
            // A failure shows when the stream is read.
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl Stream for StreamEnd {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |end| end.is_at_end || !end.inbox.is_empty(), true)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |end| end.unread_bytes < STREAM_BUFFER_BYTES, false)
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.env.with_live(|state| {
            let conn = state.conns.get_mut(&self.conn).ok_or(io::ErrorKind::ConnectionReset)?;
            let (peer, owner) = (conn.hosts[1 - self.side], conn.owner[1 - self.side]);
            let end = &mut conn.ends[self.side];
            let Some(first) = end.inbox.front_mut() else {
                return match (end.is_reset, end.is_at_end) {
                    (true, _) => Err(io::ErrorKind::ConnectionReset.into()),
                    (_, true) => Ok(0),
                    _ => Err(io::ErrorKind::WouldBlock.into()),
                };
            };
            let len = first.len().min(buffer.len());
            first.copy_to_slice(&mut buffer[..len]);
            if first.is_empty() {
                end.inbox.pop_front();
            }
            let other = &mut conn.ends[1 - self.side];
            other.unread_bytes = other.unread_bytes.saturating_sub(len);
            let waker = other.writer.take();
            state.wake(peer, owner, waker);
            Ok(len)
        })
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let now = self.env.virtual_time();
        self.env.with_live(|state| {
            let conn = state.conns.get_mut(&self.conn).ok_or(io::ErrorKind::ConnectionReset)?;
            let end = &mut conn.ends[self.side];
            if end.is_reset {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if end.has_shut_down {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let room = STREAM_BUFFER_BYTES.saturating_sub(end.unread_bytes);
            if room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let len = bytes.len().min(room).min(SEGMENT_BYTES_MAX);
            end.unread_bytes += len;
            state.write(now, self.conn, self.side, Segment::Data(Bytes::copy_from_slice(&bytes[..len])));
            Ok(len)
        })
    }

    fn shutdown_write(&self) -> io::Result<()> {
        let now = self.env.virtual_time();
        self.env.with_live(|state| {
            let conn = state.conns.get_mut(&self.conn).ok_or(io::ErrorKind::ConnectionReset)?;
            if !core::mem::replace(&mut conn.ends[self.side].has_shut_down, true) {
                state.write(now, self.conn, self.side, Segment::Fin);
            }
            Ok(())
        })
    }
}

impl Drop for StreamEnd {
    fn drop(&mut self) {
        let now = self.env.virtual_time();
        _ = self.env.with_live(|state| {
            state.close_side(now, self.conn, self.side);
            Ok(())
        });
    }
}

/// Receive buffer of a socket for datagrams, as real nodes ask for; beyond it datagrams are dropped.
const UDP_BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// Largest datagram of UDP over IPv4.
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Bytes that one side may write before the other has read them.
const STREAM_BUFFER_BYTES: usize = 256 * 1024;

/// Largest part of a stream that arrives at once.
const SEGMENT_BYTES_MAX: usize = 16 * 1024;

/// Connections that wait to be accepted.
const BACKLOG: usize = 1024;

const PORT_EPHEMERAL_FIRST: u16 = 49_152;
