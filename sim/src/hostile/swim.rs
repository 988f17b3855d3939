//! Attacks with messages of the membership layer.

use serf_proto::internals::wire::swim::{Accusation, Alive, IndirectPing, Message, PeerRef, Ping, Source, State};
use serf_proto::internals::wire::{Versions, serf};
use serf_proto::limits::{META_BYTES_MAX, NAME_BYTES_MAX};

use super::attacker::{Attacker, AttackerView, address_without_host};
use super::numbers;
use super::packet_builder::{PacketMessage, PushPullContent, compound};
use crate::addressing::{addr_of, name_of};

impl Attacker {
    /// Accuses a member, mostly towards the member itself: it accepts the accusation, the others never receive it, and
    /// the refutation must reach them all the same. Or a series of accusations with increasing incarnations.
    pub(super) fn accuse(&mut self, view: AttackerView<'_>) {
        let victim = self.victim();
        let own = view.incarnation(victim);
        let (node, from) = (name_of(victim), self.accuser(view));
        let incarnations: Vec<u32> = if self.rng.below(4) == 0 {
            let stride = numbers::stride(&mut self.rng);
            (1..=ACCUSATIONS_PER_PACKET).map(|n| own.saturating_add(stride.saturating_mul(n))).collect()
        } else {
            (0..1 + self.rng.below(3)).map(|_| numbers::incarnation(&mut self.rng, own)).collect()
        };
        let is_suspect = self.rng.below(2) == 0;
        let lines: Vec<PacketMessage<'_>> = incarnations
            .into_iter()
            .map(|incarnation| {
                let accusation = Accusation { incarnation, node: &node, from: &from };
                PacketMessage::Swim(if is_suspect { Message::Suspect(accusation) } else { Message::Dead(accusation) })
            })
            .collect();
        let targets = if self.rng.below(3) > 0 { vec![victim] } else { self.targets() };
        self.send(view, &targets, &lines);
    }

    /// Draws the accuser: the host, another node, or none.
    fn accuser(&mut self, view: AttackerView<'_>) -> String {
        match self.rng.below(3) {
            0 => name_of(view.host),
            1 => name_of(self.victim()),
            _ => "nobody".to_owned(),
        }
    }

    pub(super) fn exhaust_incarnations(&mut self, view: AttackerView<'_>) {
        let victim = self.victim();
        let name = name_of(victim);
        let meta = self.meta();
        let peer = PeerRef { name: &name, addr: addr_of(victim), meta: &meta, versions: self.versions() };
        let own = view.incarnation(victim);
        let lines: Vec<PacketMessage<'_>> = (0..1 + self.rng.below(3))
            .map(|_| numbers::incarnation(&mut self.rng, own))
            .map(|incarnation| PacketMessage::Swim(Message::Alive(Alive { incarnation, peer })))
            .collect();
        let targets = self.targets();
        self.send(view, &targets, &lines);
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
    pub(super) fn invent_members(&mut self, view: AttackerView<'_>, most: u32) {
        let left = most.saturating_sub(self.ghosts_invented()).min(self.ghosts);
        let count = (1 << (2 + self.rng.below(12))).min(left);
        let is_long = self.rng.below(2) == 0;
        let names: Vec<String> = (0..count).map(|n| ghost(self.ghosts - n, is_long)).collect();
        self.ghosts -= count;
        let meta = self.meta();
        let at_host = self.rng.below(4) == 0;
        let addr = |n| if at_host { addr_of(view.host) } else { address_without_host(n) };
        let versions = self.versions();
        let state = [State::Alive, State::Alive, State::Suspect, State::Dead, State::Left][self.rng.below(5) as usize];
        let peers = (0_u32..).zip(&names).map(|(n, name)| PeerRef { name, addr: addr(n), meta: &meta, versions });
        match self.rng.below(3) {
            0 => {
                let lines: Vec<PacketMessage<'_>> =
                    peers.map(|peer| PacketMessage::Swim(Message::Alive(Alive { incarnation: 1, peer }))).collect();
                let targets = self.targets();
                self.send(view, &targets, &lines);
            }
            1 => {
                let ltime = view.clocks().member + 1;
                let join = |node| serf::Message::Join(serf::Join { ltime, node });
                let lines: Vec<PacketMessage<'_>> = names.iter().map(|name| PacketMessage::Serf(join(name))).collect();
                let targets = self.targets();
                self.send(view, &targets, &lines);
            }
            _ => {
                let states = peers.map(|peer| (state, 1, peer)).collect();
                let content = PushPullContent { states, ..self.empty_push_pull(view) };
                self.send_push_pull(view, &content);
            }
        }
    }

    /// Reports all members as failed, suspect or left.
    pub(super) fn deny(&mut self, view: AttackerView<'_>) {
        let victims = self.targets();
        let names: Vec<String> = victims.iter().map(|victim| name_of(*victim)).collect();
        let meta = self.meta();
        let versions = self.versions();
        let mut content = self.empty_push_pull(view);
        for (&victim, name) in victims.iter().zip(&names) {
            let state = [State::Suspect, State::Dead, State::Left, State::Alive][self.rng.below(4) as usize];
            let own = view.incarnation(victim);
            let incarnation = if self.rng.below(2) == 0 { own } else { numbers::incarnation(&mut self.rng, own) };
            content.states.push((state, incarnation, PeerRef { name, addr: addr_of(victim), meta: &meta, versions }));
            let ltime = numbers::ltime(&mut self.rng, view.clocks().member);
            content.times.push(serf::MemberTime { node: name.as_bytes(), ltime, left: self.rng.below(2) == 0 });
        }
        if self.rng.below(2) == 0 {
            content.clocks = serf::Clocks {
                member: numbers::ltime(&mut self.rng, content.clocks.member),
                event: numbers::ltime(&mut self.rng, content.clocks.event),
                query: numbers::ltime(&mut self.rng, content.clocks.query),
            };
        }
        self.send_push_pull(view, &content);
    }

    pub(super) fn replay(&mut self, view: AttackerView<'_>) {
        if self.heard.is_empty() {
            return;
        }
        let heard = u32::try_from(self.heard.len()).expect("few are kept");
        for to in self.targets() {
            for _ in 0..4 {
                let packet = self.heard[self.rng.below(heard) as usize].clone();
                let from = self.source(view);
                self.send_sealed(from, to, packet);
            }
        }
    }

    /// Sends many small pings, one per packet.
    pub(super) fn ping(&mut self, view: AttackerView<'_>) {
        let to = self.victim();
        let (node, third) = (name_of(to), name_of(self.victim()));
        let codec = self.codec(view, to);
        for _ in 0..PINGS {
            let seq = self.rng.next_u32();
            let node = match self.rng.below(8) {
                0 => "",
                1 => &*third,
                _ => &*node,
            };
            let source = (self.rng.below(4) == 0).then(|| Source { addr: addr_of(self.victim()), node: &third });
            let from = self.source(view);
            let ping = PacketMessage::Swim(Message::Ping(Ping { seq, node, source }));
            let frames: Vec<Vec<u8>> = self.builder.frame(codec, &ping).into_iter().collect();
            self.send_frames(from, to, &frames);
        }
    }

    pub(super) fn relay(&mut self, view: AttackerView<'_>) {
        let third = self.victim();
        let node = name_of(third);
        let lines: Vec<PacketMessage<'_>> = (0..PINGS)
            .map(|seq| {
                let target = if self.rng.below(2) == 0 { addr_of(third) } else { address_without_host(seq) };
                let nack = self.rng.below(2) == 0;
                PacketMessage::Swim(Message::IndirectPing(IndirectPing {
                    seq,
                    target,
                    node: &node,
                    nack,
                    source: None,
                }))
            })
            .collect();
        let targets = self.targets();
        self.send(view, &targets, &lines);
    }

    /// Sends a leave broadcast in the name of another member, then an alive message with its name and another address.
    pub(super) fn steal_name(&mut self, view: AttackerView<'_>) {
        let victim = self.victim();
        let name = name_of(victim);
        let own = view.incarnation(victim);
        let leave = serf::Leave { ltime: view.clocks().member + 1, node: &name, prune: false };
        let farewell = Accusation { incarnation: own, node: &name, from: &name };
        let addr = if self.rng.below(2) == 0 { addr_of(view.host) } else { address_without_host(victim) };
        let peer = PeerRef { name: &name, addr, meta: &[], versions: self.versions() };
        let lines = [
            PacketMessage::Serf(serf::Message::Leave(leave)),
            PacketMessage::Swim(Message::Dead(farewell)),
            PacketMessage::Swim(Message::Alive(Alive { incarnation: own.saturating_add(1 + self.rng.below(3)), peer })),
        ];
        let targets = self.targets();
        self.send(view, &targets, &lines);
    }

    /// Sends nested compounds full of pings.
    pub(super) fn nest(&mut self, view: AttackerView<'_>) {
        let to = self.victim();
        let (node, codec) = (name_of(to), self.codec(view, to));
        let ping = PacketMessage::Swim(Message::Ping(Ping { seq: 1, node: &node, source: None }));
        let Some(ping) = self.builder.frame(codec, &ping) else { return };
        let width = 1 + self.rng.below(12) as usize;
        let mut frame = compound(&vec![ping; width]);
        for _ in 0..self.rng.below(5) {
            let stack = compound(&vec![frame.clone(); width]);
            if stack.len() > usize::from(u16::MAX) / 2 {
                break;
            }
            frame = stack;
        }
        let from = self.source(view);
        let is_twice = self.rng.below(2) == 0;
        let frames = if is_twice { vec![frame.clone(), frame] } else { vec![frame] };
        self.send_frames(from, to, &frames);
    }
}

/// Returns the name of a nonexistent member.
pub(super) fn ghost(n: u32, is_long: bool) -> String {
    let name = format!("ghost-{n}-");
    if is_long { format!("{name:g<NAME_BYTES_MAX$}") } else { name }
}

/// Accusations per packet in a series.
const ACCUSATIONS_PER_PACKET: u32 = 250;

/// Pings per round of a flood.
const PINGS: u32 = 50;
