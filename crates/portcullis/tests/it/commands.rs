//! Help texts, outputs and exit codes, as transcripts.

#[test]
fn commands_print_what_their_transcripts_say() {
    trycmd::TestCases::new()
        .case("tests/it/cmd/*.trycmd")
        .default_bin_name("portcullis")
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1");
}
