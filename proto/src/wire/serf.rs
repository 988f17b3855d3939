//! The messages of the Serf layer, as they are meant, whatever the codec. They travel inside user messages.

/// A message of the Serf layer in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A member leaves, or was told to.
    Leave(Leave<'a>),
    /// A member joined.
    Join(Join<'a>),
    /// Something the application said.
    UserEvent(UserEvent<'a>),
}

/// `node` leaves at `ltime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave<'a> {
    /// The Lamport time.
    pub ltime: u64,
    /// The name of the member.
    pub node: &'a str,
    /// Whether to forget it at once.
    pub prune: bool,
}

/// `node` joined at `ltime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join<'a> {
    /// The Lamport time.
    pub ltime: u64,
    /// The name of the member.
    pub node: &'a str,
}

/// A user event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserEvent<'a> {
    /// The Lamport time.
    pub ltime: u64,
    /// The name of the event.
    pub name: &'a str,
    /// Its payload.
    pub payload: &'a [u8],
    /// Whether it may be coalesced.
    pub coalesce: bool,
}

/// The clocks at the head of Serf's part of a push/pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Of join and leave intents.
    pub member: u64,
    /// Of user events.
    pub event: u64,
    /// Of queries.
    pub query: u64,
}

/// What a push/pull says of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberTime<'a> {
    /// The name of the member, which has not been found to be text.
    pub node: &'a [u8],
    /// The time of the newest intent known.
    pub ltime: u64,
    /// Whether it left.
    pub left: bool,
}
