//! The messages of the Serf layer, as they are meant, whatever the codec. They travel inside user messages.

/// A message of the Serf layer in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// A member leaves, or was told to.
    Leave(Leave<'a>),
    /// A member joined.
    Join(Join<'a>),
    /// Something the application said.
    UserEvent(UserEvent<'a>),
}

/// `node` leaves at `ltime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leave<'a> {
    pub(crate) ltime: u64,
    pub(crate) node: &'a str,
    /// Whether to forget it at once.
    pub(crate) prune: bool,
}

/// `node` joined at `ltime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Join<'a> {
    pub(crate) ltime: u64,
    pub(crate) node: &'a str,
}

/// A user event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserEvent<'a> {
    pub(crate) ltime: u64,
    pub(crate) name: &'a str,
    pub(crate) payload: &'a [u8],
    /// Whether it may be coalesced.
    pub(crate) coalesce: bool,
}

/// The clocks at the head of Serf's part of a push/pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clocks {
    pub(crate) member: u64,
    pub(crate) event: u64,
    pub(crate) query: u64,
}

/// What a push/pull says of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemberTime<'a> {
    pub(crate) node: &'a str,
    /// The time of the newest intent known.
    pub(crate) ltime: u64,
    pub(crate) left: bool,
}
