//! Barrier that synchronises the threads at the end of every window.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A spinning barrier: windows are tens of microseconds apart, too short for a thread to sleep.
#[derive(Debug)]
pub(crate) struct SpinBarrier {
    parties: u32,
    arrived: AtomicU32,
    generation: AtomicU32,
    broken: AtomicBool,
}

impl SpinBarrier {
    pub(crate) const fn new(parties: u32) -> Self {
        Self { parties, arrived: AtomicU32::new(0), generation: AtomicU32::new(0), broken: AtomicBool::new(false) }
    }

    /// Waits until all parties have arrived. Memory written by any party before is visible to all parties after.
    ///
    /// # Panics
    ///
    /// Panics if another party has panicked, because it would never arrive.
    pub(crate) fn wait(&self) {
        if self.parties == 1 {
            return;
        }
        let generation = self.generation.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.parties {
            self.arrived.store(0, Ordering::Relaxed);
            self.generation.store(generation.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut spins = 0_u32;
        while self.generation.load(Ordering::Acquire) == generation {
            assert!(!self.broken.load(Ordering::Relaxed), "another thread of the simulation panicked");
            spins += 1;
            if spins < SPINS_MAX {
                core::hint::spin_loop();
            } else {
                // More threads than processors: let the missing thread run.
                std::thread::yield_now();
                spins = 0;
            }
        }
    }

    /// Breaks the barrier if the thread that holds the guard panics.
    pub(crate) const fn guard(&self) -> Guard<'_> {
        Guard(self)
    }
}

/// See [`SpinBarrier::guard`].
#[derive(Debug)]
pub(crate) struct Guard<'a>(&'a SpinBarrier);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, Ordering::Relaxed);
        }
    }
}

/// About 20 µs: longer than the arrival skew of threads on an idle machine.
const SPINS_MAX: u32 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_party_passes_before_all_have_arrived() {
        let barrier = SpinBarrier::new(3);
        let count = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for round in 1..=1_000 {
                        count.fetch_add(1, Ordering::Relaxed);
                        barrier.wait();
                        assert_eq!(count.load(Ordering::Relaxed), 3 * round);
                        barrier.wait();
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_sets_the_others_free() {
        let barrier = SpinBarrier::new(2);
        let waiter = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| barrier.wait());
            let panicker = scope.spawn(|| {
                let _guard = barrier.guard();
                panic!("planted");
            });
            assert!(panicker.join().is_err());
            waiter.join()
        });
        assert!(waiter.is_err());
    }
}
