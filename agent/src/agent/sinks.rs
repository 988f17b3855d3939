//! Connections to statistics servers.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::endpoint::{go_words, keep_alive};
use crate::log::Log;

/// Sends lines to a statsd server, as many per packet as fit. Of failures in a row, only the first is logged.
pub(super) fn statsd(addr: String, log: Arc<Log>) -> mpsc::Sender<String> {
    let (lines, queue) = mpsc::channel(LINES_MAX);
    tokio::spawn(async move {
        let mut packets = Packets { queue, rest: None };
        let mut socket = None;
        let mut is_logged = false;
        while let Some(packet) = packets.next().await {
            if socket.is_none() {
                socket = connect_udp(&addr).await.map_err(|why| warn(&log, &mut is_logged, "statsd", &addr, &why)).ok();
            }
            if let Some(connected) = &socket {
                // A server that is not up yet refuses; it may start later.
                is_logged &= connected.send(packet.as_bytes()).await.is_err();
            }
        }
    });
    lines
}

/// Sends lines to a statsite server, and reconnects when the connection breaks.
pub(super) fn statsite(addr: String, log: Arc<Log>) -> mpsc::Sender<String> {
    let (lines, queue) = mpsc::channel(LINES_MAX);
    tokio::spawn(async move {
        let mut packets = Packets { queue, rest: None };
        let mut stream: Option<TcpStream> = None;
        let mut is_logged = false;
        while let Some(packet) = packets.next().await {
            if stream.is_none() {
                match timeout(DIAL_TIMEOUT, TcpStream::connect(&addr)).await {
                    Ok(Ok(connected)) => {
                        keep_alive(&connected);
                        stream = Some(connected);
                        is_logged = false;
                    }
                    Ok(Err(error)) => warn(&log, &mut is_logged, "statsite", &addr, &go_words(&error)),
                    Err(_) => warn(&log, &mut is_logged, "statsite", &addr, "i/o timeout"),
                }
            }
            let Some(connected) = &mut stream else {
                sleep(REDIAL_PAUSE).await;
                continue;
            };
            if connected.write_all(packet.as_bytes()).await.is_err() {
                stream = None;
            }
        }
    });
    lines
}

async fn connect_udp(addr: &str) -> Result<UdpSocket, String> {
    let found = tokio::net::lookup_host(addr).await.map_err(|error| go_words(&error))?;
    let target = found.into_iter().next().ok_or("no such host")?;
    let here = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(here).await.map_err(|error| go_words(&error))?;
    socket.connect(target).await.map_err(|error| go_words(&error))?;
    Ok(socket)
}

fn warn(log: &Log, is_logged: &mut bool, kind: &str, addr: &str, why: &str) {
    if !core::mem::replace(is_logged, true) {
        log.warn("agent", format_args!("Failed to send metrics to {kind} at {addr}: {why}"));
    }
}

/// Collects lines into packets.
struct Packets {
    queue: mpsc::Receiver<String>,
    /// A line that did not fit.
    rest: Option<String>,
}

impl Packets {
    /// The lines of a tenth of a second, or as many as fit.
    async fn next(&mut self) -> Option<String> {
        let mut packet = match self.rest.take() {
            Some(line) => line,
            None => self.queue.recv().await?,
        };
        let flush = sleep(FLUSH_INTERVAL);
        tokio::pin!(flush);
        loop {
            tokio::select! {
                () = &mut flush => return Some(packet),
                line = self.queue.recv() => match line {
                    Some(line) if packet.len() + line.len() <= PACKET_BYTES_MAX => packet.push_str(&line),
                    rest => {
                        self.rest = rest;
                        return Some(packet);
                    }
                },
            }
        }
    }
}

/// Lines queued for a server. Newer ones are dropped.
const LINES_MAX: usize = 1024;
const PACKET_BYTES_MAX: usize = 1400;
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
const REDIAL_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn a_packet_holds_as_many_lines_as_fit() {
        let (lines, queue) = mpsc::channel(9);
        let mut packets = Packets { queue, rest: None };
        for line in ["a:1|c\n".to_owned(), "b:2|g\n".into(), "x".repeat(1395)] {
            lines.try_send(line).expect("there is room");
        }
        assert_eq!(packets.next().await.as_deref(), Some("a:1|c\nb:2|g\n"));
        assert_eq!(packets.next().await.map(|packet| packet.len()), Some(1395));
        drop(lines);
        assert_eq!(packets.next().await, None);
    }
}
