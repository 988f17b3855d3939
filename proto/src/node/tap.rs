//! Recording: passes every input of a node to a [`Tap`], with a digest of the outputs that it caused.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt::{self, Write as _};
use core::net::{IpAddr, SocketAddr};

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};

use super::Node;
use crate::input::Input;
use crate::outbox::{Outbox, Output};
use crate::stats::DropReason;
use crate::stream::{StreamInput, Unit};
use crate::time::Instant;
use crate::types::StreamId;

/// Receives the inputs of a node. Install it with [`Node::set_tap`].
///
/// A node restored from a [checkpoint](Node::checkpoint) to which the inputs after it are [applied](Node::apply) gives the
/// same outputs. The calls are made from inside the node: they must be fast and must not call the node.
pub trait Tap: fmt::Debug + Send + Sync {
    /// An input, before the node handles it: an input that makes the node panic is recorded. Datagrams and streams are
    /// reported [opened](Input::Opened), so that no key is needed to replay them. A command that is refused before
    /// the node runs it is not reported: it changes nothing.
    fn input(&self, now: Instant, input: Input);

    /// The outputs of the last input. Not called if there were none.
    fn outputs(&self, outputs: Outputs);
}

/// Digest of the outputs of one input. Equal for equal outputs; of different ones in all but one case in 2³².
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Outputs {
    /// Number of outputs.
    pub count: u32,
    /// CRC-32 of their kinds, destinations and, without compression, lengths.
    pub shape: u32,
    /// CRC-32 of their contents: packets and messages before they are encrypted, and events.
    pub content: u32,
}

/// A tap, and the digest of the current input's outputs.
#[derive(Clone, Debug)]
pub(super) struct Tapped {
    tap: Arc<dyn Tap>,
    content: Hasher,
    /// Outputs before this one were queued by earlier calls.
    first: usize,
}

impl Tapped {
    /// Passes an input on; `queued` outputs are queued already.
    pub(super) fn begin(&mut self, now: Instant, queued: usize, input: Input) {
        self.first = queued;
        self.content = Hasher::new();
        self.tap.input(now, input);
    }

    fn end(&mut self, out: &Outbox, with_lengths: bool) {
        let (mut count, mut shape) = (0, Hasher::new());
        for output in out.since(self.first) {
            count += 1;
            digest(output, with_lengths, &mut shape, &mut self.content);
        }
        if count > 0 {
            let content = core::mem::take(&mut self.content).finalize();
            self.tap.outputs(Outputs { count, shape: shape.finalize(), content });
        }
    }
}

impl Node {
    /// Installs a tap, which receives every input from the next on; `None` removes it. A clone of the node has the same
    /// tap.
    pub fn set_tap(&mut self, tap: Option<Arc<dyn Tap>>) {
        self.tapped = tap.map(|tap| Box::new(Tapped { tap, content: Hasher::new(), first: 0 }));
    }

    /// Passes an input to the tap, if there is one. After `set_now`.
    pub(super) fn begin_tap(&mut self, out: &Outbox, input: impl FnOnce() -> Input) {
        if let Some(tapped) = &mut self.tapped {
            tapped.begin(self.core.now, out.len(), input());
        }
    }

    /// Passes an input without outputs to the tap.
    pub(super) fn tap_silent(&mut self, input: impl FnOnce() -> Input) {
        if let Some(tapped) = &mut self.tapped {
            tapped.tap.input(self.core.now, input());
        }
    }

    /// Passes the digest of the outputs to the tap.
    pub(super) fn end_tap(&mut self, out: &Outbox) {
        if let Some(tapped) = &mut self.tapped {
            tapped.end(out, !self.core.cfg.transport().compression);
        }
    }

    /// Adds the content of a packet or of a message to the digest, before it is sealed.
    pub(super) fn digest_content<'a>(&mut self, parts: impl Iterator<Item = &'a [u8]>) {
        if let Some(tapped) = &mut self.tapped {
            parts.for_each(|part| tapped.content.update(part));
        }
    }
}

/// The record of a chunk of a stream.
pub(super) fn stream_read(stream: StreamId, wire_bytes: usize, read: &Result<Option<Unit<'_>>, DropReason>) -> Input {
    let opened = match read {
        Ok(unit) => Ok(unit.as_ref().map(|unit| unit.message().into())),
        Err(reason) => Err(*reason),
    };
    Input::StreamRead { stream, wire_bytes: u32::try_from(wire_bytes).unwrap_or(u32::MAX), opened }
}

/// The record of any other input of a stream.
pub(super) fn stream_input(stream: StreamId, input: StreamInput<'_>) -> Input {
    match input {
        StreamInput::Opened => Input::StreamOpened(stream),
        StreamInput::Data(data) => Input::StreamData(stream, data.into()),
        StreamInput::Closed => Input::StreamClosed(stream),
        StreamInput::Failed => Input::StreamFailed(stream),
    }
}

fn digest(output: &Output, with_lengths: bool, shape: &mut Hasher, content: &mut Hasher) {
    let length = |bytes: usize| if with_lengths { bytes as u64 } else { 0 };
    match output {
        Output::Datagram { to, bytes } => mark(shape, 1, Some(*to), length(bytes.len())),
        Output::Connect { stream, to } => mark(shape, 2, Some(*to), stream.number()),
        Output::Write { stream, bytes } => {
            mark(shape, 3, None, stream.number());
            shape.update(&length(bytes.len()).to_le_bytes());
        }
        Output::Close { stream } => mark(shape, 4, None, stream.number()),
        Output::Event(event) => {
            mark(shape, 5, None, 0);
            _ = write!(Text(content), "{event:?}");
        }
        Output::Persist(record) => {
            mark(shape, 6, None, 0);
            _ = write!(Text(content), "{record:?}");
        }
        // Never the keys.
        Output::Keyring { keys, .. } => mark(shape, 7, None, keys.len() as u64),
    }
}

fn mark(shape: &mut Hasher, kind: u8, to: Option<SocketAddr>, number: u64) {
    shape.update(&[kind]);
    match to.map(|to| (to.ip(), to.port())) {
        Some((IpAddr::V4(ip), port)) => {
            shape.update(&ip.octets());
            shape.update(&port.to_le_bytes());
        }
        Some((IpAddr::V6(ip), port)) => {
            shape.update(&ip.octets());
            shape.update(&port.to_le_bytes());
        }
        None => {}
    }
    shape.update(&number.to_le_bytes());
}

/// Adds formatted text to a digest.
struct Text<'a>(&'a mut Hasher);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}
