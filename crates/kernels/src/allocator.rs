//! The allocator of the command: one option of mimalloc's that its bindings do not name.

/// Sets how many milliseconds mimalloc keeps freed memory mapped before the system gets it back. `MIMALLOC_PURGE_DELAY` in the
/// environment overrides it. Call it at the start of `main`, before any other thread begins; without mimalloc it does nothing.
pub fn keep_freed_memory(milliseconds: u32) {
    /// `mi_option_purge_delay`; 15 in versions 2 and 3 of mimalloc.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    let delay = std::ffi::c_long::try_from(milliseconds).unwrap_or(std::ffi::c_long::MAX);
    // SAFETY: sets a number in a table of mimalloc's that exists from the start of the process; a thread that reads it meanwhile sees
    // the old number or the new.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, delay) }
}
