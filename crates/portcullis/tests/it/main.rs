//! The real binary: what it prints, and how it ends.

mod answers;
mod commands;
mod connect;
mod docs;
mod process;
