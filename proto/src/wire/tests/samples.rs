//! Random messages of every kind.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use proptest::prelude::*;

use crate::limits::META_BYTES_MAX;
use crate::wire::swim::{Accusation, Ack, Alive, IndirectPing, Message, PeerRef, Ping, Source};
use crate::wire::{Versions, serf};

/// An owned message of the membership layer.
#[derive(Clone, Debug)]
pub(in crate::wire) enum Owned {
    Ping { seq: u32, node: String, source: Option<(SocketAddr, String)> },
    IndirectPing { seq: u32, target: SocketAddr, node: String, nack: bool, source: Option<(SocketAddr, String)> },
    Ack { seq: u32, payload: Vec<u8> },
    Nack { seq: u32 },
    Suspect { incarnation: u32, node: String, from: String },
    Dead { incarnation: u32, node: String, from: String },
    Alive { incarnation: u32, peer: OwnedPeer },
}

#[derive(Clone, Debug)]
pub(in crate::wire) struct OwnedPeer {
    pub(in crate::wire) name: String,
    pub(in crate::wire) addr: SocketAddr,
    pub(in crate::wire) meta: Vec<u8>,
    pub(in crate::wire) versions: [u8; 6],
}

impl OwnedPeer {
    pub(in crate::wire) fn borrow(&self) -> PeerRef<'_> {
        PeerRef { name: &self.name, addr: self.addr, meta: &self.meta, versions: Versions(self.versions) }
    }
}

pub(in crate::wire) fn source_of(source: &Option<(SocketAddr, String)>) -> Option<Source<'_>> {
    source.as_ref().map(|(addr, node)| Source { addr: *addr, node })
}

impl Owned {
    pub(in crate::wire) fn borrow(&self) -> Message<'_> {
        match self {
            Self::Ping { seq, node, source: s } => Message::Ping(Ping { seq: *seq, node, source: source_of(s) }),
            Self::IndirectPing { seq, target, node, nack, source: s } => {
                let source = source_of(s);
                Message::IndirectPing(IndirectPing { seq: *seq, target: *target, node, nack: *nack, source })
            }
            Self::Ack { seq, payload } => Message::Ack(Ack { seq: *seq, payload }),
            Self::Nack { seq } => Message::Nack { seq: *seq },
            Self::Suspect { incarnation, node, from } => {
                Message::Suspect(Accusation { incarnation: *incarnation, node, from })
            }
            Self::Dead { incarnation, node, from } => {
                Message::Dead(Accusation { incarnation: *incarnation, node, from })
            }
            Self::Alive { incarnation, peer } => {
                Message::Alive(Alive { incarnation: *incarnation, peer: peer.borrow() })
            }
        }
    }
}

pub(in crate::wire) fn addr() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

pub(in crate::wire) fn name() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-z0-9.-]{1,20}", 1 => "\\PC{1,60}", 1 => "[a-z]{127,255}"]
}

pub(in crate::wire) fn name_or_none() -> impl Strategy<Value = String> {
    prop_oneof![4 => name(), 1 => Just(String::new())]
}

pub(in crate::wire) fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=most)
}

pub(in crate::wire) fn peer() -> impl Strategy<Value = OwnedPeer> {
    (name(), addr(), bytes(META_BYTES_MAX), any::<[u8; 6]>()).prop_map(|(name, addr, meta, versions)| OwnedPeer {
        name,
        addr,
        meta,
        versions,
    })
}

pub(in crate::wire) fn message() -> impl Strategy<Value = Owned> {
    let source = || prop::option::of((addr(), name_or_none()));
    prop_oneof![
        (any::<u32>(), name_or_none(), source()).prop_map(|(seq, node, source)| Owned::Ping { seq, node, source }),
        (any::<u32>(), addr(), name_or_none(), any::<bool>(), source())
            .prop_map(|(seq, target, node, nack, source)| Owned::IndirectPing { seq, target, node, nack, source }),
        (any::<u32>(), bytes(200)).prop_map(|(seq, payload)| Owned::Ack { seq, payload }),
        any::<u32>().prop_map(|seq| Owned::Nack { seq }),
        (any::<u32>(), name(), name_or_none()).prop_map(|(incarnation, node, from)| Owned::Suspect {
            incarnation,
            node,
            from
        }),
        (any::<u32>(), name(), name_or_none()).prop_map(|(incarnation, node, from)| Owned::Dead {
            incarnation,
            node,
            from
        }),
        (any::<u32>(), peer()).prop_map(|(incarnation, peer)| Owned::Alive { incarnation, peer }),
    ]
}

/// An owned message of the Serf layer.
#[derive(Clone, Debug)]
pub(in crate::wire) enum OwnedSerf {
    Leave { ltime: u64, node: String, prune: bool },
    Join { ltime: u64, node: String },
    UserEvent(OwnedEvent),
    Query(OwnedQuery),
    QueryResponse { ltime: u64, id: u32, from: String, flags: u32, payload: Vec<u8> },
    ConflictResponse(Option<OwnedMember>),
    KeyRequest { key: Vec<u8> },
    KeyResponse { result: bool, message: String, keys: Vec<String>, primary_key: String },
    Relay { addr: SocketAddr, node: String, inner: Vec<u8> },
}

#[derive(Clone, Debug)]
pub(in crate::wire) struct OwnedEvent {
    ltime: u64,
    name: String,
    payload: Vec<u8>,
    coalesce: bool,
}

impl OwnedEvent {
    pub(in crate::wire) fn ltime(&self) -> u64 {
        self.ltime
    }

    pub(in crate::wire) fn borrow(&self) -> serf::UserEvent<'_> {
        let Self { ltime, ref name, ref payload, coalesce } = *self;
        serf::UserEvent { ltime, name, payload, coalesce }
    }
}

#[derive(Clone, Debug)]
pub(in crate::wire) struct OwnedQuery {
    ltime: u64,
    id: u32,
    source: (SocketAddr, String),
    filters: Vec<OwnedFilter>,
    flags: u32,
    relay_factor: u8,
    timeout: Duration,
    name: String,
    payload: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(in crate::wire) enum OwnedFilter {
    Nodes(Vec<String>),
    Tag(String, String),
    Unreadable(Vec<u8>),
}

impl OwnedFilter {
    fn names(&self) -> Vec<&str> {
        if let Self::Nodes(names) = self { texts(names) } else { vec![] }
    }
}

#[derive(Clone, Debug)]
pub(in crate::wire) struct OwnedMember {
    name: String,
    addr: Option<SocketAddr>,
    tags: Vec<(String, String)>,
    status: u8,
    versions: [u8; 6],
}

pub(in crate::wire) fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

impl OwnedQuery {
    pub(in crate::wire) fn with<R>(&self, use_it: impl FnOnce(serf::Query<'_>) -> R) -> R {
        let names: Vec<_> = self.filters.iter().map(OwnedFilter::names).collect();
        let filters = self.filters.iter().zip(&names).map(|(filter, names)| match filter {
            OwnedFilter::Nodes(_) => serf::Filter::Nodes(serf::List::new(names)),
            OwnedFilter::Tag(tag, expr) => serf::Filter::Tag { tag, expr },
            OwnedFilter::Unreadable(bytes) => serf::Filter::Unreadable(bytes),
        });
        let filters: Vec<_> = filters.collect();
        use_it(serf::Query {
            ltime: self.ltime,
            id: self.id,
            source: serf::Source { addr: self.source.0, node: &self.source.1 },
            filters: serf::List::new(&filters),
            flags: self.flags,
            relay_factor: self.relay_factor,
            timeout: self.timeout,
            name: &self.name,
            payload: &self.payload,
        })
    }
}

impl OwnedMember {
    pub(in crate::wire) fn with<R>(&self, use_it: impl FnOnce(serf::MemberRecord<'_>) -> R) -> R {
        let tags: Vec<_> = self.tags.iter().map(|(key, value)| (&**key, &**value)).collect();
        let &Self { ref name, addr, status, versions, .. } = self;
        let tags = serf::List::new(&tags);
        use_it(serf::MemberRecord { name, addr, tags, status, versions: Versions(versions) })
    }
}

impl OwnedSerf {
    pub(in crate::wire) fn with<R>(&self, use_it: impl FnOnce(serf::Message<'_>) -> R) -> R {
        use serf::Message as M;
        match *self {
            Self::Leave { ltime, ref node, prune } => use_it(M::Leave(serf::Leave { ltime, node, prune })),
            Self::Join { ltime, ref node } => use_it(M::Join(serf::Join { ltime, node })),
            Self::UserEvent(ref event) => use_it(M::UserEvent(event.borrow())),
            Self::Query(ref query) => query.with(|query| use_it(M::Query(query))),
            Self::QueryResponse { ltime, id, ref from, flags, ref payload } => {
                use_it(M::QueryResponse(serf::QueryResponse { ltime, id, from, flags, payload }))
            }
            Self::ConflictResponse(None) => use_it(M::ConflictResponse(None)),
            Self::ConflictResponse(Some(ref member)) => member.with(|member| use_it(M::ConflictResponse(Some(member)))),
            Self::KeyRequest { ref key } => use_it(M::KeyRequest(serf::KeyRequest { key })),
            Self::KeyResponse { result, ref message, ref keys, ref primary_key } => {
                let keys = texts(keys);
                let keys = serf::List::new(&keys);
                use_it(M::KeyResponse(serf::KeyResponse { result, message, keys, primary_key }))
            }
            Self::Relay { addr, ref node, ref inner } => use_it(M::Relay(serf::Relay { addr, node, inner })),
        }
    }

    /// Length of the raw tail of the message, where any bytes are valid.
    pub(in crate::wire) fn open_end(&self) -> Option<usize> {
        if let Self::Relay { inner, .. } = self { Some(inner.len()) } else { None }
    }
}

pub(in crate::wire) fn text() -> impl Strategy<Value = String> {
    ".{0,40}"
}

pub(in crate::wire) fn filter() -> impl Strategy<Value = OwnedFilter> {
    prop_oneof![
        prop::collection::vec(name_or_none(), 0..20).prop_map(OwnedFilter::Nodes),
        (text(), text()).prop_map(|(tag, expr)| OwnedFilter::Tag(tag, expr)),
        // An unassigned type.
        bytes(40).prop_map(|mut bytes| {
            bytes.insert(0, 7);
            OwnedFilter::Unreadable(bytes)
        }),
    ]
}

pub(in crate::wire) fn query() -> impl Strategy<Value = OwnedQuery> {
    let head = (any::<u64>(), any::<u32>(), (addr(), name_or_none()), prop::collection::vec(filter(), 0..18));
    let timeout = any::<i64>().prop_map(|nanos| Duration::from_nanos(nanos.unsigned_abs() >> 1));
    (head, any::<u32>(), any::<u8>(), timeout, text(), bytes(300)).prop_map(
        |((ltime, id, source, filters), flags, relay_factor, timeout, name, payload)| OwnedQuery {
            ltime,
            id,
            source,
            filters,
            flags,
            relay_factor,
            timeout,
            name,
            payload,
        },
    )
}

pub(in crate::wire) fn member() -> impl Strategy<Value = OwnedMember> {
    let tags = prop::collection::vec((text(), text()), 0..20);
    (name_or_none(), prop::option::of(addr()), tags, any::<u8>(), any::<[u8; 6]>())
        .prop_map(|(name, addr, tags, status, versions)| OwnedMember { name, addr, tags, status, versions })
}

pub(in crate::wire) fn serf_message() -> impl Strategy<Value = OwnedSerf> {
    let keys = || prop::collection::vec("[a-zA-Z0-9+/]{22}==", 0..20);
    prop_oneof![
        (any::<u64>(), name(), any::<bool>()).prop_map(|(ltime, node, prune)| OwnedSerf::Leave { ltime, node, prune }),
        (any::<u64>(), name()).prop_map(|(ltime, node)| OwnedSerf::Join { ltime, node }),
        event().prop_map(OwnedSerf::UserEvent),
        query().prop_map(OwnedSerf::Query),
        (any::<u64>(), any::<u32>(), name_or_none(), any::<u32>(), bytes(300))
            .prop_map(|(ltime, id, from, flags, payload)| OwnedSerf::QueryResponse { ltime, id, from, flags, payload }),
        prop::option::of(member()).prop_map(OwnedSerf::ConflictResponse),
        bytes(40).prop_map(|key| OwnedSerf::KeyRequest { key }),
        (any::<bool>(), text(), keys(), text()).prop_map(|(result, message, keys, primary_key)| {
            OwnedSerf::KeyResponse { result, message, keys, primary_key }
        }),
        (addr(), name_or_none(), bytes(60)).prop_map(|(addr, node, inner)| OwnedSerf::Relay { addr, node, inner }),
    ]
}

pub(in crate::wire) type States = Vec<(u8, u32, OwnedPeer)>;

pub(in crate::wire) fn states() -> impl Strategy<Value = States> {
    prop::collection::vec((0_u8..4, any::<u32>(), peer()), 0..6)
}

pub(in crate::wire) fn members() -> impl Strategy<Value = Vec<(String, u64, bool)>> {
    prop::collection::vec((name(), 0..crate::limits::LAMPORT_TIME_MAX, any::<bool>()), 0..6)
}

pub(in crate::wire) fn event() -> impl Strategy<Value = OwnedEvent> {
    (any::<u64>(), text(), bytes(300), any::<bool>()).prop_map(|(ltime, name, payload, coalesce)| OwnedEvent {
        ltime,
        name,
        payload,
        coalesce,
    })
}

pub(in crate::wire) fn clocks() -> impl Strategy<Value = serf::Clocks> {
    any::<[u64; 3]>().prop_map(|[member, event, query]| serf::Clocks { member, event, query })
}
