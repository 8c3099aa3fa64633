//! The program, as a library: for its binary, and for the fuzzer. It promises nothing to others.

mod admin;
mod assertion;
mod banner;
mod cli;
mod codes;
mod config;
mod connector;
mod counted;
mod demo;
mod desk;
mod dial;
mod explain;
mod first_run;
mod flags;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod issuers;
mod logging;
mod login;
mod notes;
mod output;
mod places;
mod rates;
mod reload;
mod remote;
mod run;
mod secrets;
mod settings;
mod state;
mod traces;
mod turns;
mod upgrade;

pub use self::cli::main;
