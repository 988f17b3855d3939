//! Events of a node for its application.

mod evidence;
mod members;
mod partition;
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
pub use self::partition::{PartitionReport, PartitionShare};
pub use self::query::{KeyAnswer, KeyOperation, KeyReport, NameVerdict, NameVote, Query, QueryReport};
use crate::roster::Peer;
use crate::types::{self, JoinId, Name, QueryId, Tags, UnknownWord};

/// An event for the application. Events are emitted in the order in which they occurred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// Members joined, left, failed, changed or were reaped: one member, or with coalescing several.
    Member(MemberEvent),
    /// A user event of this node or another. Each is delivered at most once.
    User(UserEvent),
    /// A query whose filters match this node. Each is delivered at most once.
    Query(Query),
    /// A member acked a query of this node.
    QueryAck {
        /// The query.
        id: QueryId,
        /// The member. At most one ack per member is reported.
        from: Name,
    },
    /// A member responded to a query of this node.
    QueryResponse {
        /// The query.
        id: QueryId,
        /// The member. At most one response per member is reported.
        from: Name,
        /// The response.
        #[serde(serialize_with = "as_bytes")]
        payload: Bytes,
    },
    /// A query of this node ended; no further events about it follow.
    QueryEnded(QueryReport),
    /// A key operation on all members ended.
    Keys(KeyReport),
    /// A vote on our name ended, which another node claims too.
    NameVote(NameVote),
    /// A join ended, successful or not.
    Joined(JoinOutcome),
    /// Our own leave is complete: the node may be dropped.
    LeftCluster(LeaveReport),
    /// A part of the cluster is missing, or is there again. Only if
    /// [`partition_stable_after`](crate::SerfOptions::partition_stable_after) is set.
    Partition(Box<PartitionReport>),
    /// We suspect a member, because of our own probe or of an accusation.
    Suspected {
        /// The suspect.
        member: Arc<Peer>,
        /// The accuser; our own name if our probe failed.
        accuser: Name,
    },
    /// Two nodes claim one name.
    NameConflict {
        /// The member that holds the name.
        existing: Arc<Peer>,
        /// The address of the other claimant.
        other: SocketAddr,
    },
}

/// Kind of a member event. Names as in Serf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MemberEventKind {
    /// The member is alive, and was not before.
    #[serde(rename = "member-join")]
    Join,
    /// The member left gracefully.
    #[serde(rename = "member-leave")]
    Leave,
    /// The member failed: it neither acked a probe nor refuted the suspicion.
    #[serde(rename = "member-failed")]
    Failed,
    /// The member's tags or address changed.
    #[serde(rename = "member-update")]
    Update,
    /// The member was removed, because it was failed or left for too long.
    #[serde(rename = "member-reap")]
    Reap,
}

impl MemberEventKind {
    const ALL: [Self; 5] = [Self::Join, Self::Leave, Self::Failed, Self::Update, Self::Reap];
}

/// Kind and names: `member-join: web-1, web-2`.
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

/// A member as the application sees it. A snapshot of one moment; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberEvent {
    /// The change.
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
    /// Name, unique in the cluster.
    pub fn name(&self) -> &str {
        self.peer.name()
    }

    /// Name as a shared string.
    pub fn shared_name(&self) -> Name {
        self.peer.shared_name()
    }

    /// Address for packets and streams.
    pub fn addr(&self) -> SocketAddr {
        self.peer.addr()
    }

    /// Value of a tag, without a copy. `None` if the tag is missing or not UTF-8.
    pub fn tag(&self, key: &str) -> Option<&str> {
        types::tag(self.peer.meta(), key)
    }

    /// Tags as keys and values, in the order of their announcement, without a copy. Metadata of versions without tags
    /// yields a `role`. Tags that are not UTF-8 are skipped; [`to_tags`](Self::to_tags) has them with replacement
    /// characters.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        types::tags(self.peer.meta())
    }

    /// Decodes the tags into an owned map.
    pub fn to_tags(&self) -> Tags {
        Tags::decode(self.peer.meta())
    }

    /// Status of the member.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Lamport time of the newest known join or leave intent about the member; 0 if there is none.
    pub fn status_ltime(&self) -> u64 {
        self.status_ltime
    }

    /// The full announcement of the member.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }
}

/// Serialized as a map of name, address, tags, status and Lamport time.
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

/// Status of a member. Names and numbers as in Serf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Status {
    /// Part of the cluster.
    Alive = 1,
    /// Announced its leave.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserEvent {
    /// Lamport time of the event.
    pub ltime: u64,
    /// Name of the event.
    pub name: Box<str>,
    /// Payload; opaque to the protocol.
    #[serde(serialize_with = "as_bytes")]
    pub payload: Bytes,
    /// Whether events of this name may be coalesced.
    pub coalesce: bool,
}

/// Result of a join, with the seeds that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JoinOutcome {
    /// The join.
    pub id: JoinId,
    /// Number of seeds that answered and whose state was merged. 0: the join failed.
    pub contacted: u32,
    /// Seeds that failed.
    pub failed: Vec<AddressFailure>,
    /// Whether the join was cancelled, by [`Node::cancel_join`](crate::Node::cancel_join) or by a leave.
    pub cancelled: bool,
}

/// Failure of one seed of a join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressFailure {
    /// The seed.
    pub addr: SocketAddr,
    /// The cause.
    pub cause: SeedFailureCause,
    /// Text of the seed or of the operating system, or the member with incompatible versions. Untrusted if it is from
    /// the seed.
    pub detail: Option<Box<str>>,
}

/// Cause of the failure of a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SeedFailureCause {
    /// No stream could be opened.
    Unreachable,
    /// The stream ended before the answer was complete.
    Closed,
    /// No complete answer arrived within the stream timeout.
    TimedOut,
    /// The answer is malformed.
    Malformed,
    /// The answer is encrypted, and none of our keys decrypts it.
    Key,
    /// The answer is not encrypted, and we require encryption.
    Unencrypted,
    /// The answer has another label than ours, or only one side has a label.
    Label,
    /// The seed rejected our request, because of its key, its label, its settings or its policy.
    Rejected,
    /// The protocol versions in the answer are incompatible with ours.
    Refused,
    /// Our [`Policy`](crate::Policy) vetoed the merge.
    Vetoed,
    /// The member remembered at this address did not ack a ping by name: another node has the address now.
    OtherNode,
}

impl fmt::Display for SeedFailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "cannot be reached",
            Self::Closed => "closed the stream early",
            Self::TimedOut => "did not answer in time",
            Self::Malformed => "sent a malformed answer",
            Self::Key => "sent an answer that none of our keys decrypts",
            Self::Unencrypted => "sent an answer that is not encrypted",
            Self::Label => "sent an answer with another label than ours",
            Self::Rejected => "refused our request: does it have our key and our label, and does it admit us?",
            Self::Refused => "has protocol versions that are incompatible with ours",
            Self::Vetoed => "belongs to a cluster that our policy refuses to merge with",
            Self::OtherNode => "is not the member that had this address",
        })
    }
}

/// Result of a graceful leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeaveReport {
    /// Number of sent copies of the leave intent.
    pub intents_sent: u32,
    /// Number of different members that the leave intent was sent to. They gossip it.
    pub intent_peers: u32,
    /// Number of sent copies of the leave broadcast, which follows the intent.
    pub leave_broadcasts_sent: u32,
    /// Number of different members that the leave broadcast was sent to.
    pub leave_broadcast_peers: u32,
    /// Whether both reached enough different members before the broadcast timeout: so many that packet loss cannot stop
    /// them, or all that had not left themselves. If false, some members may see a failure.
    pub complete: bool,
}

/// Payloads are bytes where a format has bytes, and an array of numbers in JSON.
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
