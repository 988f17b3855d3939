//! Heap counters: number of allocations and bytes in use, if the program was built to count them.

#[cfg(feature = "count-allocations")]
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

/// Returns the heap bytes in use; `None` without the feature `count-allocations`.
pub(crate) fn live_bytes() -> Option<i64> {
    #[cfg(feature = "count-allocations")]
    {
        let stats = ALLOCATOR.stats();
        let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        // The two counters include the changes by reallocations: see `Stats::bytes_reallocated`.
        Some(signed(stats.bytes_allocated) - signed(stats.bytes_deallocated))
    }
    #[cfg(not(feature = "count-allocations"))]
    None
}

/// Returns the number of allocations and reallocations so far; `None` without the feature `count-allocations`. The
/// feature is off by default because all threads would contend for one counter.
pub(crate) fn count() -> Option<u64> {
    #[cfg(feature = "count-allocations")]
    {
        let stats = ALLOCATOR.stats();
        Some((stats.allocations + stats.reallocations) as u64)
    }
    #[cfg(not(feature = "count-allocations"))]
    None
}
