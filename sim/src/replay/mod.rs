//! Replay of captures: runs the real node on recorded inputs, compares its outputs with the recorded ones, and collects
//! what happened.

mod clocks;
mod collector;
mod load;
mod player;
mod script;

use serf_proto::Instant;

pub(crate) use self::clocks::{Packet, Packets, align};
pub(crate) use self::collector::Collector;
pub(crate) use self::load::{Run, load};
pub(crate) use self::player::{Played, Step, Verdict, play};
pub(crate) use self::script::script;

/// One line of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    /// The time of the observer's host, in nanoseconds since 1970.
    pub(crate) unix_ns: u64,
    /// The observer's own time.
    pub(crate) at: Instant,
    /// The node whose capture it is.
    pub(crate) node: String,
    /// The member that it is about.
    pub(crate) member: Option<String>,
    /// What happened.
    pub(crate) what: What,
    /// The same in words.
    pub(crate) text: String,
    /// What a script repeats of a command of the application.
    pub(crate) command: Option<Command>,
}

/// A command that a script repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// A user event of this name.
    UserEvent(String),
    Leave,
}

/// The kind of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The first file of a run begins.
    Capture,
    Join,
    Suspect,
    /// One more member suspects it.
    Confirm,
    Alive,
    Failed,
    Left,
    Leaving,
    Forgotten,
    Update,
    /// The observer refutes an accusation.
    Refute,
    Health,
    /// Packets or streams of a peer are refused or lost.
    Trouble,
    /// A complaint has ended.
    Over,
    UserEvent,
    Query,
    /// A command of the application.
    Command,
}

impl What {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Join => "join",
            Self::Suspect => "suspect",
            Self::Confirm => "confirm",
            Self::Alive => "alive",
            Self::Failed => "failed",
            Self::Left => "left",
            Self::Leaving => "leaving",
            Self::Forgotten => "forgotten",
            Self::Update => "update",
            Self::Refute => "refute",
            Self::Health => "health",
            Self::Trouble => "trouble",
            Self::Over => "over",
            Self::UserEvent => "user-event",
            Self::Query => "query",
            Self::Command => "command",
        }
    }
}
