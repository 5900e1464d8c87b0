//! How the C library's allocator behaves, for programs that care about memory.

/// Keeps the allocator's pools as few as there are processors, where the C library is glibc: it
/// makes eight for each otherwise, and what encoders' threads leave in them adds up (measured: 15
/// of 200 MB for a ladder of four). For the first lines of `main`; does nothing elsewhere.
pub fn lean() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let pools = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
        // SAFETY: sets one number of the allocator's, which it reads when it makes a pool.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, i32::try_from(pools).unwrap_or(i32::MAX)) };
    }
}
