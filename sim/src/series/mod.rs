//! Time series of a run: traffic, alarms and processes per virtual second.
//!
//! Each host counts what it sends in a [`Meter`] of its own; each shard has a [`Ledger`] of buckets. Counting takes constant time
//! per input and reads nothing that a node could observe, so trace hashes do not depend on it.

mod ledger;
mod meter;
mod rates;

use serde::{Deserialize, Serialize};

use self::ledger::Bucket;
pub(crate) use self::ledger::{Alarm, HEADER_BYTES, Ledger};
pub(crate) use self::meter::Meter;

/// Time series of a run, one value per bucket of [`Series::bucket_s`] virtual seconds since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Series {
    /// Length of a bucket, in virtual seconds: 1, or the smallest power of two that gives at most 4096 buckets.
    pub bucket_s: u32,
    /// Processes that ran within the bucket.
    pub nodes_up: Vec<u32>,
    /// Datagrams sent by all nodes.
    pub datagrams: Vec<u64>,
    /// Datagrams without IP and UDP headers.
    pub payload: Flow,
    /// Datagrams with 28 bytes of IPv4 and UDP headers each.
    pub wire: Flow,
    /// Bytes written to streams, without IP and TCP headers.
    pub stream: Flow,
    /// Suspicions of nodes that were up, one per observer.
    pub false_suspicions: Vec<u64>,
    /// Nodes that were up and were declared failed, one per observer.
    pub false_failures: Vec<u64>,
    /// Nodes that were down or unreachable and were declared failed, one per observer.
    pub true_failures: Vec<u64>,
}

/// Bytes that nodes send.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Flow {
    /// Sum over all nodes.
    pub bytes: Vec<u64>,
    /// 99th percentile over the bucket's node-seconds, in bytes a second; up to a sixteenth too high.
    pub p99_bytes_per_s: Vec<u32>,
    /// The bucket's largest node-second, in bytes a second.
    pub peak_bytes_per_s: Vec<u32>,
}

impl Series {
    /// Sums up the ledgers of all shards, and the seconds that their hosts have not finished.
    pub(crate) fn of<'a>(ledgers: impl Iterator<Item = &'a Ledger>, meters: impl Iterator<Item = &'a Meter>) -> Self {
        let mut sum = Ledger::default();
        meters.for_each(|meter| meter.pending(&mut sum));
        ledgers.for_each(|ledger| sum.merge(ledger));
        let mut series = Self { bucket_s: sum.width_s(), ..Self::default() };
        let mut running = 0_i64;
        for bucket in sum.buckets() {
            let before = running;
            running += bucket.processes;
            series.push(bucket, u32::try_from(before.max(running)).unwrap_or(0));
        }
        series
    }

    fn push(&mut self, bucket: &Bucket, nodes: u32) {
        let node_seconds = u64::from(nodes) * u64::from(self.bucket_s);
        self.nodes_up.push(nodes);
        self.datagrams.push(bucket.datagrams);
        self.payload.push(&bucket.payload, node_seconds);
        self.wire.push(&bucket.wire, node_seconds);
        self.stream.push(&bucket.stream, node_seconds);
        self.false_suspicions.push(bucket.alarms[Alarm::FalseSuspicion as usize]);
        self.false_failures.push(bucket.alarms[Alarm::FalseFailure as usize]);
        self.true_failures.push(bucket.alarms[Alarm::TrueFailure as usize]);
    }

    /// Returns the mean bytes of a node and second of a flow, one value per bucket.
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    pub fn mean_bytes_per_s(&self, flow: &Flow) -> Vec<f64> {
        let node_seconds = |nodes: &u32| f64::from(*nodes).max(1.0) * f64::from(self.bucket_s);
        flow.bytes.iter().zip(&self.nodes_up).map(|(bytes, nodes)| *bytes as f64 / node_seconds(nodes)).collect()
    }
}

impl Flow {
    fn push(&mut self, flow: &ledger::Flow, node_seconds: u64) {
        self.bytes.push(flow.bytes);
        self.p99_bytes_per_s.push(flow.rates.p99(node_seconds));
        self.peak_bytes_per_s.push(flow.rates.peak());
    }

    /// Returns the largest node-second of the run, in bytes a second.
    pub fn peak(&self) -> u32 {
        self.peak_bytes_per_s.iter().copied().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use serf_proto::Instant;

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn traffic_is_counted_in_the_second_in_which_it_was_sent() {
        let (mut ledger, mut a, mut b) = (Ledger::default(), Meter::NEW, Meter::NEW);
        (0..2).for_each(|_| ledger.process(at(0), 1));
        a.datagram(at(0), 100, &mut ledger);
        a.datagram(at(999), 50, &mut ledger);
        a.datagram(at(1_000), 7, &mut ledger);
        a.stream(at(2_500), 4_000, &mut ledger);
        b.datagram(at(1_999), 1_000, &mut ledger);
        let series = Series::of([&ledger].into_iter(), [&a, &b].into_iter());
        assert_eq!(series.nodes_up, [2, 2, 2]);
        assert_eq!(series.datagrams, [2, 2, 0]);
        assert_eq!(series.payload.bytes, [150, 1_007, 0]);
        assert_eq!(series.wire.bytes, [150 + 56, 1_007 + 56, 0]);
        assert_eq!(series.payload.peak_bytes_per_s, [150, 1_000, 0]);
        assert_eq!(series.stream.bytes, [0, 0, 4_000]);
        assert_eq!(series.mean_bytes_per_s(&series.payload), [75.0, 503.5, 0.0]);
    }

    #[test]
    fn shards_add_up_to_what_one_shard_would_count() {
        let play = |ledgers: &mut [Ledger]| {
            let count = ledgers.len();
            let mut meters = [Meter::NEW; 6];
            for (n, meter) in meters.iter_mut().enumerate() {
                let ledger = &mut ledgers[n % count];
                ledger.process(at(0), 1);
                for second in (0..20_000_u64).step_by(500 * (n + 1)) {
                    meter.datagram(at(second * 1000), 100 * (n + 1), ledger);
                    ledger.alarm(at(second * 1000), Alarm::FalseSuspicion);
                }
            }
            Series::of(ledgers.iter(), meters.iter())
        };
        let one = play(&mut [Ledger::default()]);
        assert_eq!(one, play(&mut [Ledger::default(), Ledger::default(), Ledger::default()]));
        assert_eq!(one.bucket_s, 8, "20 000 seconds in at most 4096 buckets");
        assert_eq!(one.datagrams.iter().sum::<u64>(), one.false_suspicions.iter().sum::<u64>());
    }

    #[test]
    fn a_run_of_years_stays_within_the_bound_of_buckets() {
        let mut ledger = Ledger::default();
        ledger.process(at(0), 1);
        ledger.process(Instant::from_nanos(u64::MAX), -1);
        let series = Series::of([&ledger].into_iter(), core::iter::empty());
        assert!(series.nodes_up.len() <= ledger::BUCKETS_MAX, "{}", series.nodes_up.len());
        assert!(series.nodes_up.iter().all(|nodes| *nodes == 1));
    }
}
