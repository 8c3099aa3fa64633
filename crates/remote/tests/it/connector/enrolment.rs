//! Enrolling and refreshing, whatever the backend answers.

use std::time::Duration;

use portcullis_remote::connector::{
    Enrolment, EnrolmentKey, EnrolmentStore, Phase, ProblemKind, Status,
};
use tokio::time::Instant;

use super::backend::{Backend, Door, Reply};
use super::host::{Running, Setup, Vault};

#[tokio::test]
async fn a_host_enrols_once_and_refreshes_at_its_next_start() {
    let mut backend = Backend::start().await;
    let setup = Setup::to(&backend);
    let enrolments = setup.enrolments.clone();
    let running = setup.start(&Vault::of("good"));
    let _road = backend.road().await;
    let status = running.until_state("connected").await;
    assert_eq!(status.phase, Phase::Connected);
    assert_eq!(status.enrolment, Some(Enrolment::new("srv_1", "env_1")));
    let kept = running.enrolments.load(&key(&backend)).await;
    assert_eq!(kept, Ok(Some(Enrolment::new("srv_1", "env_1"))));
    running.handle.shutdown();
    running.ended().await.unwrap();

    let again = Setup {
        enrolments,
        ..Setup::to(&backend)
    };
    let running = again.start(&Vault::of("good"));
    let _road = backend.road().await;
    running.until_state("connected").await;
    let doors: Vec<_> = backend.asked().iter().map(|asked| asked.door).collect();
    assert_eq!(doors, [Door::Enrol, Door::Road, Door::Refresh, Door::Road]);
}

#[tokio::test]
async fn whatever_goes_wrong_with_an_enrolment_is_told_and_tried_again() {
    for (reply, kind, text) in failures() {
        let mut backend = Backend::start().await;
        backend.book().enrol.extend([reply.clone(), Reply::Hang]);
        let running = Setup::to(&backend).start(&Vault::of("good"));
        let status = failed(&running).await;
        let problem = status.problem.expect("a problem");
        assert_eq!(problem.kind(), kind, "{reply:?}: {problem}");
        assert!(problem.to_string().contains(text), "{reply:?}: {problem}");
        assert!(!problem.to_string().contains("s3cr3t"), "{problem}");
        assert_eq!(status.phase, Phase::Errored, "{reply:?}");
        backend.asked_at(Door::Enrol, 2).await;
        backend.book().enrol.clear();
        running.handle.disable();
        running.until_state("disabled").await;
        running.handle.enable().unwrap();
        let _road = backend.road().await;
        running.until_state("connected").await;
    }
}

#[tokio::test]
async fn a_backend_that_does_not_answer_is_given_up_and_asked_again() {
    let mut backend = Backend::start().await;
    backend.book().enrol.push_back(Reply::Hang);
    let mut setup = Setup::to(&backend);
    setup.config.times.exchange_timeout = Duration::from_millis(300);
    let running = setup.start(&Vault::of("good"));
    let status = failed(&running).await;
    let problem = status.problem.expect("a problem");
    assert_eq!(problem.kind(), ProblemKind::RelayDown);
    assert!(
        problem.to_string().contains("no answer within"),
        "{problem}"
    );
    let _road = backend.road().await;
}

#[tokio::test]
async fn nobody_there_is_a_relay_that_is_down() {
    let backend = Backend::start().await;
    let mut setup = Setup::to(&backend);
    // A port that was free a moment ago, and on which nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    setup.config.relay = format!("http://{}/", free.local_addr().unwrap()).into();
    drop(free);
    let running = setup.start(&Vault::of("good"));
    let problem = failed(&running).await.problem.expect("a problem");
    assert_eq!(problem.kind(), ProblemKind::RelayDown);
    assert!(problem.to_string().contains("refused"), "{problem}");
}

#[tokio::test]
async fn a_busy_backend_is_not_asked_before_it_wants_to_be() {
    let mut backend = Backend::start().await;
    backend.book().enrol.push_back(Reply::Busy { seconds: 1 });
    let begun = Instant::now();
    let _running = Setup::to(&backend).start(&Vault::of("good"));
    let _road = backend.road().await;
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(backend.count(Door::Enrol), 2);
}

#[tokio::test]
async fn a_refresh_that_finds_nothing_enrols_at_once() {
    let mut backend = Backend::start().await;
    let setup = Setup::to(&backend);
    let stale = Enrolment::new("srv_old", "env_old");
    setup.enrolments.save(&key(&backend), &stale).await.unwrap();
    let running = setup.start(&Vault::of("good"));
    let _road = backend.road().await;
    running.until_state("connected").await;
    let doors: Vec<_> = backend.asked().iter().map(|asked| asked.door).collect();
    assert_eq!(doors, [Door::Refresh, Door::Enrol, Door::Road]);
    let kept = running.enrolments.load(&key(&backend)).await;
    assert_eq!(kept, Ok(Some(Enrolment::new("srv_1", "env_1"))));
}

#[tokio::test]
async fn a_refresh_of_another_host_is_not_taken() {
    let backend = Backend::start().await;
    let setup = Setup::to(&backend);
    let known = Enrolment::new("srv_old", "env_old");
    setup.enrolments.save(&key(&backend), &known).await.unwrap();
    backend.book().refresh.push_back(Reply::Garbage(
        r#"{"server_id":"srv_x","environment_id":"env_x","remote_control_token":"t","expires_at":"2099-01-01T00:00:00Z"}"#,
    ));
    backend.book().refresh.push_back(Reply::Hang);
    let running = setup.start(&Vault::of("good"));
    let problem = failed(&running).await.problem.expect("a problem");
    assert!(
        problem.to_string().contains("got server_id=srv_x"),
        "{problem}"
    );
    assert_eq!(
        running.enrolments.load(&key(&backend)).await,
        Ok(Some(known))
    );
    backend.asked_at(Door::Refresh, 2).await;
}

/// What may be answered to an enrolment, and what is told of it.
fn failures() -> Vec<(Reply, ProblemKind, &'static str)> {
    vec![
        (
            Reply::Status(404, r#"{"detail":"Not Found"}"#),
            ProblemKind::NotFound,
            "HTTP 404, request-id: req-1, cf-ray: <none>, body: {\"detail\":\"Not Found\"}",
        ),
        (
            Reply::Status(500, ""),
            ProblemKind::RelayDown,
            "the relay is down: ",
        ),
        (
            Reply::Status(503, "later"),
            ProblemKind::RelayDown,
            "HTTP 503",
        ),
        (
            Reply::Status(400, "what?"),
            ProblemKind::BadAnswer,
            "body: what?",
        ),
        (
            Reply::Garbage("<html>"),
            ProblemKind::BadAnswer,
            "not the expected JSON",
        ),
        (
            Reply::Garbage(r#"{"server_id":"a","environment_id":"b"}"#),
            ProblemKind::BadAnswer,
            "not the expected JSON",
        ),
        (
            Reply::Garbage(
                r#"{"server_id":"a","environment_id":"b","remote_control_token":"s3cr3t","expires_at":1}"#,
            ),
            ProblemKind::BadAnswer,
            "\"remote_control_token\":\"<redacted>\"",
        ),
        (
            Reply::Garbage(
                r#"{"server_id":"a","environment_id":"b","remote_control_token":"s3cr3t","expires_at":"soon"}"#,
            ),
            ProblemKind::BadAnswer,
            "`expires_at` is no time of RFC 3339",
        ),
        (
            Reply::Garbage(
                "{\"server_id\":\"a\\r\\nb\",\"environment_id\":\"b\",\"remote_control_token\":\
                 \"s3cr3t\",\"expires_at\":\"2099-01-01T00:00:00Z\"}",
            ),
            ProblemKind::BadAnswer,
            "`server_id` is not what a header may hold",
        ),
        (
            Reply::Cut,
            ProblemKind::RelayDown,
            "enrollment failed at `http://127.0.0.1",
        ),
    ]
}

async fn failed(running: &Running) -> Status {
    running
        .until("failed", |now| now.failures > 0 && now.problem.is_some())
        .await
}

fn key(backend: &Backend) -> EnrolmentKey {
    EnrolmentKey::new(format!("{}/", backend.url()), "acme", "vm")
}
