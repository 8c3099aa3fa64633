//! The verifiers that ask others: what their tables may hold.

use portcullis_boundary::clock::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::*;

/// A route that asks the verifier `id`, which is made of `more`.
fn id(more: &str) -> String {
    format!(
        "[[route]]\npath = \"/chat/*\"\nupstream = \"builtin:echo\"\nverifiers = [\"id\"]\n\n[verifier.id]\n{more}\n"
    )
}

fn jwks(more: &str) -> String {
    id(&format!(
        "kind = \"jwks\"\nissuer = \"https://id.example\"\n{more}"
    ))
}

#[test]
fn every_kind_can_be_written_short_and_long() {
    for more in [
        "kind = \"jwks\"\nissuer = \"https://id.example\"\naudience = \"gate\"",
        "kind = \"jwks\"\nissuer = \"acme\"\naudience = [\"a\", \"b\"]\njwks_url = \"https://id.example/keys\"\nalgorithms = [\"RS256\", \"EdDSA\"]\ntoken_type = \"at+jwt\"\nsubject_claim = \"email\"\nrequired_claims = [\"tier\"]\nmax_clock_skew = \"0s\"\n[verifier.id.keys]\ndefault_age = \"5m\"\nmin_age = \"1s\"\nmax_age = \"10m\"\nmax_stale = \"0s\"\nunknown_kid_interval = \"1s\"\nmax_backoff = \"2s\"\nfetch_timeout = \"1s\"",
        "kind = \"jwks\"\nissuer = \"acme\"\ndangerously_accept_any_audience = true\njwks_file = \"keys.json\"",
        "kind = \"jwks\"\n[[verifier.id.issuers]]\nissuer = \"https://one.example\"\naudience = \"gate\"\n[[verifier.id.issuers]]\nissuer = \"https://two.example\"\naudience = \"gate\"\ndiscovery_url = \"http://127.0.0.1:1\"",
        "kind = \"firebase\"\nproject = \"chat-1\"",
        "kind = \"firebase\"\nproject = \"chat-1\"\njwks_url = \"http://127.0.0.1:1/keys\"\nmax_clock_skew = \"5s\"\naccounts_url = \"http://127.0.0.1:1\"\nbearer_file = \"token.txt\"\ntimeout = \"1s\"\nremember_for = \"0s\"",
        "kind = \"introspection\"\nurl = \"https://id.example/introspect\"",
        "kind = \"introspection\"\nurl = \"https://id.example/introspect\"\nclient_id = \"gate\"\nclient_secret_file = \"token.txt\"\nissuer = \"https://id.example\"\naudience = \"gate\"\nsubject_claim = \"username\"\ntimeout = \"1s\"\nremember_for = \"10s\"\nremember_refused_for = \"0s\"",
        "kind = \"callout\"\nurl = \"http://127.0.0.1:1/verify\"",
        "kind = \"callout\"\nurl = \"http://accounts:8080/me\"\nmethod = \"get\"\nsubject_claim = \"id\"\ntimeout = \"1s\"\ndangerously_allow_http = true",
        "kind = \"callout\"\nurl = \"https://accounts.example/verify\"\nbearer_file = \"token.txt\"",
    ] {
        assert_eq!(wrong(&id(more)), "nothing is wrong", "{more}");
    }
}

#[test]
fn each_wrong_verifier_is_told_with_its_place_and_its_mend() {
    let asking = |more: &str| id(&format!("kind = \"introspection\"\n{more}"));
    let cases = [
        ("key_of_several_kinds", id("kind = \"firebase\"\nproject = \"p\"\naudience = \"gate\"")),
        ("no_issuer", id("kind = \"jwks\"\naudience = \"gate\"")),
        ("no_audience", jwks("")),
        ("audience_and_any", jwks("audience = \"gate\"\ndangerously_accept_any_audience = true")),
        ("no_keys", jwks("audience = \"gate\"").replace("https://id.example", "acme")),
        ("two_places_of_keys", jwks("audience = \"gate\"\njwks_url = \"https://id.example/a\"\njwks_file = \"keys.json\"")),
        ("keys_without_tls", jwks("audience = \"gate\"\njwks_url = \"http://id.example/keys\"")),
        ("keys_at_no_url", jwks("audience = \"gate\"\njwks_url = \"keys.json\"")),
        ("keys_that_are_none", jwks("audience = \"gate\"\njwks_file = \"secret.txt\"")),
        ("keys_of_a_shared_secret", jwks("audience = \"gate\"\njwks_file = \"oct.json\"")),
        ("algorithm_of_a_shared_secret", jwks("audience = \"gate\"\nalgorithms = [\"HS256\"]")),
        ("no_algorithm", jwks("audience = \"gate\"\nalgorithms = []")),
        ("ages_upside_down", jwks("audience = \"gate\"\nkeys = { min_age = \"2h\" }")),
        ("issuer_beside_the_list", jwks("issuers = [{ issuer = \"https://two.example\", audience = \"gate\" }]")),
        ("same_issuer_twice", id("kind = \"jwks\"\nissuers = [{ issuer = \"https://a.example\", audience = \"gate\" }, { issuer = \"https://a.example\", audience = \"other\" }]")),
        ("no_project", id("kind = \"firebase\"")),
        ("project_that_is_a_url", id("kind = \"firebase\"\nproject = \"https://chat.firebaseapp.com\"")),
        ("accounts_without_a_bearer", id("kind = \"firebase\"\nproject = \"p\"\nremember_for = \"1s\"")),
        ("no_url", asking("")),
        ("id_without_secret", asking("url = \"https://id.example\"\nclient_id = \"gate\"")),
        ("two_ways_to_ask", asking("url = \"https://id.example\"\nclient_id = \"gate\"\nbearer_file = \"token.txt\"")),
        ("no_bearer", asking("url = \"https://id.example\"\nbearer_file = \"nosuch.txt\"")),
        ("two_audiences", asking("url = \"https://id.example\"\naudience = [\"a\", \"b\"]")),
        ("blank_audience", asking("url = \"https://id.example\"\naudience = \" \"")),
        ("bearer_of_a_bearer", id("kind = \"callout\"\nurl = \"https://id.example\"\nmethod = \"get\"\nbearer_file = \"token.txt\"")),
        ("callout_on_a_public_route", route("public = true\n[route.callout]\nurl = \"https://rights.example\"").replace("verifiers = [\"tokens\"]\n", "")),
        ("callout_without_tls", route("[route.callout]\nurl = \"http://rights.example\"")),
        ("two_of_any_shape", id("kind = \"callout\"\nurl = \"https://id.example\"\n[verifier.tokens]\nkind = \"capability-token\"\ntoken_file = \"token.txt\"").replace("[\"id\"]", "[\"tokens\", \"id\"]")),
        ("two_of_jwts", jwks("audience = \"gate\"\n[verifier.old]\nkind = \"hmac-jwt\"\nsecret_files = [\"secret.txt\"]").replace("[\"id\"]", "[\"old\", \"id\"]")),
    ];
    for (name, text) in cases {
        assert_snapshot!(name, wrong(&text));
    }
}

#[test]
fn asking_without_tls_is_warned_of_where_somebody_can_be_between() {
    let text = |url: &str| {
        id(&format!(
            "kind = \"callout\"\nurl = \"{url}\"\ndangerously_allow_http = true"
        ))
    };
    for (url, warnings) in [
        ("http://accounts:8080/me", 1),
        ("http://127.0.0.1:1/me", 0),
        ("https://accounts.example/me", 0),
    ] {
        let settings = read(&text(url)).expect("good");
        let about = |note: &&String| note.contains("without TLS");
        assert_eq!(
            settings.notes.iter().filter(about).count(),
            warnings,
            "{url}"
        );
    }
}

#[test]
fn a_route_with_a_callout_has_an_authority_and_others_have_none() {
    let with = route(
        "[route.callout]\nurl = \"https://rights.example\"\nbearer_file = \"token.txt\"\ntimeout = \"1s\"",
    );
    for (text, expected) in [(with, true), (route(""), false)] {
        let settings = read(&text).expect("good");
        assert_eq!(settings.gate.routes[0].authority.is_some(), expected);
    }
}

#[test]
fn files_that_are_read_for_each_question_are_not_watched() {
    let text =
        id("kind = \"introspection\"\nurl = \"https://id.example\"\nbearer_file = \"token.txt\"");
    assert_eq!(read(&text).expect("good").files, Vec::<PathBuf>::new());
    let text = jwks("audience = \"gate\"\njwks_file = \"keys.json\"");
    assert_eq!(read(&text).expect("good").files.len(), 1);
}

/// Answers one request with the key set, and is gone.
async fn answer_once(listener: TcpListener) -> io::Result<()> {
    let (mut stream, _) = listener.accept().await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let length = KEYS.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{KEYS}");
    stream.write_all(answer.as_bytes()).await
}

#[tokio::test]
async fn the_next_settings_go_on_with_keys_whose_issuer_is_away() {
    let (folder, outside) = (folder(), Outside::new(Handle::current()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let text = |skew: &str| {
        jwks(&format!(
            "audience = \"gate\"\njwks_url = \"http://127.0.0.1:{port}/keys\"\nmax_clock_skew = \"{skew}\""
        ))
    };
    let load = |text: &str, known: &[Keys]| {
        let overrides = Overrides {
            known: known.to_owned(),
            ..Overrides::default()
        };
        let settings = parse("f", folder.path(), text, &overrides, &outside);
        settings.expect("good").keys
    };
    let now = Timestamp::from_secs(1);
    let serve = |keys: &[Keys]| keys.iter().all(|keys| keys.health(now).state.serves());

    let first = load(&text("0s"), &[]);
    let (served, ()) = tokio::join!(answer_once(listener), first[0].prefetch(now));
    served.expect("asked");
    assert!(serve(&first));
    assert!(serve(&load(&text("9s"), &first)));
    assert!(!serve(&load(&text("9s"), &[])));
}

#[test]
fn without_authentication_nobody_is_asked_for_keys() {
    let text = "[auth]\nrequired = false\n".to_owned() + &jwks("audience = \"gate\"");
    assert!(read(&text).expect("good").keys.is_empty());
}
