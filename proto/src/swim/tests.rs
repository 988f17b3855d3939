//! The membership layer with a [`Core`] only: messages and time in; unicasts, notifications and events out.

mod accusations;
mod admission;
mod broadcasts;
mod floods;
mod forged_leaves;
mod incarnations;
mod invariants;
mod members;
mod probes;
mod relays;
mod states;
mod takeovers;
mod zones;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::mem;
use core::net::SocketAddr;
use core::time::Duration;

use super::*;
use crate::core::{Body, Dial, ExchangePurpose, Unicast};
use crate::envelope::{Caps, Packer, PacketBuffers, seal, split};
use crate::event::{Event, Evidence, Source};
use crate::roster::{Directory, Holder};
use crate::time::Instant;
use crate::timer::Timer;
use crate::types::Name;
use crate::wire::swim::{Accusation, Ack, Alive, PeerRef};
use crate::wire::{Codec, PushPull, Versions, Writer, native};
use crate::{Config, Options, Seed, Tags};

/// Membership with its core, without a network. Our own name is `a`.
#[derive(Clone, Debug)]
struct Lone {
    core: Core,
    swim: Swim,
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The metadata of every member in these tests: no tags.
const NO_TAGS: &[u8] = b"\xff\x80";

/// The address of a name: `b` is at 10.0.0.98, `m7` at 10.0.1.7.
fn addr(name: &str) -> SocketAddr {
    let ip = match name.get(1..).and_then(|number| number.parse::<u8>().ok()) {
        Some(number) => [10, 0, 1, number],
        None => [10, 0, 0, name.as_bytes()[0]],
    };
    SocketAddr::from((ip, 7946))
}

fn announcement(name: &str) -> PeerRef<'_> {
    PeerRef { name, addr: addr(name), meta: NO_TAGS, versions: Versions::OURS }
}

fn alive(name: &str, incarnation: u32) -> Message<'_> {
    Message::Alive(Alive { incarnation, peer: announcement(name) })
}

fn moved(name: &str, incarnation: u32, to: SocketAddr) -> Message<'_> {
    Message::Alive(Alive { incarnation, peer: PeerRef { addr: to, ..announcement(name) } })
}

fn elsewhere() -> SocketAddr {
    "10.9.9.9:7946".parse().unwrap()
}

fn suspect<'a>(node: &'a str, incarnation: u32, from: &'a str) -> Message<'a> {
    Message::Suspect(Accusation { incarnation, node, from })
}

fn dead<'a>(node: &'a str, incarnation: u32, from: &'a str) -> Message<'a> {
    Message::Dead(Accusation { incarnation, node, from })
}

fn ack(seq: u32) -> Message<'static> {
    Message::Ack(Ack { seq, payload: &[] })
}

impl Lone {
    fn new(options: Options) -> Self {
        let cfg = Arc::new(Config::new(options).unwrap());
        let mut core = Core::new(cfg, &Seed::from_u64(7), Directory::default(), Instant::ZERO);
        let identity = Identity::new("a", addr("a"), &Tags::default()).unwrap();
        let swim = Swim::new(&mut core, &identity, false);
        core.notifications.clear();
        Self { core, swim }
    }

    /// Knows these members, all alive at incarnation 1, and has empty queues. Probes and push/pulls continue.
    fn probing(options: Options, others: &[&str]) -> Self {
        let mut lone = Self::new(options);
        for name in others {
            lone.hear(alive(name, 1));
        }
        while !lone.packet().is_empty() {}
        lone.notified();
        lone
    }

    /// The same without probes and push/pulls: only received messages cause effects.
    fn still(options: Options, others: &[&str]) -> Self {
        let mut lone = Self::probing(options, others);
        lone.core.timers.clear(SwimTimer::Probe);
        lone.core.timers.clear(SwimTimer::PushPull);
        lone
    }

    fn lan(others: &[&str]) -> Self {
        Self::still(Options::lan(), others)
    }

    /// Delivers a message from an unknown address.
    fn hear(&mut self, message: Message<'_>) {
        self.hear_from(addr("z"), message);
    }

    fn hear_from(&mut self, from: SocketAddr, message: Message<'_>) {
        self.swim.handle(&mut self.core, &mut Heard::new(from, 100), &message);
    }

    /// Advances the time by `span` and fires all due timers.
    fn run(&mut self, span: Duration) {
        let end = self.core.now + span;
        while let Some(at) = self.core.timers.next().filter(|&at| at <= end) {
            self.fire(at);
        }
        self.core.now = end;
    }

    fn fire(&mut self, at: Instant) {
        self.core.now = at;
        while let Some(timer) = self.core.timers.pop_due(at) {
            let Timer::Swim(timer) = timer else { panic!("not a timer of this layer: {timer:?}") };
            self.swim.handle_timer(&mut self.core, timer);
        }
    }

    /// Advances the time until a probe begins. Returns its target and sequence number.
    fn next_probe(&mut self) -> (String, u32) {
        loop {
            let at = self.core.timers.next().expect("a probe is always due");
            self.fire(at);
            for unicast in self.sent() {
                if let Body::Ping { seq, target: idx, .. } = unicast.body {
                    return (self.core.roster.name_ref(idx).to_string(), seq);
                }
            }
        }
    }

    /// Drains the unicasts.
    fn sent(&mut self) -> Vec<Unicast> {
        mem::take(&mut self.core.unicasts)
    }

    /// Drains the notifications.
    fn notified(&mut self) -> Vec<String> {
        let notified = mem::take(&mut self.core.notifications).into_iter().filter_map(|notification| {
            let (what, idx) = match notification {
                Notification::Joined(idx) => ("joined", idx),
                Notification::Updated(idx) => ("updated", idx),
                Notification::Dead(idx) | Notification::Left(idx) => ("gone", idx),
                Notification::Evicted(idx) => ("evicted", idx),
                Notification::LeaveBroadcastSent => ("leave broadcast sent", self.swim.me()),
                Notification::Conflict(_) | Notification::Forgotten(_) | Notification::VerifyLeft(_) => return None,
            };
            Some(format!("{what} {}", self.core.roster.name_ref(idx)))
        });
        notified.collect()
    }

    /// Drains the requested exchanges.
    fn wanted(&mut self) -> Vec<(SocketAddr, ExchangePurpose, Instant)> {
        mem::take(&mut self.core.dials).into_iter().map(|Dial { to, purpose, until }| (to, purpose, until)).collect()
    }

    /// The messages in the next packet of broadcasts.
    fn packet(&mut self) -> Vec<String> {
        self.packet_of(1400)
    }

    fn packet_of(&mut self, bytes: u32) -> Vec<String> {
        let mut buffers = PacketBuffers::new();
        let mut packer = Packer::new(&mut buffers, bytes);
        self.swim.fill(&mut self.core, Codec::Native, |_| 0, &mut packer);
        if packer.is_empty() {
            return vec![];
        }
        let packed = packer.finish();
        let bytes = seal(packed, Caps { checksum: false }, &mut buffers);
        let frames = split(&bytes).unwrap();
        frames.map(|frame| describe(native::decode(frame).unwrap())).collect()
    }

    /// All queued broadcasts, each once, in the order of their places.
    fn queued(&self) -> Vec<String> {
        self.clone().packet_of(60_000)
    }

    fn idx(&self, name: &str) -> MemberIdx {
        self.core.roster.find(name).expect("it is known")
    }

    fn state(&self, name: &str) -> Option<State> {
        self.swim.members.row(self.core.roster.find(name)?).state
    }

    fn incarnation(&self, name: &str) -> u32 {
        self.swim.members.row(self.idx(name)).incarnation
    }

    fn score(&self) -> u32 {
        self.swim.health_score()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.core.stats.dropped(reason)
    }
}

/// A message in short notation: `suspect b@1 by c`.
fn describe(message: Message<'_>) -> String {
    match message {
        Message::Alive(Alive { incarnation, peer }) => format!("alive {}@{incarnation}", peer.name),
        Message::Suspect(Accusation { incarnation, node, from }) => format!("suspect {node}@{incarnation} by {from}"),
        Message::Dead(Accusation { incarnation, node, from }) if node == from => format!("left {node}@{incarnation}"),
        Message::Dead(Accusation { incarnation, node, from }) => format!("dead {node}@{incarnation} by {from}"),
        other => panic!("no broadcast: {other:?}"),
    }
}
