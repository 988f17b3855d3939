//! What a node tells its application.

mod evidence;
mod members;
mod query;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;

use bytes::Bytes;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

pub use self::evidence::{Evidence, Source};
pub use self::members::Members;
pub use self::query::{KeyAnswer, KeyOperation, KeyReport, NameVerdict, NameVote, Query, QueryReport};
use crate::roster::Peer;
use crate::types::{self, JoinId, Name, QueryId, Tags, UnknownWord};

/// Something the application may want to know. Events come in the order in which they happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// Members joined, left, failed, changed or were forgotten: one, or with coalescing several at once.
    Member(MemberEvent),
    /// A user event, ours or another member's; each is delivered at most once.
    User(UserEvent),
    /// A query that is for us; each is delivered at most once.
    Query(Query),
    /// A member has received a query of ours.
    QueryAck {
        /// The query.
        id: QueryId,
        /// The member; each is told of at most once.
        from: Name,
    },
    /// A member answered a query of ours.
    QueryResponse {
        /// The query.
        id: QueryId,
        /// The member; each is told of at most once.
        from: Name,
        /// The answer.
        #[serde(serialize_with = "as_bytes")]
        payload: Bytes,
    },
    /// A query of ours is over: nothing more will be said of it.
    QueryEnded(QueryReport),
    /// An operation on the keys of every member is over.
    Keys(KeyReport),
    /// A vote on our name, which another node claims too, is over.
    NameVote(NameVote),
    /// A join ended, well or not.
    Joined(JoinOutcome),
    /// Our own graceful leave is complete: the node may be dropped.
    LeftCluster(LeaveReport),
    /// We began to suspect a member, by our own probe or because another told us.
    Suspected {
        /// Who is suspected.
        member: Arc<Peer>,
        /// Who says so; our own name when our probe failed.
        accuser: Name,
    },
    /// Two nodes claim one name.
    NameConflict {
        /// The member as we know it.
        existing: Arc<Peer>,
        /// The address that the other claimant announces.
        other: SocketAddr,
    },
}

/// What happened to a member. The words are Serf's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MemberEventKind {
    /// The member is alive and was not before.
    #[serde(rename = "member-join")]
    Join,
    /// The member left gracefully.
    #[serde(rename = "member-leave")]
    Leave,
    /// The member failed: it neither answers nor refutes.
    #[serde(rename = "member-failed")]
    Failed,
    /// The member's tags or address changed.
    #[serde(rename = "member-update")]
    Update,
    /// The member was failed or left for so long that we forgot it.
    #[serde(rename = "member-reap")]
    Reap,
}

impl MemberEventKind {
    const ALL: [Self; 5] = [Self::Join, Self::Leave, Self::Failed, Self::Update, Self::Reap];
}

impl fmt::Display for MemberEventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Join => "member-join",
            Self::Leave => "member-leave",
            Self::Failed => "member-failed",
            Self::Update => "member-update",
            Self::Reap => "member-reap",
        })
    }
}

impl FromStr for MemberEventKind {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or(text, Self::ALL, "member-join, member-leave, member-failed, member-update or member-reap")
    }
}

/// The same change of one member or, with [coalescing](crate::SerfOptions::coalesce_period), of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberEvent {
    /// What happened.
    pub kind: MemberEventKind,
    /// The members after the change.
    pub members: Members,
}

/// The kind and the names: `member-join: web-1, web-2`.
impl fmt::Display for MemberEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        for (n, name) in self.members.names().enumerate() {
            write!(f, "{} {name}", if n == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

/// A member as the application sees it: a cheap copy of what we know at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub(crate) peer: Arc<Peer>,
    pub(crate) status: Status,
    pub(crate) status_ltime: u64,
}

impl Member {
    /// The name, unique in the cluster.
    pub fn name(&self) -> &str {
        self.peer.name()
    }

    /// The name as a shared string, for keeping.
    pub fn shared_name(&self) -> Name {
        self.peer.shared_name()
    }

    /// Where the member listens, for packets and streams alike.
    pub fn addr(&self) -> SocketAddr {
        self.peer.addr()
    }

    /// The value of a tag, without a copy. `None` when there is no such tag, or its value is not UTF-8.
    pub fn tag(&self, key: &str) -> Option<&str> {
        types::tag(self.peer.meta(), key)
    }

    /// The tags as key and value, in the order in which they are announced, without a copy. Metadata from before there were
    /// tags is a `role`. Those that are not UTF-8 are left out; [`to_tags`](Self::to_tags) has them with replacement characters.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        types::tags(self.peer.meta())
    }

    /// Decodes the tags into a map of their own.
    pub fn to_tags(&self) -> Tags {
        Tags::decode(self.peer.meta())
    }

    /// Whether the member is alive, leaving, left or failed.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The Lamport time of the newest join or leave intent that we know of the member; 0 when none.
    pub fn status_ltime(&self) -> u64 {
        self.status_ltime
    }

    /// Everything the member announces about itself.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }
}

/// A map of name, address, tags, status and its Lamport time.
impl Serialize for Member {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut member = serializer.serialize_struct("Member", 5)?;
        member.serialize_field("name", self.name())?;
        member.serialize_field("addr", &self.addr())?;
        member.serialize_field("tags", &self.to_tags())?;
        member.serialize_field("status", &self.status)?;
        member.serialize_field("status_ltime", &self.status_ltime)?;
        member.end()
    }
}

/// The status of a member. The words and numbers are Serf's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Status {
    /// In the cluster, as far as we know.
    Alive = 1,
    /// Has announced that it leaves.
    Leaving = 2,
    /// Left gracefully.
    Left = 3,
    /// Failed.
    Failed = 4,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "alive",
            Self::Leaving => "leaving",
            Self::Left => "left",
            Self::Failed => "failed",
        })
    }
}

impl FromStr for Status {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let all = [Self::Alive, Self::Leaving, Self::Left, Self::Failed];
        UnknownWord::or(text, all, "alive, leaving, left or failed")
    }
}

/// A user event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserEvent {
    /// The Lamport time at which it was sent.
    pub ltime: u64,
    /// Its name.
    pub name: Box<str>,
    /// Its payload, opaque to us.
    #[serde(serialize_with = "as_bytes")]
    pub payload: Bytes,
    /// Whether the sender allows events of this name to be coalesced.
    pub coalesce: bool,
}

/// How a join went: what became of each of its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JoinOutcome {
    /// Which join.
    pub id: JoinId,
    /// How many seeds answered and were merged. None means that the join failed.
    pub contacted: u32,
    /// The seeds that did not.
    pub failed: Vec<AddressFailure>,
    /// Whether it was given up by [`Node::cancel_join`](crate::Node::cancel_join), or because the node began to leave.
    pub cancelled: bool,
}

/// Why the exchange with one seed of a join failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddressFailure {
    /// The seed.
    pub addr: SocketAddr,
    /// What went wrong.
    pub cause: SeedFailureCause,
    /// In other words: what the seed or the system said, or which member's versions are incompatible. Those of a seed are
    /// not to be trusted.
    pub detail: Option<Box<str>>,
}

/// What can go wrong with a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SeedFailureCause {
    /// No stream could be opened.
    Unreachable,
    /// The stream ended before the answer was whole.
    Closed,
    /// No whole answer came within the stream timeout.
    TimedOut,
    /// The answer could not be read.
    Malformed,
    /// The answer is encrypted, and no key of ours opens it.
    Key,
    /// The answer is not encrypted, while we demand that.
    Unencrypted,
    /// The answer has another label than ours, or only one of us has any.
    Label,
    /// It answered that it refuses our request: its key, its label or its settings are others, or its policy is against us.
    Rejected,
    /// The answer could be read, but its versions and ours do not go together.
    Refused,
    /// The answer could be read, but our [`Policy`](crate::Policy) has decided against a merge.
    Vetoed,
    /// The member that is remembered at the address did not answer a ping that names it: another node has its address now.
    OtherNode,
}

impl fmt::Display for SeedFailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "cannot be reached",
            Self::Closed => "closed the stream early",
            Self::TimedOut => "did not answer in time",
            Self::Malformed => "sent an answer that cannot be read",
            Self::Key => "sent an answer that none of our keys opens",
            Self::Unencrypted => "sent an answer that is not encrypted",
            Self::Label => "sent an answer with another label than ours",
            Self::Rejected => "refused our request: does it have our key and our label, and does it admit us?",
            Self::Refused => "speaks versions that do not go with ours",
            Self::Vetoed => "is of a cluster with which our policy does not merge",
            Self::OtherNode => "is not the member that had this address",
        })
    }
}

/// How a graceful leave went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeaveReport {
    /// How many copies of the leave intent were sent.
    pub intents_sent: u32,
    /// To how many different members the leave intent was sent. They gossip it on.
    pub intent_peers: u32,
    /// How many copies of the leave broadcast, which follows the intent, were sent.
    pub leave_broadcasts_sent: u32,
    /// To how many different members the leave broadcast was sent.
    pub leave_broadcast_peers: u32,
    /// Whether both were sent to enough different members before the broadcast timeout: to so many that neither can get lost, or to all
    /// that had not left themselves by then. If not, some members may see a failure.
    pub complete: bool,
}

/// Payloads are bytes where a format has them, and in JSON an array of numbers.
fn as_bytes<S: Serializer>(payload: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(payload)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString as _;
    use alloc::vec;

    use super::*;
    use crate::Identity;

    fn member() -> Member {
        let addr = "10.0.0.7:7946".parse().unwrap();
        let identity = Identity::new("web-1", addr, &Tags::from([("role", "web")])).unwrap();
        Member { peer: identity.peer, status: Status::Alive, status_ltime: 3 }
    }

    #[test]
    fn a_member_is_shown_with_its_tags_and_without_their_encoding() {
        let shown = format!("{:?}", member());
        assert!(shown.contains(r#"name: "web-1", addr: 10.0.0.7:7946, tags: Tags({"role": "web"})"#), "{shown}");
        assert!(!shown.contains("meta") && !shown.contains("record") && !shown.contains("255"), "{shown}");
    }

    #[test]
    fn tags_are_read_in_place_or_decoded_into_a_map() {
        let member = member();
        assert_eq!((member.tag("role"), member.tag("dc")), (Some("web"), None));
        assert_eq!(member.tags().collect::<Vec<_>>(), [("role", "web")]);
        assert_eq!(member.to_tags(), Tags::from([("role", "web")]));
    }

    #[test]
    fn events_are_serialized_in_serfs_words() {
        let json = |event: &Event| serde_json::to_string(event).unwrap();
        let web = r#"{"name":"web-1","addr":"10.0.0.7:7946","tags":{"role":"web"},"status":"alive","status_ltime":3}"#;
        let joined = |members| Event::Member(MemberEvent { kind: MemberEventKind::Join, members });
        let one = joined(member().into());
        assert_eq!(json(&one), format!(r#"{{"member":{{"kind":"member-join","members":[{web}]}}}}"#));
        let two = joined(Members::of(vec![member(), member()]).unwrap());
        assert_eq!(json(&two), format!(r#"{{"member":{{"kind":"member-join","members":[{web},{web}]}}}}"#));
        let payload = Bytes::from_static(&[0, 255]);
        let user = Event::User(UserEvent { ltime: 7, name: "deploy".into(), payload, coalesce: false });
        assert_eq!(json(&user), r#"{"user":{"ltime":7,"name":"deploy","payload":[0,255],"coalesce":false}}"#);
        let acked = Event::QueryAck { id: QueryId { ltime: 1, id: 2 }, from: "web-1".into() };
        assert_eq!(json(&acked), r#"{"query_ack":{"id":{"ltime":1,"id":2},"from":"web-1"}}"#);
    }

    #[test]
    fn a_member_event_is_shown_with_all_names() {
        let event = |members| MemberEvent { kind: MemberEventKind::Failed, members };
        assert_eq!(event(member().into()).to_string(), "member-failed: web-1");
        assert_eq!(event(Members::of(vec![member(), member()]).unwrap()).to_string(), "member-failed: web-1, web-1");
    }

    #[test]
    fn what_is_shown_of_statuses_and_kinds_is_read_again_and_nothing_else() {
        let statuses = vec![Status::Alive, Status::Leaving, Status::Left, Status::Failed];
        assert!(statuses.is_sorted());
        for status in statuses {
            assert_eq!(status.to_string().parse(), Ok(status));
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{status}\""));
        }
        for kind in MemberEventKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        let unknown = "dead".parse::<Status>().unwrap_err();
        assert_eq!(unknown.to_string(), "must be alive, leaving, left or failed");
        assert!("join".parse::<MemberEventKind>().is_err());
    }
}
