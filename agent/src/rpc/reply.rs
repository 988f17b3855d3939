//! The agent's replies, and the records that it streams.

use std::collections::BTreeMap;

use super::decode::{DecodeError, Decoder};
use super::encode::Encoder;
use super::member::{Coordinate, Member};
use super::partition::PartitionShare;

/// The first object of every reply and of every streamed record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyHeader {
    /// Why the request failed; empty on success.
    pub error: String,
    /// The request's number.
    pub seq: u64,
}

/// The agent's statistics: groups of names and values (`stats`).
pub type Stats = BTreeMap<String, BTreeMap<String, String>>;

/// The result of a change to the keys of all members, or of counting them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyReport {
    /// The members' messages by name; mostly errors.
    pub messages: BTreeMap<String, String>,
    /// Each key and how many members have it. Only for a count.
    pub keys: Option<BTreeMap<String, i64>>,
    /// How many members were asked.
    pub nodes: i64,
    /// How many answered.
    pub responses: i64,
    /// How many failed.
    pub errors: i64,
}

/// A record of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryRecord {
    /// A member acknowledged the query.
    Ack {
        /// Its name.
        from: String,
    },
    /// A member answered.
    Response {
        /// Its name.
        from: String,
        /// The answer.
        payload: Option<Vec<u8>>,
    },
    /// The end: no more records follow.
    Done,
}

/// A record of a stream of events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventRecord {
    /// Members changed.
    Members {
        /// `member-join`, `member-leave`, `member-failed`, `member-update` or `member-reap`.
        event: String,
        /// The members.
        members: Vec<Member>,
    },
    /// A user event.
    User {
        /// Its Lamport time.
        lamport: u64,
        /// Its name.
        name: String,
        /// Its payload; `None` also when empty.
        payload: Option<Vec<u8>>,
        /// Whether it may have been merged with others.
        coalesce: bool,
    },
    /// A query, to be answered on the same connection.
    Query {
        /// Identifies the query in the response.
        id: u64,
        /// Its Lamport time.
        lamport: u64,
        /// Its name.
        name: String,
        /// Its payload; `None` also when empty.
        payload: Option<Vec<u8>>,
    },
    /// A part of the cluster is missing, or is there again. Ours.
    Partition {
        /// The numbers.
        share: PartitionShare,
        /// Zones of which no member is alive.
        zones_lost: Vec<String>,
        /// The members that are alive: this side.
        members: Vec<Member>,
    },
}

impl ReplyHeader {
    /// Writes the header.
    pub fn encode(&self, to: &mut Encoder<'_>) {
        to.map(2).text("Error").text(&self.error).text("Seq").uint(self.seq);
    }

    /// Reads a header.
    ///
    /// # Errors
    ///
    /// A value has the wrong type.
    pub fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut header = Self::default();
        from.fields(|key, from| {
            match key {
                b"Error" => header.error = from.text()?,
                b"Seq" => header.seq = from.uint()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(header)
    }
}

/// Writes the answer to `members` and `members-filtered`.
pub fn encode_members<'m>(members: impl ExactSizeIterator<Item = &'m Member>, to: &mut Encoder<'_>) {
    to.map(1).text("Members").list(members.len());
    members.for_each(|member| member.encode(to));
}

/// Reads the answer to `members` and `members-filtered`.
///
/// # Errors
///
/// A value has the wrong type.
pub fn decode_members(from: &mut Decoder<'_>) -> Result<Vec<Member>, DecodeError> {
    let mut members = Vec::new();
    from.fields(|key, from| {
        let known = key == b"Members";
        if known {
            members = from.list(Member::decode)?;
        }
        Ok(known)
    })?;
    Ok(members)
}

/// Writes the answer to `join`.
pub fn encode_join_count(joined: i64, to: &mut Encoder<'_>) {
    to.map(1).text("Num").int(joined);
}

/// Reads the answer to `join`: how many addresses were reached.
///
/// # Errors
///
/// A value has the wrong type.
pub fn decode_join_count(from: &mut Decoder<'_>) -> Result<i64, DecodeError> {
    let mut joined = 0;
    from.fields(|key, from| {
        let known = key == b"Num";
        if known {
            joined = from.int()?;
        }
        Ok(known)
    })?;
    Ok(joined)
}

/// Writes the answer to `stats`.
pub fn encode_stats(stats: &Stats, to: &mut Encoder<'_>) {
    to.map(stats.len());
    for (group, values) in stats {
        to.text(group).texts(values);
    }
}

/// Reads the answer to `stats`.
///
/// # Errors
///
/// A value has the wrong type.
pub fn decode_stats(from: &mut Decoder<'_>) -> Result<Stats, DecodeError> {
    Ok(from.table(Decoder::texts)?.unwrap_or_default())
}

/// Writes the answer to `get-coordinate`.
pub fn encode_coordinate(coordinate: Option<&Coordinate>, to: &mut Encoder<'_>) {
    to.map(2).text("Coord");
    match coordinate {
        Some(coordinate) => coordinate.encode(to),
        None => Coordinate::default().encode(to),
    }
    to.text("Ok").bool(coordinate.is_some());
}

/// Reads the answer to `get-coordinate`, `None` when the agent knows none.
///
/// # Errors
///
/// A value has the wrong type.
pub fn decode_coordinate(from: &mut Decoder<'_>) -> Result<Option<Coordinate>, DecodeError> {
    let (mut coordinate, mut known) = (Coordinate::default(), false);
    from.fields(|key, from| {
        match key {
            b"Coord" => coordinate = Coordinate::decode(from)?,
            b"Ok" => known = from.bool()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(known.then_some(coordinate))
}

/// Writes a record of `monitor`: a line of the log without its newline.
pub fn encode_log(record: &str, to: &mut Encoder<'_>) {
    to.map(1).text("Log").text(record);
}

/// Reads a record of `monitor`.
///
/// # Errors
///
/// A value has the wrong type.
pub fn decode_log(from: &mut Decoder<'_>) -> Result<String, DecodeError> {
    let mut record = String::new();
    from.fields(|key, from| {
        let known = key == b"Log";
        if known {
            record = from.text()?;
        }
        Ok(known)
    })?;
    Ok(record)
}

impl KeyReport {
    /// Writes the report.
    pub fn encode(&self, to: &mut Encoder<'_>) {
        to.map(5).text("Keys");
        match &self.keys {
            None => _ = to.nil(),
            Some(keys) => {
                to.map(keys.len());
                for (key, count) in keys {
                    to.text(key).int(*count);
                }
            }
        }
        to.text("Messages").texts(&self.messages);
        to.text("NumErr").int(self.errors).text("NumNodes").int(self.nodes).text("NumResp").int(self.responses);
    }

    /// Reads a report.
    ///
    /// # Errors
    ///
    /// A value has the wrong type.
    pub fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut report = Self::default();
        from.fields(|key, from| {
            match key {
                b"Keys" => report.keys = from.table(Decoder::int)?,
                b"Messages" => report.messages = from.texts()?,
                b"NumErr" => report.errors = from.int()?,
                b"NumNodes" => report.nodes = from.int()?,
                b"NumResp" => report.responses = from.int()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(report)
    }
}

impl QueryRecord {
    /// Writes the record.
    pub fn encode(&self, to: &mut Encoder<'_>) {
        let (from, payload, kind) = match self {
            Self::Ack { from } => (from.as_str(), None, "ack"),
            Self::Response { from, payload } => (from.as_str(), payload.as_deref(), "response"),
            Self::Done => ("", None, "done"),
        };
        to.map(3).text("From").text(from).text("Payload").bytes(payload).text("Type").text(kind);
    }

    /// Reads a record, `None` when its type is unknown.
    ///
    /// # Errors
    ///
    /// A value has the wrong type.
    pub fn decode(from: &mut Decoder<'_>) -> Result<Option<Self>, DecodeError> {
        let (mut node, mut payload, mut kind) = (String::new(), None, String::new());
        from.fields(|key, from| {
            match key {
                b"From" => node = from.text()?,
                b"Payload" => payload = from.bytes()?,
                b"Type" => kind = from.text()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(match kind.as_str() {
            "ack" => Some(Self::Ack { from: node }),
            "response" => Some(Self::Response { from: node, payload }),
            "done" => Some(Self::Done),
            _ => None,
        })
    }
}

impl EventRecord {
    /// Writes the record.
    pub fn encode(&self, to: &mut Encoder<'_>) {
        match self {
            Self::Members { event, members } => {
                to.map(2).text("Event").text(event).text("Members").list(members.len());
                members.iter().for_each(|member| member.encode(to));
            }
            Self::User { lamport, name, payload, coalesce } => {
                to.map(5).text("Coalesce").bool(*coalesce).text("Event").text("user").text("LTime").uint(*lamport);
                to.text("Name").text(name).text("Payload").bytes(payload.as_deref());
            }
            Self::Query { id, lamport, name, payload } => {
                to.map(5).text("Event").text("query").text("ID").uint(*id).text("LTime").uint(*lamport);
                to.text("Name").text(name).text("Payload").bytes(payload.as_deref());
            }
            Self::Partition { share, zones_lost, members } => {
                let PartitionShare { alive, largest, majority, .. } = *share;
                to.map(7).text("Alive").uint(alive.into()).text("Event").text("partition");
                to.text("Largest").uint(largest.into()).text("Majority").bool(majority);
                to.text("Members").list(members.len());
                members.iter().for_each(|member| member.encode(to));
                to.text("State").text(share.state()).text("ZonesLost").list(zones_lost.len());
                zones_lost.iter().for_each(|zone| _ = to.text(zone));
            }
        }
    }

    /// Reads a record, `None` when its type is unknown.
    ///
    /// # Errors
    ///
    /// A value has the wrong type.
    pub fn decode(from: &mut Decoder<'_>) -> Result<Option<Self>, DecodeError> {
        let (mut event, mut members) = (String::new(), Vec::new());
        let (mut id, mut lamport, mut name, mut payload, mut coalesce) = (0, 0, String::new(), None, false);
        let (mut share, mut zones_lost) =
            (PartitionShare { split: false, alive: 0, largest: 0, majority: false }, Vec::new());
        from.fields(|key, from| {
            match key {
                b"Event" => event = from.text()?,
                b"Members" => members = from.list(Member::decode)?,
                b"ID" => id = from.uint()?,
                b"LTime" => lamport = from.uint()?,
                b"Name" => name = from.text()?,
                b"Payload" => payload = from.bytes()?,
                b"Coalesce" => coalesce = from.bool()?,
                b"State" => share.split = from.text()? == "split",
                b"Alive" => share.alive = u32::try_from(from.uint()?).unwrap_or(u32::MAX),
                b"Largest" => share.largest = u32::try_from(from.uint()?).unwrap_or(u32::MAX),
                b"Majority" => share.majority = from.bool()?,
                b"ZonesLost" => zones_lost = from.list(Decoder::text)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(match event.as_str() {
            "user" => Some(Self::User { lamport, name, payload, coalesce }),
            "query" => Some(Self::Query { id, lamport, name, payload }),
            "partition" => Some(Self::Partition { share, zones_lost, members }),
            _ if event.starts_with("member-") => Some(Self::Members { event, members }),
            _ => None,
        })
    }
}
