//! The one buffer that all sessions of a thread read into.

use std::cell::RefCell;

/// Bytes in the scratch buffer. Large messages are decided by this size: at 64 KiB a relay costs
/// half of one with 16 KiB, and 256 KiB gains little more but cache misses for the small ones.
const SCRATCH: usize = 64 * 1024;

/// Room before what is read, for the start of a frame that was cut off by the read before: a header
/// (14 bytes) and the payload of a control frame (125 bytes), rounded up.
pub(super) const HEADROOM: usize = 160;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> =
        RefCell::new(vec![0; HEADROOM + SCRATCH].into_boxed_slice());
}

/// Lends the thread's buffer to `work`, which must not wait and must not borrow it again.
pub(crate) fn with_scratch<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| work(buffer))
}
