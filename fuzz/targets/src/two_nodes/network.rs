//! The network between the two nodes: messages in transit, and the faults that befall them.

use std::collections::{BTreeMap, VecDeque};

use serf_proto::StreamId;

/// A message in transit to a node, or a step of a stream.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    /// The index of the receiver; the sender is the other node.
    pub(super) to: usize,
    pub(super) body: Body,
    /// Whether a fault changed its bytes.
    pub(super) is_corrupt: bool,
}

/// What is in transit.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Datagram(Vec<u8>),
    /// A request for a stream, with the sender's ID of it.
    Connect(StreamId),
    /// A step of a stream, with the receiver's ID of it.
    Stream(StreamId, Step),
}

/// A step of a stream.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Opened,
    Data(Vec<u8>),
    Closed,
    Failed,
}

/// What happens to one message. Positions and lengths are in 256ths of the message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Arrives,
    /// Lost; a stream breaks.
    IsLost,
    /// Held back until it is released; so are all later steps of the stream.
    IsHeld,
    /// A datagram arrives now, and a copy is held back.
    IsRepeated,
    /// Only a prefix arrives; a stream then breaks.
    IsCut(u8),
    /// One byte arrives changed.
    IsCorrupted(u8),
    /// A piece of a stream arrives as two.
    IsSplit(u8),
}

impl Fate {
    /// Reads a fate from a byte, and its position from another.
    pub(super) const fn of(which: u8, at: u8) -> Self {
        match which % 7 {
            0 => Self::Arrives,
            1 => Self::IsLost,
            2 => Self::IsHeld,
            3 => Self::IsRepeated,
            4 => Self::IsCut(at),
            5 => Self::IsCorrupted(at),
            _ => Self::IsSplit(at),
        }
    }
}

/// An end of a stream: the node, and its ID of the stream.
pub(super) type End = (usize, StreamId);

/// Messages in transit, and what will befall them.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    /// Messages that arrive before time passes, in the order in which they were sent.
    prompt: VecDeque<Mail>,
    held: Vec<Mail>,
    /// The fates of the next messages; those after them arrive.
    fates: VecDeque<Fate>,
    /// Whether every message is lost.
    pub(super) is_cut: bool,
    /// The other end of each end of a stream.
    ends: BTreeMap<End, End>,
}

impl Network {
    /// Adds a message. Nothing is sent to a node on a stream that it does not have.
    pub(super) fn send(&mut self, to: usize, body: Body) {
        self.prompt.push_back(Mail { to, body, is_corrupt: false });
    }

    /// Sends a step of a stream from one of its ends to the other, if it has one.
    pub(super) fn send_step(&mut self, from: End, step: Step) {
        if let Some(&(to, stream)) = self.ends.get(&from) {
            self.send(to, Body::Stream(stream, step));
        }
    }

    /// Plans the fate of so many further messages.
    pub(super) fn plan(&mut self, fate: Fate, count: u8) {
        self.fates.extend((0..count).map(|_| fate));
    }

    /// Joins both ends of a stream.
    pub(super) fn connect(&mut self, one: End, other: End) {
        self.ends.insert(one, other);
        self.ends.insert(other, one);
    }

    /// Forgets an end of a stream: nothing is sent from it any more.
    pub(super) fn disconnect(&mut self, end: End) {
        self.ends.remove(&end);
    }

    /// Breaks the streams of a process that ends. Datagrams stay in transit.
    pub(super) fn stop(&mut self, node: usize) {
        let is_gone = |mail: &Mail| match mail.body {
            Body::Datagram(_) => false,
            Body::Connect(_) => true,
            Body::Stream(..) => mail.to == node,
        };
        self.prompt.retain(|mail| !is_gone(mail));
        self.held.retain(|mail| !is_gone(mail));
        let open: Vec<End> = self.ends.keys().filter(|(of, _)| *of == node).copied().collect();
        for end in open {
            self.send_step(end, Step::Failed);
            self.disconnect(end);
        }
    }

    /// Lets a message that was held back arrive, the first of its stream.
    pub(super) fn release(&mut self, nth: u8) {
        let Some(nth) = usize::from(nth).checked_rem(self.held.len()) else { return };
        let first = self.held.iter().position(|mail| self.held[nth].is_of_the_stream_of(mail)).unwrap_or(nth);
        self.prompt.push_back(self.held.remove(first));
    }

    /// Ends all faults: what was held back arrives.
    pub(super) fn end_faults(&mut self) {
        self.is_cut = false;
        self.fates.clear();
        self.prompt.extend(self.held.drain(..));
    }

    /// Takes the next message that arrives, after its fate.
    pub(super) fn next(&mut self) -> Option<Mail> {
        loop {
            let mail = self.prompt.pop_front()?;
            // The order of a stream is kept.
            if self.held.iter().any(|held| mail.is_of_the_stream_of(held)) {
                self.held.push(mail);
                continue;
            }
            if let Body::Stream(_, Step::Failed) = mail.body {
                // No message: a node finds out by itself that a stream is broken.
                return Some(mail);
            }
            let fate = if self.is_cut { Fate::IsLost } else { self.fates.pop_front().unwrap_or(Fate::Arrives) };
            if let Some(mail) = self.befall(mail, fate) {
                return Some(mail);
            }
        }
    }

    fn befall(&mut self, mut mail: Mail, fate: Fate) -> Option<Mail> {
        match fate {
            Fate::Arrives => {}
            Fate::IsLost => return self.lose(mail),
            Fate::IsHeld => {
                self.held.push(mail);
                return None;
            }
            Fate::IsRepeated => {
                if matches!(mail.body, Body::Datagram(_)) {
                    self.held.push(mail.clone());
                }
            }
            Fate::IsCut(at) => {
                let Some(bytes) = mail.bytes_mut() else { return Some(mail) };
                bytes.truncate(position(at, bytes.len()));
                if let Body::Stream(stream, _) = mail.body {
                    self.break_stream((mail.to, stream));
                }
            }
            Fate::IsCorrupted(at) => {
                let Some(bytes) = mail.bytes_mut().filter(|bytes| !bytes.is_empty()) else { return Some(mail) };
                let len = bytes.len();
                bytes[position(at, len)] ^= 1 << (at % 8);
                mail.is_corrupt = true;
            }
            Fate::IsSplit(at) => {
                let Body::Stream(stream, Step::Data(bytes)) = &mut mail.body else { return Some(mail) };
                let rest = bytes.split_off(position(at, bytes.len()));
                let rest = Mail { body: Body::Stream(*stream, Step::Data(rest)), ..mail };
                self.prompt.push_front(rest);
            }
        }
        Some(mail)
    }

    /// Loses a message. A stream is reliable, so it breaks instead.
    fn lose(&mut self, mail: Mail) -> Option<Mail> {
        match mail.body {
            Body::Datagram(_) => None,
            Body::Connect(stream) => {
                let failed = Body::Stream(stream, Step::Failed);
                Some(Mail { to: 1 - mail.to, body: failed, is_corrupt: false })
            }
            Body::Stream(stream, _) => {
                self.break_stream((mail.to, stream));
                None
            }
        }
    }

    /// Breaks a stream after what has arrived at `end`. Both sides learn of it.
    fn break_stream(&mut self, end: End) {
        self.prompt.retain(|mail| !matches!(mail.body, Body::Stream(stream, _) if (mail.to, stream) == end));
        self.send(end.0, Body::Stream(end.1, Step::Failed));
        self.send_step(end, Step::Failed);
        if let Some(other) = self.ends.remove(&end) {
            self.disconnect(other);
        }
    }
}

impl Mail {
    /// Whether both are steps of one stream to one node.
    fn is_of_the_stream_of(&self, other: &Self) -> bool {
        match (&self.body, &other.body) {
            (Body::Stream(stream, _), Body::Stream(others, _)) => (self.to, stream) == (other.to, others),
            _ => false,
        }
    }

    const fn bytes_mut(&mut self) -> Option<&mut Vec<u8>> {
        match &mut self.body {
            Body::Datagram(bytes) | Body::Stream(_, Step::Data(bytes)) => Some(bytes),
            Body::Connect(_) | Body::Stream(..) => None,
        }
    }
}

/// The index that is `at` 256ths into a sequence.
fn position(at: u8, len: usize) -> usize {
    usize::from(at) * len / 256
}
