//! Messages in transit.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use serf_proto::StreamId;
use serf_proto::internals::envelope;
use serf_proto::internals::wire::MessageKind;

use crate::rules::accusation_of;

/// A message in transit, or a step of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) body: Body,
    /// The hash of all of it.
    pub(crate) hash: u64,
}

/// What is in transit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Body {
    Datagram(Box<[u8]>),
    /// A request for a stream, with the sender's number of it.
    Connect(StreamId),
    /// Anything that follows on a stream: the receiver's number of it, and the place in the order of the stream.
    Stream {
        stream: StreamId,
        order: u32,
        step: Step,
    },
}

/// A step of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Opened,
    Data(Box<[u8]>),
    Closed,
    Failed,
}

impl Mail {
    pub(crate) fn new(from: usize, to: usize, body: Body) -> Self {
        let mut hasher = DefaultHasher::new();
        (from, to, &body).hash(&mut hasher);
        Self { from, to, body, hash: hasher.finish() }
    }

    /// Whether this must arrive before `later`: both are of one stream, whose order a network keeps.
    pub(crate) fn precedes(&self, later: &Self) -> bool {
        match (&self.body, &later.body) {
            (Body::Stream { stream, order, .. }, Body::Stream { stream: other, order: later_order, .. }) => {
                later.to == self.to && stream == other && order < later_order
            }
            _ => false,
        }
    }

    /// Whether a network may lose it. A stream is reliable, once it is open.
    pub(crate) const fn can_be_lost(&self) -> bool {
        matches!(self.body, Body::Datagram(_) | Body::Connect(_))
    }

    /// Whether a network may repeat it.
    pub(crate) const fn can_be_repeated(&self) -> bool {
        matches!(self.body, Body::Datagram(_))
    }

    /// The frames of a datagram.
    fn frames(&self) -> Vec<&[u8]> {
        let Body::Datagram(bytes) = &self.body else { return Vec::new() };
        let parts = envelope::open(bytes).and_then(envelope::split);
        parts.map(Iterator::collect).unwrap_or_default()
    }

    /// The greatest incarnation at which a datagram accuses `name`.
    pub(crate) fn accusation_of(&self, name: &str) -> Option<u32> {
        let Body::Datagram(bytes) = &self.body else { return None };
        accusation_of(envelope::open(bytes).ok()?, name)
    }
}

impl fmt::Display for Mail {
    /// Sender, receiver and the kinds of the messages: `a>b ping+digest`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}>{} ", letter(self.from), letter(self.to))?;
        match &self.body {
            Body::Datagram(_) => {
                let kinds: Vec<&str> = self.frames().into_iter().map(|frame| MessageKind::of(frame).name()).collect();
                f.write_str(&kinds.join("+"))
            }
            Body::Connect(_) => f.write_str("connect"),
            Body::Stream { step: Step::Opened, .. } => f.write_str("opened"),
            Body::Stream { step: Step::Data(_), .. } => f.write_str("data"),
            Body::Stream { step: Step::Closed, .. } => f.write_str("closed"),
            Body::Stream { step: Step::Failed, .. } => f.write_str("failed"),
        }
    }
}

/// The letter of a node.
pub(crate) fn letter(at: usize) -> char {
    u8::try_from(at).ok().and_then(|at| b'a'.checked_add(at)).map_or('?', char::from)
}
