//! The last log records, for new followers, and the followers' queues.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Level;

/// Keeps the last 512 records of all levels, or as many as fit into 1 MiB, and queues new ones for followers
/// (`logWriter` in `cmd/serf/command/agent/log_writer.go`).
///
/// Records dropped for a slow follower are counted, never logged one by one: a notice about a dropped record would
/// itself be a record that is dropped. HashiCorp's agent logs them, and so loops for ever.
#[derive(Debug, Default)]
pub struct LogRing {
    records: Records,
    followers: Vec<(u64, Follower)>,
    follower_next: u64,
}

#[derive(Debug)]
struct Follower {
    level: Level,
    queue: Records,
    dropped: u64,
}

/// Records in order, and their total bytes.
#[derive(Debug, Default)]
struct Records {
    queue: VecDeque<Arc<str>>,
    bytes: usize,
}

impl Records {
    fn has_room(&self, record: &str, records_max: usize, bytes_max: usize) -> bool {
        self.queue.len() < records_max && self.bytes + record.len() <= bytes_max
    }

    fn push(&mut self, record: Arc<str>) {
        self.bytes += record.len();
        self.queue.push_back(record);
    }

    fn pop(&mut self) -> Option<Arc<str>> {
        let record = self.queue.pop_front()?;
        self.bytes -= record.len();
        Some(record)
    }
}

/// Identifies a follower of a [`LogRing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerId(u64);

impl LogRing {
    /// An empty ring.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record, without a newline at its end.
    pub fn push(&mut self, record: Arc<str>) {
        for (_, follower) in &mut self.followers {
            follower.push(&record);
        }
        while !self.records.has_room(&record, RECORDS_MAX, RECORDS_BYTES_MAX) && self.records.pop().is_some() {}
        self.records.push(record);
    }

    /// Starts to queue records from `level` on, beginning with the kept ones.
    pub fn follow(&mut self, level: Level) -> FollowerId {
        let mut follower = Follower { level, queue: Records::default(), dropped: 0 };
        self.records.queue.iter().for_each(|record| follower.push(record));
        let id = self.follower_next;
        self.follower_next += 1;
        self.followers.push((id, follower));
        FollowerId(id)
    }

    /// Takes the oldest queued record of a follower.
    pub fn poll(&mut self, id: FollowerId) -> Option<Arc<str>> {
        self.follower(id)?.queue.pop()
    }

    /// Takes the number of records that the follower missed because its queue was full.
    pub fn take_dropped(&mut self, id: FollowerId) -> u64 {
        self.follower(id).map_or(0, |follower| core::mem::take(&mut follower.dropped))
    }

    /// Removes a follower.
    pub fn unfollow(&mut self, id: FollowerId) {
        self.followers.retain(|(other, _)| *other != id.0);
    }

    fn follower(&mut self, id: FollowerId) -> Option<&mut Follower> {
        self.followers.iter_mut().find(|(other, _)| *other == id.0).map(|(_, follower)| follower)
    }
}

impl Follower {
    fn push(&mut self, record: &Arc<str>) {
        if !self.level.passes(record) {
            return;
        }
        if self.queue.has_room(record, QUEUE_MAX, QUEUE_BYTES_MAX) {
            self.queue.push(Arc::clone(record));
        } else {
            self.dropped += 1;
        }
    }
}

/// Records kept for `monitor`.
const RECORDS_MAX: usize = 512;

/// Bytes of the records kept for `monitor`; the oldest are dropped beyond. Ordinary records have about a hundred bytes.
const RECORDS_BYTES_MAX: usize = 1 << 20;

/// Records queued per follower; newer ones are dropped.
const QUEUE_MAX: usize = 512;

/// Bytes queued per follower; newer records are dropped.
const QUEUE_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn push(ring: &mut LogRing, record: &str) {
        ring.push(record.into());
    }

    #[test]
    fn a_follower_gets_the_past_and_the_future_from_its_level_on() {
        let mut ring = LogRing::new();
        push(&mut ring, "[INFO] past");
        push(&mut ring, "[DEBUG] past detail");
        let info = ring.follow(Level::Info);
        let debug = ring.follow(Level::Debug);
        push(&mut ring, "[DEBUG] detail");
        push(&mut ring, "[ERR] now");
        let mut all = |id| core::iter::from_fn(|| ring.poll(id)).map(|record| record.to_string()).collect::<Vec<_>>();
        assert_eq!(all(info), ["[INFO] past", "[ERR] now"]);
        assert_eq!(all(debug), ["[INFO] past", "[DEBUG] past detail", "[DEBUG] detail", "[ERR] now"]);
    }

    #[test]
    fn a_full_log_ring_drops_its_oldest_records_and_a_full_follower_the_newest() {
        let mut ring = LogRing::new();
        for n in 0..600 {
            push(&mut ring, &format!("[INFO] {n}"));
        }
        let slow = ring.follow(Level::Trace);
        push(&mut ring, "[INFO] 600");
        assert_eq!(ring.take_dropped(slow), 1);
        assert_eq!(ring.take_dropped(slow), 0, "taken");
        assert_eq!(ring.poll(slow).as_deref(), Some("[INFO] 88"));
        push(&mut ring, "[INFO] 601");
        let rest: Vec<_> = core::iter::from_fn(|| ring.poll(slow)).collect();
        assert_eq!((rest.len(), rest.last().map(|last| &**last)), (512, Some("[INFO] 601")));
        ring.unfollow(slow);
        assert_eq!(ring.poll(slow), None);
    }

    #[test]
    fn records_are_bounded_in_bytes() {
        let mut ring = LogRing::new();
        let slow = ring.follow(Level::Trace);
        // As many as fit, and one more.
        for _ in 0..64 {
            push(&mut ring, &"x".repeat(RECORDS_BYTES_MAX / 64));
        }
        assert_eq!((ring.records.queue.len(), ring.records.bytes), (64, RECORDS_BYTES_MAX), "at the bound");
        assert_eq!(ring.take_dropped(slow), 0);
        push(&mut ring, "x");
        assert_eq!(ring.records.queue.len(), 64, "the oldest is gone");
        assert_eq!(ring.take_dropped(slow), 1, "the newest is dropped");
        while ring.poll(slow).is_some() {}
        assert_eq!(ring.follower(slow).map(|follower| follower.queue.bytes), Some(0));
    }
}
