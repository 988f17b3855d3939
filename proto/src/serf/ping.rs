//! What an ack carries for this layer: the coordinate of whoever answers.
//!
//! Version byte 1, then a msgpack map of `Adjustment`, `Error`, `Height` and `Vec`, whatever the codec of the ack is: for
//! membership these are opaque bytes (`AckPayload` and `NotifyPingComplete` in serf's ping_delegate.go).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::time::Duration;

use super::Serf;
use super::coordinate::{Coordinate, CoordinateError};
use super::vivaldi::{LatencyFilter, Vivaldi};
use crate::core::Core;
use crate::roster::MemberIdx;
use crate::stats::DropReason;

/// Our own coordinate, and those of the members that answered our probes.
#[derive(Clone, Debug, Default)]
pub(super) struct Coordinates {
    vivaldi: Vivaldi,
    others: BTreeMap<MemberIdx, Measured>,
}

/// What we know of a member from its answers.
#[derive(Clone, Debug)]
struct Measured {
    filter: LatencyFilter,
    coordinate: Coordinate,
}

impl Coordinates {
    /// Only a configuration that wants coordinates has any.
    pub(super) fn new(wanted: bool) -> Option<Box<Self>> {
        wanted.then(Box::default)
    }

    pub(super) fn forget(&mut self, idx: MemberIdx) {
        self.others.remove(&idx);
    }
}

impl Serf {
    /// What our acks carry: our coordinate, or nothing when coordinates are off.
    pub(crate) fn ack_payload(&self) -> AckPayload {
        self.coordinates.as_ref().map_or(AckPayload::EMPTY, |own| encode(own.vivaldi.coordinate()))
    }

    /// A member answered our own direct ping within the probe timeout, with this payload.
    pub(crate) fn pinged(&mut self, core: &mut Core, idx: MemberIdx, rtt: Duration, payload: &[u8]) {
        // A member that has just been forgotten would be remembered for ever.
        let is_member = self.row(idx).status().is_some();
        let Some(own) = self.coordinates.as_mut().filter(|_| is_member && !payload.is_empty()) else { return };
        let other = match decode(payload) {
            Ok(other) => other,
            Err(PayloadError::Version) => return core.stats.drop(DropReason::Versions),
            Err(PayloadError::Malformed) => return core.stats.drop(DropReason::Malformed),
            Err(PayloadError::Coordinate(_)) => return core.stats.coordinates_rejected += 1,
        };
        let Coordinates { vivaldi, others } = &mut **own;
        let known = others.get(&idx).map_or_else(LatencyFilter::default, |known| known.filter);
        let mut filter = known;
        if vivaldi.update(&mut filter, &other, rtt, &mut core.rng.coordinate).is_err() {
            core.stats.coordinates_rejected += 1;
            return;
        }
        others.insert(idx, Measured { filter, coordinate: other });
        core.stats.coordinates_zero_rtt += u64::from(rtt.is_zero());
        core.stats.coordinate_resets = vivaldi.resets();
    }

    /// Where a member is, by its own word; of others only when they have answered a probe of ours. `None` also when
    /// coordinates are off.
    pub(crate) fn coordinate(&self, idx: MemberIdx) -> Option<Coordinate> {
        let own = self.coordinates.as_ref()?;
        if idx == self.me {
            return Some(*own.vivaldi.coordinate());
        }
        Some(own.others.get(&idx)?.coordinate)
    }
}

/// The bytes of a payload, on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckPayload {
    bytes: [u8; PAYLOAD_BYTES],
    len: usize,
}

impl AckPayload {
    const EMPTY: Self = Self { bytes: [0; PAYLOAD_BYTES], len: 0 };

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn put_float(&mut self, value: f64) {
        self.put(&[FLOAT_64]);
        self.put(&value.to_be_bytes());
    }
}

/// Why a payload was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PayloadError {
    /// Another version than ours.
    Version,
    /// It cannot be read.
    Malformed,
    /// What it says is no coordinate.
    Coordinate(CoordinateError),
}

fn encode(coordinate: &Coordinate) -> AckPayload {
    let mut payload = AckPayload::EMPTY;
    payload.put(&[VERSION, MAP | 4]);
    let numbers = [
        (b"\xaaAdjustment".as_slice(), coordinate.adjustment()),
        (b"\xa5Error", coordinate.error()),
        (b"\xa6Height", coordinate.height()),
    ];
    for (key, value) in numbers {
        payload.put(key);
        payload.put_float(value);
    }
    payload.put(b"\xa3Vec\x98");
    for &x in coordinate.vec() {
        payload.put_float(x);
    }
    debug_assert!(payload.len == PAYLOAD_BYTES, "a payload is always as long");
    payload
}

/// Reads the four keys in any order, each at most once; numbers as floats of either width, or as small integers.
fn decode(payload: &[u8]) -> Result<Coordinate, PayloadError> {
    let (&version, body) = payload.split_first().ok_or(PayloadError::Malformed)?;
    if version != VERSION {
        return Err(PayloadError::Version);
    }
    let (vec, [adjustment, error, height]) = read_parts(body).ok_or(PayloadError::Malformed)?;
    match vec {
        Ok(vec) => Coordinate::new(&vec, error, adjustment, height).map_err(PayloadError::Coordinate),
        Err(count) => Err(PayloadError::Coordinate(CoordinateError::Dimensions { count })),
    }
}

/// A point, or how many dimensions it has instead; adjustment, error and height.
type Parts = (Result<[f64; Coordinate::DIMENSIONS], usize>, [f64; 3]);

fn read_parts(mut rest: &[u8]) -> Option<Parts> {
    let mut vec = Err(0);
    let mut numbers = [0.0; 3];
    let count = take(&mut rest)?;
    if count & 0xf0 != MAP {
        return None;
    }
    for _ in 0..count & 0x0f {
        let len = take(&mut rest)?.checked_sub(STRING).filter(|&len| len < 32)?;
        let (key, tail) = rest.split_at_checked(usize::from(len))?;
        rest = tail;
        match key {
            b"Adjustment" => numbers[0] = take_number(&mut rest)?,
            b"Error" => numbers[1] = take_number(&mut rest)?,
            b"Height" => numbers[2] = take_number(&mut rest)?,
            b"Vec" => vec = take_vec(&mut rest)?,
            _ => return None,
        }
    }
    Some((vec, numbers))
}

fn take_vec(rest: &mut &[u8]) -> Option<Result<[f64; Coordinate::DIMENSIONS], usize>> {
    let head = take(rest)?;
    if head == NIL {
        return Some(Err(0));
    }
    let count = usize::from(head.checked_sub(ARRAY).filter(|&count| count < 16)?);
    let mut vec = [0.0; 16];
    for x in &mut vec[..count] {
        *x = take_number(rest)?;
    }
    Some(vec[..count].try_into().map_err(|_| count))
}

fn take_number(rest: &mut &[u8]) -> Option<f64> {
    match take(rest)? {
        FLOAT_64 => take_bytes(rest).map(f64::from_be_bytes),
        FLOAT_32 => take_bytes(rest).map(|bytes| f64::from(f32::from_be_bytes(bytes))),
        small @ 0..0x80 => Some(f64::from(small)),
        NIL => Some(0.0),
        _ => None,
    }
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    take_bytes(rest).map(|[byte]| byte)
}

fn take_bytes<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*bytes)
}

/// The version of the payload (`PingVersion` in serf).
const VERSION: u8 = 1;

/// Eleven floats, four keys, the heads and the version.
const PAYLOAD_BYTES: usize = 11 * 9 + (11 + 6 + 7 + 4) + 2 + 1;

const MAP: u8 = 0x80;
const ARRAY: u8 = 0x90;
const STRING: u8 = 0xa0;
const NIL: u8 = 0xc0;
const FLOAT_32: u8 = 0xca;
const FLOAT_64: u8 = 0xcb;

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
        let hex: alloc::string::String =
            encode(&Coordinate::ORIGIN).bytes().iter().map(|byte| alloc::format!("{byte:02x}")).collect();
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
    fn other_versions_and_other_dimensions_are_told_from_damage() {
        assert_eq!(decode(b"\x02\x80"), Err(PayloadError::Version));
        assert_eq!(decode(b"\x01\x91"), Err(PayloadError::Malformed));
        let seven = PayloadError::Coordinate(CoordinateError::Dimensions { count: 7 });
        assert_eq!(decode(b"\x01\x81\xa3Vec\x97\x00\x00\x00\x00\x00\x00\x00"), Err(seven));
    }

    proptest! {
        #[test]
        fn a_coordinate_comes_back_as_it_was_and_never_cut(vec in prop::array::uniform8(-10.0..=10.0), error in 0.0..=1.5, adjustment in -10.0..=10.0, height in 0.0..=10.0) {
            let coordinate = Coordinate::new(&vec, error, adjustment, height).unwrap();
            let payload = encode(&coordinate);
            prop_assert_eq!(decode(payload.bytes()), Ok(coordinate));
            for len in 0..payload.bytes().len() {
                prop_assert!(decode(&payload.bytes()[..len]).is_err());
            }
        }

        #[test]
        fn any_payload_decodes_without_a_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            _ = decode(&payload);
        }
    }
}
