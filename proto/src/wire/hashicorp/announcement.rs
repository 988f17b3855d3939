//! The record of a node, as encoded in alive messages and push/pulls.

use core::net::{IpAddr, SocketAddr};

use super::ALIVE;
use super::form::{Bytes, BytesOrNil, Ip, SixVersions, StateNumber, Uint};
use super::message::{Body, message};
use crate::limits::META_BYTES_MAX;
use crate::msgpack::Reader;
use crate::wire::name::is_member_name;
use crate::wire::swim::{PeerRef, State};
use crate::wire::{DecodeError, Versions};

message! {
    /// The fields of a member in a push/pull or an alive message, decoded but not validated; [`peer`](Self::peer)
    /// validates them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Announcement<'a> {
        /// Name; not validated as UTF-8.
        pub name: &'a [u8] = b"Name" as Bytes,
        /// IP address; `None` if it has neither 4 nor 16 bytes.
        pub ip: Option<IpAddr> = b"Addr" as Ip,
        /// Port; 0 stands for the port that the receiver is bound to.
        pub port: u16 = b"Port" as Uint,
        /// Metadata; for Serf the encoded tags.
        pub meta: &'a [u8] = b"Meta" as BytesOrNil,
        /// Incarnation.
        pub incarnation: u32 = b"Incarnation" as Uint,
        /// State; `None` for an unknown number. Always alive in an alive message.
        pub state: Option<State> = b"State" as StateNumber,
        /// Protocol versions; `None` if there are not six.
        pub versions: Option<Versions> = b"Vsn" as SixVersions,
    }
}

message! {
    /// An alive message: the same fields in another order, with another key for the name.
    pub(super) struct AliveBody<'a> {
        incarnation: u32 = b"Incarnation" as Uint,
        name: &'a [u8] = b"Node" as Bytes,
        ip: Option<IpAddr> = b"Addr" as Ip,
        port: u16 = b"Port" as Uint,
        meta: &'a [u8] = b"Meta" as BytesOrNil,
        versions: Option<Versions> = b"Vsn" as SixVersions,
    }
}

impl<'a> AliveBody<'a> {
    pub(super) fn new(incarnation: u32, peer: PeerRef<'a>) -> Self {
        let PeerRef { versions, name, addr, meta } = peer;
        let (ip, port, versions) = (Some(addr.ip()), addr.port(), Some(versions));
        Self { incarnation, name: name.as_bytes(), ip, port, meta, versions }
    }
}

/// Decodes an alive message without validating it; `None` for other frames.
pub fn split_alive(frame: &[u8]) -> Option<Announcement<'_>> {
    let (&kind, body) = frame.split_first()?;
    if kind == ALIVE { Announcement::alive(&mut Reader::new(body)) } else { None }
}

impl<'a> Announcement<'a> {
    /// Decodes the body of an alive message.
    pub(super) fn alive(r: &mut Reader<'a>) -> Option<Self> {
        let AliveBody { incarnation, name, ip, port, meta, versions } = AliveBody::take(r)?;
        Some(Self { name, ip, port, meta, incarnation, state: Some(State::Alive), versions })
    }

    pub(super) fn new(state: State, incarnation: u32, peer: PeerRef<'a>) -> Self {
        let PeerRef { versions, name, addr, meta } = peer;
        let (ip, port, versions) = (Some(addr.ip()), addr.port(), Some(versions));
        Self { name: name.as_bytes(), ip, port, meta, incarnation, state: Some(state), versions }
    }

    /// Validates the record: a UTF-8 name within the limit, an address, versions, and metadata within the limit.
    ///
    /// # Errors
    ///
    /// If any of them is invalid or missing.
    pub fn peer(&self) -> Result<PeerRef<'a>, DecodeError> {
        self.sound().ok_or(DecodeError::Malformed)
    }

    fn sound(&self) -> Option<PeerRef<'a>> {
        if self.meta.len() > META_BYTES_MAX {
            return None;
        }
        let name = core::str::from_utf8(self.name).ok().filter(|name| is_member_name(name))?;
        Some(PeerRef { versions: self.versions?, name, addr: SocketAddr::new(self.ip?, self.port), meta: self.meta })
    }
}
