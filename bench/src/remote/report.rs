//! The tables, as Markdown.

use std::fmt::Write as _;

use serde::Serialize;

use super::Scenario;
use super::run::Samples;
use super::ways::Kind;
use crate::cli::name;
use crate::report::number;

/// A figure of a way.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Figure {
    /// CPU time of both ends for a request and its answer, in µs.
    Cpu(Scenario),
    /// Requests answered per second of wall-clock time.
    Rate(Scenario),
    /// The median time from asking to the answer, in µs.
    P50(Scenario),
    /// The time that one in a hundred exceeds, in µs.
    P99(Scenario),
    /// Memory of the near end per road without guests, in KiB.
    Road,
    /// Memory of both ends per guest that rests, in KiB.
    Guest,
    /// Resident memory of the near end with one road, in MiB.
    NearRss,
    /// Resident memory of a far end that has had no guest, in MiB.
    FarRss,
    /// The same where its road is over TLS, in MiB.
    FarRssTls,
    /// [`Figure::FarRss`] without the pages of the program's file, in MiB.
    FarOwn,
}

/// A row of the first table.
struct Row {
    title: &'static str,
    figure: Figure,
    bound: Bound,
}

/// What the relay's figure is held to.
#[derive(Clone, Copy)]
enum Bound {
    /// At most this many times rathole's.
    OfRathole(f64),
    /// At most this.
    Most(f64),
    None,
}

const ROWS: [Row; 16] = [
    row(
        "CPU per 300 B, one under way, µs",
        Figure::Cpu(Scenario::Small),
        Bound::None,
    ),
    row(
        "CPU per 300 B, 16 under way, µs",
        Figure::Cpu(Scenario::SmallDeep),
        Bound::None,
    ),
    row(
        "CPU per 64 KiB, µs",
        Figure::Cpu(Scenario::Message64K),
        Bound::OfRathole(2.0),
    ),
    row(
        "CPU per 1 MiB, µs",
        Figure::Cpu(Scenario::Message1M),
        Bound::None,
    ),
    row(
        "300 B a second, one under way",
        Figure::Rate(Scenario::Small),
        Bound::None,
    ),
    row(
        "300 B a second, 16 under way",
        Figure::Rate(Scenario::SmallDeep),
        Bound::None,
    ),
    row(
        "64 KiB a second",
        Figure::Rate(Scenario::Message64K),
        Bound::None,
    ),
    row(
        "1 MiB a second",
        Figure::Rate(Scenario::Message1M),
        Bound::None,
    ),
    row(
        "300 B there and back, p50, µs",
        Figure::P50(Scenario::Small),
        Bound::None,
    ),
    row(
        "300 B there and back, p99, µs",
        Figure::P99(Scenario::Small),
        Bound::None,
    ),
    row("near end per idle road, KiB", Figure::Road, Bound::None),
    row("both ends per idle guest, KiB", Figure::Guest, Bound::None),
    row(
        "near end with one road, MiB RSS",
        Figure::NearRss,
        Bound::None,
    ),
    row(
        "far end with nothing to do, MiB RSS",
        Figure::FarRss,
        Bound::Most(10.0),
    ),
    row(
        "the same over TLS, MiB RSS",
        Figure::FarRssTls,
        Bound::Most(10.0),
    ),
    row(
        "that over plain HTTP without its program's file, MiB",
        Figure::FarOwn,
        Bound::None,
    ),
];

const fn row(title: &'static str, figure: Figure, bound: Bound) -> Row {
    Row {
        title,
        figure,
        bound,
    }
}

/// The report of a run: what is judged, then what the runs behind it were like.
pub(crate) fn markdown(samples: &Samples) -> String {
    let mut text = String::from(
        "| figure | direct | rathole | relay | relay / rathole | relay over direct | target |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | --- |\n",
    );
    for row in &ROWS {
        write_row(row, samples, &mut text);
    }
    write_spread(samples, &mut text);
    if !samples.broken.is_empty() {
        text.push_str("\nRuns with errors, which count for nothing:\n\n");
        for broken in &samples.broken {
            let _ = writeln!(text, "- {broken}");
        }
    }
    text
}

/// What is judged: minima of costs, medians of all else.
fn value(samples: &Samples, figure: Figure, kind: Kind) -> Option<f64> {
    match figure {
        Figure::Cpu(_) => samples.min(figure, kind),
        _ => samples.median(figure, kind),
    }
}

fn write_row(row: &Row, samples: &Samples, text: &mut String) {
    let value = |kind| value(samples, row.figure, kind);
    if Kind::ALL.into_iter().all(|kind| value(kind).is_none()) {
        return;
    }
    let _ = write!(text, "| {} |", row.title);
    for kind in Kind::ALL {
        let _ = write!(text, " {} |", number(value(kind)));
    }
    let relay = value(Kind::Relay);
    let ratio = relay
        .zip(value(Kind::Rathole))
        .map(|(relay, rathole)| relay / rathole);
    let ratio = ratio.filter(|ratio| ratio.is_finite());
    let added = relay
        .zip(value(Kind::Direct))
        .filter(|_| matches!(row.figure, Figure::P50(_) | Figure::P99(_)))
        .map(|(relay, direct)| relay - direct);
    let shown = ratio.map_or_else(|| "–".into(), |ratio| format!("{ratio:.2}"));
    let _ = write!(text, " {shown} | {} |", number(added));
    let (bound, kept) = match row.bound {
        Bound::None => (String::new(), None),
        Bound::OfRathole(most) => (
            format!("≤ {most:.2} of rathole"),
            ratio.map(|ratio| ratio <= most),
        ),
        Bound::Most(most) => (format!("≤ {most:.0}"), relay.map(|relay| relay <= most)),
    };
    let word = match kept {
        None => "",
        Some(true) => "pass: ",
        Some(false) => "**MISS**: ",
    };
    let _ = writeln!(text, " {word}{bound} |");
}

fn write_spread(samples: &Samples, text: &mut String) {
    text.push_str(
        "\n| scenario | way | runs | µs CPU, minimum | median | maximum | a second | p50 µs | p99 µs |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for scenario in Scenario::BUSY {
        for kind in Kind::ALL {
            let (cpu, rate) = (Figure::Cpu(scenario), Figure::Rate(scenario));
            if samples.count(rate, kind) == 0 {
                continue;
            }
            let _ = writeln!(
                text,
                "| {} | {kind} | {} | {} | {} | {} | {} | {} | {} |",
                name(scenario),
                samples.count(rate, kind),
                number(samples.min(cpu, kind)),
                number(samples.median(cpu, kind)),
                number(samples.max(cpu, kind)),
                number(samples.median(rate, kind)),
                number(samples.median(Figure::P50(scenario), kind)),
                number(samples.median(Figure::P99(scenario), kind)),
            );
        }
    }
}
