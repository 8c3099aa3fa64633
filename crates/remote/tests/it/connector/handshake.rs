//! The handshake, and the road after it.

use std::time::Duration;

use portcullis_remote::connector::{Enrolment, Phase, ProblemKind};
use serde_json::json;

use super::backend::{Backend, Door, Reply};
use super::host::{Setup, Vault};

#[tokio::test]
async fn a_forgotten_host_enrols_anew_by_the_exact_answer_and_by_no_other() {
    let mut backend = Backend::start().await;
    backend.book().road.extend([
        Reply::Status(404, ""),
        Reply::Status(404, r#"{"detail":"Not Found"}"#),
        Reply::Status(404, r#"{"error":"Remote app server not found"}"#),
    ]);
    let running = Setup::to(&backend).start(&Vault::of("good"));
    let road = backend.road().await;
    assert_eq!(backend.count(Door::Enrol), 1, "its enrolment was preserved");
    assert_eq!(backend.count(Door::Road), 4);
    let status = running.until_state("connected").await;
    assert_eq!(status.enrolment, Some(Enrolment::new("srv_1", "env_1")));

    backend.forget();
    drop(road);
    let _road = backend.road().await;
    assert_eq!(backend.count(Door::Enrol), 2);
    let known = running.until("connected anew", |now| now.roads == 2).await;
    assert_eq!(known.enrolment, Some(Enrolment::new("srv_2", "env_2")));
}

#[tokio::test]
async fn a_forgotten_host_says_so() {
    let mut backend = Backend::start().await;
    let setup = Setup::to(&backend);
    let running = setup.start(&Vault::of("good"));
    let road = backend.road().await;
    backend.forget();
    backend.book().enrol.push_back(Reply::Hang);
    drop(road);
    let status = running.until_state("enrolling").await;
    let problem = status.problem.expect("a problem");
    assert_eq!(problem.kind(), ProblemKind::HostUnknown);
    assert!(
        problem.to_string().ends_with("; enrolling anew"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_refused_handshake_refreshes_and_comes_back() {
    let mut backend = Backend::start().await;
    backend.book().road.push_back(Reply::Status(401, ""));
    let _running = Setup::to(&backend).start(&Vault::of("good"));
    let _road = backend.road().await;
    let doors: Vec<_> = backend.asked().iter().map(|asked| asked.door).collect();
    assert_eq!(doors, [Door::Enrol, Door::Road, Door::Refresh, Door::Road]);
}

#[tokio::test]
async fn a_handshake_that_fails_in_any_other_way_is_tried_again() {
    let mut backend = Backend::start().await;
    backend.book().road.extend([
        Reply::Status(503, "down"),
        Reply::Status(200, "no upgrade"),
        Reply::Cut,
        Reply::Hang,
    ]);
    let mut setup = Setup::to(&backend);
    setup.config.times.connect_timeout = Duration::from_millis(300);
    let _running = setup.start(&Vault::of("good"));
    let _road = backend.road().await;
    assert_eq!(backend.count(Door::Enrol), 1);
    assert_eq!(backend.count(Door::Refresh), 0, "its token was preserved");
    assert_eq!(backend.count(Door::Road), 5);
}

#[tokio::test]
async fn a_dropped_road_comes_back_with_the_last_cursor() {
    let mut backend = Backend::start().await;
    let running = Setup::to(&backend).start(&Vault::of("good"));
    let mut road = backend.road().await;
    for cursor in ["c1", "c2"] {
        let ping = json!({"type":"ping","client_id":"c","stream_id":"s","cursor":cursor});
        road.say(ping).await;
        assert_eq!(road.hear_and_ack().await["status"], "unknown");
    }
    drop(road);
    let _road = backend.road().await;
    let cursors: Vec<_> = backend
        .asked()
        .iter()
        .map(|asked| asked.cursor.clone())
        .collect();
    assert_eq!(cursors, [None, None, Some("c2".to_owned())]);
    let status = running.until("back", |now| now.roads == 2).await;
    assert_eq!(status.phase, Phase::Connected);
}

#[tokio::test]
async fn a_road_that_is_cut_with_a_code_says_what_it_was() {
    for (code, reason, kind) in [
        (4001, "expired", ProblemKind::Expired),
        (4004, "revoked", ProblemKind::Revoked),
        (1012, "draining", ProblemKind::RoadLost),
    ] {
        let mut backend = Backend::start().await;
        let mut setup = Setup::to(&backend);
        setup.config.times.first_backoff = Duration::from_secs(20);
        setup.config.times.max_backoff = Duration::from_secs(20);
        let running = setup.start(&Vault::of("good"));
        backend.road().await.close(code, reason).await;
        let status = running.until_state("backing_off").await;
        let problem = status.problem.expect("a problem");
        assert_eq!(problem.kind(), kind);
        let told = format!("closed by the relay with {code} {reason:?}");
        assert!(problem.to_string().ends_with(&told), "{problem}");
        assert!(status.next_attempt.is_some());
    }
}

#[tokio::test]
async fn a_road_on_which_pings_are_not_answered_is_given_up() {
    let mut backend = Backend::start().await;
    let mut setup = Setup::to(&backend);
    setup.config.times.ping = Duration::from_millis(50);
    setup.config.times.pong_timeout = Duration::from_millis(300);
    let running = setup.start(&Vault::of("good"));
    // Nobody reads it, so that nobody answers.
    let _dead = backend.road().await;
    let status = running.until("lost", |now| now.problem.is_some()).await;
    let problem = status.problem.expect("a problem");
    assert!(
        problem.to_string().contains("no ping was answered"),
        "{problem}"
    );
    let _road = backend.road().await;
}

#[tokio::test]
async fn an_answered_ping_proves_a_road_and_nothing_else_does() {
    let mut backend = Backend::start().await;
    backend.book().enrol.push_back(Reply::Status(500, ""));
    let mut setup = Setup::to(&backend);
    setup.config.times.ping = Duration::from_millis(200);
    let running = setup.start(&Vault::of("good"));
    let mut road = backend.road().await;
    let status = running.until_state("connected").await;
    assert_eq!(status.failures, 1);
    let hear = async {
        road.hear().await;
    };
    tokio::select! {
        status = running.until("proven", |now| now.failures == 0) => {
            assert_eq!(status.phase, Phase::Connected);
        }
        () = hear => panic!("nothing is said"),
    }
}
