//! Push/pull: the full state that two nodes exchange, in either codec.

use super::hashicorp::Announcement;
use super::native::PartialAlive;
use super::swim::{PeerRef, State};
use super::{Codec, Common, DecodeError, hashicorp, native};

/// A validated push/pull.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PushPull<'a> {
    /// In the native codec.
    Native(native::PushPull<'a>),
    /// In HashiCorp's codec.
    HashiCorp(hashicorp::PushPull<'a>),
}

impl<'a> PushPull<'a> {
    /// Validates the body of a push/pull, without its type byte.
    ///
    /// # Errors
    ///
    /// If a state does not decode, or a count exceeds its limit.
    pub(crate) fn parse(codec: Codec, body: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(match codec {
            Codec::Native => Self::Native(native::PushPull::parse(body)?),
            Codec::HashiCorp => Self::HashiCorp(hashicorp::PushPull::parse(body)?),
        })
    }

    /// The codec of the message.
    pub(crate) const fn codec(&self) -> Codec {
        match self {
            Self::Native(_) => Codec::Native,
            Self::HashiCorp(_) => Codec::HashiCorp,
        }
    }

    /// Whether the requester joins.
    pub(crate) const fn join(&self) -> bool {
        match self {
            Self::Native(states) => states.join,
            Self::HashiCorp(states) => states.join,
        }
    }

    /// The only state of a node that joins and knows no other member: its own.
    pub(crate) fn newcomer(&self) -> Option<MemberState<'a>> {
        let (mut native, mut hashicorp);
        let states: &mut dyn Iterator<Item = MemberState<'a>> = match self {
            Self::Native(remote) => {
                native = remote.states().map(MemberState::from);
                &mut native
            }
            Self::HashiCorp(remote) => {
                hashicorp = remote.states().map(MemberState::from);
                &mut hashicorp
            }
        };
        let only = states.next().filter(|_| self.join())?;
        states.next().is_none().then_some(only)
    }

    /// The versions of the live members.
    pub(crate) const fn live_versions(&self) -> Common {
        match self {
            Self::Native(states) => states.live_versions,
            Self::HashiCorp(states) => states.live_versions,
        }
    }

    /// The part of the layer above.
    pub(crate) const fn user(&self) -> &'a [u8] {
        match self {
            Self::Native(states) => states.user,
            Self::HashiCorp(states) => states.user,
        }
    }
}

/// The state of one member in a push/pull.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemberState<'a> {
    /// `None` for an unknown state number.
    pub(crate) state: Option<State>,
    /// The member's incarnation.
    pub(crate) incarnation: u32,
    /// The member's name; not validated as UTF-8.
    pub(crate) name: &'a [u8],
    /// The member's record.
    pub(crate) announced: Announced<'a>,
}

/// A member's record, not fully decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Announced<'a> {
    /// A native record.
    Record(&'a [u8]),
    /// The fields of HashiCorp's codec.
    Fields(Announcement<'a>),
}

impl<'a> Announced<'a> {
    /// Decodes the record.
    ///
    /// # Errors
    ///
    /// If it is malformed.
    pub(crate) fn peer(&self) -> Result<PeerRef<'a>, DecodeError> {
        match self {
            Self::Record(record) => native::decode_record(record),
            Self::Fields(fields) => fields.peer(),
        }
    }
}

impl<'a> From<native::PushEntry<'a>> for MemberState<'a> {
    fn from(entry: native::PushEntry<'a>) -> Self {
        let PartialAlive { incarnation, name, record } = entry.partial;
        Self { state: entry.state, incarnation, name, announced: Announced::Record(record) }
    }
}

impl<'a> From<Announcement<'a>> for MemberState<'a> {
    fn from(fields: Announcement<'a>) -> Self {
        let Announcement { state, incarnation, name, .. } = fields;
        Self { state, incarnation, name, announced: Announced::Fields(fields) }
    }
}
