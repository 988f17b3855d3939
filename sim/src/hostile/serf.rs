//! Attacks with messages of Serf's layer in packets.

use serf_proto::Codec;
use serf_proto::internals::wire::Versions;
use serf_proto::internals::wire::serf::{
    Filter, Join, Leave, List, MemberRecord, Message, Query, QueryResponse, Relay, Source, UserEvent,
};
use serf_proto::internals::wire::swim::{self, Accusation};
use serf_proto::limits::PATTERN_BYTES_MAX;

use super::attacker::{Attacker, AttackerView, address_without_host};
use super::numbers;
use super::packet_builder::PacketMessage;
use crate::addressing::{addr_of, name_of};

impl Attacker {
    /// Advances the three clocks in steps.
    pub(super) fn clocks(&mut self, view: AttackerView<'_>) {
        let (known, clocks) = (name_of(self.victim()), view.clocks());
        let mut lines = Vec::new();
        for _ in 0..1 + self.rng.below(4) {
            let ltime = numbers::ltime(&mut self.rng, clocks.event);
            let event = UserEvent { ltime, name: "extreme", payload: b"", coalesce: self.rng.below(2) == 0 };
            lines.push(PacketMessage::Serf(Message::UserEvent(event)));
            let ltime = numbers::ltime(&mut self.rng, clocks.query);
            lines.push(PacketMessage::Serf(Message::Query(Query { ltime, ..self.query(view, "extreme") })));
            let ltime = numbers::ltime(&mut self.rng, clocks.member);
            let node = if self.rng.below(2) == 0 { "ghost" } else { &*known };
            lines.push(PacketMessage::Serf(match self.rng.below(2) {
                0 => Message::Join(Join { ltime, node }),
                _ => Message::Leave(Leave { ltime, node: "ghost", prune: false }),
            }));
        }
        let targets = self.targets();
        self.send(view, &targets, &lines);
    }

    /// Composes a query that is ordinary except for its timeout, flags and relays.
    fn query<'a>(&mut self, view: AttackerView<'_>, name: &'a str) -> Query<'a> {
        let flags = self.rng.below(4);
        let relay_factor = [0, 1, 5, u8::MAX][self.rng.below(4) as usize];
        Query {
            ltime: view.clocks().query + 1,
            id: self.rng.next_u32(),
            source: Source { addr: addr_of(view.host), node: "" },
            filters: List::EMPTY,
            flags,
            relay_factor,
            timeout: numbers::timeout(&mut self.rng),
            name,
            payload: b"",
        }
    }

    /// Sends leave intents in the name of other members.
    pub(super) fn forge_leave_intents(&mut self, view: AttackerView<'_>) {
        let names: Vec<(u32, String)> = self.targets().into_iter().map(|victim| (victim, name_of(victim))).collect();
        let mut lines = Vec::new();
        for (victim, node) in &names {
            let ltime = view.clocks().member + 1 + self.rng.below_u64(3);
            lines.push(PacketMessage::Serf(Message::Leave(Leave { ltime, node, prune: self.rng.below(4) == 0 })));
            if self.rng.below(2) == 0 {
                let incarnation = view.incarnation(*victim);
                lines.push(PacketMessage::Swim(swim::Message::Dead(Accusation { incarnation, node, from: node })));
            }
        }
        let targets = self.targets();
        self.send(view, &targets, &lines);
    }

    /// Claims a live member's name, and votes in the name of nonexistent members.
    pub(super) fn conflict(&mut self, view: AttackerView<'_>) {
        let victim = self.victim();
        let name = name_of(victim);
        let peer = swim::PeerRef {
            name: &name,
            addr: address_without_host(victim),
            meta: &self.meta(),
            versions: Versions::OURS,
        };
        let own = view.incarnation(victim);
        let alive = swim::Alive { incarnation: own.saturating_add(self.rng.below(3)), peer };
        let mut targets = self.targets();
        targets.push(victim);
        self.send(view, &targets, &[PacketMessage::Swim(swim::Message::Alive(alive))]);
        self.vote(view);
    }

    fn vote(&mut self, view: AttackerView<'_>) {
        let heard: Vec<_> = self.heard.iter().cloned().collect();
        for packet in heard {
            for frame in self.builder.open(&packet) {
                let Some((&kind, body)) = frame.split_first() else { continue };
                let is_user =
                    kind & !serf_proto::internals::wire::native::NATIVE == serf_proto::internals::wire::hashicorp::USER;
                let Some(Message::Query(query)) = is_user.then(|| Codec::decode_serf(body).ok()).flatten() else {
                    continue;
                };
                let name = core::str::from_utf8(query.payload).unwrap_or_default();
                if let (CONFLICT, Some(asker)) =
                    (query.name, crate::addressing::node_at(query.source.addr, view.shared.nodes))
                {
                    self.forge_votes(view, asker, &query, name);
                }
            }
        }
    }

    fn forge_votes(&mut self, view: AttackerView<'_>, asker: u32, query: &Query<'_>, name: &str) {
        let codec = self.codec(view, asker);
        let record = MemberRecord {
            name,
            addr: Some(address_without_host(asker)),
            tags: List::EMPTY,
            status: 1,
            versions: Versions::OURS,
        };
        let Ok(payload) = self.builder.inner(codec, &Message::ConflictResponse(Some(record))) else { return };
        let voters: Vec<String> = (0..VOTES).map(|n| format!("voter-{n}")).collect();
        let frames: Vec<Vec<u8>> = voters
            .iter()
            .filter_map(|from| {
                let vote = QueryResponse { ltime: query.ltime, id: query.id, from, flags: 0, payload: &payload };
                self.builder.frame(codec, &PacketMessage::Serf(Message::QueryResponse(vote)))
            })
            .collect();
        self.send_frames(addr_of(view.host), asker, &frames);
    }

    /// Sends one query with filters of maximal cost.
    pub(super) fn filter(&mut self, view: AttackerView<'_>) {
        let unit = [r"|\pL{9}", "(a*)*", "(x{9}){9}", r"\w{2}", "a?"][self.rng.below(5) as usize];
        let length = [64, 512, PATTERN_BYTES_MAX, PATTERN_BYTES_MAX + 1][self.rng.below(4) as usize];
        let expr: String = unit.chars().cycle().take(length - length % unit.len()).collect();
        let filters = vec![Filter::Tag { tag: "role", expr: &expr }; 1 + self.rng.below(8) as usize];
        let query = Query { filters: List::new(&filters), ..self.query(view, "filtered") };
        let to = self.victim();
        self.send(view, &[to], &[PacketMessage::Serf(Message::Query(query))]);
    }

    /// Sends queries whose answers go to others, and unsolicited answers and relays.
    pub(super) fn forge_queries(&mut self, view: AttackerView<'_>) {
        let third = self.victim();
        let node = name_of(third);
        let addr = if self.rng.below(2) == 0 { addr_of(third) } else { address_without_host(third) };
        let mut lines = Vec::new();
        for n in 0..QUERIES_PER_ATTACK {
            let query = self.query(view, "who");
            let (ltime, flags) = (query.ltime + u64::from(n), Query::FLAG_ACK);
            let source = Source { addr, node: &node };
            lines.push(PacketMessage::Serf(Message::Query(Query { ltime, flags, source, ..query })));
        }
        let answer = QueryResponse { ltime: view.clocks().query, id: 1, from: &node, flags: 1, payload: b"" };
        lines.push(PacketMessage::Serf(Message::QueryResponse(answer)));
        let Ok(inner) = self.builder.inner(Codec::HashiCorp, &Message::QueryResponse(answer)) else { return };
        lines.push(PacketMessage::Serf(Message::Relay(Relay { addr, node: &node, inner: &inner })));
        let targets = self.targets();
        self.send(view, &targets, &lines);
    }
}

/// Serf's internal query about a name that two nodes claim.
const CONFLICT: &str = "_serf_conflict";

const VOTES: u32 = 20;

const QUERIES_PER_ATTACK: u32 = 10;
