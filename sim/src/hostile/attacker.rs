use core::net::SocketAddr;
use std::collections::VecDeque;

use bytes::Bytes;
use serf_proto::{Clocks, Codec, Node, Rng};

use super::Attack;
use super::desk::{Desk, Line};
use super::shot::{Dials, Shot};
use crate::addressing::{addr_of, name_of};
use crate::shared::{Shared, draw_distinct};

/// Composes the messages of the hostile host.
#[derive(Debug)]
pub(crate) struct Attacker {
    pub(super) rng: Rng,
    pub(super) desk: Desk,
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
    shots: Vec<Shot>,
}

/// State that the attacker can observe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) shared: &'a Shared,
    /// Its host.
    pub(crate) host: u32,
    /// Its own node.
    pub(crate) node: Option<&'a Node>,
}

impl Sight<'_> {
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
            desk: Desk::new(shared.settings.of(0).envelope(), &seed),
            heard: VecDeque::new(),
            dials: Dials::default(),
            bomb_bytes: WORLD_BOMB_BYTES / victims.max(1) as usize,
            ghosts: WORLD_GHOSTS / victims.max(1),
            ghosts_at_first: WORLD_GHOSTS / victims.max(1),
            victims,
            shots: Vec::new(),
        }
    }

    /// Returns the number of invented members.
    pub(crate) const fn ghosts_invented(&self) -> u32 {
        self.ghosts_at_first - self.ghosts
    }

    /// Stores a received packet.
    pub(crate) fn hear(&mut self, packet: &Bytes) {
        if self.heard.len() == HEARD_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(Bytes::copy_from_slice(packet));
    }

    /// Composes one round of an attack.
    pub(crate) fn compose(&mut self, sight: Sight<'_>, attack: Attack) -> Vec<Shot> {
        match attack {
            Attack::Accuse => self.accuse(sight),
            Attack::Exalt => self.exalt(sight),
            Attack::Clocks => self.clocks(sight),
            Attack::Bombs => self.bombs(sight),
            Attack::Crowds => self.crowds(sight),
            Attack::Ghosts => self.invent(sight, GHOSTS_A_NODE * self.victims),
            Attack::Hordes => self.invent(sight, u32::MAX),
            Attack::Denial => self.deny(sight),
            Attack::Replays => self.replay(sight),
            Attack::Pings => self.ping(sight),
            Attack::Relays => self.relay(sight),
            Attack::Leaves => self.see_off(sight),
            Attack::Thefts => self.steal(sight),
            Attack::Conflicts => self.conflict(sight),
            Attack::Filters => self.filter(sight),
            Attack::Askers => self.ask(sight),
            Attack::Nested => self.nest(sight),
            Attack::Silence => self.be_silent(),
        }
        core::mem::take(&mut self.shots)
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
    pub(super) fn source(&mut self, sight: Sight<'_>) -> SocketAddr {
        match self.rng.below(8) {
            0 | 1 => addr_of(self.victim()),
            2 => nowhere(self.rng.next_u32()),
            _ => addr_of(sight.host),
        }
    }

    /// Draws one of the codecs that the receiver reads.
    pub(super) fn codec(&mut self, sight: Sight<'_>, to: u32) -> Codec {
        let choice = sight.shared.settings.of(to).transport().codec;
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
    pub(super) fn mail(&mut self, sight: Sight<'_>, targets: &[u32], lines: &[Line<'_>]) {
        let from = self.source(sight);
        for &to in targets {
            let codec = self.codec(sight, to);
            let frames: Vec<Vec<u8>> = lines.iter().filter_map(|line| self.desk.frame(codec, line)).collect();
            self.post(from, to, &frames);
        }
    }

    /// Sends these frames.
    pub(super) fn post(&mut self, from: SocketAddr, to: u32, frames: &[Vec<u8>]) {
        let is_packed = self.packs();
        for bytes in self.desk.packets(frames, is_packed) {
            self.shots.push(Shot::Datagram { from, to, bytes });
        }
    }

    /// Sends an already sealed packet.
    pub(super) fn post_sealed(&mut self, from: SocketAddr, to: u32, bytes: Bytes) {
        self.shots.push(Shot::Datagram { from, to, bytes });
    }

    /// Opens a stream, writes the bytes, and closes it or leaves it open.
    pub(super) fn write(&mut self, to: u32, bytes: Option<Bytes>, closes: bool) {
        if let Some(bytes) = bytes {
            self.shots.push(Shot::Stream { to, bytes, closes });
        }
    }
}

/// Returns an address without a host.
pub(super) fn nowhere(n: u32) -> SocketAddr {
    let [_, _, c, d] = n.to_be_bytes();
    SocketAddr::from(([10, 200, c, d], 7946))
}

/// Number of packets kept for replays.
const HEARD_MAX: usize = 64;

/// Budget of bombs in a world of one node. Every node may store all of them, so larger worlds get less.
const WORLD_BOMB_BYTES: usize = 160 << 20;

/// Invented members per node in worlds that must recover from them.
const GHOSTS_A_NODE: u32 = 2;

/// Invented members in a world of one node. In the smallest worlds the longest names exceed a push/pull.
const WORLD_GHOSTS: u32 = 120_000;
