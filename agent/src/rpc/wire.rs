//! A client's socket, split into objects.

use std::io;
use std::time::{Duration, Instant};

use super::address::{RpcAddress, dial_tcp};
use super::client::{ClientError, ClientOptions};
use super::decode::DecodeError;
use super::frame::Framer;
use crate::endpoint::{go_words, keep_alive};
use crate::platform::{BlockingStream, dial_local};

/// A socket and its read buffer.
pub(super) struct Wire {
    socket: Box<dyn BlockingStream>,
    buffer: Vec<u8>,
    /// The number of consumed bytes of the buffer.
    taken: usize,
    /// The read timeout that is set on the socket; saves system calls.
    read_timeout: Option<Duration>,
    framer: Framer,
}

impl Wire {
    pub(super) fn dial(options: &ClientOptions) -> Result<Self, ClientError> {
        let address =
            RpcAddress::parse(&options.address).map_err(|error| ClientError::Dial(format!("dial tcp: {error}")))?;
        let socket: Box<dyn BlockingStream> = match &address {
            RpcAddress::Tcp { host, port } => {
                let stream = dial_tcp(host, *port, options.dial_timeout).map_err(ClientError::Dial)?;
                _ = stream.set_nodelay(true);
                keep_alive(&stream);
                Box::new(stream)
            }
            RpcAddress::Unix(path) => dial_local(path).map_err(|error| {
                ClientError::Dial(format!("dial unix {}: connect: {}", path.display(), go_words(&error)))
            })?,
        };
        _ = socket.set_write_timeout(Some(options.write_timeout));
        Ok(Self { socket, buffer: Vec::new(), taken: 0, read_timeout: None, framer: Framer::new(OBJECT_BYTES_MAX) })
    }

    /// Sends bytes. Reports a broken pipe as a closed connection.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.socket.write_all(bytes).map_err(|_| ClientError::Closed)
    }

    /// The next object, `None` when the deadline passed.
    pub(super) fn receive(&mut self, deadline: Option<Instant>) -> Result<Option<&[u8]>, ClientError> {
        loop {
            let unread = &self.buffer[self.taken..];
            if let Some(length) = self.framer.next(unread).map_err(DecodeError::from)? {
                let start = self.taken;
                self.taken += length;
                return Ok(Some(&self.buffer[start..start + length]));
            }
            if self.taken > 0 {
                self.buffer.drain(..self.taken);
                self.taken = 0;
            }
            if !self.fill(deadline)? {
                return Ok(None);
            }
        }
    }

    /// Reads once; false when the deadline passed.
    fn fill(&mut self, deadline: Option<Instant>) -> Result<bool, ClientError> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            self.set_read_timeout(left);
            let start = self.buffer.len();
            self.buffer.resize(start + READ_BYTES, 0);
            let read = self.socket.read(&mut self.buffer[start..]);
            self.buffer.truncate(start + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(ClientError::Closed),
                Ok(_) => return Ok(true),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    // The loop then checks the deadline.
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut if deadline.is_some() => {}
                    _ => return Err(ClientError::Closed),
                },
            }
        }
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        if self.read_timeout == timeout {
            return;
        }
        self.read_timeout = timeout;
        // Fails for a zero timeout only, which was ruled out.
        _ = self.socket.set_read_timeout(timeout);
    }
}

/// Limit on an object from an agent, in bytes. 5000 members with full tags take less than 5 MB.
const OBJECT_BYTES_MAX: usize = 256 << 20;

const READ_BYTES: usize = 16 << 10;
