//! The ack payload of this layer: the network coordinate of the probed member.
//!
//! Opaque bytes to membership (`AckPayload` and `NotifyPingComplete` in serf's ping_delegate.go).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Serf;
use super::coordinate::{Coordinate, CoordinateError};
use super::vivaldi::{LatencyFilter, Vivaldi};
use crate::core::Core;
use crate::roster::MemberIdx;
use crate::stats::DropReason;
use crate::wire::serf::{self as wire, List};
use crate::wire::{Codec, DecodeError, Writer};

/// Our own coordinate, and those of members that acked our probes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Coordinates {
    vivaldi: Vivaldi,
    others: BTreeMap<MemberIdx, Measured>,
}

/// The measurements of one member.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Measured {
    filter: LatencyFilter,
    coordinate: Coordinate,
}

impl Coordinates {
    /// `None` if coordinates are disabled.
    pub(super) fn new(wanted: bool) -> Option<Box<Self>> {
        wanted.then(Box::default)
    }

    /// Handles the payload of a member's ack of a direct ping.
    fn measure(&mut self, core: &mut Core, idx: MemberIdx, rtt: Duration, payload: &[u8]) {
        if payload.first().is_some_and(|&version| !core.cfg.transport().codec.reads(Codec::of(version))) {
            return core.stats.drop(DropReason::Codec);
        }
        let other = match decode(payload) {
            Ok(other) => other,
            Err(PayloadError::Version) => return core.stats.drop(DropReason::Versions),
            Err(PayloadError::Malformed) => return core.stats.drop(DropReason::Malformed),
            Err(PayloadError::Coordinate(_)) => return core.stats.coordinates_rejected += 1,
        };
        let Self { vivaldi, others } = self;
        let known = others.get(&idx).map_or_else(LatencyFilter::default, |known| known.filter);
        let (mut filter, before) = (known, *vivaldi.coordinate());
        // Updates a copy of the filter: a refused round-trip time must change nothing.
        if vivaldi.update(&mut filter, &other, rtt, &mut core.rng.coordinate).is_err() {
            core.stats.coordinates_rejected += 1;
            return;
        }
        others.insert(idx, Measured { filter, coordinate: other });
        let moved = before.distance_to(vivaldi.coordinate());
        core.stats.coordinate_updates += 1;
        core.stats.coordinate_moved_nanos += u64::try_from(moved.as_nanos()).unwrap_or_default();
        core.stats.coordinates_zero_rtt += u64::from(rtt.is_zero());
        core.stats.coordinate_resets = vivaldi.resets();
    }

    pub(super) fn forget(&mut self, idx: MemberIdx) {
        self.others.remove(&idx);
    }
}

impl Serf {
    /// The payload of our acks: our coordinate; empty if coordinates are disabled.
    pub(crate) fn ack_payload(&self, codec: Codec) -> AckPayload {
        self.coordinates.as_ref().map_or(AckPayload::EMPTY, |own| encode(codec, own.vivaldi.coordinate()))
    }

    /// Handles the ack of a direct ping of ours that arrived within the probe timeout.
    pub(crate) fn pinged(&mut self, core: &mut Core, idx: MemberIdx, rtt: Duration, payload: &[u8]) {
        // Members only: the entries of other names would never be removed.
        if self.members.has(idx)
            && !payload.is_empty()
            && let Some(coordinates) = &mut self.coordinates
        {
            coordinates.measure(core, idx, rtt, payload);
        }
    }

    /// The coordinate of a member, as it reported it. For members other than this node, known only after they acked a
    /// probe. `None` if coordinates are disabled.
    pub(crate) fn coordinate(&self, idx: MemberIdx) -> Option<Coordinate> {
        let own = self.coordinates.as_ref()?;
        if idx == self.members.me() {
            return Some(*own.vivaldi.coordinate());
        }
        Some(own.others.get(&idx)?.coordinate)
    }
}

/// An ack payload, on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckPayload {
    bytes: [u8; PAYLOAD_BYTES_MAX],
    len: usize,
}

impl AckPayload {
    const EMPTY: Self = Self { bytes: [0; PAYLOAD_BYTES_MAX], len: 0 };

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Why a payload was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PayloadError {
    /// A version other than ours.
    Version,
    /// Malformed.
    Malformed,
    /// Not a valid coordinate.
    Coordinate(CoordinateError),
}

fn encode(codec: Codec, coordinate: &Coordinate) -> AckPayload {
    let mut payload = AckPayload::EMPTY;
    let mut writer = Writer::new(&mut payload.bytes);
    let written = codec.encode_coordinate(
        &wire::Coordinate {
            vec: List::new(coordinate.vec()),
            error: coordinate.error(),
            adjustment: coordinate.adjustment(),
            height: coordinate.height(),
        },
        &mut writer,
    );
    debug_assert!(written.is_ok(), "a coordinate is always about as long");
    payload.len = writer.len();
    payload
}

fn decode(payload: &[u8]) -> Result<Coordinate, PayloadError> {
    let read = Codec::decode_coordinate(payload).map_err(|error| match error {
        DecodeError::Unknown => PayloadError::Version,
        _ => PayloadError::Malformed,
    })?;
    let mut vec = [0.0; Coordinate::DIMENSIONS];
    if read.vec.len() != vec.len() {
        return Err(PayloadError::Coordinate(CoordinateError::Dimensions { count: read.vec.len() }));
    }
    for (x, value) in vec.iter_mut().zip(read.vec.iter()) {
        *x = value;
    }
    Coordinate::new(&vec, read.error, read.adjustment, read.height).map_err(PayloadError::Coordinate)
}

/// Eleven floats, four keys, heads and version in HashiCorp's codec; the native one takes less.
const PAYLOAD_BYTES_MAX: usize = 11 * 9 + (11 + 6 + 7 + 4) + 2 + 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_payload_of_a_node_that_knows_nothing_is_as_serf_writes_it() {
        let zero = "cb0000000000000000";
        let expected = alloc::format!(
            "0184aa41646a7573746d656e74{zero}a54572726f72cb3ff8000000000000a6486569676874cb3ee4f8b588e368f1a356656398{}",
            zero.repeat(8)
        );
        let hex: alloc::string::String = encode(Codec::HashiCorp, &Coordinate::ORIGIN)
            .bytes()
            .iter()
            .map(|byte| alloc::format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn keys_may_come_in_any_order_and_numbers_in_any_width() {
        let mut payload = b"\x01\x83\xa6Height\xca\x3f\x00\x00\x00\xa3Vec\x98".to_vec();
        payload.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 2]);
        payload.extend_from_slice(b"\xa5Error\x01");
        let expected = Coordinate::new(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0], 1.0, 0.0, 0.5).unwrap();
        assert_eq!(decode(&payload), Ok(expected));
    }

    #[test]
    fn other_versions_and_other_dimensions_are_distinguished_from_damage() {
        assert_eq!(decode(b"\x02\x80"), Err(PayloadError::Version));
        assert_eq!(decode(b"\x01\x91"), Err(PayloadError::Malformed));
        let seven = PayloadError::Coordinate(CoordinateError::Dimensions { count: 7 });
        assert_eq!(decode(b"\x01\x81\xa3Vec\x97\x00\x00\x00\x00\x00\x00\x00"), Err(seven));
    }

    proptest! {
        #[test]
        fn a_coordinate_comes_back_as_it_was_and_never_cut(vec in prop::array::uniform8(-10.0..=10.0), error in 0.0..=1.5, adjustment in -10.0..=10.0, height in 0.0..=10.0) {
            let coordinate = Coordinate::new(&vec, error, adjustment, height).unwrap();
            for codec in [Codec::Native, Codec::HashiCorp] {
                let payload = encode(codec, &coordinate);
                prop_assert_eq!(decode(payload.bytes()), Ok(coordinate));
                for len in 0..payload.bytes().len() {
                    prop_assert!(decode(&payload.bytes()[..len]).is_err());
                }
            }
        }

        #[test]
        fn any_payload_decodes_without_a_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            _ = decode(&payload);
        }
    }
}
