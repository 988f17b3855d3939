//! A queue of things to tell random members until each has been told often enough. Knows no wire and no members.
//!
//! Items lie in stacks, one per number of times sent. The next to send is the top of the lowest stack: fewest sends first,
//! and among those the newest, which is memberlist's order (`TransmitLimitedQueue` in queue.go) without its tree.

use alloc::vec::Vec;
use core::mem;

/// What became of an item that was offered a place in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It is in the packet.
    Sent,
    /// It does not fit any more; the packet is full.
    Full,
    /// It means nothing any more; forget it.
    Stale,
}

/// The queue. `T` is small: an index, or a shared buffer.
#[derive(Clone, Debug)]
pub(crate) struct Tiers<T> {
    stacks: Vec<Vec<T>>,
    /// No stack below this one has items.
    lowest: usize,
    len: usize,
    /// Items on their way to the next stack; empty between calls.
    moved: Vec<(usize, T)>,
}

impl<T> Tiers<T> {
    pub(crate) const fn new() -> Self {
        Self { stacks: Vec::new(), lowest: 0, len: 0, moved: Vec::new() }
    }

    /// Adds an item that has not been sent.
    pub(crate) fn push(&mut self, item: T) {
        self.put(0, item);
    }

    /// How many items there are, stale ones included.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How often the next item has been sent; `None` when there is none.
    pub(crate) fn next_sends(&self) -> Option<usize> {
        (self.lowest..self.stacks.len()).find(|&sends| !self.stacks[sends].is_empty())
    }

    /// Offers items until one is `Full` or all were offered, each at most once. `offer` is told how often the item
    /// has been sent. An item that has now been sent `limit` times is dropped.
    pub(crate) fn fill(&mut self, limit: usize, mut offer: impl FnMut(usize, &T) -> Offer) {
        let mut sends = self.lowest;
        while sends < self.stacks.len() {
            let Some(item) = self.stacks[sends].pop() else {
                self.shrink(sends);
                sends += 1;
                continue;
            };
            match offer(sends, &item) {
                Offer::Sent if sends + 1 < limit => self.moved.push((sends + 1, item)),
                Offer::Sent | Offer::Stale => self.len -= 1,
                Offer::Full => {
                    self.stacks[sends].push(item);
                    break;
                }
            }
        }
        self.lowest = sends;
        let mut moved = mem::take(&mut self.moved);
        self.len -= moved.len();
        for (sends, item) in moved.drain(..) {
            self.put(sends, item);
        }
        self.moved = moved;
    }

    /// Drops the items that `keep` refuses. It is told how often each has been sent.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(usize, &T) -> bool) {
        self.len = 0;
        for (sends, stack) in self.stacks.iter_mut().enumerate() {
            stack.retain(|item| keep(sends, item));
            self.len += stack.len();
        }
    }

    /// Takes out the item that is worth the least: sent most often, and among those the oldest.
    pub(crate) fn prune(&mut self) -> Option<T> {
        let stack = self.stacks.iter_mut().rfind(|stack| !stack.is_empty())?;
        self.len -= 1;
        Some(stack.swap_remove(0))
    }

    fn put(&mut self, sends: usize, item: T) {
        if self.stacks.len() <= sends {
            self.stacks.resize_with(sends + 1, Vec::new);
        }
        let stack = &mut self.stacks[sends];
        if stack.len() == stack.capacity() {
            // A join storm queues every member at every node: doubling would waste up to half of the memory.
            stack.reserve_exact(stack.len() / 4 + 16);
        }
        stack.push(item);
        self.len += 1;
        self.lowest = self.lowest.min(sends);
    }

    fn shrink(&mut self, sends: usize) {
        if self.stacks[sends].capacity() > STACK_KEPT_MAX {
            self.stacks[sends] = Vec::new();
        }
    }
}

/// An empty stack keeps room for this many items at the most.
const STACK_KEPT_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn take(queue: &mut Tiers<char>, limit: usize, room: usize) -> Vec<char> {
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
    fn the_least_sent_go_first_and_the_newest_among_them() {
        let mut queue = Tiers::new();
        queue.push('a');
        queue.push('b');
        assert_eq!(take(&mut queue, 3, 1), ['b']);
        assert_eq!(take(&mut queue, 3, 1), ['a']);
        queue.push('c');
        assert_eq!(take(&mut queue, 3, 9), ['c', 'a', 'b']);
    }

    #[test]
    fn an_item_is_sent_as_often_as_the_limit_says_and_once_a_packet() {
        let mut queue = Tiers::new();
        queue.push('a');
        assert_eq!(take(&mut queue, 3, 9), ['a']);
        assert_eq!(take(&mut queue, 3, 9), ['a']);
        assert_eq!(take(&mut queue, 3, 9), ['a']);
        assert!(queue.is_empty());
        assert_eq!(take(&mut queue, 3, 9), []);
    }

    #[test]
    fn a_full_packet_keeps_the_item_for_the_next() {
        let mut queue = Tiers::new();
        queue.push('a');
        assert_eq!(take(&mut queue, 2, 0), []);
        assert_eq!(queue.next_sends(), Some(0));
        assert_eq!(take(&mut queue, 2, 1), ['a']);
        assert_eq!(queue.next_sends(), Some(1));
    }

    #[test]
    fn pruning_drops_the_most_sent_and_oldest() {
        let mut queue = Tiers::new();
        queue.push('a');
        queue.push('b');
        assert_eq!(take(&mut queue, 4, 2), ['b', 'a']);
        queue.push('c');
        assert_eq!(queue.prune(), Some('b'));
        assert_eq!(queue.prune(), Some('a'));
        assert_eq!(queue.prune(), Some('c'));
        assert_eq!(queue.prune(), None);
        assert_eq!(queue.len(), 0);
    }
}
