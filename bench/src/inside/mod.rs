//! What is measured without peers, inside this process: decisions by the kind of their credential,
//! tickets by the kind of their ledger, and how long a revoked session lives.

mod decisions;
mod keys;
mod revoked;
mod tickets;

use anyhow::Result;

use crate::cli::InsideOptions;

/// Measures, and prints Markdown.
pub(crate) fn run(options: &InsideOptions) -> Result<()> {
    println!("| decision | µs CPU |\n| --- | ---: |");
    for (name, cost) in decisions::measure(options.decisions)? {
        println!("| {name} | {cost:.2} |");
    }
    println!("\n| tickets, issued and used | a second |\n| --- | ---: |");
    for (name, rate) in tickets::measure(options.ledger.as_deref())? {
        println!("| {name} | {rate:.0} |");
    }
    let took = revoked::measure(options.sessions, options.revoked)?;
    println!(
        "\nOf {} live sessions {} were revoked, one after another; the close was read after {:.2} ms (p50), {:.2} ms (p99), {:.2} ms (worst).",
        options.sessions, options.revoked, took.p50, took.p99, took.worst
    );
    Ok(())
}
