//! Field types: the msgpack encodings that declarations of [`message!`](super::message!) refer to.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::message::Body;
use super::serf::{UdpAddr, put_filter, take_filter};
use crate::msgpack::write::{array, boolean, float, int, map, nil, raw, raw_or_nil, uint};
use crate::msgpack::{Full, Reader, Sink};
use crate::wire::name::is_short_name;
use crate::wire::serf::{Filter, Item, List, nanos};
use crate::wire::swim::State;
use crate::wire::{Codec, Versions};

/// Encoding of a field of type `T`.
pub(in crate::wire) trait Form<'a, T> {
    fn put(out: &mut impl Sink, value: T) -> Result<(), Full>;

    /// Decodes the value; `None` makes the message malformed.
    fn take(r: &mut Reader<'a>) -> Option<T>;

    /// The value of a missing field.
    fn missing() -> T
    where
        T: Default,
    {
        T::default()
    }

    /// Whether a field with this value is omitted.
    fn is_left_out(_: T) -> bool {
        false
    }
}

/// An unsigned integer of the type's width.
pub(in crate::wire) struct Uint;

impl<T: Copy + Into<u64> + TryFrom<u64>> Form<'_, T> for Uint {
    #[inline]
    fn put(out: &mut impl Sink, value: T) -> Result<(), Full> {
        uint(out, value.into())
    }

    #[inline]
    fn take(r: &mut Reader<'_>) -> Option<T> {
        T::try_from(r.uint()?).ok()
    }
}

/// An integer that is signed in Go and unsigned here.
pub(in crate::wire) struct Int;

impl<T: Copy + Into<u64> + TryFrom<i64>> Form<'_, T> for Int {
    fn put(out: &mut impl Sink, value: T) -> Result<(), Full> {
        int(out, value.into())
    }

    fn take(r: &mut Reader<'_>) -> Option<T> {
        T::try_from(r.int()?).ok()
    }
}

/// A duration in nanoseconds; negative values decode as zero.
pub(in crate::wire) struct Nanos;

impl Form<'_, Duration> for Nanos {
    fn put(out: &mut impl Sink, value: Duration) -> Result<(), Full> {
        int(out, nanos(value))
    }

    fn take(r: &mut Reader<'_>) -> Option<Duration> {
        Some(Duration::from_nanos(u64::try_from(r.int()?).unwrap_or(0)))
    }
}

/// A count or length, signed in Go. Encoded as unsigned, like the versions before Serf 0.10.
pub(in crate::wire) struct Length;

impl Form<'_, i64> for Length {
    fn put(out: &mut impl Sink, value: i64) -> Result<(), Full> {
        uint(out, value.cast_unsigned())
    }

    fn take(r: &mut Reader<'_>) -> Option<i64> {
        r.int()
    }
}

/// A boolean.
pub(in crate::wire) struct Boolean;

impl Form<'_, bool> for Boolean {
    #[inline]
    fn put(out: &mut impl Sink, value: bool) -> Result<(), Full> {
        boolean(out, value)
    }

    #[inline]
    fn take(r: &mut Reader<'_>) -> Option<bool> {
        r.boolean()
    }
}

/// A float.
pub(in crate::wire) struct Float;

impl Form<'_, f64> for Float {
    fn put(out: &mut impl Sink, value: f64) -> Result<(), Full> {
        float(out, value)
    }

    fn take(r: &mut Reader<'_>) -> Option<f64> {
        r.float()
    }
}

/// A UTF-8 string.
pub(in crate::wire) struct Text;

impl<'a> Form<'a, &'a str> for Text {
    #[inline]
    fn put(out: &mut impl Sink, value: &'a str) -> Result<(), Full> {
        raw(out, value.as_bytes())
    }

    #[inline]
    fn take(r: &mut Reader<'a>) -> Option<&'a str> {
        r.text()
    }
}

/// A node name, or an empty string.
pub(in crate::wire) struct Name;

impl<'a> Form<'a, &'a str> for Name {
    #[inline]
    fn put(out: &mut impl Sink, value: &'a str) -> Result<(), Full> {
        raw(out, value.as_bytes())
    }

    #[inline]
    fn take(r: &mut Reader<'a>) -> Option<&'a str> {
        r.text().filter(|name| is_short_name(name))
    }
}

/// Bytes.
pub(in crate::wire) struct Bytes;

impl<'a> Form<'a, &'a [u8]> for Bytes {
    #[inline]
    fn put(out: &mut impl Sink, value: &'a [u8]) -> Result<(), Full> {
        raw(out, value)
    }

    #[inline]
    fn take(r: &mut Reader<'a>) -> Option<&'a [u8]> {
        r.bytes()
    }
}

/// Bytes; nil if empty.
pub(in crate::wire) struct BytesOrNil;

impl<'a> Form<'a, &'a [u8]> for BytesOrNil {
    #[inline]
    fn put(out: &mut impl Sink, value: &'a [u8]) -> Result<(), Full> {
        raw_or_nil(out, value)
    }

    #[inline]
    fn take(r: &mut Reader<'a>) -> Option<&'a [u8]> {
        r.bytes()
    }
}

/// An IP address of 4 or 16 bytes. Other lengths decode as `None`, which is encoded as nil.
pub(in crate::wire) struct Ip;

impl Form<'_, Option<IpAddr>> for Ip {
    #[inline]
    fn put(out: &mut impl Sink, value: Option<IpAddr>) -> Result<(), Full> {
        match value {
            Some(IpAddr::V4(ip)) => {
                // Head and bytes in one write, since every alive message has an address.
                let [a, b, c, d] = ip.octets();
                out.put(&[0xa4, a, b, c, d])
            }
            Some(IpAddr::V6(ip)) => raw(out, &ip.octets()),
            None => nil(out),
        }
    }

    #[inline]
    fn take(r: &mut Reader<'_>) -> Option<Option<IpAddr>> {
        r.short(|bytes| match bytes.len() {
            4 => bytes.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
            _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        })
    }
}

/// Six version bytes. Other lengths decode as `None`.
pub(in crate::wire) struct SixVersions;

impl Form<'_, Option<Versions>> for SixVersions {
    #[inline]
    fn put(out: &mut impl Sink, value: Option<Versions>) -> Result<(), Full> {
        match value {
            Some(versions) => {
                let [a, b, c, d, e, f] = versions.to_bytes();
                out.put(&[0xa6, a, b, c, d, e, f])
            }
            None => nil(out),
        }
    }

    #[inline]
    fn take(r: &mut Reader<'_>) -> Option<Option<Versions>> {
        r.short(|bytes| bytes.try_into().ok().map(Versions::from_bytes))
    }
}

/// A member's state number; `None` if unknown.
pub(in crate::wire) struct StateNumber;

impl Form<'_, Option<State>> for StateNumber {
    #[inline]
    fn put(out: &mut impl Sink, value: Option<State>) -> Result<(), Full> {
        match value {
            Some(state) => uint(out, u64::from(state as u8)),
            None => nil(out),
        }
    }

    #[inline]
    fn take(r: &mut Reader<'_>) -> Option<Option<State>> {
        Some(u8::try_from(r.int()?).ok().and_then(State::from_u8))
    }

    fn missing() -> Option<State> {
        Some(State::Alive)
    }
}

/// An array of elements of type `F`.
pub(in crate::wire) struct Array<F>(F);

impl<'a, T: Item<'a>, F: Form<'a, T>> Form<'a, List<'a, T>> for Array<F> {
    fn put(out: &mut impl Sink, value: List<'a, T>) -> Result<(), Full> {
        array(out, value.len())?;
        value.iter().try_for_each(|item| F::put(out, item))
    }

    fn take(r: &mut Reader<'a>) -> Option<List<'a, T>> {
        let count = r.array()?;
        list(r, count)
    }
}

/// An array of elements of type `F`; nil if empty.
pub(in crate::wire) struct ArrayOrNil<F>(F);

impl<'a, T: Item<'a>, F: Form<'a, T>> Form<'a, List<'a, T>> for ArrayOrNil<F> {
    fn put(out: &mut impl Sink, value: List<'a, T>) -> Result<(), Full> {
        if value.is_empty() { nil(out) } else { Array::<F>::put(out, value) }
    }

    fn take(r: &mut Reader<'a>) -> Option<List<'a, T>> {
        Array::<F>::take(r)
    }
}

/// A query filter: a string that contains a nested encoding.
pub(in crate::wire) struct InString;

impl<'a> Form<'a, Filter<'a>> for InString {
    fn put(out: &mut impl Sink, value: Filter<'a>) -> Result<(), Full> {
        put_filter(out, value)
    }

    fn take(r: &mut Reader<'a>) -> Option<Filter<'a>> {
        take_filter(r)
    }
}

/// A map of strings.
pub(in crate::wire) struct TextMap;

impl<'a> Form<'a, List<'a, (&'a str, &'a str)>> for TextMap {
    fn put(out: &mut impl Sink, value: List<'a, (&'a str, &'a str)>) -> Result<(), Full> {
        map(out, value.len())?;
        value.iter().flat_map(|(key, value)| [key, value]).try_for_each(|text| Text::put(out, text))
    }

    fn take(r: &mut Reader<'a>) -> Option<List<'a, (&'a str, &'a str)>> {
        let count = r.map()?;
        list(r, count)
    }
}

/// A field of type `F` that is omitted if it equals the value of a missing field.
pub(in crate::wire) struct Optional<F>(F);

impl<'a, T: Copy + Default + PartialEq, F: Form<'a, T>> Form<'a, T> for Optional<F> {
    fn put(out: &mut impl Sink, value: T) -> Result<(), Full> {
        F::put(out, value)
    }

    fn take(r: &mut Reader<'a>) -> Option<T> {
        F::take(r)
    }

    fn is_left_out(value: T) -> bool {
        value == F::missing()
    }
}

/// A string that is ignored: encoded as empty, skipped on decode.
pub(in crate::wire) struct Unused;

impl Form<'_, ()> for Unused {
    fn put(out: &mut impl Sink, (): ()) -> Result<(), Full> {
        raw(out, &[])
    }

    fn take(r: &mut Reader<'_>) -> Option<()> {
        r.skip()
    }
}

/// Go's `net.UDPAddr`.
pub(in crate::wire) struct Udp;

impl<'a> Form<'a, Option<SocketAddr>> for Udp {
    fn put(out: &mut impl Sink, value: Option<SocketAddr>) -> Result<(), Full> {
        let Some(addr) = value else { return nil(out) };
        UdpAddr { ip: Some(addr.ip()), port: addr.port(), zone: () }.put(out)
    }

    fn take(r: &mut Reader<'a>) -> Option<Option<SocketAddr>> {
        let UdpAddr { ip, port, zone: () } = UdpAddr::take(r)?;
        Some(ip.map(|ip| SocketAddr::new(ip, port)))
    }
}

/// Decodes `count` consecutive values.
fn list<'a, T: Item<'a>>(r: &mut Reader<'a>, count: usize) -> Option<List<'a, T>> {
    let mut rest = r.rest();
    let list = List::take(Codec::HashiCorp, count, &mut rest)?;
    *r = Reader::new(rest);
    Some(list)
}
