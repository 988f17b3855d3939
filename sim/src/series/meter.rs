//! Traffic of one host within the current virtual second.

use serf_proto::Instant;

use super::ledger::Ledger;

/// What a host has sent within one virtual second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(super) datagrams: u32,
    pub(super) datagram_bytes: u32,
    pub(super) stream_bytes: u32,
}

/// Counts what a host sends. Its ledger learns a second only when the host sends in a later one, so that counting touches no memory
/// but the host's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    second: u32,
    amount: Amount,
}

impl Meter {
    pub(crate) const NEW: Self =
        Self { second: 0, amount: Amount { datagrams: 0, datagram_bytes: 0, stream_bytes: 0 } };

    /// Counts a datagram of `bytes` payload bytes.
    pub(crate) fn datagram(&mut self, at: Instant, bytes: usize, ledger: &mut Ledger) {
        self.turn(at, ledger);
        self.amount.datagrams += 1;
        self.amount.datagram_bytes = self.amount.datagram_bytes.saturating_add(count(bytes));
    }

    /// Counts bytes written to a stream.
    pub(crate) fn stream(&mut self, at: Instant, bytes: usize, ledger: &mut Ledger) {
        self.turn(at, ledger);
        self.amount.stream_bytes = self.amount.stream_bytes.saturating_add(count(bytes));
    }

    /// Passes the pending second to the ledger without forgetting it.
    pub(super) fn pending(&self, ledger: &mut Ledger) {
        if self.amount != Amount::default() {
            ledger.host_second(self.second, self.amount);
        }
    }

    fn turn(&mut self, at: Instant, ledger: &mut Ledger) {
        let second = second_of(at);
        if second != self.second {
            self.pending(ledger);
            *self = Self { second, amount: Amount::default() };
        }
    }
}

/// The virtual second of a time; 136 years are far beyond any run.
pub(super) fn second_of(at: Instant) -> u32 {
    u32::try_from(at.as_nanos() / NANOS_PER_SECOND).unwrap_or(u32::MAX)
}

fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;
