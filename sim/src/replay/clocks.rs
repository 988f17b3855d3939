//! The clocks of several hosts: finds their offsets from packets that both ends recorded.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A datagram as one end recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) unix_ns: u64,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// Hash of the content before it is sealed.
    pub(crate) content: u64,
}

/// The datagrams of one capture.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packets {
    pub(crate) sent: Vec<Packet>,
    pub(crate) received: Vec<Packet>,
}

/// Returns what to add to the times of each capture, in nanoseconds, so that no packet arrives before it was sent. The first
/// capture keeps its times; a capture that exchanged nothing with those before it keeps its own.
///
/// The delay of a packet is never negative, so that the least difference of arrival and departure bounds the offset from one
/// side in each direction (NTP's clock filter takes the same minimum). The offset is the middle of both bounds; with packets of
/// one direction only, the least delay is taken as zero.
pub(crate) fn align(captures: &[Packets]) -> Vec<i64> {
    let mut offsets: Vec<Option<i64>> = vec![None; captures.len()];
    if let Some(first) = offsets.first_mut() {
        *first = Some(0);
    }
    // Terminates: each turn gives at least one capture its offset.
    loop {
        let found = (0..captures.len()).filter(|at| offsets[*at].is_none()).find_map(|at| {
            let known = (0..captures.len()).filter_map(|other| Some((other, offsets[other]?)));
            let mut relative = known.filter_map(|(other, offset)| Some(offset + offset_between(captures, other, at)?));
            Some((at, relative.next()?))
        });
        let Some((at, offset)) = found else { break };
        offsets[at] = Some(offset);
    }
    offsets.into_iter().map(Option::unwrap_or_default).collect()
}

/// What to add to the times of `b` so that they are those of `a`.
fn offset_between(captures: &[Packets], a: usize, b: usize) -> Option<i64> {
    // Arrival in b's time minus departure in a's: the delay minus the offset.
    let there = least_delay(&captures[a].sent, &captures[b].received);
    let back = least_delay(&captures[b].sent, &captures[a].received);
    match (there, back) {
        (Some(there), Some(back)) => Some((back - there) / 2),
        (Some(there), None) => Some(-there),
        (None, Some(back)) => Some(back),
        (None, None) => None,
    }
}

fn least_delay(sent: &[Packet], received: &[Packet]) -> Option<i64> {
    type Key = (SocketAddr, SocketAddr, u64);
    let key = |packet: &Packet| -> Key { (packet.from, packet.to, packet.content) };
    let mut departures: BTreeMap<Key, Vec<u64>> = BTreeMap::new();
    for packet in sent {
        departures.entry(key(packet)).or_default().push(packet.unix_ns);
    }
    // Equal contents, such as a digest that has not changed, cannot be distinguished.
    let unique = received.iter().filter_map(|packet| match departures.get(&key(packet)).map(Vec::as_slice) {
        Some([departure]) => Some(difference(packet.unix_ns, *departure)),
        _ => None,
    });
    unique.min()
}

fn difference(later: u64, earlier: u64) -> i64 {
    i64::try_from(i128::from(later) - i128::from(earlier)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(unix_ns: u64, from: u16, to: u16, content: u64) -> Packet {
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Packet { unix_ns, from: addr(from), to: addr(to), content }
    }

    #[test]
    fn the_offset_of_a_clock_follows_from_packets_in_both_directions() {
        // b's clock is 5000 ahead, and a packet takes 100 or more.
        let a =
            Packets { sent: vec![packet(1000, 1, 2, 7), packet(2000, 1, 2, 8)], received: vec![packet(3100, 2, 1, 9)] };
        let b =
            Packets { sent: vec![packet(8000, 2, 1, 9)], received: vec![packet(6150, 1, 2, 7), packet(7100, 1, 2, 8)] };
        assert_eq!(align(&[a.clone(), b.clone()]), [0, -5000]);
        assert_eq!(align(&[b, a]), [0, 5000]);
    }

    #[test]
    fn a_capture_that_exchanged_nothing_keeps_its_times() {
        let a = Packets { sent: vec![packet(1000, 1, 2, 7)], received: Vec::new() };
        let b = Packets { sent: Vec::new(), received: vec![packet(900, 1, 3, 7)] };
        assert_eq!(align(&[a, b]), [0, 0]);
    }

    #[test]
    fn packets_with_equal_contents_say_nothing() {
        let a = Packets { sent: vec![packet(1000, 1, 2, 7), packet(5000, 1, 2, 7)], received: Vec::new() };
        let b = Packets { sent: Vec::new(), received: vec![packet(5100, 1, 2, 7)] };
        assert_eq!(align(&[a, b]), [0, 0]);
    }
}
