//! Queues of a shard: its own event queue and the mail for other shards.

use serf_proto::Instant;

use crate::queue::Calendar;
use crate::scheduled::Scheduled;

/// A shard's event queue and outgoing mail.
#[derive(Debug)]
pub(crate) struct ShardQueues {
    pub(crate) queue: Calendar,
    shard: u32,
    shards: u32,
    /// Outgoing mail per shard, delivered at the end of the window; unused for the shard itself.
    mail: Vec<Vec<Scheduled>>,
    /// Due time of the earliest mail.
    mail_least: Instant,
}

impl ShardQueues {
    pub(crate) fn new(shard: u32, shards: u32) -> Self {
        Self {
            queue: Calendar::new(),
            shard,
            shards,
            mail: (0..shards).map(|_| Vec::new()).collect(),
            mail_least: Instant::MAX,
        }
    }

    /// Queues a scheduled payload, locally or as mail.
    pub(crate) fn send(&mut self, scheduled: Scheduled) {
        let shard = if self.shards == 1 { 0 } else { scheduled.target % self.shards };
        if shard == self.shard {
            self.queue.push(scheduled);
        } else {
            self.mail_least = self.mail_least.min(scheduled.key.at);
            self.mail[shard as usize].push(scheduled);
        }
    }

    /// Swaps the mail for `shard` with the empty `mailbox`, to reuse its memory.
    pub(crate) fn hand_over(&mut self, shard: usize, mailbox: &mut Vec<Scheduled>) {
        debug_assert!(mailbox.is_empty(), "a mailbox is emptied before it is filled again");
        core::mem::swap(&mut self.mail[shard], mailbox);
    }

    /// Marks all mail as delivered.
    pub(crate) const fn all_handed_over(&mut self) {
        self.mail_least = Instant::MAX;
    }

    /// Returns the earliest due time in the queue and the mail.
    pub(crate) fn least(&self) -> Instant {
        self.queue.least().map_or(self.mail_least, |least| least.min(self.mail_least))
    }
}
