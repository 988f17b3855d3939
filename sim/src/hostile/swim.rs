//! Attacks with messages of the membership layer.

use serf_proto::internals::wire::swim::{Accusation, Alive, IndirectPing, Message, PeerRef, Ping, Source, State};
use serf_proto::internals::wire::{Versions, serf};
use serf_proto::limits::{META_BYTES_MAX, NAME_BYTES_MAX};

use super::attacker::{Attacker, Sight, nowhere};
use super::desk::{Line, Told, compound};
use super::numbers;
use crate::addressing::{addr_of, name_of};

impl Attacker {
    /// Accuses a member, mostly towards the member itself: it accepts the accusation, the others never receive it, and
    /// the refutation must reach them all the same. Or a series of accusations with increasing incarnations.
    pub(super) fn accuse(&mut self, sight: Sight<'_>) {
        let victim = self.victim();
        let own = sight.incarnation(victim);
        let (node, from) = (name_of(victim), self.accuser(sight));
        let incarnations: Vec<u32> = if self.rng.below(4) == 0 {
            let stride = numbers::stride(&mut self.rng);
            (1..=CLIMB).map(|n| own.saturating_add(stride.saturating_mul(n))).collect()
        } else {
            (0..1 + self.rng.below(3)).map(|_| numbers::incarnation(&mut self.rng, own)).collect()
        };
        let is_suspect = self.rng.below(2) == 0;
        let lines: Vec<Line<'_>> = incarnations
            .into_iter()
            .map(|incarnation| {
                let accusation = Accusation { incarnation, node: &node, from: &from };
                Line::Swim(if is_suspect { Message::Suspect(accusation) } else { Message::Dead(accusation) })
            })
            .collect();
        let targets = if self.rng.below(3) > 0 { vec![victim] } else { self.targets() };
        self.mail(sight, &targets, &lines);
    }

    /// Draws the accuser: the host, another node, or none.
    fn accuser(&mut self, sight: Sight<'_>) -> String {
        match self.rng.below(3) {
            0 => name_of(sight.host),
            1 => name_of(self.victim()),
            _ => "nobody".to_owned(),
        }
    }

    pub(super) fn exalt(&mut self, sight: Sight<'_>) {
        let victim = self.victim();
        let name = name_of(victim);
        let meta = self.meta();
        let peer = PeerRef { name: &name, addr: addr_of(victim), meta: &meta, versions: self.versions() };
        let own = sight.incarnation(victim);
        let lines: Vec<Line<'_>> = (0..1 + self.rng.below(3))
            .map(|_| numbers::incarnation(&mut self.rng, own))
            .map(|incarnation| Line::Swim(Message::Alive(Alive { incarnation, peer })))
            .collect();
        let targets = self.targets();
        self.mail(sight, &targets, &lines);
    }

    /// Draws metadata: not decodable as tags, of the maximum length, or one byte longer.
    pub(super) fn meta(&mut self) -> Vec<u8> {
        let length = [0, 1, 20, META_BYTES_MAX - 1, META_BYTES_MAX, META_BYTES_MAX + 1][self.rng.below(6) as usize];
        vec![b'm'; length]
    }

    fn versions(&mut self) -> Versions {
        [Versions::OURS, Versions::HASHICORP][self.rng.below(2) as usize]
    }

    /// Invents members, up to `most` in total.
    pub(super) fn invent(&mut self, sight: Sight<'_>, most: u32) {
        let left = most.saturating_sub(self.ghosts_invented()).min(self.ghosts);
        let count = (1 << (2 + self.rng.below(12))).min(left);
        let is_long = self.rng.below(2) == 0;
        let names: Vec<String> = (0..count).map(|n| ghost(self.ghosts - n, is_long)).collect();
        self.ghosts -= count;
        let meta = self.meta();
        let at_host = self.rng.below(4) == 0;
        let addr = |n| if at_host { addr_of(sight.host) } else { nowhere(n) };
        let versions = self.versions();
        let state = [State::Alive, State::Alive, State::Suspect, State::Dead, State::Left][self.rng.below(5) as usize];
        let peers = (0_u32..).zip(&names).map(|(n, name)| PeerRef { name, addr: addr(n), meta: &meta, versions });
        match self.rng.below(3) {
            0 => {
                let lines: Vec<Line<'_>> =
                    peers.map(|peer| Line::Swim(Message::Alive(Alive { incarnation: 1, peer }))).collect();
                let targets = self.targets();
                self.mail(sight, &targets, &lines);
            }
            1 => {
                let ltime = sight.clocks().member + 1;
                let join = |node| serf::Message::Join(serf::Join { ltime, node });
                let lines: Vec<Line<'_>> = names.iter().map(|name| Line::Serf(join(name))).collect();
                let targets = self.targets();
                self.mail(sight, &targets, &lines);
            }
            _ => {
                let states = peers.map(|peer| (state, 1, peer)).collect();
                let told = Told { states, ..self.told(sight) };
                self.tell(sight, &told);
            }
        }
    }

    /// Reports all members as failed, suspect or left.
    pub(super) fn deny(&mut self, sight: Sight<'_>) {
        let victims = self.targets();
        let names: Vec<String> = victims.iter().map(|victim| name_of(*victim)).collect();
        let meta = self.meta();
        let versions = self.versions();
        let mut told = self.told(sight);
        for (&victim, name) in victims.iter().zip(&names) {
            let state = [State::Suspect, State::Dead, State::Left, State::Alive][self.rng.below(4) as usize];
            let own = sight.incarnation(victim);
            let incarnation = if self.rng.below(2) == 0 { own } else { numbers::incarnation(&mut self.rng, own) };
            told.states.push((state, incarnation, PeerRef { name, addr: addr_of(victim), meta: &meta, versions }));
            let ltime = numbers::ltime(&mut self.rng, sight.clocks().member);
            told.times.push(serf::MemberTime { node: name.as_bytes(), ltime, left: self.rng.below(2) == 0 });
        }
        if self.rng.below(2) == 0 {
            told.clocks = serf::Clocks {
                member: numbers::ltime(&mut self.rng, told.clocks.member),
                event: numbers::ltime(&mut self.rng, told.clocks.event),
                query: numbers::ltime(&mut self.rng, told.clocks.query),
            };
        }
        self.tell(sight, &told);
    }

    pub(super) fn replay(&mut self, sight: Sight<'_>) {
        if self.heard.is_empty() {
            return;
        }
        let heard = u32::try_from(self.heard.len()).expect("few are kept");
        for to in self.targets() {
            for _ in 0..4 {
                let packet = self.heard[self.rng.below(heard) as usize].clone();
                let from = self.source(sight);
                self.post_sealed(from, to, packet);
            }
        }
    }

    /// Sends many small pings, one per packet.
    pub(super) fn ping(&mut self, sight: Sight<'_>) {
        let to = self.victim();
        let (node, third) = (name_of(to), name_of(self.victim()));
        let codec = self.codec(sight, to);
        for _ in 0..PINGS {
            let seq = self.rng.next_u32();
            let node = match self.rng.below(8) {
                0 => "",
                1 => &*third,
                _ => &*node,
            };
            let source = (self.rng.below(4) == 0).then(|| Source { addr: addr_of(self.victim()), node: &third });
            let from = self.source(sight);
            let ping = Line::Swim(Message::Ping(Ping { seq, node, source }));
            let frames: Vec<Vec<u8>> = self.desk.frame(codec, &ping).into_iter().collect();
            self.post(from, to, &frames);
        }
    }

    pub(super) fn relay(&mut self, sight: Sight<'_>) {
        let third = self.victim();
        let node = name_of(third);
        let lines: Vec<Line<'_>> = (0..PINGS)
            .map(|seq| {
                let target = if self.rng.below(2) == 0 { addr_of(third) } else { nowhere(seq) };
                let nack = self.rng.below(2) == 0;
                Line::Swim(Message::IndirectPing(IndirectPing { seq, target, node: &node, nack, source: None }))
            })
            .collect();
        let targets = self.targets();
        self.mail(sight, &targets, &lines);
    }

    /// Sends a leave broadcast in the name of another member, then an alive message with its name and another address.
    pub(super) fn steal(&mut self, sight: Sight<'_>) {
        let victim = self.victim();
        let name = name_of(victim);
        let own = sight.incarnation(victim);
        let leave = serf::Leave { ltime: sight.clocks().member + 1, node: &name, prune: false };
        let farewell = Accusation { incarnation: own, node: &name, from: &name };
        let addr = if self.rng.below(2) == 0 { addr_of(sight.host) } else { nowhere(victim) };
        let peer = PeerRef { name: &name, addr, meta: &[], versions: self.versions() };
        let lines = [
            Line::Serf(serf::Message::Leave(leave)),
            Line::Swim(Message::Dead(farewell)),
            Line::Swim(Message::Alive(Alive { incarnation: own.saturating_add(1 + self.rng.below(3)), peer })),
        ];
        let targets = self.targets();
        self.mail(sight, &targets, &lines);
    }

    /// Sends nested compounds full of pings.
    pub(super) fn nest(&mut self, sight: Sight<'_>) {
        let to = self.victim();
        let (node, codec) = (name_of(to), self.codec(sight, to));
        let ping = Line::Swim(Message::Ping(Ping { seq: 1, node: &node, source: None }));
        let Some(ping) = self.desk.frame(codec, &ping) else { return };
        let width = 1 + self.rng.below(12) as usize;
        let mut frame = compound(&vec![ping; width]);
        for _ in 0..self.rng.below(5) {
            let stack = compound(&vec![frame.clone(); width]);
            if stack.len() > usize::from(u16::MAX) / 2 {
                break;
            }
            frame = stack;
        }
        let from = self.source(sight);
        let is_twice = self.rng.below(2) == 0;
        let frames = if is_twice { vec![frame.clone(), frame] } else { vec![frame] };
        self.post(from, to, &frames);
    }
}

/// Returns the name of a nonexistent member.
pub(super) fn ghost(n: u32, is_long: bool) -> String {
    let name = format!("ghost-{n}-");
    if is_long { format!("{name:g<NAME_BYTES_MAX$}") } else { name }
}

/// Accusations per packet in a series.
const CLIMB: u32 = 250;

/// Pings per round of a flood.
const PINGS: u32 = 50;
