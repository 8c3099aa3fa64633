//! How people log in: what the tables may hold.

use portcullis_boundary::carrier::CarrierKind;

use super::*;

/// A login with `more`, and a route for it to which `route` is added.
fn people(more: &str, route: &str) -> String {
    format!(
        "[login.people]\nissuer = \"https://id.example\"\nclient_id = \"gate\"\n\
         public_url = \"https://gate.example\"\n{more}\n\
         [verifier.cookie]\nkind = \"login\"\n\n\
         [[route]]\npath = \"/chat/*\"\nupstream = \"builtin:echo\"\nverifiers = [\"cookie\"]\n{route}\n\
         [ledger]\nurl = \"sqlite:ledger.db\"\n"
    )
}

#[test]
fn a_route_with_a_login_reads_its_cookie_and_sends_people_there() {
    for (url, cookie) in [
        ("https://gate.example", "__Host-portcullis"),
        ("http://127.0.0.1:7700/", "portcullis"),
    ] {
        let text = people("", "login = \"people\"").replace("https://gate.example", url);
        let settings = read(&text).expect("good");
        assert_eq!(settings.logins.len(), 1);
        let route = settings.gate.routes.first().expect("a route");
        assert_eq!(route.login.as_deref(), Some("/.portcullis/login/people"));
        assert!(route.policy.reads(CarrierKind::Header));
        let Auth::Required { carriers, .. } = route.policy.auth() else {
            panic!("authentication is required");
        };
        let carriers: Vec<String> = carriers.iter().map(ToString::to_string).collect();
        assert!(
            carriers.contains(&format!("cookie:{cookie}")),
            "{carriers:?}"
        );
    }
}

#[test]
fn a_login_may_be_written_in_full() {
    let more = "client_secret_file = \"token.txt\"\nscopes = [\"chat\"]\nscopes_claim = \"groups\"\n\
        lifetime = \"1h\"\nidle = \"10m\"\ntimeout = \"2s\"";
    let route = "login = \"people\"\ncarriers = [\"cookie:__Host-portcullis\"]";
    assert_eq!(wrong(&people(more, route)), "nothing is wrong");
    let named = people(more, route).replace("\"login\"", "\"login\"\nlogins = [\"people\"]");
    assert_eq!(wrong(&named), "nothing is wrong");
}

#[test]
fn without_authentication_nobody_is_sent_to_a_login() {
    let text = people("", "login = \"people\"") + "[auth]\nrequired = false\n";
    let settings = read(&text).expect("good");
    let route = settings.gate.routes.first().expect("a route");
    assert_eq!(route.login, None);
}

#[test]
fn each_wrong_login_is_told_with_its_place_and_its_mend() {
    let good = people("", "login = \"people\"");
    let tokens = "\n[verifier.tokens]\nkind = \"capability-token\"\ntoken_file = \"token.txt\"\n";
    for (name, text) in [
        ("name", good.replace("login.people", "login.People")),
        (
            "base_with_a_path",
            good.replace("https://gate.example", "https://gate.example/a"),
        ),
        (
            "base_without_tls",
            good.replace("https://gate.example", "http://gate.example"),
        ),
        (
            "issuer_without_tls",
            good.replace("https://id.example", "http://id.example"),
        ),
        ("no_client", good.replace("\"gate\"", "\" \"")),
        (
            "no_client_secret",
            people("client_secret_file = \"nowhere.txt\"", "login = \"people\""),
        ),
        (
            "unknown_login",
            good.replace("login = \"people\"", "login = \"peopel\""),
        ),
        (
            "unknown_login_of_a_verifier",
            good.replace("\"login\"", "\"login\"\nlogins = [\"staff\"]"),
        ),
        (
            "login_without_its_cookie",
            people("", "login = \"people\"\ncarriers = [\"cookie:other\"]"),
        ),
        (
            "login_without_its_verifier",
            good.replace("[\"cookie\"]", "[\"tokens\"]") + tokens,
        ),
        (
            "verifier_without_a_login",
            route("") + "[verifier.cookie]\nkind = \"login\"\n",
        ),
    ] {
        assert_snapshot!(name, wrong(&text));
    }
}
