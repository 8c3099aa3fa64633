//! The real binary: what it prints, and how it ends.

mod answers;
mod commands;
mod docs;
mod process;
