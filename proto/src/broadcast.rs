//! Transmit queues: broadcasts, each sent to random members a limited number of times. Independent of wire format and
//! membership.
//!
//! Items are in tiers, one per transmit count. The next item comes from the lowest tier that is not empty: fewest
//! transmits first, and within a tier in the order of [`TieOrder`]. Same order as memberlist's `TransmitLimitedQueue`
//! (queue.go), without its tree.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::Hash;
use core::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::limits::{BROADCAST_QUEUE_BYTES_MAX, ITEM_BYTES};

/// The result of offering an item to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Packed.
    Sent,
    /// Does not fit; the packet is full.
    Full,
    /// Obsolete; remove the item.
    Stale,
    /// Counts as sent this often, although it was not; move it.
    Counted(usize),
}

/// Order of items with equal transmit counts. Receivers cannot observe it, so both are compatible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TieOrder {
    /// Newest first, as in memberlist: for states and intents, whose older versions may be obsolete.
    Newest,
    /// Oldest first: for user events, which their sender ordered. HashiCorp's: newest first. Events of one node that
    /// are sent between two ticks then arrive in reverse; of a burst longer than the receivers' `event_buffer`, all but
    /// the last are dropped as too old.
    Oldest,
}

/// A transmit queue. `T` should be small: an index, or a shared buffer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TransmitQueue<T> {
    tie_order: TieOrder,
    /// Per transmit count, from the oldest to the newest.
    tiers: Vec<VecDeque<T>>,
    /// An item with priority over all others, until it is sent often enough.
    urgent: Option<Urgent<T>>,
    /// All tiers below this one are empty.
    lowest: usize,
    len: usize,
    /// Per tier: the number of items at its end that were promoted in this round.
    arrived: Vec<usize>,
    in_round: bool,
    /// Whether the last packet was full before every item was offered.
    is_full: bool,
}

/// The priority item.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Urgent<T> {
    item: T,
    sends: usize,
    /// Whether it was offered in this round.
    offered: bool,
}

impl<T: PartialEq> TransmitQueue<T> {
    pub(crate) const fn new(tie_order: TieOrder) -> Self {
        Self {
            tie_order,
            tiers: Vec::new(),
            urgent: None,
            lowest: 0,
            len: 0,
            arrived: Vec::new(),
            in_round: false,
            is_full: false,
        }
    }

    /// Adds an item with a transmit count of zero.
    pub(crate) fn push(&mut self, item: T) {
        if self.tiers.is_empty() {
            self.tiers.push(VecDeque::new());
        }
        grow(&mut self.tiers[0], 1);
        self.tiers[0].push_back(item);
        self.len += 1;
        self.lowest = 0;
    }

    /// Adds an item with priority over all others in every packet. There is at most one, so that it costs the others
    /// little and is sent at once whatever the backlog. Replaces the previous one, and any other place of the item.
    pub(crate) fn push_urgent(&mut self, item: T) {
        self.retain(|_, other| *other != item);
        self.len += usize::from(self.urgent.is_none());
        self.urgent = Some(Urgent { item, sends: 0, offered: false });
    }

    /// Number of items, including stale ones.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Transmit count of the next item; `None` if there is none.
    #[cfg(test)]
    pub(crate) fn next_sends(&self) -> Option<usize> {
        if let Some(urgent) = &self.urgent {
            return Some(urgent.sends);
        }
        (self.lowest..self.tiers.len()).find(|&sends| !self.tiers[sends].is_empty())
    }

    /// The items in the order in which they would be offered.
    pub(crate) fn upcoming(&self) -> impl Iterator<Item = &T> {
        let tiers = self.tiers[self.lowest.min(self.tiers.len())..].iter();
        tiers.flat_map(|tier| (0..tier.len()).map(|nth| &tier[self.tie_order.place(nth, tier.len())]))
    }

    /// All items, in no particular order. A change must not make two of them equal.
    pub(crate) fn items_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.urgent.iter_mut().map(|urgent| &mut urgent.item).chain(self.tiers.iter_mut().flatten())
    }

    /// Begins a round of several packets to one member: each item is offered at most once until the round ends. Only
    /// [`fill`](Self::fill) may be called in between.
    pub(crate) fn begin_round(&mut self) {
        self.arrived.clear();
        self.in_round = true;
        if let Some(urgent) = &mut self.urgent {
            urgent.offered = false;
        }
    }

    /// Ends a round.
    pub(crate) fn end_round(&mut self) {
        self.arrived.clear();
        self.in_round = false;
    }

    /// Offers items until one is `Full` or all were offered, each at most once per packet or round. `offer` receives
    /// the item's transmit count. An item that reaches `limit` transmits is dropped.
    ///
    /// An item that was pushed again while queued has two places; the older one is removed when both are in one tier.
    pub(crate) fn fill(&mut self, limit: usize, mut offer: impl FnMut(usize, &T) -> Offer) {
        if !self.in_round {
            self.arrived.clear();
        }
        // Allocates only under backlog.
        let mut counted = Vec::new();
        // From the lowest tier up: what was sent least often goes first. The priority item precedes all tiers, so that
        // it is in every packet.
        let mut sends = self.lowest;
        let mut full = self.urgent.is_some() && self.fill_urgent(limit, &mut offer);
        while sends < self.tiers.len() && !full {
            // Items that were promoted into this tier in this round wait at its end, and must not be offered again.
            let arrived = self.arrived.get(sends).copied().unwrap_or(0);
            let tier = &mut self.tiers[sends];
            let (mut waiting, mut sent) = (tier.len() - arrived, 0);
            while sent < waiting && !full {
                let at = self.tie_order.place(sent, waiting);
                let (item, mut came) = (&tier[at], tier.range(waiting..));
                // A duplicate among the promoted items: this place is the stale one.
                let offered = if came.any(|other| other == item) { Offer::Stale } else { offer(sends, item) };
                match offered {
                    Offer::Sent => sent += 1,
                    Offer::Stale => {
                        tier.remove(at);
                        (waiting, self.len) = (waiting - 1, self.len - 1);
                    }
                    Offer::Counted(count) => {
                        debug_assert!(count > sends, "a count only grows while the item is queued");
                        counted.extend(tier.remove(at).map(|item| (count, item)));
                        waiting -= 1;
                    }
                    Offer::Full => full = true,
                }
            }
            // After the tier, not per item: one drain moves the whole run. Counted items first: they were not offered in
            // this round, so they must not be among the promoted ones at the end of a tier.
            counted.drain(..).for_each(|(count, item)| self.move_to(count, item));
            let promoted = self.promote(sends, self.tie_order.first(sent, waiting), limit);
            sends += 1;
            if promoted > 0 {
                self.arrived.resize(self.arrived.len().max(sends + 1), 0);
                self.arrived[sends] += promoted;
            }
        }
        self.is_full = full;
        self.find_lowest();
    }

    /// Moves an item to the tier of `count` transmits, before those that were promoted in this round.
    fn move_to(&mut self, count: usize, item: T) {
        while self.tiers.len() <= count {
            self.tiers.push(VecDeque::new());
        }
        let tier = &mut self.tiers[count];
        grow(tier, 1);
        let arrived = self.arrived.get(count).copied().unwrap_or(0);
        tier.insert(tier.len() - arrived, item);
    }

    /// Offers the priority item. True if the packet is full.
    fn fill_urgent(&mut self, limit: usize, offer: &mut impl FnMut(usize, &T) -> Offer) -> bool {
        let Some(urgent) = self.urgent.as_mut().filter(|urgent| !(self.in_round && urgent.offered)) else {
            return false;
        };
        match offer(urgent.sends, &urgent.item) {
            Offer::Full => return true,
            Offer::Sent => (urgent.sends, urgent.offered) = (urgent.sends + 1, true),
            // As if it were sent often enough, so that the check below removes it. Duplicates of it are not counted.
            Offer::Stale | Offer::Counted(_) => urgent.sends = limit,
        }
        if urgent.sends >= limit {
            self.urgent = None;
            self.len -= 1;
        }
        false
    }

    /// Moves items to the next tier, or drops those that reached the limit. Returns how many moved.
    fn promote(&mut self, sends: usize, items: Range<usize>, limit: usize) -> usize {
        let count = items.len();
        if count == 0 {
            return 0;
        }
        // That was the last transmit: the next tier would be beyond the limit.
        if sends + 1 >= limit {
            self.tiers[sends].drain(items);
            self.len -= count;
            return 0;
        }
        if self.tiers.len() == sends + 1 {
            self.tiers.push(VecDeque::new());
        }
        // The whole run moves with its order, which is the order of arrival within the next tier.
        let (below, above) = self.tiers.split_at_mut(sends + 1);
        grow(&mut above[0], count);
        above[0].extend(below[sends].drain(items));
        count
    }

    /// Advances to the lowest tier that is not empty, and frees the memory of the tiers below.
    fn find_lowest(&mut self) {
        while self.lowest < self.tiers.len() && self.tiers[self.lowest].is_empty() {
            self.shrink(self.lowest);
            self.lowest += 1;
        }
    }

    /// Drops the items that `keep` rejects. `keep` receives the transmit count.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(usize, &T) -> bool) {
        self.urgent.take_if(|urgent| !keep(urgent.sends, &urgent.item));
        self.len = usize::from(self.urgent.is_some());
        for (sends, tier) in self.tiers.iter_mut().enumerate() {
            tier.retain(|item| keep(sends, item));
            self.len += tier.len();
        }
    }

    /// Removes the least valuable item, with its transmit count: the one sent most often, and among those the oldest.
    /// The priority item comes last.
    pub(crate) fn prune(&mut self) -> Option<(usize, T)> {
        let Some(sends) = self.tiers.iter().rposition(|tier| !tier.is_empty()) else {
            let urgent = self.urgent.take()?;
            self.len -= 1;
            return Some((urgent.sends, urgent.item));
        };
        self.len -= 1;
        self.tiers[sends].pop_front().map(|item| (sends, item))
    }

    fn shrink(&mut self, sends: usize) {
        if self.tiers[sends].capacity() > TIER_KEPT_MAX {
            self.tiers[sends] = VecDeque::new();
        }
    }

    /// Feeds the items and their transmit counts. Leaves out what only matters within a round.
    pub(crate) fn fingerprint(&self, to: &mut Fingerprint<'_>)
    where
        T: Hash,
    {
        let Self { tie_order: _, tiers, urgent, lowest: _, len: _, arrived: _, in_round: _, is_full: _ } = self;
        for (sends, tier) in tiers.iter().enumerate().filter(|(_, tier)| !tier.is_empty()) {
            to.put((sends, tier));
        }
        to.put(urgent.as_ref().map(|Urgent { item, sends, offered: _ }| (item, sends)));
    }
}

impl TieOrder {
    /// Index of the `nth` item to send, in a tier of `len`.
    const fn place(self, nth: usize, len: usize) -> usize {
        match self {
            Self::Newest => len - 1 - nth,
            Self::Oldest => nth,
        }
    }

    /// Index range of the first `count` items to send, in a tier of `len`.
    const fn first(self, count: usize, len: usize) -> Range<usize> {
        match self {
            Self::Newest => len - count..len,
            Self::Oldest => 0..count,
        }
    }
}

/// The number of transmits of a broadcast: `mult * ceil(log10(n + 1))` (λ log n in SWIM §4.1; `retransmitLimit` in
/// memberlist's util.go), capped at what a row can count.
pub(crate) fn transmit_limit(mult: u32, members: u32) -> usize {
    let digits = members.checked_ilog10().map_or(0, |log| log + 1);
    mult.saturating_mul(digits).min(TRANSMIT_LIMIT_MAX) as usize
}

/// Rows of both layers store the transmit count in a few bits. Serf's default at ten million members is 28.
pub(crate) const TRANSMIT_LIMIT_MAX: u32 = 30;

impl TransmitQueue<Bytes> {
    /// Memory used by the messages, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let urgent = self.urgent.iter().map(|urgent| &urgent.item);
        urgent.chain(self.tiers.iter().flatten()).map(|message| message.len() + ITEM_BYTES).sum()
    }

    /// Prunes the queue to its limits in items and bytes; returns how many items were pruned. `message_bytes_max`
    /// bounds each message, which makes the exact byte count unnecessary for short queues.
    pub(crate) fn limit(&mut self, depth_max: u32, message_bytes_max: usize) -> u64 {
        let mut pruned = 0;
        let is_within = |queue: &Self| {
            queue.len() * (message_bytes_max + ITEM_BYTES) <= BROADCAST_QUEUE_BYTES_MAX
                || queue.bytes() <= BROADCAST_QUEUE_BYTES_MAX
        };
        while self.len() > depth_max as usize || !is_within(self) {
            self.prune();
            pruned += 1;
        }
        pruned
    }
}

impl<T: Copy + Eq + Hash> TransmitQueue<T> {
    /// Removes stale places once they outnumber the `live` items. `is_current` checks a place's transmit count against
    /// the item's; of several valid places one stays.
    fn clear_stale(&mut self, live: usize, is_current: impl Fn(usize, T) -> bool) {
        if self.len <= 2 * live + STALE_KEPT {
            return;
        }
        let mut seen = hashbrown::HashSet::with_hasher(foldhash::fast::FixedState::default());
        self.retain(|sends, &item| is_current(sends, item) && seen.insert(item));
    }
}

/// Stale places that are tolerated before a cleanup.
const STALE_KEPT: usize = 64;

/// Rows that store the transmit count of their broadcast.
pub(crate) trait SendCounts<T> {
    /// Transmit count of `item`; `None`: not queued.
    fn sends(&self, item: T) -> Option<usize>;

    fn set_sends(&mut self, item: T, sends: Option<usize>);

    /// Prefetches the row.
    fn prefetch(&self, item: T) -> u64;
}

/// A transmit queue of rows. A broadcast is encoded from its row when it is sent, so a newer state replaces an older
/// one.
///
/// The row stores the transmit count, so that re-queueing needs no search: a place whose tier is above the row's count
/// is stale.
///
/// Under backlog, a copy that another member sent counts as [`DUPLICATE_WEIGHT`] transmits of our own
/// ([`note_duplicate`](Self::note_duplicate)): what others send makes room for what they do not (feedback and counters
/// in Demers et al., 1987, §1.4). The row's count is then above the tier of its place, and the place is moved when it
/// comes up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RowQueue<T> {
    places: TransmitQueue<T>,
    /// Number of queued rows, each counted once.
    len: usize,
    /// Whether a packet of the last round was full: more is queued than memberlist would send in a tick.
    backlog: bool,
    /// Whether copies of others were counted since the queue was last empty. If not, every place whose tier differs from
    /// its row's count is stale.
    counts_copies: bool,
}

impl<T: Copy + Eq + Hash> RowQueue<T> {
    pub(crate) const fn new() -> Self {
        Self { places: TransmitQueue::new(TieOrder::Newest), len: 0, backlog: false, counts_copies: false }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The next row, unless its place is stale.
    pub(crate) fn upcoming(&self) -> Option<T> {
        self.places.upcoming().next().copied()
    }

    /// Queues a row. Resets its transmit count if it is queued already.
    pub(crate) fn push(&mut self, item: T, rows: &mut impl SendCounts<T>) {
        match rows.sends(item) {
            // It is in the lowest tier already; another place would only be stale.
            Some(0) => return,
            Some(_) => {}
            None => self.len += 1,
        }
        rows.set_sends(item, Some(0));
        self.places.push(item);
        self.clear_stale(rows);
    }

    /// Queues a row to go before all others, also if it is queued already. A queue has one such row, always the same, since
    /// [`TransmitQueue::push_urgent`] replaces it.
    pub(crate) fn push_urgent(&mut self, item: T, rows: &mut impl SendCounts<T>) {
        self.len += usize::from(rows.sends(item).is_none());
        rows.set_sends(item, Some(0));
        self.places.push_urgent(item);
        self.clear_stale(rows);
    }

    /// Removes the places with the most transmits until at most `depth_max` rows are queued. Returns the number of rows
    /// removed.
    pub(crate) fn prune(&mut self, depth_max: usize, rows: &mut impl SendCounts<T>) -> u64 {
        let mut pruned = 0;
        // Ends: each place is taken out, and a queued row has one.
        while self.len > depth_max
            && let Some((sends, item)) = self.places.prune()
        {
            // A stale place is no loss.
            if is_current(rows.sends(item), sends, self.counts_copies) {
                self.cancel(item, rows);
                pruned += 1;
            }
        }
        debug_assert!(self.len <= depth_max, "a queued row has a place");
        pruned
    }

    fn clear_stale(&mut self, rows: &impl SendCounts<T>) {
        let counts_copies = self.counts_copies;
        self.places.clear_stale(self.len, |sends, item| is_current(rows.sends(item), sends, counts_copies));
        debug_assert!(self.places.len() >= self.len, "a queued row has a place");
    }

    /// Removes a row from the queue. Its places become stale.
    pub(crate) fn cancel(&mut self, item: T, rows: &mut impl SendCounts<T>) {
        if rows.sends(item).is_some() {
            rows.set_sends(item, None);
            self.len -= 1;
        }
    }

    /// Whether a packet of the last round was full.
    pub(crate) const fn has_backlog(&self) -> bool {
        self.backlog
    }

    /// Notes that another member sent a queued row's broadcast. Under backlog this counts as transmits of our own, and
    /// the row may leave the queue without a further one. Without backlog it changes nothing: every row is sent as often
    /// as the limit says, which is fastest and costs no other row anything.
    #[inline]
    pub(crate) fn note_duplicate(&mut self, item: T, rows: &mut impl SendCounts<T>) {
        if self.backlog
            && let Some(sends) = rows.sends(item)
        {
            rows.set_sends(item, Some((sends + DUPLICATE_WEIGHT).min(TRANSMIT_LIMIT_MAX as usize)));
            self.counts_copies = true;
        }
    }

    /// Offers rows as [`TransmitQueue::fill`] does. `write` also receives whether this is the row's last transmit. The
    /// first `ahead` rows are prefetched together, and what `also` reads of each, because they are far apart in memory
    /// and the cache misses overlap.
    pub(crate) fn fill<R: SendCounts<T>>(
        &mut self,
        rows: &mut R,
        limit: usize,
        ahead: usize,
        also: impl Fn(T) -> u64,
        mut write: impl FnMut(&R, T, bool) -> Offer,
    ) {
        let upcoming = self.places.upcoming().take(ahead);
        core::hint::black_box(upcoming.fold(0, |read, &item| read ^ rows.prefetch(item) ^ also(item)));
        let Self { places, len, counts_copies, .. } = self;
        places.fill(limit, |sends, &item| {
            match rows.sends(item) {
                Some(count) if count == sends => {}
                Some(count) if count >= limit && *counts_copies => {
                    rows.set_sends(item, None);
                    *len -= 1;
                    return Offer::Stale;
                }
                Some(count) if count > sends && *counts_copies => return Offer::Counted(count),
                // Queued again at a lower count, or not queued.
                _ => return Offer::Stale,
            }
            let is_last = sends + 1 >= limit;
            let offer = write(rows, item, is_last);
            if offer == Offer::Sent {
                // Keeps row and place in step: `fill` promotes the place to the tier of this count.
                rows.set_sends(item, (!is_last).then_some(sends + 1));
                *len -= usize::from(is_last);
            }
            offer
        });
        self.backlog |= self.places.in_round && self.places.is_full;
        self.counts_copies &= self.len > 0;
    }

    /// Begins a round; see [`TransmitQueue::begin_round`].
    pub(crate) fn begin_round(&mut self) {
        self.backlog = false;
        self.places.begin_round();
    }

    pub(crate) fn end_round(&mut self) {
        self.places.end_round();
    }

    /// Transmit count of the next row; `None` if the queue is empty.
    #[cfg(test)]
    pub(crate) fn next_sends(&self) -> Option<usize> {
        if self.len == 0 { None } else { self.places.next_sends() }
    }

    /// Number of places, including stale ones.
    #[cfg(test)]
    pub(crate) const fn places(&self) -> usize {
        self.places.len()
    }

    /// Feeds the places of the rows.
    pub(crate) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { places, len, backlog, counts_copies } = self;
        places.fingerprint(to);
        to.put((len, backlog, counts_copies));
    }
}

/// Whether a place in the tier of `sends` transmits may be the place of a row with this count.
fn is_current(count: Option<usize>, sends: usize, counts_copies: bool) -> bool {
    count.is_some_and(|count| count == sends || (counts_copies && count > sends))
}

/// Reserves room for `more` items. Grows by a quarter: a join storm queues every member at every node, and doubling
/// would waste up to half of the memory.
fn grow<T>(tier: &mut VecDeque<T>, more: usize) {
    if tier.capacity() - tier.len() < more {
        tier.reserve_exact((tier.len() / 4 + 16).max(more));
    }
}

/// How many transmits of our own a copy from another member counts for, under backlog. Ours. Measured with a cold join of
/// 2000 nodes at 10 % loss: 0: 14 messages a pair; 1: 8.5; 2: 6.7; 4: 5.5; 8: 4.8, but more is left to anti-entropy.
const DUPLICATE_WEIGHT: usize = 4;

/// Capacity that an empty tier keeps, in items.
const TIER_KEPT_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    /// Rows that hold only their transmit counts.
    struct Counts([Option<usize>; 8]);

    impl SendCounts<usize> for Counts {
        fn sends(&self, item: usize) -> Option<usize> {
            self.0[item]
        }

        fn set_sends(&mut self, item: usize, sends: Option<usize>) {
            self.0[item] = sends;
        }

        fn prefetch(&self, item: usize) -> u64 {
            item as u64
        }
    }

    proptest! {
        #[test]
        fn a_queue_of_rows_knows_how_many_are_queued_and_offers_each_of_them_once(
            steps in prop::collection::vec((0..6, 0_usize..8), 1..300),
        ) {
            const LIMIT: usize = 3;
            const URGENT: usize = 7;
            let (mut queue, mut rows) = (RowQueue::new(), Counts([None; 8]));
            for (step, item) in steps {
                let before = rows.0;
                match step {
                    0..=2 if item == URGENT => {
                        queue.push_urgent(item, &mut rows);
                        prop_assert_eq!(rows.sends(item), Some(0));
                    }
                    0..=2 => {
                        queue.push(item, &mut rows);
                        prop_assert_eq!(rows.sends(item), Some(0));
                    }
                    3 => {
                        queue.cancel(item, &mut rows);
                        prop_assert_eq!(rows.sends(item), None);
                    }
                    4 => {
                        let depth_max = item;
                        let pruned = before.iter().flatten().count().saturating_sub(depth_max);
                        prop_assert_eq!(queue.prune(depth_max, &mut rows), pruned as u64);
                        let kept = |item: &usize| rows.0[*item].is_some();
                        let ordinary = 0..URGENT;
                        let most_kept = ordinary.clone().filter(kept).filter_map(|item| before[item]).max();
                        let least_pruned = ordinary.filter(|item| !kept(item)).filter_map(|item| before[item]).min();
                        prop_assert!(depth_max == 0 || kept(&URGENT) == before[URGENT].is_some(), "the urgent row goes last");
                        prop_assert!(least_pruned.is_none_or(|pruned| most_kept.is_none_or(|kept| kept <= pruned)));
                    }
                    _ => {
                        let mut offered = vec![];
                        queue.fill(&mut rows, LIMIT, 2, |_| 0, |_, item, is_last| {
                            assert_eq!(is_last, before[item] == Some(LIMIT - 1));
                            offered.push(item);
                            Offer::Sent
                        });
                        if before[URGENT].is_some() {
                            prop_assert_eq!(offered[0], URGENT);
                        }
                        offered.sort_unstable();
                        prop_assert_eq!(offered, (0..8).filter(|&item| before[item].is_some()).collect::<Vec<_>>());
                        let sent = before.map(|sends| sends.map(|sends| sends + 1).filter(|&sends| sends < LIMIT));
                        prop_assert_eq!(rows.0, sent);
                    }
                }
                prop_assert_eq!(queue.len(), rows.0.iter().flatten().count());
            }
        }
    }

    /// Sends up to `room` rows in a packet of a round of one packet.
    fn send(queue: &mut RowQueue<usize>, rows: &mut Counts, limit: usize, room: usize) -> Vec<usize> {
        let mut sent = vec![];
        queue.begin_round();
        queue.fill(
            rows,
            limit,
            0,
            |_| 0,
            |_, item, _| {
                if sent.len() == room {
                    return Offer::Full;
                }
                sent.push(item);
                Offer::Sent
            },
        );
        queue.end_round();
        sent
    }

    #[test]
    fn under_backlog_a_row_that_others_send_gives_way_to_those_that_they_do_not() {
        let (mut queue, mut rows) = (RowQueue::new(), Counts([None; 8]));
        (0..4).for_each(|item| queue.push(item, &mut rows));
        assert_eq!(send(&mut queue, &mut rows, 9, 1), [3], "the packet is full");
        assert!(queue.has_backlog());
        queue.note_duplicate(2, &mut rows);
        assert_eq!(rows.0[..4], [Some(0), Some(0), Some(DUPLICATE_WEIGHT), Some(1)]);
        assert_eq!(send(&mut queue, &mut rows, 9, 3), [1, 0, 3]);
        assert_eq!(send(&mut queue, &mut rows, 9, 3), [1, 0, 3]);
        // Twice more, and it has been sent often enough without being sent.
        queue.note_duplicate(2, &mut rows);
        queue.note_duplicate(2, &mut rows);
        assert_eq!((queue.len(), send(&mut queue, &mut rows, 9, 8).contains(&2), queue.len()), (4, false, 3));
        assert_eq!(rows.0[2], None);
    }

    #[test]
    fn without_backlog_a_duplicate_changes_nothing() {
        let (mut queue, mut rows) = (RowQueue::new(), Counts([None; 8]));
        (0..4).for_each(|item| queue.push(item, &mut rows));
        queue.note_duplicate(2, &mut rows);
        for _ in 0..3 {
            assert_eq!(send(&mut queue, &mut rows, 3, 4).len(), 4);
            queue.note_duplicate(2, &mut rows);
        }
        assert_eq!(queue.len(), 0);
    }

    fn take(queue: &mut TransmitQueue<char>, limit: usize, room: usize) -> Vec<char> {
        let mut taken = vec![];
        queue.fill(limit, |_, &item| {
            if taken.len() == room {
                return Offer::Full;
            }
            taken.push(item);
            Offer::Sent
        });
        taken
    }

    #[test]
    fn the_transmit_limit_is_memberlists() {
        let limits = [0, 1, 9, 10, 99, 100, 999, 1000, 9999, 10_000].map(|n| transmit_limit(4, n));
        assert_eq!(limits, [0, 4, 4, 8, 8, 12, 12, 16, 16, 20]);
    }

    #[test]
    fn the_least_sent_go_first_and_the_newest_among_them() {
        let mut queue = TransmitQueue::new(TieOrder::Newest);
        queue.push('a');
        queue.push('b');
        assert_eq!(take(&mut queue, 3, 1), ['b']);
        assert_eq!(take(&mut queue, 3, 1), ['a']);
        queue.push('c');
        assert_eq!(take(&mut queue, 3, 9), ['c', 'a', 'b'], "b was sent before a");
    }

    #[test]
    fn the_oldest_of_the_least_sent_go_first_over_several_packets() {
        let mut queue = TransmitQueue::new(TieOrder::Oldest);
        ['a', 'b', 'c', 'd'].into_iter().for_each(|item| queue.push(item));
        assert_eq!(take(&mut queue, 3, 2), ['a', 'b']);
        queue.push('e');
        assert_eq!(take(&mut queue, 3, 4), ['c', 'd', 'e', 'a'], "a was sent before");
        queue.begin_round();
        assert_eq!(take(&mut queue, 3, 3), ['b', 'c', 'd']);
        assert_eq!(take(&mut queue, 3, 9), ['e', 'a']);
        assert_eq!(take(&mut queue, 3, 9), []);
        queue.end_round();
        let pruned: Vec<_> = core::iter::from_fn(|| queue.prune()).collect();
        assert_eq!(pruned, [(2, 'b'), (2, 'c'), (2, 'd'), (2, 'e')]);
    }

    #[test]
    fn an_item_is_sent_as_often_as_the_limit_says_and_once_a_packet() {
        let mut queue = TransmitQueue::new(TieOrder::Newest);
        queue.push('a');
        assert_eq!(take(&mut queue, 3, 9), ['a']);
        assert_eq!(take(&mut queue, 3, 9), ['a']);
        assert_eq!(take(&mut queue, 3, 9), ['a']);
        assert!(queue.is_empty());
        assert_eq!(take(&mut queue, 3, 9), []);
    }

    #[test]
    fn in_a_round_of_several_packets_an_item_is_sent_once_and_none_is_passed_over() {
        let mut queue = TransmitQueue::new(TieOrder::Newest);
        ['a', 'b', 'c'].into_iter().for_each(|item| queue.push(item));
        assert_eq!(take(&mut queue, 3, 2), ['c', 'b'], "these have been sent to somebody");
        queue.push('d');
        queue.begin_round();
        assert_eq!(take(&mut queue, 3, 3), ['d', 'a', 'c']);
        assert_eq!(take(&mut queue, 3, 3), ['b'], "though a and d have been sent less often by now");
        assert_eq!(take(&mut queue, 3, 3), []);
        queue.end_round();
        assert_eq!(take(&mut queue, 3, 9), ['d', 'a', 'b', 'c']);
    }

    #[test]
    fn a_full_packet_keeps_the_item_for_the_next() {
        let mut queue = TransmitQueue::new(TieOrder::Newest);
        queue.push('a');
        assert_eq!(take(&mut queue, 2, 0), []);
        assert_eq!(queue.next_sends(), Some(0));
        assert_eq!(take(&mut queue, 2, 1), ['a']);
        assert_eq!(queue.next_sends(), Some(1));
    }

    #[test]
    fn an_item_pushed_again_goes_once_a_packet() {
        let mut queue = TransmitQueue::new(TieOrder::Newest);
        queue.push('a');
        assert_eq!(take(&mut queue, 4, 9), ['a']);
        queue.push('a');
        assert_eq!((take(&mut queue, 4, 9), queue.len()), (vec!['a'], 1));
    }

    #[test]
    fn an_urgent_item_goes_first_in_every_packet_up_to_the_transmit_limit() {
        let mut queue = TransmitQueue::new(TieOrder::Newest);
        queue.push('a');
        queue.push_urgent('u');
        queue.push('b');
        assert_eq!(queue.len(), 3);
        assert_eq!(take(&mut queue, 3, 0), [], "it does not fit, nor does anything after it");
        assert_eq!(take(&mut queue, 3, 2), ['u', 'b']);
        queue.push('c');
        assert_eq!(take(&mut queue, 3, 2), ['u', 'c']);
        assert_eq!(take(&mut queue, 3, 2), ['u', 'a']);
        assert_eq!((take(&mut queue, 3, 1), queue.len()), (vec!['a'], 3));
    }

    #[test]
    fn an_item_that_becomes_urgent_gives_up_its_other_places() {
        let mut queue = TransmitQueue::new(TieOrder::Newest);
        queue.push('u');
        queue.push('a');
        assert_eq!(take(&mut queue, 9, 2), ['a', 'u']);
        queue.push('u');
        queue.push_urgent('u');
        assert_eq!(queue.len(), 2);
        assert_eq!(take(&mut queue, 9, 9), ['u', 'a']);
        assert_eq!(take(&mut queue, 9, 9), ['u', 'a']);
    }

    #[test]
    fn in_a_round_an_urgent_item_is_offered_once() {
        let mut queue = TransmitQueue::new(TieOrder::Newest);
        queue.push('a');
        queue.push_urgent('u');
        queue.begin_round();
        assert_eq!(take(&mut queue, 3, 1), ['u']);
        assert_eq!(take(&mut queue, 3, 9), ['a']);
        queue.end_round();
        queue.begin_round();
        assert_eq!(take(&mut queue, 3, 9), ['u', 'a']);
        queue.end_round();
    }

    #[test]
    fn an_urgent_item_makes_room_last_and_its_newer_word_begins_anew() {
        let mut queue = TransmitQueue::new(TieOrder::Newest);
        queue.push_urgent('u');
        assert_eq!(take(&mut queue, 3, 9), ['u']);
        queue.push_urgent('u');
        assert_eq!((queue.len(), queue.next_sends()), (1, Some(0)));
        queue.push('a');
        assert_eq!((queue.prune(), queue.prune(), queue.prune()), (Some((0, 'a')), Some((0, 'u')), None));
        assert!(queue.is_empty());
    }

    #[test]
    fn pruning_drops_the_most_sent_and_oldest() {
        let mut queue = TransmitQueue::new(TieOrder::Newest);
        queue.push('a');
        queue.push('b');
        assert_eq!(take(&mut queue, 4, 2), ['b', 'a']);
        queue.push('c');
        queue.push('d');
        queue.push('e');
        let pruned: Vec<_> = core::iter::from_fn(|| queue.prune()).collect();
        assert_eq!(pruned, [(1, 'a'), (1, 'b'), (0, 'c'), (0, 'd'), (0, 'e')]);
        assert_eq!(queue.len(), 0);
    }

    /// A model of the queue without tiers: each item with its sort key.
    struct Model {
        tie_order: TieOrder,
        items: Vec<Waiting>,
        placed: u32,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Waiting {
        sends: usize,
        /// Greater for items that reached their transmit count later.
        placed: u32,
        item: u16,
    }

    impl Model {
        fn place(&mut self, sends: usize, item: u16) {
            self.placed += 1;
            self.items.push(Waiting { sends, placed: self.placed, item });
        }

        fn fill(&mut self, limit: usize, mut offer: impl FnMut(usize, u16) -> Offer) {
            let mut sorted = self.items.clone();
            let newest_first =
                |placed: u32| if self.tie_order == TieOrder::Newest { u32::MAX - placed } else { placed };
            sorted.sort_by_key(|waiting| (waiting.sends, newest_first(waiting.placed)));
            let mut moved = vec![];
            for waiting in sorted {
                let offered = offer(waiting.sends, waiting.item);
                if offered == Offer::Full {
                    break;
                }
                self.items.retain(|other| *other != waiting);
                if offered == Offer::Sent && waiting.sends + 1 < limit {
                    moved.push(waiting);
                }
            }
            if self.tie_order == TieOrder::Newest {
                moved.reverse();
            }
            for Waiting { sends, item, .. } in moved {
                self.place(sends + 1, item);
            }
        }

        fn prune(&mut self) -> Option<(usize, u16)> {
            let worst = *self.items.iter().max_by_key(|waiting| (waiting.sends, core::cmp::Reverse(waiting.placed)))?;
            self.items.retain(|other| *other != worst);
            Some((worst.sends, worst.item))
        }

        fn retain(&mut self, keep: impl Fn(u16) -> bool) {
            self.items.retain(|waiting| keep(waiting.item));
        }
    }

    #[derive(Clone, Debug)]
    enum Act {
        Push(u8),
        /// Offers with room for `room` items; every item that the number divides is stale.
        Fill {
            limit: usize,
            room: usize,
            stale: u16,
        },
        Prune,
        /// Drops the items that the number divides.
        Retain(u16),
    }

    fn tie_order() -> impl Strategy<Value = TieOrder> {
        prop_oneof![Just(TieOrder::Newest), Just(TieOrder::Oldest)]
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (1_u8..8).prop_map(Act::Push),
            6 => (1_usize..6, 0_usize..8, 2_u16..30).prop_map(|(limit, room, stale)| Act::Fill { limit, room, stale }),
            1 => Just(Act::Prune),
            1 => (2_u16..10).prop_map(Act::Retain),
        ]
    }

    proptest! {
        #[test]
        fn the_tiers_behave_as_a_sorted_list_would(tie_order in tie_order(), acts in prop::collection::vec(act(), 1..60)) {
            let (mut queue, mut last) = (TransmitQueue::new(tie_order), 0);
            let mut model = Model { tie_order, items: vec![], placed: 0 };
            for act in acts {
                match act {
                    Act::Push(count) => for _ in 0..count {
                        last += 1;
                        queue.push(last);
                        model.place(0, last);
                    },
                    Act::Fill { limit, room, stale } => {
                        let decide = |sent: &mut Vec<(usize, u16)>, sends, item: u16| {
                            if item.is_multiple_of(stale) {
                                return Offer::Stale;
                            }
                            if sent.len() == room {
                                return Offer::Full;
                            }
                            sent.push((sends, item));
                            Offer::Sent
                        };
                        let (mut sent, mut expected) = (vec![], vec![]);
                        queue.fill(limit, |sends, &item| decide(&mut sent, sends, item));
                        model.fill(limit, |sends, item| decide(&mut expected, sends, item));
                        prop_assert_eq!(sent, expected);
                    }
                    Act::Prune => prop_assert_eq!(queue.prune(), model.prune()),
                    Act::Retain(divisor) => {
                        queue.retain(|_, item| !item.is_multiple_of(divisor));
                        model.retain(|item| !item.is_multiple_of(divisor));
                    }
                }
                prop_assert_eq!((queue.len(), queue.is_empty()), (model.items.len(), model.items.is_empty()));
                prop_assert_eq!(queue.next_sends(), model.items.iter().map(|waiting| waiting.sends).min());
            }
        }
    }
}
