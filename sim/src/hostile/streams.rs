//! Attacks on streams.

use bytes::Bytes;
use serf_proto::internals::wire::hashicorp;
use serf_proto::internals::wire::native::STREAM_PUSH_PULL;
use serf_proto::internals::wire::serf::{Clocks, List, MemberTime, Message, Query, Source, UserEvent};
use serf_proto::limits::{NAME_BYTES_MAX, STREAM_MESSAGE_BYTES_MAX, USER_EVENT_BYTES_MAX};

use super::attacker::{Attacker, AttackerView};
use super::numbers;
use super::packet_builder::{PushPullContent, framed};
use super::swim::ghost;
use crate::addressing::addr_of;

impl Attacker {
    /// Returns an empty push/pull.
    pub(super) fn empty_push_pull<'a>(&mut self, view: AttackerView<'_>) -> PushPullContent<'a> {
        let clocks = view.clocks();
        let clocks = Clocks { member: clocks.member, event: clocks.event, query: clocks.query };
        let join = self.rng.below(2) == 0;
        PushPullContent { join, states: Vec::new(), clocks, times: Vec::new(), events: Vec::new() }
    }

    /// Sends a push/pull to some nodes.
    pub(super) fn send_push_pull(&mut self, view: AttackerView<'_>, content: &PushPullContent<'_>) {
        for to in self.targets() {
            let (codec, is_packed) = (self.codec(view, to), self.packs());
            let bytes = self.builder.push_pull(codec, content, is_packed);
            self.write(to, bytes, true);
        }
    }

    /// Sends one event or query of the largest size that a stream accepts.
    pub(super) fn bombs(&mut self, view: AttackerView<'_>) {
        for n in 0..1 + self.rng.below(4) {
            let length = numbers::length(&mut self.rng, (STREAM_MESSAGE_BYTES_MAX - 1024).min(self.bomb_bytes));
            self.bomb_bytes -= length;
            // A long payload and a long name are equivalent: the receiver stores both.
            let (name, payload) = match self.rng.below(2) {
                0 => ("bomb".to_owned(), vec![b'b'; length]),
                _ => ("b".repeat(length), Vec::new()),
            };
            let clocks = view.clocks();
            let message = if self.rng.below(4) > 0 {
                let ltime = clocks.event + 1 + u64::from(n);
                Message::UserEvent(UserEvent { ltime, name: &name, payload: &payload, coalesce: false })
            } else {
                Message::Query(Query {
                    ltime: clocks.query + 1 + u64::from(n),
                    id: self.rng.next_u32(),
                    source: Source { addr: addr_of(view.host), node: "" },
                    filters: List::EMPTY,
                    flags: 0,
                    relay_factor: 0,
                    timeout: numbers::timeout(&mut self.rng),
                    name: &name,
                    payload: &payload,
                })
            };
            let to = self.victim();
            let (codec, is_packed) = (self.codec(view, to), self.packs());
            let bytes = self.builder.user(codec, &message, length, is_packed);
            self.write(to, bytes, true);
        }
    }

    /// Sends a push/pull with the maximum of all of Serf's lists.
    pub(super) fn longest_lists(&mut self, view: AttackerView<'_>) {
        let mut content = self.empty_push_pull(view);
        let (many, is_long) = (NAMES_LEAST << self.rng.below(4), self.rng.below(2) == 0);
        let names: Vec<String> = (0..many).map(|n| ghost(n, is_long)).collect();
        let left = self.rng.below(2) == 0;
        let ltime = content.clocks.member + 1;
        content.times = names.iter().map(|name| MemberTime { node: name.as_bytes(), ltime, left }).collect();
        let length = [16, 512, USER_EVENT_BYTES_MAX - NAME_BYTES_MAX, USER_EVENT_BYTES_MAX][self.rng.below(4) as usize];
        let payload = vec![b'c'; length];
        let count = (1 + self.rng.below(300)).min(u32::try_from(self.bomb_bytes / (length + 16)).unwrap_or(u32::MAX));
        self.bomb_bytes -= count as usize * length;
        let first = content.clocks.event + 1;
        let event = |n| UserEvent { ltime: first + n, name: "crowd", payload: &payload, coalesce: false };
        content.events = (0..u64::from(count)).map(event).collect();
        self.send_push_pull(view, &content);
    }

    /// Opens streams that occupy a slot and send nothing, less than announced, or half a message.
    pub(super) fn hold_streams(&mut self) {
        let to = self.victim();
        let kind = self.rng.below(4);
        for _ in 0..50 << self.rng.below(4) {
            let bytes = match kind {
                0 => Bytes::new(),
                1 => {
                    let mut head = framed(STREAM_PUSH_PULL, &[0; 16]);
                    let announced = u32::try_from(STREAM_MESSAGE_BYTES_MAX).expect("it has 25 bits");
                    head[1..5].copy_from_slice(&(announced + self.rng.below(3) - 1).to_be_bytes());
                    Bytes::from(head)
                }
                2 => {
                    let mut message = Vec::new();
                    hashicorp::begin_push_pull(&mut message, true, 1 << 20, u32::MAX);
                    Bytes::from(message)
                }
                _ => Bytes::from_static(&[10, 0, 0, 1, 0]),
            };
            self.write(to, Some(bytes), kind > 2);
        }
    }
}

/// Number of names in the smallest crowd.
const NAMES_LEAST: u32 = 250;
