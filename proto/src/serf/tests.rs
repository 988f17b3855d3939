//! Tests of the Serf layer with a [`Core`] only. Inputs: notifications, messages and time. Outputs: events and
//! broadcasts.

mod bounds;
mod catalogue;
mod coalescing;
mod coordinates;
mod events;
mod exchanges;
mod intents;
mod invariants;
mod keys;
mod large_answers;
mod queries;
mod reaping;
mod table;
mod times;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use core::mem;
use core::net::SocketAddr;
use core::time::Duration;

use super::*;
use crate::core::ExchangePurpose;
use crate::envelope::{Caps, Packer, PacketBuffers, seal, split};
use crate::event::{Event, Status};
use crate::roster::{Directory, Holder};
use crate::stats;
use crate::time::Instant;
use crate::timer::Timer;
use crate::wire::serf::{Clocks, Join, Leave, MemberTime, UserEvent};
use crate::wire::swim::{Message as SwimMessage, PeerRef};
use crate::wire::{Versions, Writer, native};
use crate::{Config, Options, Seed};

/// A Serf layer with its core, and no other layers. This node's name is `a`.
#[derive(Clone, Debug)]
struct Lone {
    core: Core,
    serf: Serf,
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lamport times of members, events and queries.
const fn times(member: u64, event: u64, query: u64) -> stats::Clocks {
    stats::Clocks { member, event, query }
}

fn addr(name: &str) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, name.as_bytes()[0]], 7946))
}

fn encode(message: &Message<'_>) -> Vec<u8> {
    encode_in(Codec::Native, message)
}

fn encode_in(codec: Codec, message: &Message<'_>) -> Vec<u8> {
    let mut buf = vec![0; 64 * 1024];
    let mut writer = Writer::new(&mut buf);
    codec.encode_serf(message, &mut writer).unwrap();
    let len = writer.len();
    buf.truncate(len);
    buf
}

impl Lone {
    fn new(options: Options) -> Self {
        let cfg = Arc::new(Config::new(options).unwrap());
        let mut core = Core::new(cfg, &Seed::from_u64(7), Directory::default(), Instant::ZERO);
        let me = core.roster.intern("a").unwrap();
        let mut lone = Self { serf: Serf::new(me, &core.cfg), core };
        lone.alive("a");
        lone.events();
        lone
    }

    /// A layer with these other members, all alive.
    fn lan(others: &[&str]) -> Self {
        Self::with(Options::lan(), others)
    }

    fn with(options: Options, others: &[&str]) -> Self {
        let mut lone = Self::new(options);
        for name in others {
            lone.alive(name);
        }
        lone.events();
        lone
    }

    /// Notifies that a member is alive.
    fn alive(&mut self, name: &str) {
        self.alive_with(name, Versions::OURS);
    }

    /// Notifies that a member with these protocol versions is alive.
    fn alive_with(&mut self, name: &str, versions: Versions) {
        let idx = self.core.roster.intern(name).unwrap();
        self.core.roster.hold(idx, Holder::Swim);
        self.core.roster.set_peer(idx, PeerRef { name, addr: addr(name), meta: b"\xff\x80", versions });
        self.serf.notified(&mut self.core, Notification::Joined(idx));
    }

    /// Notifies that a member is gone.
    fn gone(&mut self, name: &str) {
        let idx = self.idx(name);
        self.serf.notified(&mut self.core, Notification::Dead(idx));
    }

    /// Notifies that membership evicted a member.
    fn forgotten_by_swim(&mut self, name: &str) {
        let idx = self.idx(name);
        self.core.roster.release(idx, Holder::Swim);
    }

    fn hear_join(&mut self, node: &str, ltime: u64) {
        self.serf.handle(&mut self.core, Origin::Local, &encode(&Message::Join(Join { ltime, node })));
    }

    fn hear_leave(&mut self, node: &str, ltime: u64) {
        self.serf.handle(&mut self.core, Origin::Local, &encode(&Message::Leave(Leave { ltime, node, prune: false })));
    }

    fn hear_prune(&mut self, node: &str, ltime: u64) {
        self.serf.handle(&mut self.core, Origin::Local, &encode(&Message::Leave(Leave { ltime, node, prune: true })));
    }

    fn hear_event(&mut self, ltime: u64, name: &str, payload: &[u8]) {
        let event = UserEvent { ltime, name, payload, coalesce: false };
        self.serf.handle(&mut self.core, Origin::Local, &encode(&Message::UserEvent(event)));
    }

    /// Merges a push/pull with these members: name, Lamport time, whether it left.
    fn merge(&mut self, clocks: Clocks, members: &[(&str, u64, bool)], events: &[UserEvent<'_>], ignore_old: bool) {
        let mut body = vec![];
        native::begin_serf_state(&mut body, clocks, u32::try_from(members.len()).unwrap());
        for &(node, ltime, left) in members {
            native::push_member_time(&mut body, MemberTime { node: node.as_bytes(), ltime, left });
        }
        native::begin_events(&mut body, u32::try_from(events.len()).unwrap());
        for event in events {
            native::push_event(&mut body, event);
        }
        self.serf.merge(&mut self.core, Codec::Native, &body, ignore_old, None);
    }

    fn merge_members(&mut self, members: &[(&str, u64, bool)]) {
        self.merge(Clocks { member: 1, event: 1, query: 1 }, members, &[], false);
    }

    /// Handles the first timer that is due.
    fn fire(&mut self, at: Instant, out: impl FnMut(Delivered)) {
        let Some(timer) = self.core.timers.pop_due(at) else { return };
        let Timer::Serf(timer) = timer else { panic!("not a timer of this layer: {timer:?}") };
        self.serf.handle_timer(&mut self.core, timer, out);
    }

    /// Advances time by `span`, and handles all timers that are due.
    fn run(&mut self, span: Duration) {
        let end = self.core.now + span;
        while let Some(at) = self.core.timers.next().filter(|&at| at <= end) {
            self.core.now = at;
            self.fire(at, |delivered| panic!("nothing is held back: {delivered:?}"));
        }
        self.core.now = end;
    }

    /// The events since the last call, such as `join b` or `user deploy`.
    fn events(&mut self) -> Vec<String> {
        let events = mem::take(&mut self.core.events).into_iter().map(|event| match event {
            Event::Member(event) => {
                let names: Vec<&str> = event.members.names().collect();
                format!("{} {}", &event.kind.to_string()["member-".len()..], names.join(" "))
            }
            Event::User(event) => format!("user {}", event.name),
            Event::Query(query) => format!("query {}", query.name),
            Event::QueryAck { from, .. } => format!("ack {from}"),
            Event::QueryResponse { from, payload, .. } => {
                format!("answer {from} {}", String::from_utf8_lossy(&payload))
            }
            Event::QueryEnded(report) => {
                let silent: Vec<&str> = report.silent.iter().map(|name| &**name).collect();
                format!("ended {}/{} {} [{}]", report.acks, report.responses, report.complete, silent.join(" "))
            }
            other => panic!("not an event of this layer: {other:?}"),
        });
        events.collect()
    }

    /// The next packet of broadcasts, such as `leave b@5`.
    fn packet(&mut self) -> Vec<String> {
        let mut buffers = PacketBuffers::new();
        let mut packer = Packer::new(&mut buffers, self.core.cfg.transport().packet_bytes);
        self.serf.fill(&self.core, Codec::Native, &mut packer);
        if packer.is_empty() {
            return vec![];
        }
        let packed = packer.finish();
        let bytes = seal(packed, Caps { checksum: false }, &mut buffers);
        let words = split(&bytes).unwrap().map(|frame| {
            let Ok(SwimMessage::User(body)) = native::decode(frame) else { panic!("a user message was packed") };
            match Codec::decode_serf(body).unwrap() {
                Message::Join(Join { ltime, node }) => format!("join {node}@{ltime}"),
                Message::Leave(Leave { ltime, node, prune: false }) => format!("leave {node}@{ltime}"),
                Message::Leave(Leave { ltime, node, prune: true }) => format!("prune {node}@{ltime}"),
                Message::UserEvent(event) => format!("user {}@{}", event.name, event.ltime),
                Message::Query(query) => format!("query {}@{}", query.name, query.ltime),
                other => panic!("{other:?} is not gossiped"),
            }
        });
        words.collect()
    }

    /// Sends all broadcasts until their transmit limits.
    fn talk(&mut self) {
        while !self.packet().is_empty() {}
    }

    fn idx(&self, name: &str) -> MemberIdx {
        self.core.roster.find(name).expect("it is known")
    }

    fn status(&self, name: &str) -> Option<Status> {
        self.serf.members.row(self.core.roster.find(name)?).status()
    }

    fn ltime(&self, name: &str) -> u64 {
        self.core.roster.find(name).map_or(0, |idx| self.serf.members.row(idx).ltime())
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.core.stats.dropped(reason)
    }
}
