//! What a node announces about itself, in an alive message or in a push/pull.

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
    /// What a push/pull or an alive message says of one member. Its bytes have been read; whether they are sound enough to act
    /// upon, [`peer`](Self::peer) tells.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Announcement<'a> {
        /// Its name, which has not been found to be text.
        pub name: &'a [u8] = b"Name" as Bytes,
        /// Its address; `None` when it has neither 4 nor 16 bytes.
        pub ip: Option<IpAddr> = b"Addr" as Ip,
        /// Its port; 0 stands for the port that the reader itself is bound to.
        pub port: u16 = b"Port" as Uint,
        /// Its metadata; for Serf the encoded tags.
        pub meta: &'a [u8] = b"Meta" as BytesOrNil,
        /// Its incarnation.
        pub incarnation: u32 = b"Incarnation" as Uint,
        /// Its state; `None` for one that we do not know. In an alive message, alive.
        pub state: Option<State> = b"State" as StateNumber,
        /// The versions that it understands and speaks; `None` when they are not six.
        pub versions: Option<Versions> = b"Vsn" as SixVersions,
    }
}

message! {
    /// An alive message: the same under another key for the name, and in another order.
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

/// Looks at an alive message; `None` when the frame is anything else.
pub fn peek_alive(frame: &[u8]) -> Option<Announcement<'_>> {
    let (&kind, body) = frame.split_first()?;
    if kind == ALIVE { Announcement::alive(&mut Reader::new(body)) } else { None }
}

impl<'a> Announcement<'a> {
    /// Reads the body of an alive message.
    pub(super) fn alive(r: &mut Reader<'a>) -> Option<Self> {
        let AliveBody { incarnation, name, ip, port, meta, versions } = AliveBody::take(r)?;
        Some(Self { name, ip, port, meta, incarnation, state: Some(State::Alive), versions })
    }

    pub(super) fn new(state: State, incarnation: u32, peer: PeerRef<'a>) -> Self {
        let PeerRef { versions, name, addr, meta } = peer;
        let (ip, port, versions) = (Some(addr.ip()), addr.port(), Some(versions));
        Self { name: name.as_bytes(), ip, port, meta, incarnation, state: Some(state), versions }
    }

    /// What it announces, when that is enough to know it by: a name that is text and not too long, an address, versions,
    /// and metadata within its bound.
    ///
    /// # Errors
    ///
    /// When it is not.
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
