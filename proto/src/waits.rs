//! How long broadcasts wait in a queue before they are sent for the first time.
//!
//! One broadcast of a queue is timed at once: a time per queued broadcast would double the memory of the queues, which in
//! a join storm hold every member at every node. Under backlog the timed one is as likely to be an early as a late one.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stats::Histogram;
use crate::time::Instant;

/// The waits of a queue of `T`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Waits<T> {
    /// The broadcast that is timed, and since when. Not saved, as it has the bytes of messages: a restored node times the
    /// next one.
    #[serde(skip)]
    timed: Option<(T, Instant)>,
    waits: Histogram,
}

impl<T: PartialEq> Waits<T> {
    pub(crate) const fn new() -> Self {
        Self { timed: None, waits: Histogram::NONE }
    }

    /// Times a broadcast that was just queued, unless another one is timed.
    pub(crate) fn queued(&mut self, now: Instant, item: impl FnOnce() -> T) {
        if self.timed.as_ref().is_none_or(|(_, since)| now - *since > TIMED_MAX) {
            self.timed = Some((item(), now));
        }
    }

    /// Notes that a broadcast was sent.
    pub(crate) fn sent(&mut self, now: Instant, item: &T) {
        if let Some((_, since)) = self.timed.take_if(|(timed, _)| timed == item) {
            self.waits.record(now - since);
        }
    }

    pub(crate) const fn histogram(&self) -> &Histogram {
        &self.waits
    }
}

/// How long a broadcast is timed. One that has not been sent by then was replaced, pruned or sent by others, and is not
/// counted.
const TIMED_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    #[test]
    fn the_first_send_of_the_timed_broadcast_counts_and_no_other() {
        let mut waits = Waits::new();
        waits.queued(at(1), || 'a');
        waits.queued(at(2), || 'b');
        waits.sent(at(3), &'b');
        assert_eq!(waits.histogram().count(), 0);
        waits.sent(at(5), &'a');
        waits.sent(at(6), &'a');
        assert_eq!((waits.histogram().count(), waits.histogram().sum()), (1, Duration::from_secs(4)));
        waits.queued(at(7), || 'c');
        waits.sent(at(7), &'c');
        assert_eq!(waits.histogram().count(), 2);
    }

    #[test]
    fn a_broadcast_that_is_never_sent_does_not_end_the_measurement() {
        let mut waits = Waits::new();
        waits.queued(at(0), || 'a');
        waits.queued(at(60), || 'b');
        waits.sent(at(60), &'b');
        assert_eq!(waits.histogram().count(), 0, "the first may still be sent");
        waits.queued(at(61), || 'b');
        waits.sent(at(62), &'b');
        assert_eq!((waits.histogram().count(), waits.histogram().sum()), (1, Duration::from_secs(1)));
    }
}
