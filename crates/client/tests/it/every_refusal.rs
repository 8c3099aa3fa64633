//! Every refusal of the table, told in both ways, and what a client does about it.
//!
//! The gate's authority refuses as the path says. What is expected is read from the table, so that a new
//! refusal is covered as soon as it has its row. `refusals` has those whose cause a test can bring about.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use portcullis_boundary::close::Recovery;
use portcullis_boundary::policy::Signal;
use portcullis_boundary::{Arrival, Authority, Identity, Refusal, RefusalKind};
use portcullis_client::machine::End;
use portcullis_client::token::{Login, NotLoggedIn, Tokens};
use portcullis_client::{Client, Refused, Told};
use tokio::time::Instant;

use super::support::{Expect, Script, Setup, Shifting, TestGate, client, first_refusal};

#[tokio::test]
async fn every_refusal_that_is_told_by_http_has_the_recovery_of_the_table() {
    every_refusal_told_by(Signal::Http).await;
}

#[tokio::test]
async fn every_refusal_that_is_told_by_a_close_code_has_the_recovery_of_the_table() {
    every_refusal_told_by(Signal::Close).await;
}

async fn every_refusal_told_by(signal: Signal) {
    let mut verifier = Shifting::default();
    for token in TOKENS {
        verifier = verifier.knows(token, Ok(Identity::new(token)));
    }
    let door = Door::default();
    let mut setup = Setup::of_header(&verifier);
    setup.policy = setup.policy.with_signal(signal);
    setup.services.authority = Some(Arc::new(door.clone()));
    let gate = setup.start();
    join_all(RefusalKind::ALL.map(|kind| meets(&gate, &door, kind, signal))).await;
}

/// Lets a client meet `kind` at the door until its recovery is exhausted, and what comes after that helps.
async fn meets(gate: &TestGate, door: &Door, kind: RefusalKind, signal: Signal) {
    let course = Course::of(kind);
    let told = how_told(kind, signal);
    let script = Script::new(&TOKENS);
    let person = Arc::new(Person {
        script: Arc::clone(&script),
        asked: Mutex::default(),
    });
    let tokens = Tokens::with_login(Arc::clone(&script), Arc::clone(&person));
    let url = format!("{}/{kind}", gate.url.trim_end_matches("/x"));
    let mut client = client(&url).tokens(tokens).start().expect("a client");
    let mut states = client.states();
    for _ in 0..course.refusals {
        let refused = first_refusal(&mut states).await;
        assert_eq!((refused.kind, refused.told), (Some(kind), told));
        assert_eq!(refused.recovery, kind.row().recovery, "{kind}");
        assert_eq!(&*refused.text, kind.row().meaning, "{kind}");
        if course.comes_back && matches!(told, Told::Code(_)) {
            client.opened().await;
            client.lost().await;
        }
    }
    ends_as(client, &course, kind).await;

    let knocks = door.knocks(kind);
    let shown: Vec<&str> = knocks.iter().map(|knock| &*knock.token).collect();
    assert_eq!(shown, course.shown, "{kind}");
    let refreshes = script.refreshes.load(Ordering::SeqCst);
    assert_eq!(refreshes, course.refreshes, "{kind}");
    let asked = person.asked.lock().expect("no panic").clone();
    assert_eq!(asked, vec![Some(kind); course.logins], "{kind}");
    if kind.row().recovery == Recovery::Retry && matches!(told, Told::Status(_)) {
        for pair in knocks.windows(2) {
            let waited = pair[1].at - pair[0].at;
            assert!(waited >= RETRY_AFTER, "{kind}: {waited:?}");
        }
    }
}

/// In, and heard; or out for good.
async fn ends_as(mut client: Client, course: &Course, kind: RefusalKind) {
    if course.comes_back {
        client.opened().await;
        client.echoes("in").await;
        client.close();
        assert_eq!(client.ended().await.end, End::Left, "{kind}");
    } else {
        assert_eq!(client.ended().await.end, End::Stopped, "{kind}");
    }
}

/// What has to be seen of a client whom the gate refuses so often.
struct Course {
    refusals: usize,
    comes_back: bool,
    refreshes: usize,
    logins: usize,
    /// The tokens, in their order.
    shown: &'static [&'static str],
}

impl Course {
    fn of(kind: RefusalKind) -> Self {
        let (refusals, refreshes, logins, shown): (_, _, _, &[&str]) = match kind.row().recovery {
            Recovery::Refresh => (3, 2, 1, &["first", "second", "third", "fourth"]),
            Recovery::Login => (1, 0, 1, &["first", "second"]),
            Recovery::Retry => (2, 0, 0, &["first", "first", "first"]),
            Recovery::Stop => (1, 0, 0, &["first"]),
        };
        Self {
            refusals,
            comes_back: kind.row().recovery != Recovery::Stop,
            refreshes,
            logins,
            shown,
        }
    }
}

/// What is never accepted has no close code, and what comes in mid-session has no status.
fn how_told(kind: RefusalKind, signal: Signal) -> Told {
    let row = kind.row();
    match (signal, row.close) {
        (Signal::Close, Some(code)) => Told::Code(code.get()),
        _ => Told::Status(row.status.map_or(500, |status| status.as_u16())),
    }
}

/// Refuses at `/KIND` with that kind, as often as [`Course`] says, and admits then.
#[derive(Clone, Default)]
struct Door(Arc<Mutex<HashMap<RefusalKind, Vec<Knock>>>>);

#[derive(Clone)]
struct Knock {
    at: Instant,
    token: String,
}

impl Door {
    fn knocks(&self, kind: RefusalKind) -> Vec<Knock> {
        let knocks = self.0.lock().expect("no panic");
        knocks.get(&kind).cloned().unwrap_or_default()
    }
}

impl Authority for Door {
    async fn authorise(&self, identity: &Identity, arrival: &Arrival) -> Result<(), Refusal> {
        let name = arrival.path().trim_start_matches('/');
        let kind = RefusalKind::named(name).expect("a kind");
        let mut knocks = self.0.lock().expect("no panic");
        let knocks = knocks.entry(kind).or_default();
        knocks.push(Knock {
            at: Instant::now(),
            token: identity.subject().to_owned(),
        });
        if knocks.len() > Course::of(kind).refusals {
            return Ok(());
        }
        Err(Refusal::new(kind).retry_after(RETRY_AFTER))
    }
}

/// Somebody who logs in whenever asked.
struct Person {
    script: Arc<Script>,
    asked: Mutex<Vec<Option<RefusalKind>>>,
}

impl Login for Person {
    async fn log_in(&self, refused: Option<&Refused>) -> Result<(), NotLoggedIn> {
        let kind = refused.and_then(|refused| refused.kind);
        self.asked.lock().expect("no panic").push(kind);
        self.script.advance();
        Ok(())
    }
}

const TOKENS: [&str; 4] = ["first", "second", "third", "fourth"];

/// The header has whole seconds.
const RETRY_AFTER: Duration = Duration::from_secs(1);
