//! Counters that are looked up once by each thread, and not for each arrival.

use std::cell::{LazyCell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use metrics::Counter;

/// The most counters that a thread remembers; a reload leaves those of the old routes behind.
const MAX_KNOWN: usize = 4096;

/// What tells one counter of a route from another: the address of the route's name, which is kept
/// beside the counter so that it means nothing else meanwhile, and two labels.
type Key = (usize, &'static str, &'static str);

thread_local! {
    static KNOWN: RefCell<HashMap<Key, (Arc<str>, Counter)>> = RefCell::default();
    static MOVED: LazyCell<[Counter; 4]> = const { LazyCell::new(|| [
        metrics::counter!("portcullis_session_bytes_total", "direction" => "up"),
        metrics::counter!("portcullis_session_bytes_total", "direction" => "down"),
        metrics::counter!("portcullis_session_messages_total", "direction" => "up"),
        metrics::counter!("portcullis_session_messages_total", "direction" => "down"),
    ]) };
}

/// Counts a decision.
pub(super) fn decision(route: &Arc<str>, protocol: &'static str, outcome: &'static str) {
    count(route, protocol, outcome, || {
        metrics::counter!(
            "portcullis_decisions_total",
            "route" => Arc::clone(route),
            "protocol" => protocol,
            "outcome" => outcome,
        )
    });
}

/// Counts the end of a session.
pub(super) fn end(route: &Arc<str>, reason: &'static str) {
    count(route, "end", reason, || {
        metrics::counter!(
            "portcullis_session_ends_total",
            "route" => Arc::clone(route),
            "reason" => reason,
        )
    });
}

/// Counts an answer about a live session.
pub(super) fn recheck(route: &Arc<str>, outcome: &'static str) {
    count(route, "recheck", outcome, || {
        metrics::counter!(
            "portcullis_rechecks_total",
            "route" => Arc::clone(route),
            "outcome" => outcome,
        )
    });
}

/// Counts what a session moved: bytes up and down, messages up and down.
pub(super) fn moved(amounts: [u64; 4]) {
    MOVED.with(|counters| {
        for (counter, amount) in counters.iter().zip(amounts) {
            counter.increment(amount);
        }
    });
}

fn count(
    route: &Arc<str>,
    first: &'static str,
    second: &'static str,
    register: impl FnOnce() -> Counter,
) {
    let key = (Arc::as_ptr(route).addr(), first, second);
    KNOWN.with_borrow_mut(|known| {
        if known.len() >= MAX_KNOWN && !known.contains_key(&key) {
            known.clear();
        }
        let (_, counter) = known
            .entry(key)
            .or_insert_with(|| (Arc::clone(route), register()));
        counter.increment(1);
    });
}
