use core::net::SocketAddr;
use std::collections::VecDeque;

use bytes::Bytes;
use serf_proto::{Clocks, Codec, Node, Rng};

use super::Attack;
use super::attack_message::{AttackMessage, Dials};
use super::packet_builder::{PacketBuilder, PacketMessage};
use crate::addressing::{addr_of, name_of};
use crate::shared::{Shared, draw_distinct};

/// Composes the messages of the hostile host.
#[derive(Debug)]
pub(crate) struct Attacker {
    pub(super) rng: Rng,
    pub(super) builder: PacketBuilder,
    /// Received packets for replays, the newest last.
    pub(super) heard: VecDeque<Bytes>,
    /// Streams that wait for their acceptance, and the bytes to write then.
    pub(super) dials: Dials,
    /// Remaining byte budget of bombs.
    pub(super) bomb_bytes: usize,
    /// Remaining budget of invented members. Each has its own number.
    pub(super) ghosts: u32,
    ghosts_at_first: u32,
    /// The first `victims` nodes are attacked; the others start later.
    victims: u32,
    messages: Vec<AttackMessage>,
}

/// State that the attacker can observe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttackerView<'a> {
    pub(crate) shared: &'a Shared,
    /// Its host.
    pub(crate) host: u32,
    /// Its own node.
    pub(crate) node: Option<&'a Node>,
}

impl AttackerView<'_> {
    /// Returns the incarnation of a node, or the most likely one.
    pub(super) fn incarnation(&self, node: u32) -> u32 {
        self.node.and_then(|own| own.incarnation_of(&name_of(node))).unwrap_or(1)
    }

    /// Returns the cluster's clocks, or their initial values.
    pub(super) fn clocks(&self) -> Clocks {
        self.node.map_or_else(Clocks::default, Node::clocks)
    }
}

impl Attacker {
    /// Creates an attacker of the first `victims` nodes.
    pub(crate) fn new(shared: &Shared, victims: u32) -> Self {
        let seed = shared.hostile_seed();
        Self {
            rng: Rng::stream(&seed, 0),
            builder: PacketBuilder::new(shared.settings.of(0).envelope(), &seed),
            heard: VecDeque::new(),
            dials: Dials::default(),
            bomb_bytes: WORLD_BOMB_BYTES / victims.max(1) as usize,
            ghosts: WORLD_GHOSTS / victims.max(1),
            ghosts_at_first: WORLD_GHOSTS / victims.max(1),
            victims,
            messages: Vec::new(),
        }
    }

    /// Returns the number of invented members.
    pub(crate) const fn ghosts_invented(&self) -> u32 {
        self.ghosts_at_first - self.ghosts
    }

    /// Stores a received packet.
    pub(crate) fn record_packet(&mut self, packet: &Bytes) {
        if self.heard.len() == PACKETS_KEPT_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(Bytes::copy_from_slice(packet));
    }

    /// Composes one round of an attack.
    pub(crate) fn compose(&mut self, view: AttackerView<'_>, attack: Attack) -> Vec<AttackMessage> {
        match attack {
            Attack::Accuse => self.accuse(view),
            Attack::Exalt => self.exhaust_incarnations(view),
            Attack::Clocks => self.clocks(view),
            Attack::Bombs => self.bombs(view),
            Attack::Crowds => self.longest_lists(view),
            Attack::Ghosts => self.invent_members(view, GHOSTS_PER_NODE * self.victims),
            Attack::Hordes => self.invent_members(view, u32::MAX),
            Attack::Denial => self.deny(view),
            Attack::Replays => self.replay(view),
            Attack::Pings => self.ping(view),
            Attack::Relays => self.relay(view),
            Attack::Leaves => self.forge_leave_intents(view),
            Attack::Thefts => self.steal_name(view),
            Attack::Conflicts => self.conflict(view),
            Attack::Filters => self.filter(view),
            Attack::Askers => self.forge_queries(view),
            Attack::Nested => self.nest(view),
            Attack::Silence => self.hold_streams(),
            Attack::Digests => self.disagree(view),
        }
        core::mem::take(&mut self.messages)
    }

    /// Draws a node to attack.
    pub(super) fn victim(&mut self) -> u32 {
        self.rng.below(self.victims)
    }

    /// Draws the receivers of a message: one, a few or all nodes.
    pub(super) fn targets(&mut self) -> Vec<u32> {
        let count = match self.rng.below(3) {
            0 => 1,
            1 => 2 + self.rng.below(3),
            _ => self.victims,
        };
        draw_distinct(&mut self.rng, self.victims, count)
    }

    /// Draws the source address of a packet: mostly the host's own.
    pub(super) fn source(&mut self, view: AttackerView<'_>) -> SocketAddr {
        match self.rng.below(8) {
            0 | 1 => addr_of(self.victim()),
            2 => address_without_host(self.rng.next_u32()),
            _ => addr_of(view.host),
        }
    }

    /// Draws one of the codecs that the receiver reads.
    pub(super) fn codec(&mut self, view: AttackerView<'_>, to: u32) -> Codec {
        let choice = view.shared.settings.of(to).transport().codec;
        let first = [Codec::Native, Codec::HashiCorp][self.rng.below(2) as usize];
        match (choice.reads(first), first) {
            (true, _) => first,
            (false, Codec::Native) => Codec::HashiCorp,
            (false, _) => Codec::Native,
        }
    }

    /// Draws whether to compress, with probability 1/3.
    pub(super) fn packs(&mut self) -> bool {
        self.rng.below(3) == 0
    }

    /// Sends these messages to each of the targets, in as few packets as possible.
    pub(super) fn send(&mut self, view: AttackerView<'_>, targets: &[u32], lines: &[PacketMessage<'_>]) {
        let from = self.source(view);
        for &to in targets {
            let codec = self.codec(view, to);
            let frames: Vec<Vec<u8>> = lines.iter().filter_map(|line| self.builder.frame(codec, line)).collect();
            self.send_frames(from, to, &frames);
        }
    }

    /// Sends these frames.
    pub(super) fn send_frames(&mut self, from: SocketAddr, to: u32, frames: &[Vec<u8>]) {
        let is_packed = self.packs();
        for bytes in self.builder.packets(frames, is_packed) {
            self.messages.push(AttackMessage::Datagram { from, to, bytes });
        }
    }

    /// Sends an already sealed packet.
    pub(super) fn send_sealed(&mut self, from: SocketAddr, to: u32, bytes: Bytes) {
        self.messages.push(AttackMessage::Datagram { from, to, bytes });
    }

    /// Opens a stream, writes the bytes, and closes it or leaves it open.
    pub(super) fn write(&mut self, to: u32, bytes: Option<Bytes>, closes: bool) {
        if let Some(bytes) = bytes {
            self.messages.push(AttackMessage::Stream { to, bytes, closes });
        }
    }
}

/// Returns an address without a host.
pub(super) fn address_without_host(n: u32) -> SocketAddr {
    let [_, _, c, d] = n.to_be_bytes();
    SocketAddr::from(([10, 200, c, d], 7946))
}

/// Number of packets kept for replays.
const PACKETS_KEPT_MAX: usize = 64;

/// Budget of bombs in a world of one node. Every node may store all of them, so larger worlds get less.
const WORLD_BOMB_BYTES: usize = 160 << 20;

/// Invented members per node in worlds that must recover from them.
const GHOSTS_PER_NODE: u32 = 2;

/// Invented members in a world of one node. In the smallest worlds the longest names exceed a push/pull.
const WORLD_GHOSTS: u32 = 120_000;
