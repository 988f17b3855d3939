//! Records what observers learn about one member, and who sent it.

use serf_proto::{Evidence, Instant, Node, Source, Why};

use crate::addressing::{name_of, node_of};

/// Recorder of one shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct News {
    /// The member; `None` until a phase has chosen its subjects.
    member: Option<u32>,
    lines: Vec<Line>,
}

/// One fact.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) at: Instant,
    /// The observer; of the member's own doings the member itself.
    pub(crate) observer: u32,
    pub(crate) fact: Fact,
}

/// What an observer learned, or what the member did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    /// The member's process started.
    Started,
    /// It ended.
    Ended,
    /// It stalled.
    Stalled,
    /// It runs again.
    Resumed,
    /// The observer began to suspect the member.
    Suspected { accuser: Option<u32>, via: Via },
    /// The observer marked it failed.
    Failed {
        /// When the observer had begun to suspect it.
        suspected_at: Option<Instant>,
        /// The accusers that the observer counted, in the order of their arrival.
        accusers: Vec<u32>,
        via: Via,
    },
    /// The observer marked it left.
    Left { via: Via },
    /// The observer saw it join, or alive again.
    Alive,
}

/// How an observer learned of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// Its own probe had no answer.
    OwnProbe,
    /// Its own suspicion timer ran out.
    OwnTimer,
    /// A packet of a member.
    Gossip(Option<u32>),
    /// The state of a member in a push/pull.
    PushPull(Option<u32>),
    /// The observer is the member itself.
    Itself,
    /// No record remains.
    Unknown,
}

impl Via {
    fn of(evidence: Option<&Evidence>) -> Self {
        let number = |member: &Option<serf_proto::Name>| member.as_ref().and_then(|name| node_of(name));
        match evidence.map(|evidence| &evidence.source) {
            Some(Source::OwnProbe) => Self::OwnProbe,
            Some(Source::OwnTimer) => Self::OwnTimer,
            Some(Source::Ourselves) => Self::Itself,
            Some(Source::Gossip { member, .. }) => Self::Gossip(number(member)),
            Some(Source::PushPull { member, .. }) => Self::PushPull(number(member)),
            _ => Self::Unknown,
        }
    }

    /// Returns the member that the news came from.
    pub(crate) const fn parent(self) -> Option<u32> {
        match self {
            Self::Gossip(member) | Self::PushPull(member) => member,
            Self::OwnProbe | Self::OwnTimer | Self::Itself | Self::Unknown => None,
        }
    }
}

impl News {
    pub(crate) const fn of(member: Option<u32>) -> Self {
        Self { member, lines: Vec::new() }
    }

    pub(crate) const fn member(&self) -> Option<u32> {
        self.member
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Chooses the member, unless there is one already.
    pub(crate) const fn choose(&mut self, member: u32) {
        if self.member.is_none() {
            self.member = Some(member);
        }
    }

    /// Records what the member does.
    pub(crate) fn own(&mut self, at: Instant, node: u32, fact: Fact) {
        if self.member == Some(node) {
            self.push(at, node, fact);
        }
    }

    /// Records a suspicion by `observer`, whose process is `node`.
    pub(crate) fn suspected(&mut self, at: Instant, observer: u32, node: Option<&Node>, member: u32, accuser: &str) {
        if self.member == Some(member) {
            let why = why(node, member);
            let via = Via::of(why.as_ref().and_then(|why| why.suspected.as_ref()));
            self.push(at, observer, Fact::Suspected { accuser: node_of(accuser), via });
        }
    }

    /// Records that `observer` marked the member failed.
    pub(crate) fn failed(&mut self, at: Instant, observer: u32, node: Option<&Node>, member: u32) {
        if self.member == Some(member) {
            let why = why(node, member);
            let via = Via::of(why.as_ref().and_then(|why| why.gone.as_ref()));
            let suspected_at = why.as_ref().and_then(|why| why.suspected.as_ref()).map(|evidence| evidence.at);
            let names = why.map(|why| why.accusers).unwrap_or_default();
            let accusers = names.iter().filter_map(|name| node_of(name)).collect();
            self.push(at, observer, Fact::Failed { suspected_at, accusers, via });
        }
    }

    /// Records that `observer` marked the member left.
    pub(crate) fn left(&mut self, at: Instant, observer: u32, node: Option<&Node>, member: u32) {
        if self.member == Some(member) {
            let evidence = why(node, member).and_then(|why| why.gone);
            let via = if observer == member { Via::Itself } else { Via::of(evidence.as_ref()) };
            self.push(at, observer, Fact::Left { via });
        }
    }

    /// Records that `observer` saw the member alive.
    pub(crate) fn alive(&mut self, at: Instant, observer: u32, member: u32) {
        if self.member == Some(member) {
            self.push(at, observer, Fact::Alive);
        }
    }

    fn push(&mut self, at: Instant, observer: u32, fact: Fact) {
        if self.lines.len() < LINES_MAX {
            self.lines.push(Line { at, observer, fact });
        }
    }
}

fn why(node: Option<&Node>, member: u32) -> Option<Why> {
    node?.why(&name_of(member))
}

/// Facts kept by a shard: a member that is suspected again and again by thousands of nodes. Later ones are not recorded.
const LINES_MAX: usize = 200_000;
