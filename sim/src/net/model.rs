use core::time::Duration;

use serde::{Deserialize, Serialize};
use serf_proto::{Instant, Rng};

use super::{Latency, Link};

/// Default behaviour of every link; rules override it. Probabilities are in parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkModel {
    latency_min: Duration,
    latency_max: Duration,
    loss_ppm: u32,
    duplicate_ppm: u32,
    reorder_ppm: u32,
    stream_reset_ppm: u32,
    bits_per_second: u64,
    datagram_bits_per_second: u64,
    mtu_bytes: u32,
    square_side: Duration,
}

/// Reason for which a latency range is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkModelError {
    /// The minimum latency exceeds the maximum.
    #[error("the minimum latency {min:?} is above the maximum {max:?}")]
    LatencyReversed {
        /// The minimum.
        min: Duration,
        /// The maximum.
        max: Duration,
    },
    /// The minimum latency is zero. It is the length of a window, in which threads run independently.
    #[error("the minimum latency must be above zero")]
    LatencyZero,
    /// Streams have no send rate.
    #[error("the send rate on streams must be above zero")]
    RateZero,
}

impl LinkModel {
    /// Returns links without faults, with a one-way latency drawn uniformly from `min` to `max` per packet, at 1
    /// Gbit/s.
    ///
    /// # Errors
    ///
    /// Returns an error if `min` is zero or above `max`.
    pub fn new(min: Duration, max: Duration) -> Result<Self, LinkModelError> {
        if min.is_zero() {
            return Err(LinkModelError::LatencyZero);
        }
        if min > max {
            return Err(LinkModelError::LatencyReversed { min, max });
        }
        Ok(Self {
            latency_min: min,
            latency_max: max,
            loss_ppm: 0,
            duplicate_ppm: 0,
            reorder_ppm: 0,
            stream_reset_ppm: 0,
            bits_per_second: BITS_PER_SECOND,
            datagram_bits_per_second: 0,
            mtu_bytes: 0,
            square_side: Duration::ZERO,
        })
    }

    /// Checks a model that was read from a file, and so not made by the functions here.
    pub(crate) fn check(&self) -> Result<(), LinkModelError> {
        Self::new(self.latency_min, self.latency_max)?;
        if self.bits_per_second == 0 { Err(LinkModelError::RateZero) } else { Ok(()) }
    }

    /// Sets the probability that a datagram is lost, in parts per million.
    #[must_use]
    pub const fn with_loss_ppm(self, loss_ppm: u32) -> Self {
        Self { loss_ppm, ..self }
    }

    /// Sets the probability that a datagram arrives twice, in parts per million.
    #[must_use]
    pub const fn with_duplicate_ppm(self, duplicate_ppm: u32) -> Self {
        Self { duplicate_ppm, ..self }
    }

    /// Sets the probability that a datagram is delayed so that later ones overtake it, in parts per million.
    #[must_use]
    pub const fn with_reorder_ppm(self, reorder_ppm: u32) -> Self {
        Self { reorder_ppm, ..self }
    }

    /// Sets the probability that a stream chunk resets its stream, in parts per million.
    #[must_use]
    pub const fn with_stream_reset_ppm(self, stream_reset_ppm: u32) -> Self {
        Self { stream_reset_ppm, ..self }
    }

    /// Sets the send rate of a node on streams. At least 1.
    #[must_use]
    pub fn with_bits_per_second(self, bits_per_second: u64) -> Self {
        Self { bits_per_second: bits_per_second.max(1), ..self }
    }

    /// Sets the send rate of a node for datagrams, which streams do not use up. Datagrams queue for at most
    /// 100 ms; beyond that they are dropped. Zero: they take no time.
    #[must_use]
    pub const fn with_datagram_bits_per_second(self, datagram_bits_per_second: u64) -> Self {
        Self { datagram_bits_per_second, ..self }
    }

    /// Sets the largest IP packet; larger datagrams are dropped, as by a path that does not fragment. Zero: any size
    /// arrives.
    #[must_use]
    pub const fn with_mtu_bytes(self, mtu_bytes: u32) -> Self {
        Self { mtu_bytes, ..self }
    }

    /// Places the nodes uniformly in a square whose side a packet crosses in `square_side`; the travel time between two
    /// nodes is added to the drawn latency. Zero: all nodes are in one place.
    #[must_use]
    pub const fn with_square_side(self, square_side: Duration) -> Self {
        Self { square_side, ..self }
    }

    /// Returns the minimum one-way latency.
    pub const fn latency_min(&self) -> Duration {
        self.latency_min
    }

    /// Returns the maximum one-way latency of a packet that is not reordered, between nodes in one place.
    pub const fn latency_max(&self) -> Duration {
        self.latency_max
    }

    /// Returns the probability that a datagram is lost, in parts per million.
    pub const fn loss_ppm(&self) -> u32 {
        self.loss_ppm
    }

    /// Returns the travel time across the square of the nodes; zero if they are in one place.
    pub const fn square_side(&self) -> Duration {
        self.square_side
    }

    /// Returns the behaviour of datagrams on every link.
    pub const fn link(&self) -> Link {
        let Self { latency_min: min, latency_max: max, loss_ppm, duplicate_ppm, reorder_ppm, .. } = *self;
        Link { latency: Latency::Uniform { min, max }, loss_ppm, duplicate_ppm, reorder_ppm }
    }

    pub(crate) const fn stream_reset_ppm(&self) -> u32 {
        self.stream_reset_ppm
    }

    pub(crate) fn draw_latency(&self, rng: &mut Rng) -> Duration {
        self.latency_min + rng.duration_below(self.latency_max - self.latency_min)
    }

    /// Draws one to five times the maximum latency: every packet sent within that time overtakes.
    pub(crate) fn draw_reorder_delay(&self, rng: &mut Rng) -> Duration {
        self.latency_max + rng.duration_below(4 * self.latency_max)
    }

    /// Whether a datagram with this payload fits into a packet.
    pub(crate) const fn fits(&self, payload_bytes: usize) -> bool {
        self.mtu_bytes == 0 || payload_bytes + HEADER_BYTES <= self.mtu_bytes as usize
    }

    /// Returns when a datagram that is sent now has left a link that is free at `free_at`; `None` if the queue is full.
    pub(crate) fn datagram_departure(&self, now: Instant, free_at: Instant, payload_bytes: usize) -> Option<Instant> {
        if self.datagram_bits_per_second == 0 {
            return Some(now);
        }
        let bits = (payload_bytes + HEADER_BYTES) as u64 * 8;
        let nanos = bits.saturating_mul(1_000_000_000) / self.datagram_bits_per_second;
        let departs = free_at.max(now) + Duration::from_nanos(nanos);
        (departs - now <= DATAGRAM_QUEUE).then_some(departs)
    }

    /// Returns how long `bytes` occupy a node's link.
    pub(crate) fn transmission_time(&self, bytes: usize) -> Duration {
        Duration::from_nanos((bytes as u64).saturating_mul(8_000_000_000) / self.bits_per_second)
    }
}

const BITS_PER_SECOND: u64 = 1_000_000_000;

/// The longest time that a datagram waits at a node's link: a common size of a router's buffer.
const DATAGRAM_QUEUE: Duration = Duration::from_millis(100);

/// An IPv4 header without options, and a UDP header.
const HEADER_BYTES: usize = 20 + 8;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn datagrams_leave_one_after_another_and_are_dropped_beyond_the_queue() {
        let model = LinkModel::new(MS, MS).unwrap().with_datagram_bits_per_second(1_000_000);
        let (mut free_at, mut sent) = (Instant::ZERO, 0);
        while let Some(departs) = model.datagram_departure(Instant::ZERO, free_at, 972) {
            free_at = departs;
            sent += 1;
            assert_eq!(departs, Instant::ZERO + sent * 8 * MS, "1000 bytes take 8 ms");
        }
        assert_eq!(sent, 12, "96 ms; the next one would wait longer than 100 ms");
        let later = Instant::ZERO + 200 * MS;
        assert_eq!(model.datagram_departure(later, free_at, 972), Some(later + 8 * MS), "the queue has drained");
        let free = LinkModel::new(MS, MS).unwrap();
        assert_eq!(free.datagram_departure(later, free_at, 972), Some(later));
    }

    #[test]
    fn a_datagram_fits_with_its_headers() {
        let model = LinkModel::new(MS, MS).unwrap().with_mtu_bytes(1500);
        assert_eq!([1472, 1473].map(|bytes| model.fits(bytes)), [true, false]);
        assert!(LinkModel::new(MS, MS).unwrap().fits(65_507));
    }
}
