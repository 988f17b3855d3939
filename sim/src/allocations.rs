//! How often memory was allocated and how much of it is in use, when the program is built to count it.

#[cfg(feature = "count-allocations")]
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

/// Bytes of the heap that are in use; `None` unless the feature `count-allocations` is on.
pub(crate) fn live_bytes() -> Option<i64> {
    #[cfg(feature = "count-allocations")]
    {
        let stats = ALLOCATOR.stats();
        let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        // What reallocation added or took away is in the other two: see `Stats::bytes_reallocated`.
        Some(signed(stats.bytes_allocated) - signed(stats.bytes_deallocated))
    }
    #[cfg(not(feature = "count-allocations"))]
    None
}

/// Allocations and reallocations so far; `None` unless the feature `count-allocations` is on. It is off by default
/// because all threads would count in one place.
pub(crate) fn count() -> Option<u64> {
    #[cfg(feature = "count-allocations")]
    {
        let stats = ALLOCATOR.stats();
        Some((stats.allocations + stats.reallocations) as u64)
    }
    #[cfg(not(feature = "count-allocations"))]
    None
}
