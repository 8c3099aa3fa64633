//! What is generated for the documentation is what stands in it.

use std::path::Path;
use std::process::Command;

fn printed(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(args)
        .output();
    let output = output.expect("the binary runs");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_page_of_codes_is_the_table_of_the_binary() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/codes.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let made = printed(&["codes", "--format", "markdown"]);
    assert!(
        page == made,
        "run `portcullis codes --format markdown > docs/codes.md`"
    );
}

#[test]
fn the_table_is_valid_json_with_every_refusal() {
    let table: serde_json::Value =
        serde_json::from_str(&printed(&["codes", "--format", "json"])).expect("JSON");
    let rows = table.as_array().expect("a list");
    assert_eq!(rows.len(), portcullis_boundary::RefusalKind::ALL.len());
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(
            printed(&["completions", shell]).contains("portcullis"),
            "{shell}"
        );
    }
}
