//! The requests of RPC clients.

use std::collections::BTreeMap;

use super::decode::{DecodeError, Decoder};
use super::encode::Encoder;

/// The first object of every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader {
    /// The name of the command.
    pub command: String,
    /// Chosen by the client and echoed in every record that belongs to the request.
    pub seq: u64,
}

impl RequestHeader {
    /// Writes the header.
    pub fn encode(&self, to: &mut Encoder<'_>) {
        to.map(2).text("Command").text(&self.command).text("Seq").uint(self.seq);
    }

    /// Reads a header, also one written as a list. Missing fields are empty; HashiCorp's agent keeps the values of the
    /// previous request.
    ///
    /// # Errors
    ///
    /// This is neither map nor list, or a value has the wrong type.
    pub fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut header = Self::default();
        from.record(&[b"Command", b"Seq"], |key, from| {
            match key {
                b"Command" => header.command = from.text()?,
                b"Seq" => header.seq = from.uint()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(header)
    }
}

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Must come first; names the version of this protocol, 1.
    Handshake {
        /// The client's version.
        version: i64,
    },
    /// Sends the token to an agent that requires one.
    Auth {
        /// The token.
        key: String,
    },
    /// Sends a user event.
    Event(UserEvent),
    /// Forces a failed member to the state left.
    ForceLeave {
        /// The member's name.
        node: String,
        /// Whether to forget it at once, too.
        prune: bool,
    },
    /// Joins a cluster.
    Join {
        /// Addresses of members.
        existing: Vec<String>,
        /// Whether to deliver old user events.
        replay: bool,
    },
    /// Lists all members.
    Members,
    /// Lists the members that match.
    MembersFiltered(MemberFilter),
    /// Changes the agent's own tags.
    Tags {
        /// Tags to set; wins over `delete`.
        set: BTreeMap<String, String>,
        /// Tags to delete.
        delete: Vec<String>,
    },
    /// Reads the agent's statistics.
    Stats,
    /// Reads a member's coordinate.
    Coordinate {
        /// The member's name.
        node: String,
    },
    /// Leaves the cluster and ends the agent.
    Leave,
    /// Ends a stream or monitor of this connection.
    Stop {
        /// The number of the request that started it.
        seq: u64,
    },
    /// Adds a key to every keyring of the cluster.
    InstallKey {
        /// The key in base64.
        key: String,
    },
    /// Makes an installed key the primary one, which encrypts.
    UseKey {
        /// The key in base64.
        key: String,
    },
    /// Removes a key from every keyring.
    RemoveKey {
        /// The key in base64.
        key: String,
    },
    /// Counts the keys of all keyrings.
    ListKeys,
    /// Sends a query to the cluster.
    Query(Query),
    /// Answers a query that arrived over a stream of this connection.
    Respond {
        /// The query's number in the record of the stream.
        id: u64,
        /// The answer.
        payload: Option<Vec<u8>>,
    },
    /// Subscribes to events.
    Stream {
        /// The filter, in the grammar of event handlers; empty for all events.
        filter: String,
    },
    /// Asks why a member is suspected, failed or left. Ours: HashiCorp's agents do not have this command.
    Why {
        /// The member's name.
        node: String,
    },
    /// Subscribes to the agent's log.
    Monitor {
        /// The lowest level.
        level: String,
    },
}

/// A user event to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserEvent {
    /// Its name.
    pub name: String,
    /// Its payload.
    pub payload: Option<Vec<u8>>,
    /// Whether receivers may merge it with others of the same name.
    pub coalesce: bool,
}

/// A filter of members. Every pattern must match the whole value; an empty one matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberFilter {
    /// Patterns by tag name; a missing tag counts as empty.
    pub tags: BTreeMap<String, String>,
    /// A pattern for the status.
    pub status: String,
    /// A pattern for the name.
    pub name: String,
}

/// A query to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only these members are queried; all when empty.
    pub filter_nodes: Vec<String>,
    /// Only members with matching tags are queried. `None` and an empty map mean the same and differ on the wire.
    pub filter_tags: Option<BTreeMap<String, String>>,
    /// Whether members acknowledge the query.
    pub request_ack: bool,
    /// The number of other members that relay a copy of each answer.
    pub relay_factor: u8,
    /// How long answers are collected, in nanoseconds; 0 for the agent's default.
    pub timeout_ns: i64,
    /// Its name.
    pub name: String,
    /// Its payload.
    pub payload: Option<Vec<u8>>,
}

impl Request {
    /// The command's name on the wire.
    pub const fn command(&self) -> &'static str {
        match self {
            Self::Handshake { .. } => "handshake",
            Self::Auth { .. } => "auth",
            Self::Event(_) => "event",
            Self::ForceLeave { .. } => "force-leave",
            Self::Join { .. } => "join",
            Self::Members => "members",
            Self::MembersFiltered(_) => "members-filtered",
            Self::Tags { .. } => "tags",
            Self::Stats => "stats",
            Self::Coordinate { .. } => "get-coordinate",
            Self::Leave => "leave",
            Self::Stop { .. } => "stop",
            Self::InstallKey { .. } => "install-key",
            Self::UseKey { .. } => "use-key",
            Self::RemoveKey { .. } => "remove-key",
            Self::ListKeys => "list-keys",
            Self::Query(_) => "query",
            Self::Respond { .. } => "respond",
            Self::Stream { .. } => "stream",
            Self::Monitor { .. } => "monitor",
            Self::Why { .. } => "why",
        }
    }

    /// Whether a body follows the header of this command, `None` for unknown commands.
    pub fn has_body(command: &str) -> Option<bool> {
        match command {
            "members" | "stats" | "leave" | "list-keys" => Some(false),
            "handshake" | "auth" | "event" | "force-leave" | "join" | "members-filtered" | "tags"
            | "get-coordinate" | "stop" | "install-key" | "use-key" | "remove-key" | "query" | "respond" | "stream"
            | "monitor" | "why" => Some(true),
            _ => None,
        }
    }

    /// Appends header and body to `out`.
    pub fn encode(&self, seq: u64, out: &mut Vec<u8>) {
        let to = &mut Encoder::new(out);
        RequestHeader { command: self.command().into(), seq }.encode(to);
        self.encode_body(to);
    }

    fn encode_body(&self, to: &mut Encoder<'_>) {
        match self {
            Self::Members | Self::Stats | Self::Leave | Self::ListKeys => {}
            Self::Handshake { version } => _ = to.map(1).text("Version").int(*version),
            Self::Auth { key } => _ = to.map(1).text("AuthKey").text(key),
            Self::Event(event) => event.encode(to),
            Self::ForceLeave { node, prune } => _ = to.map(2).text("Node").text(node).text("Prune").bool(*prune),
            Self::Join { existing, replay } => {
                texts(to.map(2).text("Existing"), existing);
                to.text("Replay").bool(*replay);
            }
            Self::MembersFiltered(filter) => {
                to.map(3).text("Name").text(&filter.name);
                to.text("Status").text(&filter.status).text("Tags").texts(&filter.tags);
            }
            Self::Tags { set, delete } => {
                texts(to.map(2).text("DeleteTags"), delete);
                to.text("Tags").texts(set);
            }
            Self::Coordinate { node } | Self::Why { node } => _ = to.map(1).text("Node").text(node),
            Self::Stop { seq } => _ = to.map(1).text("Stop").uint(*seq),
            Self::InstallKey { key } | Self::UseKey { key } | Self::RemoveKey { key } => {
                to.map(1).text("Key").text(key);
            }
            Self::Query(query) => query.encode(to),
            Self::Respond { id, payload } => {
                to.map(2).text("ID").uint(*id).text("Payload").bytes(payload.as_deref());
            }
            Self::Stream { filter } => _ = to.map(1).text("Type").text(filter),
            Self::Monitor { level } => _ = to.map(1).text("LogLevel").text(level),
        }
    }

    /// Reads the body of `command`; nothing is read for a command without one.
    ///
    /// # Errors
    ///
    /// The command is unknown, the body is neither map nor list, or a value has the wrong type.
    pub fn decode(command: &str, from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match command {
            "handshake" => Self::Handshake { version: field(from, b"Version", Decoder::int)? },
            "auth" => Self::Auth { key: field(from, b"AuthKey", Decoder::text)? },
            "event" => Self::Event(UserEvent::decode(from)?),
            "force-leave" => {
                let (node, prune) = fields2(from, b"Node", Decoder::text, b"Prune", Decoder::bool)?;
                Self::ForceLeave { node, prune }
            }
            "join" => {
                let addresses = |from: &mut Decoder<'_>| list(from, JOIN_ADDRESSES_MAX, "addresses");
                let (existing, replay) = fields2(from, b"Existing", addresses, b"Replay", Decoder::bool)?;
                Self::Join { existing, replay }
            }
            "members" => Self::Members,
            "members-filtered" => Self::MembersFiltered(MemberFilter::decode(from)?),
            "tags" => {
                let set = |from: &mut Decoder<'_>| Ok(from.texts_up_to(TAGS_MAX, "tags")?.unwrap_or_default());
                let delete = |from: &mut Decoder<'_>| list(from, TAGS_MAX, "tags");
                let (set, delete) = fields2(from, b"Tags", set, b"DeleteTags", delete)?;
                Self::Tags { set, delete }
            }
            "stats" => Self::Stats,
            "get-coordinate" => Self::Coordinate { node: field(from, b"Node", Decoder::text)? },
            "leave" => Self::Leave,
            "stop" => Self::Stop { seq: field(from, b"Stop", Decoder::uint)? },
            "install-key" => Self::InstallKey { key: field(from, b"Key", Decoder::text)? },
            "use-key" => Self::UseKey { key: field(from, b"Key", Decoder::text)? },
            "remove-key" => Self::RemoveKey { key: field(from, b"Key", Decoder::text)? },
            "list-keys" => Self::ListKeys,
            "query" => Self::Query(Query::decode(from)?),
            "respond" => {
                let (id, payload) = fields2(from, b"ID", Decoder::uint, b"Payload", Decoder::bytes)?;
                Self::Respond { id, payload }
            }
            "stream" => Self::Stream { filter: field(from, b"Type", Decoder::text)? },
            "monitor" => Self::Monitor { level: field(from, b"LogLevel", Decoder::text)? },
            "why" => Self::Why { node: field(from, b"Node", Decoder::text)? },
            _ => return Err(DecodeError::Command),
        })
    }
}

impl UserEvent {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.map(3).text("Coalesce").bool(self.coalesce);
        to.text("Name").text(&self.name).text("Payload").bytes(self.payload.as_deref());
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut event = Self::default();
        from.record(&[b"Name", b"Payload", b"Coalesce"], |key, from| {
            match key {
                b"Coalesce" => event.coalesce = from.bool()?,
                b"Name" => event.name = from.text()?,
                b"Payload" => event.payload = from.bytes()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(event)
    }
}

impl MemberFilter {
    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut filter = Self::default();
        from.record(&[b"Tags", b"Status", b"Name"], |key, from| {
            match key {
                b"Name" => filter.name = from.text()?,
                b"Status" => filter.status = from.text()?,
                b"Tags" => filter.tags = from.texts_up_to(PATTERNS_MAX, "tag filters")?.unwrap_or_default(),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(filter)
    }
}

impl Query {
    fn encode(&self, to: &mut Encoder<'_>) {
        texts(to.map(7).text("FilterNodes"), &self.filter_nodes);
        to.text("FilterTags");
        match &self.filter_tags {
            Some(tags) => to.texts(tags),
            None => to.nil(),
        };
        to.text("Name").text(&self.name).text("Payload").bytes(self.payload.as_deref());
        to.text("RelayFactor").uint(self.relay_factor.into()).text("RequestAck").bool(self.request_ack);
        to.text("Timeout").int(self.timeout_ns);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut query = Self::default();
        let names: [&[u8]; 7] =
            [b"FilterNodes", b"FilterTags", b"RequestAck", b"RelayFactor", b"Timeout", b"Name", b"Payload"];
        from.record(&names, |key, from| {
            match key {
                b"FilterNodes" => query.filter_nodes = list(from, FILTER_NODES_MAX, "node names")?,
                b"FilterTags" => query.filter_tags = from.texts_up_to(PATTERNS_MAX, "tag filters")?,
                b"RequestAck" => query.request_ack = from.bool()?,
                b"RelayFactor" => query.relay_factor = from.uint_below("a relay factor")?,
                b"Timeout" => query.timeout_ns = from.int()?,
                b"Name" => query.name = from.text()?,
                b"Payload" => query.payload = from.bytes()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(query)
    }
}

/// Writes a list; an empty one is nil, because Go's command line never makes an empty slice.
fn texts(to: &mut Encoder<'_>, list: &[String]) {
    if list.is_empty() {
        to.nil();
        return;
    }
    to.list(list.len());
    for text in list {
        to.text(text);
    }
}

fn list(from: &mut Decoder<'_>, items_max: u32, what: &'static str) -> Result<Vec<String>, DecodeError> {
    from.list_up_to(items_max, what, Decoder::text)
}

/// Limit on the addresses of one `join`; a request with more is refused. One that answers is enough, and unreachable
/// addresses take ten seconds each, sixteen at a time.
const JOIN_ADDRESSES_MAX: u32 = 1024;

/// Limit on the tags to set, or to delete, in one request; a request with more is refused. More do not fit into the 512
/// bytes of a node's tags.
const TAGS_MAX: u32 = 256;

/// Limit on the tag patterns of one `members-filtered` or `query`; a request with more is refused, because each pattern
/// is compiled.
const PATTERNS_MAX: u32 = 64;

/// Limit on the member names of one `query`; a request with more is refused. The query's size bounds them further.
const FILTER_NODES_MAX: u32 = 4096;

/// Reads a record and returns the value of one key.
fn field<'a, T: Default>(
    from: &mut Decoder<'a>,
    name: &'static [u8],
    mut read: impl FnMut(&mut Decoder<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut value = T::default();
    from.record(&[name], |key, from| {
        let known = key == name;
        if known {
            value = read(from)?;
        }
        Ok(known)
    })?;
    Ok(value)
}

/// Reads a record and returns the values of two keys.
fn fields2<'a, A: Default, B: Default>(
    from: &mut Decoder<'a>,
    name_a: &'static [u8],
    mut read_a: impl FnMut(&mut Decoder<'a>) -> Result<A, DecodeError>,
    name_b: &'static [u8],
    mut read_b: impl FnMut(&mut Decoder<'a>) -> Result<B, DecodeError>,
) -> Result<(A, B), DecodeError> {
    let mut values = (A::default(), B::default());
    from.record(&[name_a, name_b], |key, from| {
        if key == name_a {
            values.0 = read_a(from)?;
        } else if key == name_b {
            values.1 = read_b(from)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    })?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_refused_one_above_their_bound_before_anything_is_read() {
        let list = |field: &str, items: u32| {
            let mut body = Vec::new();
            let to = &mut Encoder::new(&mut body);
            to.map(1).text(field).list(items as usize);
            (0..items).for_each(|n| _ = to.text(&n.to_string()));
            body
        };
        let table = |field: &str, items: u32| {
            let mut body = Vec::new();
            Encoder::new(&mut body)
                .map(1)
                .text(field)
                .texts(&(0..items).map(|n| (n.to_string(), "x".into())).collect());
            body
        };
        let decoded = |command: &str, body: &[u8]| Request::decode(command, &mut Decoder::new(body)).map(drop);
        for (command, field, what, limit, is_list) in [
            ("join", "Existing", "addresses", JOIN_ADDRESSES_MAX, true),
            ("tags", "DeleteTags", "tags", TAGS_MAX, true),
            ("tags", "Tags", "tags", TAGS_MAX, false),
            ("members-filtered", "Tags", "tag filters", PATTERNS_MAX, false),
            ("query", "FilterTags", "tag filters", PATTERNS_MAX, false),
            ("query", "FilterNodes", "node names", FILTER_NODES_MAX, true),
        ] {
            let body = |items| if is_list { list(field, items) } else { table(field, items) };
            for items in [limit - 1, limit] {
                assert_eq!(decoded(command, &body(items)), Ok(()), "{command} with {items} {what}");
            }
            let refused = Err(DecodeError::TooMany { what, limit });
            assert_eq!(decoded(command, &body(limit + 1)), refused, "{command}");
            // The length alone decides: the items are missing.
            let mut claim = Vec::new();
            Encoder::new(&mut claim).map(1).text(field);
            claim.extend_from_slice(if is_list { b"\xdd\xff\xff\xff\xff" } else { b"\xdf\xff\xff\xff\xff" });
            assert_eq!(decoded(command, &claim), refused, "{command}");
        }
    }

    fn read(command: &str, bytes: &[u8]) -> Result<Request, DecodeError> {
        Request::decode(command, &mut Decoder::new(bytes))
    }

    #[test]
    fn a_body_may_be_a_list_of_its_values_in_the_order_of_hashicorps_structs() {
        let event = UserEvent { name: "n".into(), payload: Some(b"p".to_vec()), coalesce: true };
        assert_eq!(read("event", b"\x93\xa1n\xa1p\xc3"), Ok(Request::Event(event)));
        assert_eq!(read("handshake", b"\x91\x01"), Ok(Request::Handshake { version: 1 }));
        assert_eq!(read("auth", b"\x91\xa1k"), Ok(Request::Auth { key: "k".into() }));
        assert_eq!(read("force-leave", b"\x92\xa1n\xc3"), Ok(Request::ForceLeave { node: "n".into(), prune: true }));
        let existing = vec!["a".into()];
        assert_eq!(read("join", b"\x92\x91\xa1a\xc3"), Ok(Request::Join { existing, replay: true }));
        let tags: BTreeMap<String, String> = [("t".into(), "v".into())].into();
        let filter = MemberFilter { tags: tags.clone(), status: "s".into(), name: "n".into() };
        assert_eq!(read("members-filtered", b"\x93\x81\xa1t\xa1v\xa1s\xa1n"), Ok(Request::MembersFiltered(filter)));
        let changed = Request::Tags { set: tags.clone(), delete: vec!["d".into()] };
        assert_eq!(read("tags", b"\x92\x81\xa1t\xa1v\x91\xa1d"), Ok(changed));
        let query = Query {
            filter_nodes: vec!["f".into()],
            filter_tags: Some(tags),
            request_ack: true,
            relay_factor: 2,
            timeout_ns: 3,
            name: "n".into(),
            payload: Some(b"p".to_vec()),
        };
        assert_eq!(read("query", b"\x97\x91\xa1f\x81\xa1t\xa1v\xc3\x02\x03\xa1n\xa1p"), Ok(Request::Query(query)));
        assert_eq!(read("respond", b"\x92\x07\xa1p"), Ok(Request::Respond { id: 7, payload: Some(b"p".to_vec()) }));
        assert_eq!(read("stop", b"\x91\x07"), Ok(Request::Stop { seq: 7 }));
        assert_eq!(read("stream", b"\x91\xa1*"), Ok(Request::Stream { filter: "*".into() }));
        assert_eq!(read("monitor", b"\x91\xa5debug"), Ok(Request::Monitor { level: "debug".into() }));
        for command in ["install-key", "use-key", "remove-key"] {
            assert!(format!("{:?}", read(command, b"\x91\xa1k")).contains("\"k\""), "{command}");
        }
        assert_eq!(read("get-coordinate", b"\x91\xa1n"), Ok(Request::Coordinate { node: "n".into() }));
    }

    #[test]
    fn a_shorter_list_lacks_the_last_values_and_surplus_values_are_skipped() {
        let event = |name: &str| Ok(Request::Event(UserEvent { name: name.into(), ..UserEvent::default() }));
        assert_eq!(read("event", b"\x90"), event(""));
        assert_eq!(read("event", b"\x91\xa1n"), event("n"));
        let mut more = Decoder::new(b"\x95\xa1n\xc0\xc2\x81\xa1x\x01\xa1y\x2a");
        assert_eq!(Request::decode("event", &mut more), event("n"));
        assert_eq!(more.uint(), Ok(42), "the next object");
        assert_eq!(read("event", b"\x92\xa1n"), Err(DecodeError::Short));
        assert_eq!(read("event", b"\x91\xc3"), Err(DecodeError::Expected("text")));
        assert_eq!(read("event", b"\xa1n"), Err(DecodeError::Expected("a map")));
    }
}
