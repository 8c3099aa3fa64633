//! The one buffer that all sessions of a thread read into.

use std::cell::RefCell;

/// Bytes in the scratch buffer: 45 segments of 1,448 bytes. Large messages are decided by this size,
/// and not by its magnitude alone. What is read at once is written at once, and TCP hands on what is
/// written in packets of at most 64 KiB with their headers: as many whole segments as fit, 45 on an
/// Ethernet and one on the loopback. A power of two is a little more than such a packet holds. It makes
/// a second, tiny one of each write, which costs the kernel as much as the first: 65,536 bytes cost
/// 1.6 times as much as this, 16 KiB 1.3 times, and 256 KiB no less.
pub(crate) const SCRATCH: usize = 45 * 1448;

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
