use core::net::SocketAddr;
use std::collections::VecDeque;

use bytes::Bytes;
use serf_proto::{Clocks, Codec, Node, Rng};

use super::Attack;
use super::desk::{Desk, Line};
use super::shot::{Dials, Shot};
use crate::addressing::{addr_of, name_of};
use crate::shared::{Shared, draw_distinct};

/// Draws and composes what the hostile host sends.
#[derive(Debug)]
pub(crate) struct Attacker {
    pub(super) rng: Rng,
    pub(super) desk: Desk,
    /// Packets that came to the host, the newest last.
    pub(super) heard: VecDeque<Bytes>,
    /// Streams that it has opened and not written to yet.
    pub(super) dials: Dials,
    /// How many bytes of bombs it may still send.
    pub(super) bomb_bytes: usize,
    /// How many ghosts it may still invent. Each has a number of its own.
    pub(super) ghosts: u32,
    ghosts_at_first: u32,
    /// Nodes that have not started yet have this number or a greater one.
    victims: u32,
    shots: Vec<Shot>,
}

/// What the attacker knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) shared: &'a Shared,
    /// Its host.
    pub(crate) host: u32,
    /// Its own node.
    pub(crate) node: Option<&'a Node>,
}

impl Sight<'_> {
    /// The incarnation of a node, or what it most likely is.
    pub(super) fn incarnation(&self, node: u32) -> u32 {
        self.node.and_then(|own| own.incarnation_of(&name_of(node))).unwrap_or(1)
    }

    /// The cluster's clocks, or what clocks begin with.
    pub(super) fn clocks(&self) -> Clocks {
        self.node.map_or_else(Clocks::default, Node::clocks)
    }
}

impl Attacker {
    /// Attacks the first `victims` nodes.
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

    /// How many members it has invented.
    pub(crate) const fn ghosts_invented(&self) -> u32 {
        self.ghosts_at_first - self.ghosts
    }

    /// Takes note of a packet that came to the host.
    pub(crate) fn hear(&mut self, packet: &Bytes) {
        if self.heard.len() == HEARD_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(Bytes::copy_from_slice(packet));
    }

    /// One round of an attack.
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

    /// A node to be attacked.
    pub(super) fn victim(&mut self) -> u32 {
        self.rng.below(self.victims)
    }

    /// The nodes that get a message: one, a few or all.
    pub(super) fn targets(&mut self) -> Vec<u32> {
        let count = match self.rng.below(3) {
            0 => 1,
            1 => 2 + self.rng.below(3),
            _ => self.victims,
        };
        draw_distinct(&mut self.rng, self.victims, count)
    }

    /// Where a packet claims to come from: mostly from the host.
    pub(super) fn source(&mut self, sight: Sight<'_>) -> SocketAddr {
        match self.rng.below(8) {
            0 | 1 => addr_of(self.victim()),
            2 => nowhere(self.rng.next_u32()),
            _ => addr_of(sight.host),
        }
    }

    /// One of the codecs that a node reads.
    pub(super) fn codec(&mut self, sight: Sight<'_>, to: u32) -> Codec {
        let choice = sight.shared.settings.of(to).codec;
        let first = [Codec::Native, Codec::HashiCorp][self.rng.below(2) as usize];
        match (choice.reads(first), first) {
            (true, _) => first,
            (false, Codec::Native) => Codec::HashiCorp,
            (false, _) => Codec::Native,
        }
    }

    /// Whether to compress; a third of all.
    pub(super) fn packs(&mut self) -> bool {
        self.rng.below(3) == 0
    }

    /// Sends these messages to each of the targets, in as few packets as they fit into.
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

    /// Sends a packet as it is.
    pub(super) fn post_sealed(&mut self, from: SocketAddr, to: u32, bytes: Bytes) {
        self.shots.push(Shot::Datagram { from, to, bytes });
    }

    /// Writes this to a new stream, and then closes it or not.
    pub(super) fn write(&mut self, to: u32, bytes: Option<Bytes>, closes: bool) {
        if let Some(bytes) = bytes {
            self.shots.push(Shot::Stream { to, bytes, closes });
        }
    }
}

/// An address at which there is no host.
pub(super) fn nowhere(n: u32) -> SocketAddr {
    let [_, _, c, d] = n.to_be_bytes();
    SocketAddr::from(([10, 200, c, d], 7946))
}

/// Packets that are remembered for replays.
const HEARD_MAX: usize = 64;

/// What bombs may weigh in a world of one node. Every node may come to hold all of it, so a world of more nodes gets less.
const WORLD_BOMB_BYTES: usize = 160 << 20;

/// How many ghosts there are for each node where the others must find each other again.
const GHOSTS_A_NODE: u32 = 2;

/// How many ghosts a world of one node gets. In the smallest worlds the longest of them are more than a push/pull can tell.
const WORLD_GHOSTS: u32 = 120_000;
