//! How often memory was allocated, when the program is built to count it.

#[cfg(feature = "count-allocations")]
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

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
