//! Distribution of rates over node-seconds: exact below 16, within a sixteenth above.

/// Counts of values in log-linear buckets, sixteen per power of two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    counts: Vec<u32>,
    /// Number of values.
    samples: u64,
    /// The largest value; exact.
    peak: u32,
}

impl Rates {
    /// Counts one value.
    pub(super) fn add(&mut self, value: u32) {
        let bucket = bucket_of(value);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.samples += 1;
        self.peak = self.peak.max(value);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.samples += other.samples;
        self.peak = self.peak.max(other.peak);
    }

    /// The largest value.
    pub(super) const fn peak(&self) -> u32 {
        self.peak
    }

    /// Returns the 99th percentile of `population` values, of which those not counted are zero: the upper end of its
    /// bucket, at most the largest value.
    pub(super) fn p99(&self, population: u64) -> u32 {
        let population = population.max(self.samples);
        // Number of values above the percentile.
        let mut above = population - (population * 99).div_ceil(100);
        for (bucket, &count) in self.counts.iter().enumerate().rev() {
            if u64::from(count) > above {
                return upper_end(bucket).min(self.peak);
            }
            above -= u64::from(count);
        }
        0
    }
}

fn bucket_of(value: u32) -> usize {
    if value < SUB {
        return value as usize;
    }
    let octave = value.ilog2() - SUB_BITS;
    ((octave + 1) * SUB + (value >> octave) - SUB) as usize
}

/// The largest value of a bucket.
fn upper_end(bucket: usize) -> u32 {
    let bucket = u32::try_from(bucket).unwrap_or(u32::MAX);
    if bucket < SUB {
        return bucket;
    }
    let octave = bucket / SUB - 1;
    let lower = u64::from(bucket % SUB + SUB) << octave;
    u32::try_from(lower + (1 << octave) - 1).unwrap_or(u32::MAX)
}

const SUB_BITS: u32 = 4;
const SUB: u32 = 1 << SUB_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_the_bucket_that_ends_at_most_a_sixteenth_above() {
        for value in (0..5_000).chain([65_535, 65_536, 1_000_000_007, u32::MAX - 1, u32::MAX]) {
            let end = upper_end(bucket_of(value));
            assert!(end >= value && u64::from(end - value) * 16 <= u64::from(value), "{value}: {end}");
            assert!(value == 0 || bucket_of(value - 1) <= bucket_of(value), "{value}");
        }
    }

    #[test]
    fn the_99th_percentile_counts_silent_node_seconds_as_zero() {
        let mut rates = Rates::default();
        (0..10).for_each(|_| rates.add(500));
        assert_eq!(rates.p99(10), 500, "all sent");
        assert_eq!(rates.p99(1_000), 0, "one in a hundred sent: 990 of 1000 values are at most zero");
        assert_eq!(rates.p99(999), 500, "a little more than one in a hundred");
        rates.add(12);
        assert_eq!((rates.p99(11), rates.peak()), (500, 500));
    }
}
