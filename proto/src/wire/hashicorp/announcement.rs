//! What a node announces about itself, in an alive message or in a push/pull.

use core::net::{IpAddr, SocketAddr};

use super::reader::Reader;
use super::{ALIVE, name};
use crate::limits::META_BYTES_MAX;
use crate::wire::swim::{PeerRef, State};
use crate::wire::{DecodeError, Versions};

/// What an alive message or a push/pull says of one member. Its bytes have been read; whether they are sound enough to act
/// upon, [`peer`](Self::peer) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement<'a> {
    /// Its state; `None` for one that we do not know. In an alive message, alive.
    pub state: Option<State>,
    /// Its incarnation.
    pub incarnation: u32,
    /// Its name, which has not been found to be text.
    pub name: &'a [u8],
    /// Its address; `None` when it has neither 4 nor 16 bytes.
    pub ip: Option<IpAddr>,
    /// Its port; 0 stands for the port that the reader itself is bound to.
    pub port: u16,
    /// Its metadata; for Serf the encoded tags.
    pub meta: &'a [u8],
    /// The versions that it understands and speaks; `None` when they are not six.
    pub versions: Option<Versions>,
}

/// Looks at an alive message; `None` when the frame is anything else.
pub fn peek_alive(frame: &[u8]) -> Option<Announcement<'_>> {
    let (&kind, body) = frame.split_first()?;
    if kind == ALIVE { Announcement::alive(body) } else { None }
}

impl<'a> Announcement<'a> {
    const EMPTY: Self =
        Self { state: Some(State::Alive), incarnation: 0, name: &[], ip: None, port: 0, meta: &[], versions: None };

    /// Reads the body of an alive message.
    pub(super) fn alive(body: &'a [u8]) -> Option<Self> {
        const DECLARED: &[&[u8]] = &[b"Incarnation", b"Node", b"Addr", b"Port", b"Meta", b"Vsn"];
        let mut r = Reader::new(body);
        let mut fields = r.fields(DECLARED)?;
        let mut read = Self::EMPTY;
        while let Some(key) = fields.next(&mut r)? {
            match key {
                b"Node" => read.name = r.bytes()?,
                _ => read.take(key, &mut r)?,
            }
        }
        Some(read)
    }

    /// Reads one member in a push/pull.
    pub(super) fn in_push_pull(r: &mut Reader<'a>) -> Option<Self> {
        const DECLARED: &[&[u8]] = &[b"Name", b"Addr", b"Port", b"Meta", b"Incarnation", b"State", b"Vsn"];
        let mut fields = r.fields(DECLARED)?;
        let mut read = Self::EMPTY;
        while let Some(key) = fields.next(r)? {
            match key {
                b"Name" => read.name = r.bytes()?,
                b"State" => read.state = u8::try_from(r.int()?).ok().and_then(State::from_u8),
                _ => read.take(key, r)?,
            }
        }
        Some(read)
    }

    /// Takes a field that both have, or one that nobody knows.
    #[inline]
    fn take(&mut self, key: &[u8], r: &mut Reader<'a>) -> Option<()> {
        match key {
            b"Addr" => self.ip = r.ip()?,
            b"Incarnation" => self.incarnation = r.u32()?,
            b"Meta" => self.meta = r.bytes()?,
            b"Port" => self.port = r.u16()?,
            b"Vsn" => self.versions = r.six()?.map(Versions::from_bytes),
            _ => r.skip()?,
        }
        Some(())
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
        let name = name(core::str::from_utf8(self.name).ok()?)?;
        Some(PeerRef { name, addr: SocketAddr::new(self.ip?, self.port), meta: self.meta, versions: self.versions? })
    }
}
