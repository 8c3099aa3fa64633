//! Each refusal as it is told over HTTP.

use std::fmt::Write as _;

use portcullis_boundary::close::{CodeTable, Preset};
use portcullis_boundary::denial::denial;
use portcullis_boundary::policy::Auth;
use portcullis_boundary::{Policy, Refusal, RefusalKind};

#[test]
fn each_refusal_has_its_response() {
    insta::assert_snapshot!("responses", responses(Preset::Default));
}

#[test]
fn under_the_app_servers_preset_the_words_are_its_own() {
    insta::assert_snapshot!("responses_app_server", responses(Preset::AppServer));
}

fn responses(preset: Preset) -> String {
    let codes = CodeTable::new(preset);
    let mut text = String::new();
    for kind in RefusalKind::ALL {
        let policy = Policy::new("route", Auth::Public).with_codes(codes.clone());
        let response = denial(Refusal::new(kind), &policy);
        let close = codes
            .code(kind)
            .map_or_else(|| "never accepted".to_owned(), |code| code.to_string());
        writeln!(
            text,
            "{kind}\n  close {close}\n  HTTP {}",
            response.status()
        )
        .expect("written");
        for (name, value) in response.headers() {
            writeln!(text, "  {name}: {}", value.to_str().expect("text")).expect("written");
        }
        let body = std::str::from_utf8(response.body()).expect("text");
        writeln!(text, "  {body}\n").expect("written");
    }
    text
}
