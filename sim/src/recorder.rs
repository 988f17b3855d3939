//! Observes one node: prints its inputs and outputs, or records them for a replay.

use core::fmt::Write as _;

use serf_proto::{Event, Input, Instant, Output};

use crate::addressing::{name_of, node_at};
use crate::disk::Found;

/// All inputs and outputs of one process life of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The node.
    pub node: u32,
    /// Start of this life.
    pub started_at: Instant,
    /// Whether the node knew all nodes from the start.
    pub is_converged: bool,
    /// Inputs.
    pub inputs: Vec<(Instant, Input)>,
    /// Outputs from the start on.
    pub outputs: Vec<Output>,
    pub(crate) life: u32,
    /// The disk's content at the start.
    pub(crate) found: Found,
}

/// Observer of one node.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) node: u32,
    is_printing: bool,
    recording: Option<Recording>,
    nodes: u32,
}

impl Recorder {
    pub(crate) const fn new(node: u32, nodes: u32, is_printing: bool) -> Self {
        Self { node, is_printing, recording: None, nodes }
    }

    pub(crate) fn start(&mut self, started_at: Instant, life: u32, is_converged: bool, found: Found) {
        self.line(started_at, "start", "");
        let (node, inputs, outputs) = (self.node, Vec::new(), Vec::new());
        // Only for replays: a printed trace may be long.
        if !self.is_printing {
            self.recording = Some(Recording { node, started_at, is_converged, inputs, outputs, life, found });
        }
    }

    pub(crate) fn stop(&self, at: Instant) {
        self.line(at, "stop", "");
    }

    pub(crate) fn input(&mut self, at: Instant, input: Input) {
        if self.is_printing {
            let text = self.describe_input(&input);
            self.line(at, "<-", &text);
        }
        if let Some(recording) = &mut self.recording {
            recording.inputs.push((at, input));
        }
    }

    pub(crate) fn output(&mut self, at: Instant, output: &Output) {
        if self.is_printing {
            let text = self.describe_output(output);
            self.line(at, "->", &text);
        }
        if let Some(recording) = &mut self.recording {
            recording.outputs.push(output.clone());
        }
    }

    pub(crate) const fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    fn line(&self, at: Instant, direction: &str, text: &str) {
        if self.is_printing {
            eprintln!("{at} {} {direction} {text}", name_of(self.node));
        }
    }

    fn host(&self, addr: core::net::SocketAddr) -> String {
        node_at(addr, self.nodes).map_or_else(|| addr.to_string(), name_of)
    }

    fn describe_input(&self, input: &Input) -> String {
        match input {
            Input::Datagram { from, bytes } => format!("datagram from {}: {}", self.host(*from), hex(bytes)),
            Input::StreamData(id, bytes) => format!("stream {} data: {}", id.number(), hex(bytes)),
            Input::StreamOpened(id) => format!("stream {} opened", id.number()),
            Input::StreamClosed(id) => format!("stream {} closed", id.number()),
            Input::StreamFailed(id) => format!("stream {} failed", id.number()),
            Input::Accept { from } => format!("connection from {from}"),
            Input::Timeout => "timeout".to_owned(),
            other => format!("{other:?}"),
        }
    }

    fn describe_output(&self, output: &Output) -> String {
        match output {
            Output::Datagram { to, bytes } => format!("datagram to {}: {}", self.host(*to), hex(bytes)),
            Output::Connect { stream, to } => format!("stream {} connects to {}", stream.number(), self.host(*to)),
            Output::Write { stream, bytes } => format!("stream {} write: {}", stream.number(), hex(bytes)),
            Output::Close { stream } => format!("stream {} close", stream.number()),
            Output::Event(Event::Member(event)) => {
                format!("{} {}", event.kind, event.members.names().collect::<Vec<_>>().join(" "))
            }
            Output::Event(Event::Suspected { member, accuser }) => {
                format!("suspects {}, accused by {accuser}", member.name())
            }
            Output::Event(event) => format!("{event:?}"),
            other => format!("{other:?}"),
        }
    }
}

/// Formats the length and the first bytes.
fn hex(bytes: &[u8]) -> String {
    let mut text = format!("{} bytes ", bytes.len());
    for byte in bytes.iter().take(HEX_BYTES) {
        let _infallible = write!(text, "{byte:02x}");
    }
    if bytes.len() > HEX_BYTES {
        text.push('…');
    }
    text
}

/// Number of bytes that identify the first message.
const HEX_BYTES: usize = 48;
