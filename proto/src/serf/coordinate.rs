//! Network coordinates: positions in a space in which distance is round-trip time.
//!
//! A coordinate is a point in eight dimensions plus a height: the latency of the node's own access link, which every
//! path to the node shares and no Euclidean space can express. The distance of two nodes is the distance of their
//! points plus both heights. The adjustment corrects a constant model error of a node. [`Vivaldi`](super::Vivaldi)
//! computes coordinates.

use core::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A node's network coordinate. All parts are in seconds, except for the error, which is dimensionless.
///
/// Valid by construction: finite, and within bounds that no honest node exceeds. HashiCorp's nodes accept any finite
/// numbers from a peer, so that one peer with a coordinate of 1e308 resets all others again and again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Coordinate {
    pub(super) vec: [f64; Self::DIMENSIONS],
    pub(super) error: f64,
    pub(super) adjustment: f64,
    pub(super) height: f64,
}

/// The parts of a coordinate.
#[derive(Deserialize)]
struct Unchecked {
    vec: [f64; Coordinate::DIMENSIONS],
    error: f64,
    adjustment: f64,
    height: f64,
}

impl TryFrom<Unchecked> for Coordinate {
    type Error = CoordinateError;

    fn try_from(Unchecked { vec, error, adjustment, height }: Unchecked) -> Result<Self, CoordinateError> {
        Self::new(&vec, error, adjustment, height)
    }
}

impl Coordinate {
    /// The number of dimensions (`Dimensionality` in serf's package coordinate).
    pub const DIMENSIONS: usize = 8;

    /// The coordinate of a node without measurements: at the center, with the maximum error.
    pub const ORIGIN: Self =
        Self { vec: [0.0; Self::DIMENSIONS], error: ERROR_MAX, adjustment: 0.0, height: HEIGHT_MIN };

    /// Creates a coordinate from its parts.
    ///
    /// # Errors
    ///
    /// If the number of dimensions is wrong, or a part is NaN or out of bounds: 10 s for the point, the adjustment and
    /// the height; the height must not be negative; 0 to 1.5 for the error.
    pub fn new(vec: &[f64], error: f64, adjustment: f64, height: f64) -> Result<Self, CoordinateError> {
        let vec = vec.try_into().map_err(|_| CoordinateError::Dimensions { count: vec.len() })?;
        let coordinate = Self { vec, error, adjustment, height };
        if coordinate.is_valid() { Ok(coordinate) } else { Err(CoordinateError::OutOfBounds) }
    }

    /// The point, in seconds.
    pub const fn vec(&self) -> &[f64; Self::DIMENSIONS] {
        &self.vec
    }

    /// The estimated error relative to a distance: 0 is exact, 1.5 is unknown.
    pub const fn error(&self) -> f64 {
        self.error
    }

    /// The constant added to every distance, in seconds; may be negative.
    pub const fn adjustment(&self) -> f64 {
        self.adjustment
    }

    /// The node's own share of every distance, in seconds.
    pub const fn height(&self) -> f64 {
        self.height
    }

    /// The estimated round-trip time between two nodes, truncated to nanoseconds (`DistanceTo` in serf's package
    /// coordinate).
    pub fn distance_to(&self, other: &Self) -> Duration {
        let raw = self.raw_distance_to(other);
        let adjusted = raw + self.adjustment + other.adjustment;
        // A negative adjustment must not make the distance negative, so it is ignored then.
        let seconds = if adjusted > 0.0 { adjusted } else { raw };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "cut to whole nanoseconds, as in Go"
        )]
        Duration::from_nanos((seconds * 1e9) as u64)
    }

    /// The distance without the adjustments, in seconds.
    pub(super) fn raw_distance_to(&self, other: &Self) -> f64 {
        magnitude(&self.difference(other)) + self.height + other.height
    }

    pub(super) fn difference(&self, other: &Self) -> [f64; Self::DIMENSIONS] {
        core::array::from_fn(|axis| self.vec[axis] - other.vec[axis])
    }

    pub(super) fn is_valid(&self) -> bool {
        // Comparisons with NaN are false, so NaN is invalid.
        self.vec.iter().all(|x| x.abs() <= SECONDS_MAX)
            && (0.0..=ERROR_MAX).contains(&self.error)
            && self.adjustment.abs() <= SECONDS_MAX
            && (0.0..=SECONDS_MAX).contains(&self.height)
    }
}

/// Why a coordinate or measurement is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CoordinateError {
    /// The number of dimensions is not [`Coordinate::DIMENSIONS`].
    #[error("the coordinate has {count} dimensions, it must have {}", Coordinate::DIMENSIONS)]
    Dimensions {
        /// The number of dimensions.
        count: usize,
    },
    /// A part is NaN, or out of bounds.
    #[error("a component of the coordinate is not a number or is out of range")]
    OutOfBounds,
    /// The measured round-trip time is above 10 s.
    #[error("the round-trip time of {0:?} is above 10 s")]
    Rtt(Duration),
}

/// The length of a vector. Sums in axis order, so that every platform, and Go, get the same bits.
pub(super) fn magnitude(vec: &[f64; Coordinate::DIMENSIONS]) -> f64 {
    libm::sqrt(vec.iter().fold(0.0, |sum, x| sum + x * x))
}

/// The error of a node without measurements (`VivaldiErrorMax`).
pub(super) const ERROR_MAX: f64 = 1.5;

/// The minimum height, in seconds (`HeightMin`).
pub(super) const HEIGHT_MIN: f64 = 10e-6;

/// The bound of every time in a coordinate, in seconds; equal to that of a round-trip time.
const SECONDS_MAX: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_that_no_honest_node_has_are_rejected() {
        let at = |vec: &[f64], error, adjustment, height| Coordinate::new(vec, error, adjustment, height);
        let zero = [0.0; 8];
        assert!(at(&zero, 1.5, -10.0, 10.0).is_ok());
        assert_eq!(at(&zero[..7], 1.0, 0.0, 0.0), Err(CoordinateError::Dimensions { count: 7 }));
        let mut far = zero;
        for x in [1e308, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -10.1] {
            far[3] = x;
            assert_eq!(at(&far, 1.0, 0.0, 0.0), Err(CoordinateError::OutOfBounds), "{x}");
            assert_eq!(at(&zero, x, 0.0, 0.0), Err(CoordinateError::OutOfBounds), "{x}");
            assert_eq!(at(&zero, 1.0, x, 0.0), Err(CoordinateError::OutOfBounds), "{x}");
            assert_eq!(at(&zero, 1.0, 0.0, x), Err(CoordinateError::OutOfBounds), "{x}");
        }
        assert_eq!(at(&zero, 1.0, 0.0, -1e-9), Err(CoordinateError::OutOfBounds));
        assert_eq!(at(&zero, 1.6, 0.0, 0.0), Err(CoordinateError::OutOfBounds));
    }

    #[test]
    fn a_distance_counts_heights_always_and_adjustments_if_it_stays_positive() {
        let mut vec = [0.0; 8];
        let here = Coordinate::new(&vec, 1.0, 0.001, 0.002).unwrap();
        (vec[0], vec[1]) = (0.03, 0.04);
        let there = Coordinate::new(&vec, 1.0, 0.003, 0.004).unwrap();
        assert_eq!(here.distance_to(&there), Duration::from_micros(60_000));
        assert_eq!(there.distance_to(&here), here.distance_to(&there));
        let there = Coordinate::new(&vec, 1.0, -1.0, 0.004).unwrap();
        assert_eq!(here.distance_to(&there), Duration::from_micros(56_000));
        let near = Coordinate::new(&[0.0; 8], 1.0, -0.25, 0.25).unwrap();
        assert_eq!(near.distance_to(&near), Duration::from_millis(500), "nor zero");
    }
}
