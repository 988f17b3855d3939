//! Snapshot: the state that a node keeps on disk, so that it finds its cluster again after a restart.
//!
//! A text file of lines, one [`Record`] each, append-only until it is compacted. The format is byte-compatible with
//! HashiCorp's serf, so that either program can use the other's file. This module defines the format, its
//! interpretation, and when to compact. File IO is the driver's. It must:
//!
//! - read the whole file with [`Snapshot::replay`], and truncate it to [`Replay::intact_bytes`] before it appends:
//!   otherwise a line that was torn by a crash would merge with the next one;
//! - append [`Record::line`] of every [`Output::Persist`](crate::Output::Persist) in order, and pass the record to
//!   [`Snapshot::apply`];
//! - flush appended data to the operating system within half a second, even if no more follows;
//! - fsync after [`Record::Leave`], which need not be the last record, and before it exits;
//! - if [`Snapshot::wants_compaction`], write [`Snapshot::compacted`] to a new file, fsync it, and rename it over the
//!   old one, which stays valid until then.
//!
//! # What a crash can lose
//!
//! The records of the last half second, or those since the last fsync if the power fails. A record precedes the event
//! that it describes, and precedes any delay by a coalescer. The file is therefore at most that far behind what the
//! application has seen. A lost `alive` costs one address for a rejoin. A lost `event-clock` means that events may be
//! delivered again. A loss never makes the rest unreadable.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use core::fmt::{self, Write as _};
use core::net::SocketAddr;

use crate::limits::{FAILED_REMEMBERED_MAX, LAMPORT_TIME_MAX, MEMBERS_MAX, NAME_BYTES_MAX};
use crate::types::Name;

/// A line of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// A member joined.
    Alive {
        /// Name of the member.
        name: Name,
        /// Address of the member.
        addr: SocketAddr,
    },
    /// A member left or failed.
    NotAlive {
        /// Name of the member.
        name: Name,
    },
    /// The member that is no longer alive failed; its address is a last resort for a rejoin. A comment to HashiCorp's
    /// programs, which do not keep it.
    Failed {
        /// Name of the member.
        name: Name,
        /// Last known address of the member.
        addr: SocketAddr,
    },
    /// Latest Lamport time of join and leave intents.
    Clock(u64),
    /// Latest Lamport time of user events.
    EventClock(u64),
    /// Latest Lamport time of queries.
    QueryClock(u64),
    /// This node left the cluster gracefully.
    Leave,
}

impl Record {
    /// The line, including its line end.
    pub fn line(&self) -> String {
        let mut line = String::new();
        self.append_to(&mut line);
        line
    }

    /// Whether the record must be fsynced before the node continues, because it is the last one.
    pub const fn must_be_synced(&self) -> bool {
        matches!(self, Self::Leave)
    }

    /// Whether the record can be parsed again: a name with a line break or another control character cannot.
    pub(crate) fn is_writable(&self) -> bool {
        match self {
            Self::Alive { name, .. } | Self::NotAlive { name } | Self::Failed { name, .. } => is_recordable(name),
            Self::Clock(_) | Self::EventClock(_) | Self::QueryClock(_) | Self::Leave => true,
        }
    }

    fn append_to(&self, out: &mut String) {
        let written = writeln!(out, "{self}");
        debug_assert!(written.is_ok(), "a string takes everything");
    }

    /// Parses a line without its line end. `None`: a comment, or a line of an older version.
    fn parse(line: &[u8]) -> Result<Option<Self>, Damaged> {
        let line = core::str::from_utf8(line).map_err(|_| Damaged)?;
        if line.chars().any(char::is_control) {
            return Err(Damaged);
        }
        // A line that was torn by a crash can have the head of one record and the tail of another. Each parser
        // therefore checks the whole rest of the line, and `Damaged` skips it.
        let record = if let Some(node) = line.strip_prefix(ALIVE) {
            let (name, addr) = parse_node(node)?;
            Self::Alive { name, addr }
        } else if let Some(name) = line.strip_prefix(NOT_ALIVE) {
            Self::NotAlive { name: parse_name(name)? }
        } else if let Some(node) = line.strip_prefix(FAILED) {
            let (name, addr) = parse_node(node)?;
            Self::Failed { name, addr }
        } else if let Some(time) = line.strip_prefix(CLOCK) {
            Self::Clock(parse_time(time)?)
        } else if let Some(time) = line.strip_prefix(EVENT_CLOCK) {
            Self::EventClock(parse_time(time)?)
        } else if let Some(time) = line.strip_prefix(QUERY_CLOCK) {
            Self::QueryClock(parse_time(time)?)
        } else if line == LEAVE {
            Self::Leave
        } else if line.starts_with('#') || line.starts_with(COORDINATE) {
            return Ok(None);
        } else {
            return Err(Damaged);
        };
        Ok(Some(record))
    }
}

impl fmt::Display for Record {
    /// The line without its line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alive { name, addr } => write!(f, "{ALIVE}{name} {addr}"),
            Self::NotAlive { name } => write!(f, "{NOT_ALIVE}{name}"),
            Self::Failed { name, addr } => write!(f, "{FAILED}{name} {addr}"),
            Self::Clock(time) => write!(f, "{CLOCK}{time}"),
            Self::EventClock(time) => write!(f, "{EVENT_CLOCK}{time}"),
            Self::QueryClock(time) => write!(f, "{QUERY_CLOCK}{time}"),
            Self::Leave => f.write_str(LEAVE),
        }
    }
}

/// A line that is not a record.
struct Damaged;

/// What a restart does after a graceful leave (`RejoinAfterLeave` in serf).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterLeave {
    /// Starts as a new node. serf's default.
    #[default]
    Forget,
    /// Rejoins the cluster, as after a crash.
    Rejoin,
}

/// The state described by a snapshot file. Kept up to date by its writer, it is also the content of a compacted file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    after_leave: AfterLeave,
    alive: BTreeMap<Name, SocketAddr>,
    /// Oldest first.
    failed: VecDeque<(Name, SocketAddr)>,
    clock: u64,
    event_clock: u64,
    query_clock: u64,
    left: bool,
}

/// The result of reading a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replay {
    /// The state.
    pub snapshot: Snapshot,
    /// Size of the complete lines, in bytes. Truncate the file to it before appending.
    pub intact_bytes: usize,
    /// Number of lines that could not be parsed and were skipped; a torn last line does not count.
    pub lines_skipped: usize,
}

impl Snapshot {
    /// The state of an empty file.
    pub fn new(after_leave: AfterLeave) -> Self {
        Self { after_leave, ..Self::default() }
    }

    /// Reads a whole file (`replay` in serf's snapshot.go). Skips lines that do not parse, and a last line without a
    /// line end.
    pub fn replay(file: &[u8], after_leave: AfterLeave) -> Replay {
        let mut replay = Replay { snapshot: Self::new(after_leave), intact_bytes: 0, lines_skipped: 0 };
        for line in file.split_inclusive(|&byte| byte == b'\n') {
            let Some(text) = line.strip_suffix(b"\n") else { break };
            replay.intact_bytes += line.len();
            match Record::parse(text) {
                Ok(Some(record)) => replay.snapshot.apply(&record),
                Ok(None) => {}
                Err(Damaged) => replay.lines_skipped += 1,
            }
        }
        if replay.lines_skipped > 0 {
            tracing::warn!(lines = replay.lines_skipped, "unreadable lines of the snapshot are skipped");
        }
        replay
    }

    /// Applies a record. Ignores a record that cannot be written, because its name has a control character.
    pub fn apply(&mut self, record: &Record) {
        if !record.is_writable() {
            return;
        }
        match record {
            Record::Alive { name, addr } => self.joined(name, *addr),
            Record::NotAlive { name } => self.gone(name),
            Record::Failed { name, addr } => self.failed(name, *addr),
            Record::Clock(time) => self.clock = *time,
            Record::EventClock(time) => self.event_clock = *time,
            Record::QueryClock(time) => self.query_clock = *time,
            Record::Leave => {
                // Also during a replay: the file keeps the lines before the leave until it is compacted.
                if self.after_leave == AfterLeave::Forget {
                    *self = Self::new(self.after_leave);
                }
                self.left = true;
            }
        }
    }

    /// The members that were alive, by name.
    pub fn alive(&self) -> impl Iterator<Item = (&Name, SocketAddr)> {
        self.alive.iter().map(|(name, addr)| (name, *addr))
    }

    /// The members that failed last and were not seen since, newest first. After a renumbering of the others these may
    /// be the only valid addresses.
    pub fn failed_members(&self) -> impl Iterator<Item = (&Name, SocketAddr)> {
        self.failed.iter().rev().map(|(name, addr)| (name, *addr))
    }

    /// Latest Lamport time of join and leave intents; 0 if none.
    pub const fn clock(&self) -> u64 {
        self.clock
    }

    /// Latest Lamport time of user events; 0 if none.
    pub const fn event_clock(&self) -> u64 {
        self.event_clock
    }

    /// Latest Lamport time of queries; 0 if none.
    pub const fn query_clock(&self) -> u64 {
        self.query_clock
    }

    /// Whether the node left gracefully, and has not started since.
    pub const fn left(&self) -> bool {
        self.left
    }

    /// Whether a file of this size should be compacted: it exceeds both 128 KiB and 256 bytes per live member
    /// (`appendLine` in serf's snapshot.go).
    pub fn wants_compaction(&self, file_bytes: u64) -> bool {
        file_bytes > COMPACTION_BYTES_MIN.max(self.alive.len() as u64 * ALIVE_BYTES * COMPACTION_FACTOR)
    }

    /// The content of the compacted file (`compact` in serf's snapshot.go).
    pub fn compacted(&self) -> String {
        let mut file = String::new();
        for (name, addr) in self.alive() {
            Record::Alive { name: name.clone(), addr }.append_to(&mut file);
        }
        // After the members, which would revoke it, and before the failed ones, which do not.
        if self.left {
            Record::Leave.append_to(&mut file);
        }
        for (name, addr) in &self.failed {
            Record::Failed { name: name.clone(), addr: *addr }.append_to(&mut file);
        }
        Record::Clock(self.clock).append_to(&mut file);
        Record::EventClock(self.event_clock).append_to(&mut file);
        Record::QueryClock(self.query_clock).append_to(&mut file);
        file
    }

    fn joined(&mut self, name: &Name, addr: SocketAddr) {
        self.left = false;
        self.failed.retain(|(failed, _)| failed != name);
        if self.alive.len() < MEMBERS_MAX || self.alive.contains_key(name) {
            self.alive.insert(name.clone(), addr);
        }
    }

    fn gone(&mut self, name: &Name) {
        self.alive.remove(name);
        self.failed.retain(|(failed, _)| failed != name);
    }

    fn failed(&mut self, name: &Name, addr: SocketAddr) {
        // At most one entry per member, in one of the two lists.
        self.gone(name);
        if self.failed.len() >= FAILED_REMEMBERED_MAX {
            self.failed.pop_front();
        }
        self.failed.push_back((name.clone(), addr));
    }
}

/// Parses name and address. The address follows the last space, because names may contain spaces.
fn parse_node(node: &str) -> Result<(Name, SocketAddr), Damaged> {
    let (name, addr) = node.rsplit_once(' ').ok_or(Damaged)?;
    Ok((parse_name(name)?, addr.parse().map_err(|_| Damaged)?))
}

fn parse_name(name: &str) -> Result<Name, Damaged> {
    if is_recordable(name) { Ok(name.into()) } else { Err(Damaged) }
}

/// Parses a decimal Lamport time. serf writes the greatest `u64` while its clock is at zero; that is rejected.
fn parse_time(time: &str) -> Result<u64, Damaged> {
    if !time.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Damaged);
    }
    time.parse().ok().filter(|&time| time < LAMPORT_TIME_MAX).ok_or(Damaged)
}

fn is_recordable(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

const ALIVE: &str = "alive: ";
const NOT_ALIVE: &str = "not-alive: ";
const FAILED: &str = "#failed: ";
const CLOCK: &str = "clock: ";
const EVENT_CLOCK: &str = "event-clock: ";
const QUERY_CLOCK: &str = "query-clock: ";
const LEAVE: &str = "leave";
const COORDINATE: &str = "coordinate: ";

/// Files below this size are not compacted (lower bound in serf's snapshot.go).
const COMPACTION_BYTES_MIN: u64 = 128 * 1024;

/// Estimated size of a member in a compacted file, in bytes.
const ALIVE_BYTES: u64 = 128;

/// Maximum ratio of a file's size to its compacted size.
const COMPACTION_FACTOR: u64 = 2;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn replay(file: &str) -> Snapshot {
        Snapshot::replay(file.as_bytes(), AfterLeave::Forget).snapshot
    }

    #[test]
    fn a_failed_member_is_remembered_until_it_is_back_or_has_left() {
        let failed = "alive: b 10.0.0.2:7946\nnot-alive: b\n#failed: b 10.0.0.2:7946\n";
        let names = |snapshot: &Snapshot| snapshot.failed_members().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!((names(&replay(failed)), replay(failed).alive().count()), (alloc::vec!["b".into()], 0));
        assert!(names(&replay(&alloc::format!("{failed}alive: b 10.0.0.2:7946\n"))).is_empty());
        assert!(names(&replay(&alloc::format!("{failed}not-alive: b\n"))).is_empty());
    }

    #[test]
    fn of_the_failed_only_the_newest_are_remembered() {
        let mut snapshot = Snapshot::default();
        let count = FAILED_REMEMBERED_MAX + 1;
        for at in 0..count {
            let (name, addr) = (alloc::format!("n{at}").into(), SocketAddr::from(([10, 0, 0, 1], 7946)));
            snapshot.apply(&Record::Failed { name, addr });
        }
        let names: Vec<&str> = snapshot.failed_members().map(|(name, _)| &**name).collect();
        assert_eq!(names.len(), FAILED_REMEMBERED_MAX);
        assert_eq!((names[0], names[names.len() - 1]), (&*alloc::format!("n{}", count - 1), "n1"));
    }

    #[test]
    fn a_file_is_compacted_beyond_128_kib_and_twice_128_bytes_a_member() {
        let mut snapshot = Snapshot::default();
        assert!(!snapshot.wants_compaction(131_072) && snapshot.wants_compaction(131_073));
        for at in 0..1000 {
            let (name, addr) = (alloc::format!("n{at}").into(), SocketAddr::from(([10, 0, 0, 1], 7946)));
            snapshot.apply(&Record::Alive { name, addr });
        }
        assert!(!snapshot.wants_compaction(256_000) && snapshot.wants_compaction(256_001));
    }

    #[test]
    fn two_records_that_a_torn_line_melted_together_are_passed_over() {
        let melted = "alive: foo 10.0.0event-clock: 12\nclock: 7\n";
        let replay = Snapshot::replay(melted.as_bytes(), AfterLeave::Forget);
        assert_eq!((replay.lines_skipped, replay.intact_bytes), (1, melted.len()));
        assert_eq!((replay.snapshot.alive().count(), replay.snapshot.clock()), (0, 7));
    }

    #[test]
    fn times_out_of_range_and_names_that_would_break_the_file_are_skipped() {
        let file = "clock: 18446744073709551615\nevent-clock: +5\nquery-clock: \nalive:  1.2.3.4:5\n";
        let replay = Snapshot::replay(file.as_bytes(), AfterLeave::Forget);
        assert_eq!((replay.lines_skipped, replay.snapshot), (4, Snapshot::default()));
        let mut snapshot = Snapshot::default();
        snapshot.apply(&Record::NotAlive { name: "a\nleave".into() });
        snapshot.apply(&Record::Alive { name: "a\nleave".into(), addr: SocketAddr::from(([1, 2, 3, 4], 5)) });
        assert_eq!(snapshot, Snapshot::default());
    }

    fn record() -> impl Strategy<Value = Record> {
        let name = || "[a-c]|[a-zé -~]{1,20}".prop_map(|name| Name::from(&*name));
        let v4 = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
        let addr = || prop_oneof![v4.clone(), any::<([u16; 8], u16)>().prop_map(SocketAddr::from)];
        prop_oneof![
            8 => (name(), addr()).prop_map(|(name, addr)| Record::Alive { name, addr }),
            4 => name().prop_map(|name| Record::NotAlive { name }),
            4 => (name(), addr()).prop_map(|(name, addr)| Record::Failed { name, addr }),
            2 => (0..LAMPORT_TIME_MAX).prop_map(Record::Clock),
            2 => (0..LAMPORT_TIME_MAX).prop_map(Record::EventClock),
            2 => (0..LAMPORT_TIME_MAX).prop_map(Record::QueryClock),
            1 => Just(Record::Leave),
        ]
    }

    fn after_leave() -> impl Strategy<Value = AfterLeave> {
        prop_oneof![Just(AfterLeave::Forget), Just(AfterLeave::Rejoin)]
    }

    fn applied(records: &[Record], after_leave: AfterLeave) -> Snapshot {
        let mut snapshot = Snapshot::new(after_leave);
        for record in records {
            snapshot.apply(record);
        }
        snapshot
    }

    proptest! {
        #[test]
        fn a_file_says_what_its_records_said_and_its_compacted_form_says_the_same(records in prop::collection::vec(record(), 0..60), after_leave in after_leave()) {
            let file: String = records.iter().map(Record::line).collect();
            let snapshot = applied(&records, after_leave);
            let whole = |snapshot, bytes| Replay { snapshot, intact_bytes: bytes, lines_skipped: 0 };
            prop_assert_eq!(Snapshot::replay(file.as_bytes(), after_leave), whole(snapshot.clone(), file.len()));
            let compacted = snapshot.compacted();
            prop_assert_eq!(Snapshot::replay(compacted.as_bytes(), after_leave), whole(snapshot, compacted.len()));
        }

        #[test]
        fn a_file_cut_anywhere_says_what_its_whole_lines_said(records in prop::collection::vec(record(), 0..12), after_leave in after_leave()) {
            let file: String = records.iter().map(Record::line).collect();
            for cut in 0..=file.len() {
                let cut_file = &file.as_bytes()[..cut];
                let lines = cut_file.iter().filter(|&&byte| byte == b'\n').count();
                let intact_bytes = records[..lines].iter().map(|record| record.line().len()).sum();
                let expected = Replay { snapshot: applied(&records[..lines], after_leave), intact_bytes, lines_skipped: 0 };
                prop_assert_eq!(Snapshot::replay(cut_file, after_leave), expected);
            }
        }

        #[test]
        fn damage_after_whole_lines_loses_none_of_them(records in prop::collection::vec(record(), 0..12), tail in prop::collection::vec(any::<u8>(), 0..80), after_leave in after_leave()) {
            let mut file: Vec<u8> = records.iter().map(Record::line).collect::<String>().into_bytes();
            let whole = file.len();
            // Every damaged line has a byte that no valid line contains.
            let tail: Vec<u8> = tail.iter().flat_map(|&byte| if byte == b'\n' { [0, byte] } else { [byte, 0] }).collect();
            file.extend_from_slice(&tail);
            let replay = Snapshot::replay(&file, after_leave);
            prop_assert_eq!(replay.snapshot, applied(&records, after_leave));
            prop_assert!(replay.intact_bytes >= whole);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic_and_compact_to_what_they_say(file in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b' ')], 0..300)) {
            let read = Snapshot::replay(&file, AfterLeave::Forget);
            prop_assert!(read.intact_bytes <= file.len());
            prop_assert_eq!(replay(&read.snapshot.compacted()), read.snapshot);
        }
    }
}
