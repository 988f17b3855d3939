//! The whole state that two nodes exchange, in either codec.

use super::hashicorp::Announcement;
use super::native::Unread;
use super::swim::{PeerRef, State};
use super::{Codec, Common, DecodeError, hashicorp, native};

/// A push/pull whose outline is known to be sound.
#[derive(Clone, Copy, Debug)]
pub enum PushPull<'a> {
    /// In our own codec.
    Native(native::PushPull<'a>),
    /// In HashiCorp's.
    HashiCorp(hashicorp::PushPull<'a>),
}

impl<'a> PushPull<'a> {
    /// Reads the body of a push/pull, without its type byte.
    ///
    /// # Errors
    ///
    /// When a state cannot be read, or a count is beyond its bound.
    pub fn parse(codec: Codec, body: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(match codec {
            Codec::Native => Self::Native(native::PushPull::parse(body)?),
            Codec::HashiCorp => Self::HashiCorp(hashicorp::PushPull::parse(body)?),
        })
    }

    /// The codec that it is in.
    pub const fn codec(&self) -> Codec {
        match self {
            Self::Native(_) => Codec::Native,
            Self::HashiCorp(_) => Codec::HashiCorp,
        }
    }

    /// Whether the asker joins.
    pub const fn join(&self) -> bool {
        match self {
            Self::Native(states) => states.join,
            Self::HashiCorp(states) => states.join,
        }
    }

    /// The versions of the live members in it.
    pub const fn live_versions(&self) -> Common {
        match self {
            Self::Native(states) => states.live_versions,
            Self::HashiCorp(states) => states.live_versions,
        }
    }

    /// The layer above's part.
    pub const fn user(&self) -> &'a [u8] {
        match self {
            Self::Native(states) => states.user,
            Self::HashiCorp(states) => states.user,
        }
    }
}

/// What a push/pull says of one member.
#[derive(Clone, Copy, Debug)]
pub struct MemberState<'a> {
    /// `None` for a state that we do not know.
    pub state: Option<State>,
    /// Its incarnation.
    pub incarnation: u32,
    /// Its name, which has not been found to be text.
    pub name: &'a [u8],
    /// What it announces.
    pub announced: Announced<'a>,
}

/// What a member announces, as far as it has been read.
#[derive(Clone, Copy, Debug)]
pub enum Announced<'a> {
    /// The native record.
    Record(&'a [u8]),
    /// HashiCorp's fields.
    Fields(Announcement<'a>),
}

impl<'a> Announced<'a> {
    /// What it announces, when that is enough to know it by.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn peer(&self) -> Result<PeerRef<'a>, DecodeError> {
        match self {
            Self::Record(record) => native::decode_record(record),
            Self::Fields(fields) => fields.peer(),
        }
    }
}

impl<'a> From<native::PushEntry<'a>> for MemberState<'a> {
    fn from(entry: native::PushEntry<'a>) -> Self {
        let Unread { incarnation, name, record } = entry.unread;
        Self { state: entry.state, incarnation, name, announced: Announced::Record(record) }
    }
}

impl<'a> From<Announcement<'a>> for MemberState<'a> {
    fn from(fields: Announcement<'a>) -> Self {
        let Announcement { state, incarnation, name, .. } = fields;
        Self { state, incarnation, name, announced: Announced::Fields(fields) }
    }
}
