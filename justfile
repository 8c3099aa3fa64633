# The tasks of this project. Each is a script or one command, so that `just` is a convenience.

[private]
default:
    @just --list

# Everything that must hold before a merge
ci:
    .ci/run

# What is quick: before each commit
check: fmt size arrows lint doc

# Is the code formatted?
fmt:
    cargo fmt --all --check

# Clippy, warnings as errors
lint:
    cargo clippy --locked --workspace --all-targets --all-features -- -D warnings

# All tests; `just test --rust-only` for those in Rust
test *OPTIONS:
    scripts/test {{OPTIONS}}

# The documentation, of private items too
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features --document-private-items

# Which crate may depend on which
arrows:
    scripts/arrows

# No file over 600 lines before its tests
size:
    scripts/size

# Licences, bans and sources of dependencies
deny:
    "$(scripts/tool cargo-deny 0.20.2)" --locked check bans licenses sources

# The program as it is shipped and measured
dist:
    scripts/dist

# Each fuzz target, for some seconds
fuzz SECONDS="15":
    scripts/fuzz-smoke {{SECONDS}}

# The gate beside nginx and HAProxy, in one run
bench *OPTIONS:
    bench/run {{OPTIONS}}
