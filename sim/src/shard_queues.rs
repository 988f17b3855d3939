//! Where what is sent goes: into the shard's own queue, or into the mail for another shard.

use serf_proto::Instant;

use crate::queue::Calendar;
use crate::scheduled::Scheduled;

/// A shard's queue and its outgoing mail.
#[derive(Debug)]
pub(crate) struct ShardQueues {
    pub(crate) queue: Calendar,
    shard: u32,
    shards: u32,
    /// For each shard what goes there at the end of the window; nothing for ourselves.
    mail: Vec<Vec<Scheduled>>,
    /// When the first of the mail is due.
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

    /// Sends a scheduled payload on its way.
    pub(crate) fn send(&mut self, scheduled: Scheduled) {
        let shard = if self.shards == 1 { 0 } else { scheduled.target % self.shards };
        if shard == self.shard {
            self.queue.push(scheduled);
        } else {
            self.mail_least = self.mail_least.min(scheduled.key.at);
            self.mail[shard as usize].push(scheduled);
        }
    }

    /// Puts the mail for `shard` into the empty `mailbox`, and keeps the mailbox's memory.
    pub(crate) fn hand_over(&mut self, shard: usize, mailbox: &mut Vec<Scheduled>) {
        debug_assert!(mailbox.is_empty(), "a mailbox is emptied before it is filled again");
        core::mem::swap(&mut self.mail[shard], mailbox);
    }

    /// Notes that all mail has been handed over.
    pub(crate) const fn all_handed_over(&mut self) {
        self.mail_least = Instant::MAX;
    }

    /// When the first thing is due that is in the queue or was sent from here.
    pub(crate) fn least(&self) -> Instant {
        self.queue.least().map_or(self.mail_least, |least| least.min(self.mail_least))
    }
}
