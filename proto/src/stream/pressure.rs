//! Eviction of streams at the limits of number and memory.
//!
//! A peer needs no key to open a stream, to leave it idle, or to send part of a message, so any unfinished stream may
//! be an attack. Refusing new streams would let idle ones block everyone; closing the oldest would break honest long
//! transfers. So the stream with the worst throughput is evicted. An honest request arrives quickly and ends with its
//! last byte. An attacker that wants to keep a slot must send as fast.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use super::{Exchange, Role, Streams};
use crate::limits::{STREAMS_INBOUND_MAX, STREAMS_PER_SOURCE_MAX, STREAMS_UNFINISHED_BYTES_MAX};
use crate::time::Instant;
use crate::types::StreamId;

impl Streams {
    /// The stream to evict before a new one from `from` is accepted: one of the same source if that source is at its
    /// limit, any if the node is at its limit, else `None`.
    pub(crate) fn to_evict_before(&self, now: Instant, from: SocketAddr) -> Option<StreamId> {
        let from = source(from);
        let inbound = || self.live.iter().filter(|(_, exchange)| exchange.role == Role::Serving);
        let of_source = || inbound().filter(|(_, exchange)| source(exchange.peer) == from);
        // With few streams in total no source can be at its limit; skip the count.
        if self.inbound >= STREAMS_PER_SOURCE_MAX && of_source().count() >= STREAMS_PER_SOURCE_MAX {
            return of_source().min_by_key(|(id, exchange)| (exchange.eviction_rank(now), **id)).map(|(id, _)| *id);
        }
        if self.inbound < STREAMS_INBOUND_MAX {
            return None;
        }
        inbound().min_by_key(|(id, exchange)| (exchange.eviction_rank(now), **id)).map(|(id, _)| *id)
    }

    /// The stream to evict because too many bytes are buffered: the one with the largest product of size and age.
    pub(crate) fn to_evict_for_memory(&self, now: Instant) -> Option<StreamId> {
        if self.unfinished_bytes <= STREAMS_UNFINISHED_BYTES_MAX {
            return None;
        }
        let cost = |exchange: &Exchange| {
            let age = (now - exchange.since).as_millis() + 1;
            exchange.reader.held_bytes() as u128 * age
        };
        self.live.iter().max_by_key(|(_, exchange)| cost(exchange)).map(|(id, _)| *id)
    }
}

/// Rank of a stream for eviction; the least is evicted first. Within a variant the number decides, then the age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EvictionRank {
    /// It received fewer bytes than its age allows; this many.
    Slow(u64),
    /// Too young to measure.
    Young,
    /// It received this many bytes, fast enough.
    Quick(u64),
}

impl Exchange {
    fn eviction_rank(&self, now: Instant) -> EvictionRank {
        let age = now - self.since;
        if age < YOUNG {
            return EvictionRank::Young;
        }
        let expected = age.as_millis() * u128::from(QUICK_BYTES_PER_SECOND) / 1000;
        if u128::from(self.received_bytes) < expected {
            EvictionRank::Slow(self.received_bytes)
        } else {
            EvictionRank::Quick(self.received_bytes)
        }
    }
}

/// The source that a stream counts towards: the IPv4 address, or the /64 prefix of the IPv6 address.
fn source(of: SocketAddr) -> IpAddr {
    match of.ip().to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}

/// Minimum age of a slow stream: the first bytes take a round trip.
const YOUNG: Duration = Duration::from_millis(100);

/// Minimum average throughput. At this rate the state of a thousand members takes the whole stream timeout.
const QUICK_BYTES_PER_SECOND: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::core::ExchangePurpose;
    use crate::envelope::{Envelope, EnvelopeConfig};
    use crate::limits::STREAM_MESSAGE_BYTES_MAX;
    use crate::rng::Seed;
    use crate::stream::{Step, StreamInput};
    use crate::wire::Codec;

    /// Streams and a clock, as a node has them.
    struct Door {
        streams: Streams,
        now: Instant,
        closed: Vec<StreamId>,
    }

    impl Door {
        fn new() -> Self {
            Self { streams: Streams::default(), now: Instant::ZERO, closed: Vec::new() }
        }

        fn wait(&mut self, millis: u64) {
            self.now = self.now + Duration::from_millis(millis);
        }

        fn evict(&mut self, id: StreamId) {
            assert!(!matches!(self.streams.evict(id), Step::Wait), "it is live");
            self.closed.push(id);
        }

        fn accept(&mut self, from: [u8; 4]) -> StreamId {
            self.accept_from((from, 1).into())
        }

        fn accept_from(&mut self, from: SocketAddr) -> StreamId {
            if let Some(slowest) = self.streams.to_evict_before(self.now, from) {
                self.evict(slowest);
            }
            self.streams.accept(self.now, from)
        }

        /// Sends more data of a native message of maximum length.
        fn bytes(&mut self, id: StreamId, len: usize) {
            let data = match self.streams.live[&id].received_bytes {
                0 => [&header()[..], &vec![0; len - 5]].concat(),
                _ => vec![0; len],
            };
            let envelope = Envelope::new(EnvelopeConfig::default(), &Seed::from_u64(1));
            assert!(matches!(self.streams.handle(id, StreamInput::Data(&data), &envelope), Step::Wait));
            while let Some(largest) = self.streams.to_evict_for_memory(self.now) {
                self.evict(largest);
            }
        }

        fn is_live(&self, id: StreamId) -> bool {
            self.streams.live.contains_key(&id)
        }

        fn count(&self) -> usize {
            self.streams.len()
        }
    }

    /// Announces a message of maximum length.
    fn header() -> [u8; 5] {
        let [a, b, c, d] = u32::try_from(STREAM_MESSAGE_BYTES_MAX).unwrap().to_be_bytes();
        [0x46, a, b, c, d]
    }

    /// A distinct source per number.
    fn other(n: usize) -> [u8; 4] {
        let [_, _, a, b] = u32::try_from(n).unwrap().to_be_bytes();
        [10, 1, a, b]
    }

    const HOSTILE: [u8; 4] = [10, 0, 0, 66];

    #[test]
    fn at_the_limit_of_a_source_its_oldest_silent_stream_is_evicted() {
        let mut door = Door::new();
        let first = door.accept(HOSTILE);
        let second = door.accept(HOSTILE);
        for _ in 2..STREAMS_PER_SOURCE_MAX {
            door.accept(HOSTILE);
        }
        assert_eq!(door.closed, [], "at the bound");
        let honest = door.accept(other(1));
        assert_eq!(door.closed, [], "another source is not concerned");
        door.accept(HOSTILE);
        door.wait(500);
        door.accept(HOSTILE);
        assert_eq!(door.closed, [first, second]);
        assert_eq!(door.count(), STREAMS_PER_SOURCE_MAX + 1);
        assert!(door.is_live(honest));
    }

    #[test]
    fn at_the_total_limit_the_oldest_silent_stream_is_evicted() {
        let mut door = Door::new();
        let first = door.accept(other(0));
        for n in 1..STREAMS_INBOUND_MAX {
            door.accept(other(n));
        }
        assert_eq!(door.closed, [], "at the bound");
        door.accept(other(STREAMS_INBOUND_MAX));
        assert_eq!((&door.closed[..], door.count()), (&[first][..], STREAMS_INBOUND_MAX));
    }

    #[test]
    fn a_stream_that_ends_frees_its_place() {
        let mut door = Door::new();
        let first = door.accept(HOSTILE);
        for _ in 1..STREAMS_PER_SOURCE_MAX {
            door.accept(HOSTILE);
        }
        assert!(matches!(door.streams.expire(first), Step::InboundEnded { fault: None }));
        door.accept(HOSTILE);
        assert_eq!(door.closed, []);
    }

    #[test]
    fn streams_that_have_ended_do_not_count_towards_the_total_limit() {
        let mut door = Door::new();
        for n in 0..STREAMS_INBOUND_MAX {
            let ended = door.accept(other(n));
            assert!(matches!(door.streams.expire(ended), Step::InboundEnded { fault: None }));
        }
        let live = door.accept(other(0));
        door.accept(other(1));
        assert_eq!(door.closed, []);
        assert!(door.is_live(live));
    }

    #[test]
    fn a_dripping_stream_is_evicted_after_silent_ones_and_before_quick_ones() {
        let mut door = Door::new();
        let quick = door.accept(HOSTILE);
        let dripping = door.accept(HOSTILE);
        let silent = door.accept(HOSTILE);
        for _ in 3..STREAMS_PER_SOURCE_MAX {
            let id = door.accept(HOSTILE);
            door.bytes(id, 100_000);
        }
        door.bytes(quick, 100_000);
        for _ in 0..3 {
            door.wait(1000);
            door.bytes(dripping, 6);
        }
        assert!(door.closed.is_empty());
        door.accept(HOSTILE);
        door.accept(HOSTILE);
        assert_eq!(door.closed, [silent, dripping]);
        let young = door.accept(HOSTILE);
        door.accept(HOSTILE);
        assert!(
            door.closed[2..].iter().all(|id| *id != quick && *id != young),
            "the two before them are as young, and older"
        );
    }

    #[test]
    fn among_a_flood_of_new_streams_each_has_time_to_say_something() {
        let mut door = Door::new();
        (0..STREAMS_PER_SOURCE_MAX).for_each(|_| _ = door.accept(HOSTILE));
        let honest = door.accept(HOSTILE);
        for _ in 1..STREAMS_PER_SOURCE_MAX {
            let id = door.accept(HOSTILE);
            door.bytes(id, 6);
        }
        assert!(door.is_live(honest), "it has as much time as all others");
    }

    #[test]
    fn a_network_of_ipv6_is_one_source_and_mapped_ipv4_is_ipv4() {
        let addr = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 1);
        let mut door = Door::new();
        let first = door.accept_from(addr("2001:db8:0:1::1"));
        for n in 1..STREAMS_PER_SOURCE_MAX {
            door.accept_from(addr(&alloc::format!("2001:db8:0:1::{n:x}:1")));
        }
        door.accept_from(addr("2001:db8:0:2::1"));
        assert_eq!(door.closed, []);
        door.accept_from(addr("2001:db8:0:1:ffff::"));
        assert_eq!(door.closed, [first]);
        assert_eq!(source(addr("::ffff:10.0.0.1")), source(addr("10.0.0.1")));
        assert_ne!(source(addr("::ffff:10.0.0.1")), source(addr("10.0.0.2")));
    }

    #[test]
    fn the_buffered_bytes_are_bounded_and_the_largest_and_oldest_stream_is_evicted() {
        let mut door = Door::new();
        let share = STREAMS_UNFINISHED_BYTES_MAX / 4;
        let old: Vec<StreamId> = (0..3).map(|n| door.accept(other(n))).collect();
        old.iter().for_each(|id| door.bytes(*id, share));
        door.wait(1000);
        let honest = door.accept(other(9));
        door.bytes(honest, share - 1);
        assert_eq!((door.streams.unfinished_bytes(), &door.closed[..]), (STREAMS_UNFINISHED_BYTES_MAX - 1, &[][..]));
        door.bytes(honest, 1);
        assert_eq!((door.streams.unfinished_bytes(), &door.closed[..]), (STREAMS_UNFINISHED_BYTES_MAX, &[][..]));
        door.bytes(honest, 1);
        assert_eq!(door.closed.len(), 1);
        assert!(door.is_live(honest) && old.contains(&door.closed[0]));
        assert_eq!(door.streams.unfinished_bytes(), STREAMS_UNFINISHED_BYTES_MAX + 1 - share);
        for id in old.into_iter().filter(|id| door.is_live(*id)).collect::<Vec<_>>() {
            door.evict(id);
        }
        door.evict(honest);
        assert_eq!(door.streams.unfinished_bytes(), 0, "nothing is forgotten");
    }

    #[test]
    fn the_longest_message_arrives_though_others_hold_as_much_as_they_may() {
        let mut door = Door::new();
        for n in 0..8 {
            let id = door.accept(other(n));
            for _ in 0..19 {
                if door.is_live(id) {
                    door.bytes(id, 1 << 20);
                }
            }
            door.wait(50);
        }
        let honest = door.accept(other(99));
        for _ in 0..19 {
            door.wait(50);
            door.bytes(honest, 1 << 20);
        }
        assert!(door.is_live(honest));
        assert!(door.streams.unfinished_bytes() <= STREAMS_UNFINISHED_BYTES_MAX);
    }

    #[test]
    fn the_bytes_of_answers_to_our_own_requests_are_bounded_too() {
        let mut door = Door::new();
        let purpose = ExchangePurpose::PushPull { join: false, codec: Codec::Native };
        for n in 0..STREAMS_UNFINISHED_BYTES_MAX / (16 << 20) {
            let id = door.streams.dial(door.now, (other(n), 1).into(), purpose);
            let envelope = Envelope::new(EnvelopeConfig::default(), &Seed::from_u64(1));
            assert!(matches!(door.streams.handle(id, StreamInput::Opened, &envelope), Step::Request(_)));
            door.bytes(id, 16 << 20);
        }
        door.wait(1000);
        let id = door.accept(other(99));
        door.bytes(id, 6);
        assert_eq!(door.closed.len(), 1);
        assert!(door.is_live(id));
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut door = Door::new();
        let id = door.accept(other(0));
        door.bytes(id, 5);
        assert!(door.streams.live[&id].reader.capacity_bytes() < 1024);
    }
}
