//! Futures without a runtime.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// What `future` comes to, which must not have to wait for anything.
///
/// # Panics
///
/// When it waits.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    match poll_once(pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the future waits for somebody"),
    }
}

/// Polls `future` once, with a waker that wakes nobody.
pub fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
