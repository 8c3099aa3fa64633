//! Bytes as a configuration file: reading one never panics, and what is wrong is always said.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Err(problem) = portcullis::fuzzing::read_config(text)
    {
        assert!(!problem.is_empty());
    }
});
