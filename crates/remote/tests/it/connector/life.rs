//! Enabling, disabling and ending, in every state.

use std::future::pending;
use std::time::Duration;

use portcullis_remote::connector::{
    Connector, Credential, CredentialError, CredentialSource, Enrolment, EnrolmentKey,
    EnrolmentStore, EnrolmentStoreError, Phase, ProblemKind, RelayUrlError, Renewal, StartError,
    Startup, Times,
};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::backend::{Backend, DEADLINE, Door, Reply};
use super::host::{Running, Setup, Vault, credential};

/// The most that an order may take.
const AT_ONCE: Duration = Duration::from_millis(200);
/// How often it is tried: another may have the machine meanwhile.
const TRIES: usize = 3;

#[tokio::test]
async fn every_state_ends_within_a_fifth_of_a_second() {
    for state in STATES {
        let mut quickest = Duration::MAX;
        for _ in 0..TRIES {
            let (_backend, running) = in_state(state).await;
            let begun = Instant::now();
            running.handle.shutdown();
            let handle = running.handle.clone();
            running.ended().await.unwrap();
            quickest = quickest.min(begun.elapsed());
            handle.stopped().await;
            assert_eq!(handle.status().state, "stopped", "{state}");
            if quickest < AT_ONCE {
                break;
            }
        }
        assert!(quickest < AT_ONCE, "{state}: {quickest:?}");
    }
}

#[tokio::test]
async fn every_state_is_disabled_within_a_fifth_of_a_second_and_enabled_again() {
    for state in STATES {
        let mut quickest = Duration::MAX;
        for _ in 0..TRIES {
            let (_backend, running) = in_state(state).await;
            let begun = Instant::now();
            running.handle.disable();
            let status = running.until_state("disabled").await;
            quickest = quickest.min(begun.elapsed());
            assert_eq!(status.phase, Phase::Disabled);
            assert_eq!((status.problem, status.enrolment), (None, None), "{state}");
            if state != "errored" && state != "disabled" {
                running.handle.enable().unwrap();
                running
                    .until("on its way", |now| now.phase != Phase::Disabled)
                    .await;
            }
            running.handle.shutdown();
            running.ended().await.unwrap();
            if quickest < AT_ONCE {
                break;
            }
        }
        assert!(quickest < AT_ONCE, "{state}: {quickest:?}");
    }
}

#[tokio::test]
async fn whoever_asks_before_knows_that_it_does_not_start() {
    let backend = Backend::start().await;
    let mut setup = Setup::to(&backend);
    setup.config.startup = Startup::RequireReady;
    let (mut connector, handle) = setup.connector(&Vault::empty());
    let told = connector.start().await.unwrap_err();
    assert!(matches!(told, StartError::NotReady(_)), "{told}");
    assert_eq!(Box::pin(connector.run()).await.unwrap_err(), told);
    assert_eq!(handle.status().state, "stopped");
    assert!(backend.asked().is_empty());
}

#[tokio::test]
async fn what_has_started_goes_on_from_there_and_ends_no_more_for_its_credential() {
    let mut backend = Backend::start().await;
    backend.book().enrol.push_back(Reply::Status(503, ""));
    let mut setup = Setup::to(&backend);
    setup.config.startup = Startup::RequireReady;
    let vault = Vault::of("good");
    let (mut connector, handle) = setup.connector(&vault);
    connector.start().await.unwrap();
    connector.start().await.unwrap();
    assert_eq!(vault.readings(), 1);
    assert!(backend.asked().is_empty(), "it dials when it runs");

    let running = TaskTracker::new().spawn(connector.run());
    backend.asked_at(Door::Enrol, 1).await;
    vault.put_silently(Err(CredentialError::Missing));
    let mut status = handle.watch();
    let waits = status.wait_for(|now| now.state == "waiting_for_credential");
    drop(timeout(DEADLINE, waits).await.expect("in time").unwrap());
    vault.put(Ok(credential("good")));
    let _road = backend.road().await;
    handle.shutdown();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn only_who_must_be_ready_reads_its_credential_before_it_runs() {
    let backend = Backend::start().await;
    for startup in [Startup::AllowRecoverable, Startup::Disabled] {
        let mut setup = Setup::to(&backend);
        setup.config.startup = startup;
        let vault = Vault::empty();
        let (mut connector, _handle) = setup.connector(&vault);
        connector.start().await.unwrap();
        assert_eq!(vault.readings(), 0, "{startup:?}");
    }
}

#[tokio::test]
async fn disabling_hangs_up_and_enabling_dials_at_once() {
    let mut backend = Backend::start().await;
    let mut setup = Setup::to(&backend);
    setup.config.times.first_backoff = Duration::from_secs(20);
    let running = setup.start(&Vault::of("good"));
    let road = backend.road().await;
    running.handle.disable();
    road.ended().await;
    running.handle.enable().unwrap();
    let road = backend.road().await;
    // Both at once is once more as well.
    running.handle.disable();
    running.handle.enable().unwrap();
    road.ended().await;
    let _road = backend.road().await;
}

#[tokio::test]
async fn a_bad_url_matters_when_it_is_dialled_and_not_before() {
    let backend = Backend::start().await;
    let mut setup = Setup::to(&backend);
    setup.config.relay = "ws://relay.example".into();
    setup.config.startup = Startup::Disabled;
    let running = setup.start(&Vault::of("good"));
    assert_eq!(running.handle.status().phase, Phase::Disabled);
    let error = running
        .handle
        .enable()
        .expect_err("it is no URL of a relay");
    assert!(matches!(error, RelayUrlError::Scheme { .. }), "{error}");
    let status = running.until_state("errored").await;
    assert_eq!(status.phase, Phase::Errored);
    assert_eq!(
        status.problem.expect("a problem").kind(),
        ProblemKind::RelayUrl
    );
    running.handle.disable();
    running.until_state("disabled").await;

    for startup in [Startup::AllowRecoverable, Startup::RequireReady] {
        let mut setup = Setup::to(&backend);
        setup.config.relay = "ws://relay.example".into();
        setup.config.startup = startup;
        let error = setup.start(&Vault::of("good")).ended().await;
        assert!(matches!(error, Err(StartError::Relay(_))), "{error:?}");
    }
}

#[tokio::test]
async fn a_connector_that_nobody_holds_goes_on() {
    let mut backend = Backend::start().await;
    let setup = Setup::to(&backend);
    let (connector, handle) = Connector::new(
        setup.config,
        Vault::of("good"),
        setup.enrolments,
        setup.upstream,
    );
    drop(handle);
    let run = connector.run();
    tokio::select! {
        ended = run => panic!("{ended:?}"),
        _road = backend.road() => {}
    }
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_a_credential_is_a_look_a_second_and_no_question() {
    let backend = Backend::start().await;
    let vault = Vault::empty();
    let running = with_real_times(&backend).start(&vault);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let readings = vault.readings();
    assert!((3000..=3601).contains(&readings), "{readings}");
    assert_eq!(running.handle.status().attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn an_hour_with_a_relay_that_is_down_is_no_more_than_250_attempts() {
    let backend = Backend::start().await;
    let mut setup = with_real_times(&backend);
    // A port that was free a moment ago, and on which nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    setup.config.relay = format!("http://{}/", free.local_addr().unwrap()).into();
    drop(free);
    let running = setup.start(&Vault::of("good"));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let status = running.handle.status();
    // Half of each wait is chance: 15 to 30 seconds.
    assert!((60..=250).contains(&status.attempts), "{status:?}");
    // One may be under way.
    assert!(
        status.attempts - u64::from(status.failures) <= 1,
        "{status:?}"
    );
}

/// With the waits that a host has.
fn with_real_times(backend: &Backend) -> Setup {
    let mut setup = Setup::to(backend);
    setup.config.times = Times::default();
    setup
}

const STATES: [&str; 11] = [
    "disabled",
    "errored",
    "reading_credential",
    "loading_enrolment",
    "waiting_for_credential",
    "renewing_credential",
    "enrolling",
    "refreshing",
    "connecting",
    "connected",
    "backing_off",
];

/// A connector that stays in `state`, for what would take it further hangs.
async fn in_state(state: &str) -> (Backend, Running) {
    let mut backend = Backend::start().await;
    let mut setup = Setup::to(&backend);
    setup.config.times.first_backoff = Duration::from_secs(20);
    setup.config.times.max_backoff = Duration::from_secs(20);
    let hangs = |what| Stuck { what };
    let running = match state {
        "reading_credential" => setup.start_with(hangs(Hangs::Reading), hangs(Hangs::Reading)),
        "loading_enrolment" => setup.start_with(hangs(Hangs::Loading), hangs(Hangs::Loading)),
        "renewing_credential" => {
            backend.book().enrol.push_back(Reply::Status(401, ""));
            setup.start_with(hangs(Hangs::Renewing), hangs(Hangs::Renewing))
        }
        "disabled" => {
            setup.config.startup = Startup::Disabled;
            setup.start(&Vault::of("good"))
        }
        "errored" => {
            setup.config.startup = Startup::Disabled;
            setup.config.relay = "nonsense".into();
            let running = setup.start(&Vault::of("good"));
            running.handle.enable().expect_err("it is no URL");
            running
        }
        "waiting_for_credential" => setup.start(&Vault::empty()),
        "enrolling" => {
            backend.book().enrol.push_back(Reply::Hang);
            setup.start(&Vault::of("good"))
        }
        "refreshing" => {
            backend.book().refresh.push_back(Reply::Hang);
            let key = EnrolmentKey::new(format!("{}/", backend.url()), "acme", "vm");
            let known = Enrolment::new("srv_1", "env_1");
            setup
                .enrolments
                .save(&key, &known)
                .await
                .expect("memory keeps");
            setup.start(&Vault::of("good"))
        }
        "connecting" => {
            backend.book().road.push_back(Reply::Hang);
            setup.start(&Vault::of("good"))
        }
        "backing_off" => {
            backend.book().enrol.push_back(Reply::Status(500, ""));
            setup.start(&Vault::of("good"))
        }
        "connected" => {
            let running = setup.start(&Vault::of("good"));
            // Kept by the backend until it ends.
            let road = backend.road().await;
            backend.keep(road);
            running
        }
        other => panic!("{other}"),
    };
    running.until_state(state).await;
    (backend, running)
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Hangs {
    Reading,
    Loading,
    Renewing,
}

/// A source and a store of which one never comes to an end.
#[derive(Clone, Copy)]
struct Stuck {
    what: Hangs,
}

impl CredentialSource for Stuck {
    async fn read(&self) -> Result<Credential, CredentialError> {
        if self.what == Hangs::Reading {
            pending::<()>().await;
        }
        Ok(credential("good"))
    }

    async fn changed(&self) {
        pending::<()>().await;
    }

    async fn renew(&self, _refused: &Credential) -> Renewal {
        pending().await
    }
}

impl EnrolmentStore for Stuck {
    async fn load(&self, _key: &EnrolmentKey) -> Result<Option<Enrolment>, EnrolmentStoreError> {
        if self.what == Hangs::Loading {
            pending::<()>().await;
        }
        Ok(None)
    }

    async fn save(&self, _: &EnrolmentKey, _: &Enrolment) -> Result<(), EnrolmentStoreError> {
        Ok(())
    }

    async fn clear(&self, _: &EnrolmentKey, _: &Enrolment) -> Result<(), EnrolmentStoreError> {
        Ok(())
    }
}
