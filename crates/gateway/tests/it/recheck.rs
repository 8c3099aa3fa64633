//! Live sessions about which somebody can only be asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_boundary::carrier::Carriers;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::policy::Auth;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::revocation::{Revocation, Target};
use portcullis_boundary::{Credential, DynVerifier, Identity, Policy, Rejection, Verifier};
use portcullis_gateway::Services;
use portcullis_gateway::config::{GateConfig, Pattern};
use portcullis_testing::{TestAuthority, TokenVerifier};
use tokio::sync::watch;
use tokio::time::Instant;

use super::support::{Setup, Socket, TestGate, required_with, within};

/// Says of each token what it is told to, and may change its mind.
#[derive(Clone)]
struct Fickle(Arc<Inner>);

struct Inner {
    answers: Mutex<HashMap<String, Result<Identity, Rejection>>>,
    /// When it was asked about what.
    asked: watch::Sender<Vec<(Instant, String)>>,
    /// How many are being asked now, and were at most.
    asking: watch::Sender<(usize, usize)>,
    /// Whether it answers, about any token but those that begin with `quick`.
    open: watch::Sender<bool>,
}

impl Fickle {
    fn new() -> Self {
        Self(Arc::new(Inner {
            answers: Mutex::default(),
            asked: watch::Sender::default(),
            asking: watch::Sender::default(),
            open: watch::Sender::new(true),
        }))
    }

    fn says(&self, token: &str, answer: Result<Identity, Rejection>) {
        let mut answers = self.0.answers.lock().expect("no panic");
        answers.insert(token.to_owned(), answer);
    }

    fn times_asked(&self, token: &str) -> usize {
        times(&self.0.asked.borrow(), token)
    }

    /// Waits until it was asked about `token` so often.
    async fn is_asked(&self, token: &str, often: usize) {
        let mut asked = self.0.asked.subscribe();
        let is_enough = asked.wait_for(|asked| times(asked, token) >= often);
        within(is_enough).await.expect("it is kept");
    }

    fn most_at_once(&self) -> usize {
        self.0.asking.borrow().1
    }

    /// Waits until so many were asked at once.
    async fn is_asking(&self, most: usize) {
        let mut asking = self.0.asking.subscribe();
        within(asking.wait_for(|asking| asking.1 >= most))
            .await
            .expect("it is kept");
    }
}

fn times(asked: &[(Instant, String)], token: &str) -> usize {
    asked.iter().filter(|(_, about)| about == token).count()
}

/// Counts one who is being asked, until it is dropped.
struct Asking<'a>(&'a Inner);

impl<'a> Asking<'a> {
    fn begin(inner: &'a Inner) -> Self {
        inner.asking.send_modify(|(now, most)| {
            *now += 1;
            *most = (*most).max(*now);
        });
        Self(inner)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.asking.send_modify(|(now, _)| *now -= 1);
    }
}

impl Verifier for Fickle {
    fn name(&self) -> &str {
        "fickle"
    }

    async fn verify(&self, credential: &Credential, _: Timestamp) -> Result<Identity, Rejection> {
        let token = credential.expose().to_owned();
        let _asking = Asking::begin(&self.0);
        let asked = (Instant::now(), token.clone());
        self.0.asked.send_modify(|all| all.push(asked));
        let mut open = self.0.open.subscribe();
        let answers = |open: &bool| *open || token.starts_with("quick");
        open.wait_for(answers).await.expect("it is kept");
        let answers = self.0.answers.lock().expect("no panic");
        answers
            .get(&token)
            .cloned()
            .unwrap_or(Err(Rejection::Invalid(InvalidReason::Inactive)))
    }

    fn is_polled(&self) -> bool {
        true
    }
}

fn setup(verifier: &Fickle, every: Duration) -> Setup {
    let auth = required_with(Arc::new(verifier.clone()), Carriers::default());
    let mut setup = Setup::new(auth);
    setup.policy = setup.policy.keeping_credentials(true);
    setup.terms.recheck = Some(every);
    setup
}

fn ada() -> Result<Identity, Rejection> {
    Ok(Identity::new("ada"))
}

fn away() -> Result<Identity, Rejection> {
    Err(Rejection::Unavailable {
        retry_after: Duration::from_secs(1),
    })
}

async fn enter(gate: &TestGate, token: &str) -> (String, Socket) {
    enter_at(gate, "/x", token).await
}

async fn enter_at(gate: &TestGate, path: &str, token: &str) -> (String, Socket) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         authorization: Bearer {token}\r\n\r\n",
        gate.address
    );
    let (answer, socket) = gate.send(&request).await;
    assert_eq!(answer.status, 101, "{}", answer.text);
    let id = answer.header("portcullis-session").expect("a name");
    (id.to_owned(), socket)
}

async fn renew(gate: &TestGate, id: &str, token: &str) {
    let request = format!(
        "POST /.portcullis/session/{id}/refresh HTTP/1.1\r\nhost: {}\r\n\
         authorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n",
        gate.address
    );
    let (answer, _) = gate.send(&request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

async fn echoes(socket: &mut Socket) {
    socket.frame(1, b"still here").await;
    assert_eq!(socket.next().await.expect("an echo").payload, b"still here");
}

async fn closed(socket: &mut Socket) -> (u16, String) {
    socket.next().await.expect("a close").close()
}

const OFTEN: Duration = Duration::from_millis(20);

/// Waits until somebody else was asked so often, at another gate, about a session of which it asks every
/// [`OFTEN`]: as long as it takes, but for jitter, for somebody here to be asked about as often.
async fn others_were_asked(often: usize) {
    let verifier = Fickle::new();
    verifier.says("other", ada());
    let gate = setup(&verifier, OFTEN).start();
    let (_, _socket) = enter(&gate, "other").await;
    verifier.is_asked("other", 1 + often).await;
}

#[tokio::test]
async fn a_session_whose_authority_changes_its_mind_ends_and_the_others_do_not() {
    for (answer, code, reason) in [
        (
            Err(Rejection::Invalid(InvalidReason::Inactive)),
            4004,
            "revoked",
        ),
        (Err(Rejection::AccountDisabled), 4004, "account_disabled"),
        (Err(Rejection::KeyUnknown), 4001, "key_unknown"),
        (Ok(Identity::new("eve")), 4004, "revoked"),
    ] {
        let verifier = Fickle::new();
        verifier.says("a", ada());
        verifier.says("b", Ok(Identity::new("bob")));
        let gate = setup(&verifier, OFTEN).start();
        let (_, mut ada) = enter(&gate, "a").await;
        let (_, mut bob) = enter(&gate, "b").await;
        verifier.is_asked("a", 3).await;
        echoes(&mut ada).await;
        verifier.says("a", answer);
        assert_eq!(closed(&mut ada).await, (code, reason.to_owned()));
        echoes(&mut bob).await;
    }
}

#[tokio::test]
async fn while_nobody_answers_a_session_lives_on_and_is_asked_about_again() {
    let verifier = Fickle::new();
    verifier.says("a", ada());
    let gate = setup(&verifier, OFTEN).start();
    let (_, mut socket) = enter(&gate, "a").await;
    verifier.says("a", away());
    verifier.is_asked("a", 10).await;
    echoes(&mut socket).await;
    verifier.says("a", Err(Rejection::Revoked));
    assert_eq!(closed(&mut socket).await, (4004, "revoked".into()));
}

#[tokio::test]
async fn a_silence_that_is_too_long_ends_it_and_says_to_come_back() {
    let verifier = Fickle::new();
    verifier.says("a", ada());
    let mut setup = setup(&verifier, OFTEN);
    setup.terms.recheck_silence = Some(Duration::from_secs(1));
    let gate = setup.start();
    let (_, mut socket) = enter(&gate, "a").await;
    // Longer than the silence that is borne, and somebody answers.
    let asked = verifier.times_asked("a");
    verifier.is_asked("a", asked + 75).await;
    echoes(&mut socket).await;
    verifier.says("a", away());
    assert_eq!(closed(&mut socket).await, (1013, "keys_unavailable".into()));
}

#[tokio::test]
async fn a_question_that_is_never_answered_is_a_silence() {
    let verifier = Fickle::new();
    verifier.says("a", ada());
    let mut setup = setup(&verifier, OFTEN);
    setup.terms.recheck_silence = Some(Duration::from_millis(300));
    let gate = setup.start();
    let (_, mut socket) = enter(&gate, "a").await;
    verifier.0.open.send_replace(false);
    assert_eq!(closed(&mut socket).await, (1013, "keys_unavailable".into()));
}

#[tokio::test]
async fn a_renewed_session_is_asked_about_with_its_fresh_credential() {
    let verifier = Fickle::new();
    verifier.says("old", ada());
    verifier.says("new", ada());
    let gate = setup(&verifier, OFTEN).start();
    let (id, mut socket) = enter(&gate, "old").await;
    verifier.is_asked("old", 2).await;
    renew(&gate, &id, "new").await;
    // The old one is rotated away, and nobody minds.
    verifier.says("old", Err(Rejection::Revoked));
    let asked = verifier.times_asked("new");
    verifier.is_asked("new", asked + 3).await;
    echoes(&mut socket).await;
    verifier.says("new", Err(Rejection::Revoked));
    assert_eq!(closed(&mut socket).await, (4004, "revoked".into()));
}

#[tokio::test]
async fn an_answer_about_what_a_session_rested_on_before_ends_nobody() {
    let verifier = Fickle::new();
    verifier.says("old", ada());
    verifier.says("quick", ada());
    let gate = setup(&verifier, OFTEN).start();
    let (id, mut socket) = enter(&gate, "old").await;
    verifier.0.open.send_replace(false);
    let asked = verifier.times_asked("old");
    verifier.is_asked("old", asked + 1).await;
    renew(&gate, &id, "quick").await;
    verifier.says("old", Err(Rejection::Revoked));
    verifier.0.open.send_replace(true);
    let asked = verifier.times_asked("quick");
    verifier.is_asked("quick", asked + 3).await;
    echoes(&mut socket).await;
}

/// A gate that reads tickets of `fickle`, and credentials of somebody whose word is for good.
fn mixed(verifier: &Fickle, for_good: Arc<dyn DynVerifier>) -> Setup {
    let mut setup = Setup::new(Auth::Required {
        verifiers: vec![for_good, Arc::new(verifier.clone())],
        carriers: Carriers::default(),
    });
    setup.policy = setup.policy.keeping_credentials(true);
    setup.terms.recheck = Some(OFTEN);
    setup
}

#[tokio::test]
async fn a_session_that_is_renewed_onto_somebody_who_can_only_be_asked_is_asked_about() {
    let verifier = Fickle::new();
    let ada = || Ok(Identity::new("ada").with_issuer("house"));
    verifier.says("f", ada());
    let for_good = TokenVerifier::new().knows("j", ada()).reads_only("j");
    let mut setup = mixed(&verifier, Arc::new(for_good));
    // Longer than this nobody is silent, whom nobody is asked about.
    setup.terms.recheck_silence = Some(Duration::from_millis(300));
    let gate = setup.start();
    let (id, mut socket) = enter(&gate, "j").await;
    others_were_asked(30).await;
    echoes(&mut socket).await;
    assert_eq!(verifier.times_asked("f"), 0);
    renew(&gate, &id, "f").await;
    verifier.is_asked("f", 3).await;
    echoes(&mut socket).await;
    verifier.says("f", Err(Rejection::Revoked));
    assert_eq!(closed(&mut socket).await, (4004, "revoked".into()));
}

#[tokio::test]
async fn a_session_of_a_route_that_no_longer_asks_again_is_neither_asked_about_nor_silent() {
    let verifier = Fickle::new();
    verifier.says("old", ada());
    verifier.says("new", ada());
    let silent = || {
        let mut setup = setup(&verifier, OFTEN);
        setup.terms.recheck_silence = Some(Duration::from_millis(300));
        setup
    };
    let gate = silent().start();
    let (id, mut socket) = enter(&gate, "old").await;
    verifier.is_asked("old", 3).await;
    let mut off = setup(&verifier, OFTEN);
    off.policy = off.policy.keeping_credentials(false);
    off.terms.recheck = None;
    assert_eq!(gate.gate.reload(off.config()), 0);
    // Of this one no credential is kept.
    renew(&gate, &id, "new").await;
    verifier.says("new", Err(Rejection::Revoked));
    let asked = verifier.times_asked("new");
    others_were_asked(45).await;
    echoes(&mut socket).await;
    assert_eq!(verifier.times_asked("new"), asked);
}

#[tokio::test]
async fn a_reload_that_turns_authentication_off_ends_nobody_by_asking_again() {
    let verifier = Fickle::new();
    verifier.says("a", ada());
    let authority = TestAuthority::new().polled();
    let services = Services {
        authority: Some(Arc::new(authority.clone())),
        ..Services::default()
    };
    let gate = setup(&verifier, OFTEN).start_with(services);
    let (_, mut socket) = enter(&gate, "a").await;
    verifier.is_asked("a", 3).await;
    let mut off = Setup::new(Auth::Off);
    off.policy = off.policy.keeping_credentials(true);
    off.terms.recheck = Some(OFTEN);
    assert_eq!(gate.gate.reload(off.config()), 0);
    // The question that is under way is one of the rules before.
    others_were_asked(2).await;
    authority.disown("ada");
    authority.disown("local");
    let (answer, mut local) = gate.handshake(&[]).await;
    assert_eq!(answer.status, 101, "{}", answer.text);
    others_were_asked(10).await;
    echoes(&mut local).await;
    echoes(&mut socket).await;
}

#[tokio::test]
async fn what_is_revoked_of_an_answer_ends_the_session_that_rests_on_it_from_then_on() {
    let verifier = Fickle::new();
    verifier.says("a", ada());
    let gate = setup(&verifier, OFTEN).start();
    let (_, mut socket) = enter(&gate, "a").await;
    let revocation = Revocation::of(Target::Credential("stolen".into()));
    assert_eq!(gate.gate.revoke(&revocation), 0);
    verifier.is_asked("a", 3).await;
    echoes(&mut socket).await;
    verifier.says("a", Ok(Identity::new("ada").with_credential_id("stolen")));
    assert_eq!(closed(&mut socket).await, (4004, "revoked".into()));
}

#[tokio::test]
async fn an_authority_that_hangs_holds_up_its_own_route_alone() {
    let (hanging, quick) = (Fickle::new(), Fickle::new());
    let route = |verifier: &Fickle, name: &str| {
        let mut setup = setup(verifier, OFTEN);
        let auth = required_with(Arc::new(verifier.clone()), Carriers::default());
        setup.policy = Policy::new(name, auth).keeping_credentials(true);
        setup
    };
    let mut config = route(&hanging, "hangs").config();
    config.routes[0].pattern = Pattern::parse("/x").expect("a pattern");
    config.routes.extend(route(&quick, "all").config().routes);
    let gate = Setup::new(Auth::Off).start();
    gate.gate.reload(config);
    quick.says("q", ada());
    let mut sockets = Vec::new();
    for number in 0..100 {
        let token = number.to_string();
        hanging.says(&token, ada());
        sockets.push(enter(&gate, &token).await);
    }
    hanging.0.open.send_replace(false);
    hanging.is_asking(64).await;
    let (_, mut other) = enter_at(&gate, "/y", "q").await;
    quick.is_asked("q", 3).await;
    quick.says("q", Err(Rejection::Revoked));
    assert_eq!(closed(&mut other).await, (4004, "revoked".into()));
}

#[tokio::test]
async fn an_authority_that_changes_its_mind_about_rights_ends_it_too() {
    let verifier = Fickle::new();
    verifier.says("a", ada());
    let authority = TestAuthority::new().polled();
    let services = Services {
        authority: Some(Arc::new(authority.clone())),
        ..Services::default()
    };
    let gate = setup(&verifier, OFTEN).start_with(services);
    let (_, mut socket) = enter(&gate, "a").await;
    verifier.is_asked("a", 3).await;
    echoes(&mut socket).await;
    authority.disown("ada");
    assert_eq!(closed(&mut socket).await, (4003, "not_owner".into()));
}

#[tokio::test]
async fn an_end_that_the_authority_moves_is_the_sessions_end() {
    let verifier = Fickle::new();
    let until = |left: Duration| {
        let now =
            portcullis_boundary::clock::Clock::now(&portcullis_boundary::clock::SystemClock::new());
        let end = now.after(left);
        Ok(Identity::new("ada").expires_at(end, end))
    };
    verifier.says("a", until(Duration::from_secs(600)));
    let gate = setup(&verifier, OFTEN).start();
    let (_, mut socket) = enter(&gate, "a").await;
    verifier.says("a", until(Duration::from_millis(400)));
    assert_eq!(closed(&mut socket).await, (4001, "expired".into()));
}

#[tokio::test]
async fn where_the_route_does_not_want_it_nobody_is_asked_again() {
    let verifier = Fickle::new();
    for token in ["unasked", "asked", "later"] {
        verifier.says(token, ada());
    }
    // All of it is as at the route beside it, whose sessions are asked about meanwhile.
    let gate = Setup::new(Auth::Off).start();
    gate.gate.reload(two_routes(&verifier, None));
    let (_, mut unasked) = enter_at(&gate, "/quiet", "unasked").await;
    let (_, mut asked) = enter_at(&gate, "/y", "asked").await;
    verifier.is_asked("asked", 20).await;
    assert_eq!(verifier.times_asked("unasked"), 1);
    // A session keeps the terms with which it opened, whatever its route wants by now.
    assert_eq!(gate.gate.reload(two_routes(&verifier, Some(OFTEN))), 0);
    let (_, mut later) = enter_at(&gate, "/quiet", "later").await;
    verifier.is_asked("later", 20).await;
    assert_eq!(verifier.times_asked("unasked"), 1);
    for socket in [&mut unasked, &mut asked, &mut later] {
        echoes(socket).await;
    }
}

/// A route whose sessions are asked about as `quiet` says, before one whose sessions are in any case.
fn two_routes(verifier: &Fickle, quiet: Option<Duration>) -> GateConfig {
    let mut config = setup(verifier, OFTEN).config();
    let mut first = setup(verifier, OFTEN);
    first.terms.recheck = quiet;
    let auth = required_with(Arc::new(verifier.clone()), Carriers::default());
    first.policy = Policy::new("quiet", auth).keeping_credentials(true);
    let mut first = first.config().routes;
    first[0].pattern = Pattern::parse("/quiet").expect("a pattern");
    config.routes.extend(first);
    config
}

#[tokio::test]
async fn many_sessions_that_opened_together_are_not_asked_about_together() {
    let verifier = Fickle::new();
    let (sessions, every) = (200, Duration::from_secs(1));
    let gate = setup(&verifier, every).start();
    let mut sockets = Vec::new();
    let tokens: Vec<_> = (0..sessions).map(|number| number.to_string()).collect();
    for token in &tokens {
        verifier.says(token, ada());
        sockets.push(enter(&gate, token).await);
    }
    // How long after it opened each is asked about for the first time.
    let mut in_each_tenth = HashMap::new();
    for token in &tokens {
        verifier.is_asked(token, 2).await;
        let asked = verifier.0.asked.borrow();
        let mut times = asked.iter().filter(|(_, about)| about == token);
        let (opened, again) = (
            times.next().expect("asked").0,
            times.next().expect("twice").0,
        );
        let tenth = again.duration_since(opened).as_millis() / 100;
        *in_each_tenth.entry(tenth).or_insert(0_usize) += 1;
    }
    // Evenly it would be 20; all after the same time it would be 200.
    let most = in_each_tenth.values().max().copied().unwrap_or_default();
    assert!(most <= 100, "{in_each_tenth:?}");
}

#[tokio::test]
async fn a_slow_authority_has_no_more_questions_than_its_gate_may_ask_and_each_gets_its_turn() {
    let verifier = Fickle::new();
    let sessions = 200;
    for number in 0..sessions {
        verifier.says(&number.to_string(), ada());
    }
    let gate = setup(&verifier, OFTEN).start();
    let mut sockets = Vec::new();
    for number in 0..sessions {
        sockets.push(enter(&gate, &number.to_string()).await.1);
    }
    verifier.0.open.send_replace(false);
    // As many as may be, and everybody else waits.
    verifier.is_asking(64).await;
    others_were_asked(5).await;
    assert_eq!(verifier.most_at_once(), 64);
    for number in 0..sessions {
        verifier.says(&number.to_string(), Err(Rejection::Revoked));
    }
    verifier.0.open.send_replace(true);
    for socket in &mut sockets {
        assert_eq!(closed(socket).await, (4004, "revoked".into()));
    }
    assert_eq!(verifier.most_at_once(), 64);
}
