//! The snapshot: what a node keeps on disk so that it finds its cluster again after a restart.
//!
//! A text file of lines, one [`Record`] each, that is only ever appended to until it is compacted. The format is that of
//! HashiCorp's serf, byte for byte, so that either program can take over the other's file. Here are the format, what a
//! file means, and when it should be compacted; the file itself is the adapter's, which must:
//!
//! - read the whole file with [`Snapshot::replay`] and, before it appends, cut it to [`Replay::intact_bytes`]: a line that a
//!   crash has torn would otherwise melt together with the next one;
//! - append [`Record::line`] of every [`Output::Persist`](crate::Output::Persist) in order, and give it to [`Snapshot::apply`];
//! - hand what it has appended to the operating system within half a second, also when nothing more comes;
//! - have it on the disk (fsync) after [`Record::Leave`], which need not be the last record, and before it exits;
//! - when [`Snapshot::wants_compaction`], write [`Snapshot::compacted`] to a new file, fsync that, and rename it over the old
//!   one, which stays valid until then.
//!
//! # What a crash can lose
//!
//! The records of the last half second, or since the last fsync if the power fails. A record always comes before the event
//! that it is about reaches the application, and before a coalescer delays that event, so that the file is never behind what
//! an application was told by more than that. A lost `alive` means one address less to rejoin through; a lost
//! `event-clock` that events the application has seen may be delivered again. Nothing that a crash loses makes the rest
//! unreadable.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use core::fmt::{self, Write as _};
use core::net::SocketAddr;

use crate::limits::{FAILED_REMEMBERED_MAX, LAMPORT_TIME_MAX, MEMBERS_MAX, NAME_BYTES_MAX};
use crate::types::Name;

/// One line of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// A member joined.
    Alive {
        /// Its name.
        name: Name,
        /// Where it listens.
        addr: SocketAddr,
    },
    /// A member left or failed.
    NotAlive {
        /// Its name.
        name: Name,
    },
    /// The member that is not alive any more failed: where it was, in case nobody else can be found. A comment for HashiCorp's
    /// programs, which do not keep it.
    Failed {
        /// Its name.
        name: Name,
        /// Where it listened.
        addr: SocketAddr,
    },
    /// The newest time seen of join and leave intents.
    Clock(u64),
    /// The newest time seen of user events.
    EventClock(u64),
    /// The newest time seen of queries.
    QueryClock(u64),
    /// We left the cluster gracefully.
    Leave,
}

impl Record {
    /// The line as it stands in the file, its end included.
    pub fn line(&self) -> String {
        let mut line = String::new();
        self.append_to(&mut line);
        line
    }

    /// Whether the record must be on the disk before the node goes on: it is the last.
    pub const fn must_be_synced(&self) -> bool {
        matches!(self, Self::Leave)
    }

    /// Whether the record can be read again: a name with a line end or another control character cannot.
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

    /// The record in a line without its end. `None`: a comment, or a line that older versions wrote.
    fn parse(line: &[u8]) -> Result<Option<Self>, Damaged> {
        let line = core::str::from_utf8(line).map_err(|_| Damaged)?;
        if line.chars().any(char::is_control) {
            return Err(Damaged);
        }
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
    /// The line without its end.
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

/// A line that is no record.
struct Damaged;

/// What a restart means after a graceful leave (`RejoinAfterLeave` in serf).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterLeave {
    /// The node begins as if it had never been a member. serf's default.
    #[default]
    Forget,
    /// The node finds its cluster again as after a crash.
    Rejoin,
}

/// What a snapshot file says. Kept up to date by its writer, it is also what a compacted file holds.
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

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replay {
    /// What it says.
    pub snapshot: Snapshot,
    /// How many of its bytes are whole lines. Cut the file to this before appending.
    pub intact_bytes: usize,
    /// How many lines could not be read and were passed over; a torn last line is not among them.
    pub lines_skipped: usize,
}

impl Snapshot {
    /// What an empty file says.
    pub fn new(after_leave: AfterLeave) -> Self {
        Self { after_leave, ..Self::default() }
    }

    /// Reads a whole file (`replay` in serf's snapshot.go). Lines that cannot be read are passed over, as is a last line without
    /// an end.
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
            tracing::warn!(lines = replay.lines_skipped, "parts of the snapshot cannot be read and are passed over");
        }
        replay
    }

    /// Takes note of a record. A record that cannot be written, since its name has a control character, means nothing.
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
                if self.after_leave == AfterLeave::Forget {
                    *self = Self::new(self.after_leave);
                }
                self.left = true;
            }
        }
    }

    /// The members that were alive, in the order of their names.
    pub fn alive(&self) -> impl Iterator<Item = (&Name, SocketAddr)> {
        self.alive.iter().map(|(name, addr)| (name, *addr))
    }

    /// The members that failed last and have not been seen since, the newest first. Where everybody else has moved away they
    /// may be the only way back.
    pub fn failed_members(&self) -> impl Iterator<Item = (&Name, SocketAddr)> {
        self.failed.iter().rev().map(|(name, addr)| (name, *addr))
    }

    /// The newest time seen of join and leave intents; 0 when none.
    pub const fn clock(&self) -> u64 {
        self.clock
    }

    /// The newest time seen of user events; 0 when none.
    pub const fn event_clock(&self) -> u64 {
        self.event_clock
    }

    /// The newest time seen of queries; 0 when none.
    pub const fn query_clock(&self) -> u64 {
        self.query_clock
    }

    /// Whether the node left gracefully, and has not started since.
    pub const fn left(&self) -> bool {
        self.left
    }

    /// Whether a file of this size says the same at too great length: it is larger than both 128 KiB and 256 bytes for every
    /// member that is alive (`appendLine` in serf's snapshot.go).
    pub fn wants_compaction(&self, file_bytes: u64) -> bool {
        file_bytes > COMPACTION_BYTES_MIN.max(self.alive.len() as u64 * ALIVE_BYTES * COMPACTION_FACTOR)
    }

    /// The shortest file that says the same (`compact` in serf's snapshot.go).
    pub fn compacted(&self) -> String {
        let mut file = String::new();
        for (name, addr) in self.alive() {
            Record::Alive { name: name.clone(), addr }.append_to(&mut file);
        }
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
        self.gone(name);
        if self.failed.len() >= FAILED_REMEMBERED_MAX {
            self.failed.pop_front();
        }
        self.failed.push_back((name.clone(), addr));
    }
}

/// Name and address: the address is after the last space, since a name may have spaces.
fn parse_node(node: &str) -> Result<(Name, SocketAddr), Damaged> {
    let (name, addr) = node.rsplit_once(' ').ok_or(Damaged)?;
    Ok((parse_name(name)?, addr.parse().map_err(|_| Damaged)?))
}

fn parse_name(name: &str) -> Result<Name, Damaged> {
    if is_recordable(name) { Ok(name.into()) } else { Err(Damaged) }
}

/// A time in decimal digits. The greatest number of all is what serf writes when its clock is at zero.
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

/// Below this size a file is not worth compacting (`snapshotCompactionThreshold`'s lower end in serf).
const COMPACTION_BYTES_MIN: u64 = 128 * 1024;

/// What one member is thought to take in a compacted file.
const ALIVE_BYTES: u64 = 128;

/// How many times longer than compacted a file may be.
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
    fn absurd_times_and_names_that_would_break_the_file_are_passed_over() {
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
            // Every line of the damage has a byte that no line has.
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
