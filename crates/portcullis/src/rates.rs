//! Rates of handshakes and of refused credentials that are counted over all gates.
//!
//! Each arrival costs a question to the ledger, or two, before its credential is looked at. An address
//! that is over its rate is told to wait, and until then it is refused from memory: whoever comes too
//! often costs the ledger nothing.
//!
//! # Deployment caveat
//!
//! Credentials that are being looked at when an address reaches its rate are judged all the same: on
//! each gate as many as one address may have connections there (`connections_per_address`). Requests
//! over HTTP/2 share a connection, and count as the streams that it may have.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_boundary::clock::{Clock, SystemClock, Timestamp};
use portcullis_boundary::limits::{Rate, network};
use portcullis_boundary::{Arrival, Protocol, Refusal, RefusalKind};
use portcullis_ledger::{Ledger, LedgerError};

/// When it makes sense to ask again while the ledger does not answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The most addresses of each kind that are remembered to be over their rate; about any other the
/// ledger is asked.
const MOST_WAITING: usize = 10_000;

/// What gates allow one address together; none for no limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct SharedLimits {
    /// WebSocket handshakes.
    pub(crate) handshakes: Option<Rate>,
    /// Arrivals whose credential was refused.
    pub(crate) failed_handshakes: Option<Rate>,
}

/// The rates of one gate. Its clones are the same.
#[derive(Clone, Default)]
pub(crate) struct SharedRates(Arc<Inner>);

#[derive(Default)]
struct Inner {
    ledger: OnceLock<Arc<dyn Ledger>>,
    limits: ArcSwap<SharedLimits>,
    handshakes: Waits,
    failures: Waits,
}

impl SharedRates {
    /// Says where the ledger is. Only the first time counts.
    pub(crate) fn found(&self, ledger: Arc<dyn Ledger>) {
        // A program opens one ledger.
        let _: Result<(), Arc<dyn Ledger>> = self.0.ledger.set(ledger);
    }

    /// Replaces the limits. What was counted stays counted, and who waits by an old limit is asked
    /// about anew.
    pub(crate) fn set_limits(&self, limits: SharedLimits) {
        if **self.0.limits.load() != limits {
            self.0.limits.store(Arc::new(limits));
            self.0.handshakes.forget();
            self.0.failures.forget();
        }
    }

    /// Whether anything is counted. Without a ledger nothing is: only a reload can ask for it then,
    /// and a ledger is opened by a restart.
    pub(crate) fn count_arrivals(&self) -> bool {
        self.limits() != SharedLimits::default()
    }

    /// Whether the arrival's address may try.
    pub(crate) async fn pace(&self, arrival: &Arrival) -> Result<(), Refusal> {
        let Some(address) = arrival.peer().address().map(network) else {
            return Ok(());
        };
        let limits = self.limits();
        let now = SystemClock::new().now();
        if let Some(rate) = limits.failed_handshakes {
            self.0.failures.check(address, now).map_err(failed)?;
            let looked = self.ledger()?.check(&failures_of(address), rate, now);
            let looked = looked.await.map_err(|error| away(&error))?;
            self.0.failures.note(address, now, looked).map_err(failed)?;
        }
        match limits.handshakes {
            Some(rate) if arrival.protocol() == Protocol::WebSocket => {
                self.0.handshakes.check(address, now).map_err(limited)?;
                let meter = format!("handshakes:{address}");
                let taken = self.ledger()?.take(&meter, rate, now);
                let taken = taken.await.map_err(|error| away(&error))?;
                self.0.handshakes.note(address, now, taken).map_err(limited)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Counts an arrival whose credential was refused.
    pub(crate) async fn failed(&self, arrival: &Arrival) -> Result<(), Refusal> {
        let address = arrival.peer().address().map(network);
        let (Some(address), Some(rate)) = (address, self.limits().failed_handshakes) else {
            return Ok(());
        };
        let now = SystemClock::new().now();
        let taken = self.ledger()?.take(&failures_of(address), rate, now);
        let taken = taken.await.map_err(|error| away(&error))?;
        self.0.failures.note(address, now, taken).map_err(failed)
    }

    /// The limits that count.
    fn limits(&self) -> SharedLimits {
        let limits = || **self.0.limits.load();
        self.0
            .ledger
            .get()
            .map_or_else(SharedLimits::default, |_| limits())
    }

    fn ledger(&self) -> Result<&Arc<dyn Ledger>, Refusal> {
        let ledger = self.0.ledger.get();
        ledger.ok_or_else(|| overloaded("there is no ledger yet"))
    }
}

impl fmt::Debug for SharedRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRates")
            .field("limits", &**self.0.limits.load())
            .finish_non_exhaustive()
    }
}

/// Who is over its rate, and until when.
#[derive(Default)]
struct Waits(Mutex<HashMap<IpAddr, Timestamp>>);

impl Waits {
    /// How long `address` has to wait, as far as that is remembered.
    fn check(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        self.with(|waits| match waits.get(&address) {
            Some(until) if now < *until => Err(until.since(now)),
            Some(_) => {
                waits.remove(&address);
                Ok(())
            }
            None => Ok(()),
        })
    }

    /// Remembers what the ledger said of `address`.
    fn note(
        &self,
        address: IpAddr,
        now: Timestamp,
        said: Result<(), Duration>,
    ) -> Result<(), Duration> {
        if let Err(wait) = said {
            self.with(|waits| {
                if waits.len() >= MOST_WAITING {
                    waits.retain(|_, until| now < *until);
                }
                if waits.len() < MOST_WAITING {
                    waits.insert(address, now.after(wait));
                }
            });
        }
        said
    }

    fn forget(&self) {
        self.with(HashMap::clear);
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<IpAddr, Timestamp>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn failures_of(address: IpAddr) -> String {
    format!("failures:{address}")
}

fn failed(wait: Duration) -> Refusal {
    over(RefusalKind::FailedTooOften, wait)
}

fn limited(wait: Duration) -> Refusal {
    over(RefusalKind::RateLimited, wait)
}

fn over(kind: RefusalKind, wait: Duration) -> Refusal {
    let refusal = Refusal::new(kind).because("over all gates");
    refusal.retry_after(wait)
}

fn away(error: &LedgerError) -> Refusal {
    overloaded(error.to_string())
}

fn overloaded(why: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(RefusalKind::Overloaded)
        .because(why)
        .retry_after(ASK_AGAIN)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::num::NonZeroU32;

    use http::Request;
    use portcullis_boundary::Peer;
    use portcullis_ledger::{LedgerUrl, Settings, SqlLedger};
    use tokio::runtime::Handle;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    async fn ledger() -> SqlLedger {
        let url = LedgerUrl::parse("sqlite::memory:").expect("a URL");
        let here = Handle::current();
        let opened = SqlLedger::open(url, Settings::default(), &here).await;
        opened.expect("a ledger")
    }

    fn gate(ledger: &SqlLedger, limits: SharedLimits) -> SharedRates {
        let rates = SharedRates::default();
        rates.found(Arc::new(ledger.clone()));
        rates.set_limits(limits);
        rates
    }

    fn hourly(count: u32) -> Option<Rate> {
        let count = NonZeroU32::new(count).expect("not zero");
        Some(Rate::new(count, Duration::from_secs(3600)))
    }

    fn arrival(from: IpAddr, is_handshake: bool) -> Arrival {
        let mut request = Request::get("/");
        if is_handshake {
            request = request.header("connection", "upgrade");
            request = request.header("upgrade", "websocket");
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        Arrival::new(head, Peer::at(from))
    }

    fn kind(said: Result<(), Refusal>) -> Option<RefusalKind> {
        said.err().map(|refusal| refusal.kind())
    }

    #[tokio::test]
    async fn failures_at_two_gates_count_together_and_the_last_one_is_told_as_one_too_many() {
        let ledger = ledger().await;
        let limits = SharedLimits {
            failed_handshakes: hourly(3),
            ..SharedLimits::default()
        };
        let gates = [gate(&ledger, limits), gate(&ledger, limits)];
        let guess = arrival(HERE, false);
        for number in 0..3 {
            let gate = &gates[number % 2];
            assert_eq!(kind(gate.pace(&guess).await), None);
            assert_eq!(kind(gate.failed(&guess).await), None);
        }
        // One that was being looked at when the third failed hears no more of itself than the next.
        let over = Some(RefusalKind::FailedTooOften);
        assert_eq!(kind(gates[1].failed(&guess).await), over);
        for gate in &gates {
            assert_eq!(kind(gate.pace(&guess).await), over);
            assert_eq!(kind(gate.pace(&arrival(THERE, false)).await), None);
        }
    }

    #[tokio::test]
    async fn handshakes_count_and_plain_requests_do_not() {
        let ledger = ledger().await;
        let limits = SharedLimits {
            handshakes: hourly(2),
            ..SharedLimits::default()
        };
        let gates = [gate(&ledger, limits), gate(&ledger, limits)];
        for gate in &gates {
            assert_eq!(kind(gate.pace(&arrival(HERE, true)).await), None);
        }
        for gate in &gates {
            let said = gate.pace(&arrival(HERE, true)).await;
            let wait = said.as_ref().err().and_then(Refusal::wait);
            assert!(wait.is_some_and(|wait| wait > Duration::from_secs(1700)));
            assert_eq!(kind(said), Some(RefusalKind::RateLimited));
            assert_eq!(kind(gate.pace(&arrival(HERE, false)).await), None);
        }
    }

    #[tokio::test]
    async fn who_is_over_its_rate_is_refused_from_memory_and_others_not_let_in_without_a_ledger() {
        let ledger = ledger().await;
        let limits = SharedLimits {
            handshakes: hourly(1),
            failed_handshakes: None,
        };
        let gate = gate(&ledger, limits);
        assert_eq!(kind(gate.pace(&arrival(HERE, true)).await), None);
        let limited = Some(RefusalKind::RateLimited);
        assert_eq!(kind(gate.pace(&arrival(HERE, true)).await), limited);
        ledger.close().await;
        assert_eq!(kind(gate.pace(&arrival(HERE, true)).await), limited);
        let away = Some(RefusalKind::Overloaded);
        assert_eq!(kind(gate.pace(&arrival(THERE, true)).await), away);
        // By another limit it may not have to wait: the ledger would have to be asked.
        gate.set_limits(SharedLimits {
            handshakes: hourly(2),
            ..limits
        });
        assert_eq!(kind(gate.pace(&arrival(HERE, true)).await), away);
        gate.set_limits(SharedLimits::default());
        assert!(!gate.count_arrivals());
        assert_eq!(kind(gate.pace(&arrival(HERE, true)).await), None);
    }

    #[tokio::test]
    async fn without_a_ledger_nothing_is_counted_and_the_door_stays_open() {
        let rates = SharedRates::default();
        rates.set_limits(SharedLimits {
            handshakes: hourly(1),
            failed_handshakes: hourly(1),
        });
        assert!(!rates.count_arrivals());
        for _ in 0..3 {
            assert_eq!(kind(rates.pace(&arrival(HERE, true)).await), None);
            assert_eq!(kind(rates.failed(&arrival(HERE, true)).await), None);
        }
        rates.found(Arc::new(ledger().await));
        assert!(rates.count_arrivals());
    }

    #[test]
    fn waits_are_remembered_until_they_are_over_and_no_more_than_there_is_room_for() {
        let waits = Waits::default();
        let now = Timestamp::from_secs(1000);
        let address = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(number));
        let second = Duration::from_secs(1);
        for number in 0..12_000 {
            // One that is not remembered is told all the same.
            assert!(waits.note(address(number), now, Err(second)).is_err());
        }
        waits.with(|waits| assert_eq!(waits.len(), MOST_WAITING));
        assert_eq!(waits.check(address(0), now), Err(second));
        assert_eq!(waits.check(address(11_999), now), Ok(()));
        let later = now.after(second);
        assert!(waits.note(address(11_999), later, Err(second)).is_err());
        waits.with(|waits| assert_eq!(waits.len(), 1, "those whose time had come made room"));
        assert_eq!(waits.check(address(11_999), later.after(second)), Ok(()));
        waits.with(|waits| assert!(waits.is_empty()));
    }
}
