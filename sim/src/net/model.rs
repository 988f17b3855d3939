use core::time::Duration;

use serf_proto::Rng;

/// How every link behaves unless a rule says otherwise. Chances are parts per million.
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

/// Why a latency range was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkModelError {
    /// The least latency is above the greatest.
    #[error("the least latency {min:?} is above the greatest {max:?}")]
    LatencyReversed {
        /// The least.
        min: Duration,
        /// The greatest.
        max: Duration,
    },
    /// The least latency is zero. It is how far the simulator may run each thread ahead of the others.
    #[error("the least latency must be above zero")]
    LatencyZero,
}

impl LinkModel {
    /// Links without faults whose one-way latency is drawn uniformly from `min` to `max` for each packet, at 1 Gbit/s.
    ///
    /// # Errors
    ///
    /// When `min` is zero or above `max`.
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

    /// How many datagrams of a million are lost.
    #[must_use]
    pub const fn with_loss_ppm(self, loss_ppm: u32) -> Self {
        Self { loss_ppm, ..self }
    }

    /// How many datagrams of a million arrive twice.
    #[must_use]
    pub const fn with_duplicate_ppm(self, duplicate_ppm: u32) -> Self {
        Self { duplicate_ppm, ..self }
    }

    /// How many datagrams of a million are held up, so that later ones overtake them.
    #[must_use]
    pub const fn with_reorder_ppm(self, reorder_ppm: u32) -> Self {
        Self { reorder_ppm, ..self }
    }

    /// How many chunks of streams of a million reset their stream.
    #[must_use]
    pub const fn with_stream_reset_ppm(self, stream_reset_ppm: u32) -> Self {
        Self { stream_reset_ppm, ..self }
    }

    /// How fast a node can send on streams. At least 1.
    #[must_use]
    pub fn with_bits_per_second(self, bits_per_second: u64) -> Self {
        Self { bits_per_second: bits_per_second.max(1), ..self }
    }

    /// Nodes are spread evenly over a square, whose side a packet crosses in `square_side`; the time between two of them comes on
    /// top of what is drawn. Zero: all are in one place.
    #[must_use]
    pub const fn with_square_side(self, square_side: Duration) -> Self {
        Self { square_side, ..self }
    }

    /// The least one-way latency.
    pub const fn latency_min(&self) -> Duration {
        self.latency_min
    }

    /// The greatest one-way latency of a packet that is not reordered, between nodes in one place.
    pub const fn latency_max(&self) -> Duration {
        self.latency_max
    }

    /// How many datagrams of a million are lost.
    pub const fn loss_ppm(&self) -> u32 {
        self.loss_ppm
    }

    /// How long a packet takes to cross the square in which nodes are; zero when they are in one place.
    pub const fn square_side(&self) -> Duration {
        self.square_side
    }

    pub(crate) const fn duplicate_ppm(&self) -> u32 {
        self.duplicate_ppm
    }

    pub(crate) const fn reorder_ppm(&self) -> u32 {
        self.reorder_ppm
    }

    pub(crate) const fn stream_reset_ppm(&self) -> u32 {
        self.stream_reset_ppm
    }

    pub(crate) fn draw_latency(&self, rng: &mut Rng) -> Duration {
        self.latency_min + rng.duration_below(self.latency_max - self.latency_min)
    }

    /// From one to five times the greatest latency: every packet sent within that time overtakes.
    pub(crate) fn draw_reorder_delay(&self, rng: &mut Rng) -> Duration {
        self.latency_max + rng.duration_below(4 * self.latency_max)
    }

    /// How long a node's link is busy with `bytes`.
    pub(crate) fn transmission_time(&self, bytes: usize) -> Duration {
        Duration::from_nanos((bytes as u64).saturating_mul(8_000_000_000) / self.bits_per_second)
    }
}

const BITS_PER_SECOND: u64 = 1_000_000_000;
