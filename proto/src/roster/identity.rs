//! Records that nodes announce about themselves.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;

use serde::de::Error as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::RecordHashes;
use crate::limits::{META_BYTES_MAX, NAME_BYTES_MAX};
use crate::types::Name;
use crate::wire::hashicorp::Announcement;
use crate::wire::swim::PeerRef;
use crate::wire::{Versions, native};

/// The record of a member: everything that it announces, except its incarnation.
#[derive(PartialEq, Eq)]
pub struct Peer {
    name: Name,
    addr: SocketAddr,
    versions: Versions,
    /// Native encoding; ends with the metadata.
    record: Box<[u8]>,
    meta_bytes: usize,
    hashes: RecordHashes,
}

impl Peer {
    pub(crate) fn new(name: Name, peer: PeerRef<'_>) -> Self {
        debug_assert!(&*name == peer.name, "the shared name is the announced one");
        let record = native::encode_record(peer);
        let hashes = RecordHashes::new(&name, &record);
        Self { name, addr: peer.addr, versions: peer.versions, record, meta_bytes: peer.meta.len(), hashes }
    }

    /// The name; unique in the cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name as a shared string.
    pub fn shared_name(&self) -> Name {
        Arc::clone(&self.name)
    }

    /// The announced address; an IPv4 address may be IPv4-mapped.
    pub const fn announced_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address for sending; IPv4-mapped addresses are converted to IPv4.
    pub fn addr(&self) -> SocketAddr {
        canonical(self.addr)
    }

    /// The announced metadata; for Serf the encoded tags.
    pub const fn meta(&self) -> &[u8] {
        self.record.split_at(self.record.len() - self.meta_bytes).1
    }

    /// The protocol versions that the member supports and speaks.
    pub const fn versions(&self) -> Versions {
        self.versions
    }

    /// The native encoding of the record, identical in every native message about the member.
    pub(crate) const fn record(&self) -> &[u8] {
        &self.record
    }

    /// Hashes of the record and of the name.
    pub(crate) const fn hashes(&self) -> RecordHashes {
        self.hashes
    }

    /// Whether the announcement has exactly this content.
    pub(crate) fn announces(&self, fields: &Announcement<'_>) -> bool {
        let &Announcement { name, ip, port, meta, versions, .. } = fields;
        let address = ip == Some(self.addr.ip()) && port == self.addr.port();
        address && versions == Some(self.versions) && *meta == *self.meta() && *name == *self.name.as_bytes()
    }

    pub(crate) fn announced(&self) -> PeerRef<'_> {
        PeerRef { name: &self.name, addr: self.addr, meta: self.meta(), versions: self.versions }
    }
}

/// Shows the tags instead of the metadata, and omits the encoding.
impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut peer = f.debug_struct("Peer");
        peer.field("name", &self.name).field("addr", &self.addr);
        peer.field("tags", &crate::Tags::decode(self.meta())).field("versions", &self.versions).finish()
    }
}

impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut peer = serializer.serialize_struct("Peer", 4)?;
        peer.serialize_field("name", self.name())?;
        peer.serialize_field("addr", &self.addr())?;
        peer.serialize_field("tags", &crate::Tags::decode(self.meta()))?;
        peer.serialize_field("versions", &self.versions)?;
        peer.end()
    }
}

/// A peer in a checkpoint: its native record.
#[derive(Clone, Debug)]
pub(crate) struct StoredPeer(pub(crate) Arc<Peer>);

impl Serialize for StoredPeer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0.record)
    }
}

impl<'de> Deserialize<'de> for StoredPeer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = <&[u8]>::deserialize(deserializer)?;
        let peer = native::decode_record(record).map_err(|_| D::Error::custom("not a record"))?;
        Ok(Self(Arc::new(Peer::new(peer.name.into(), peer))))
    }
}

/// For fields of this type in a part of a node that is saved.
pub(crate) mod stored_peer {
    use super::{Arc, Deserialize, Deserializer, Peer, Serialize, Serializer, StoredPeer};

    pub(crate) fn serialize<S: Serializer>(peer: &Arc<Peer>, serializer: S) -> Result<S::Ok, S::Error> {
        StoredPeer(Arc::clone(peer)).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Peer>, D::Error> {
        StoredPeer::deserialize(deserializer).map(|stored| stored.0)
    }
}

/// Converts an IPv4-mapped IPv6 address to IPv4. HashiCorp's nodes announce either form.
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// Whether a terminal interprets `letter` instead of printing it.
pub(crate) fn acts(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The identity of a node: the record that it announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(crate) peer: Arc<Peer>,
}

impl Identity {
    /// A node named `name`, reachable at `addr`, with `tags`.
    ///
    /// # Errors
    ///
    /// If the name is empty, too long or has control characters; if the address is unspecified; or if the tags are too
    /// large.
    pub fn new(name: &str, addr: SocketAddr, tags: &crate::Tags) -> Result<Self, IdentityError> {
        if name.is_empty() {
            return Err(IdentityError::NameEmpty);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(IdentityError::NameTooLong { bytes: name.len(), limit: NAME_BYTES_MAX });
        }
        if let Some(at) = name.find(acts) {
            return Err(IdentityError::NameControl { at });
        }
        if addr.ip().is_unspecified() || addr.port() == 0 {
            return Err(IdentityError::AddrUnspecified { addr });
        }
        let meta = tags.encode();
        if meta.len() > META_BYTES_MAX {
            return Err(IdentityError::TagsTooLarge { bytes: meta.len(), limit: META_BYTES_MAX });
        }
        let versions = Versions::OURS;
        let peer = Peer::new(name.into(), PeerRef { name, addr, meta: &meta, versions });
        Ok(Self { peer: Arc::new(peer) })
    }

    /// Replaces the announced versions.
    #[must_use]
    pub fn with_versions(self, versions: Versions) -> Self {
        if self.peer.versions == versions {
            return self;
        }
        let peer = Peer::new(self.peer.shared_name(), PeerRef { versions, ..self.peer.announced() });
        Self { peer: Arc::new(peer) }
    }

    /// The announced record.
    pub const fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }
}

/// Why an [`Identity`] is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The name is empty.
    #[error("a node needs a name")]
    NameEmpty,
    /// The name exceeds the limit.
    #[error("the name has {bytes} bytes, the limit is {limit}")]
    NameTooLong {
        /// The length of the name, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The name has a control character, a line or paragraph separator, or a bidirectional mark. A terminal would
    /// display it as something else. Other nodes may have such names; they are displayed escaped.
    #[error("the name has a control character at byte {at}")]
    NameControl {
        /// Byte offset in the name.
        at: usize,
    },
    /// The address is not reachable: it is `0.0.0.0` or `::`, or its port is 0.
    #[error("{addr} cannot be advertised: other nodes cannot send to it")]
    AddrUnspecified {
        /// The address.
        addr: SocketAddr,
    },
    /// The encoded tags exceed the limit.
    #[error("the tags take {bytes} bytes encoded, the limit is {limit}")]
    TagsTooLarge {
        /// The encoded size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}
