use core::time::Duration;

use serf_proto::Rng;

use super::{Latency, Link};

/// Default behaviour of every link; rules override it. Probabilities are in parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkModel {
    latency_min: Duration,
    latency_max: Duration,
    loss_ppm: u32,
    duplicate_ppm: u32,
    reorder_ppm: u32,
    stream_reset_ppm: u32,
    bits_per_second: u64,
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
            square_side: Duration::ZERO,
        })
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

    /// Returns how long `bytes` occupy a node's link.
    pub(crate) fn transmission_time(&self, bytes: usize) -> Duration {
        Duration::from_nanos((bytes as u64).saturating_mul(8_000_000_000) / self.bits_per_second)
    }
}

const BITS_PER_SECOND: u64 = 1_000_000_000;
