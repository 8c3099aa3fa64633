//! The tables, as Markdown.

use std::fmt::Write as _;

use crate::figures::{Figure, Samples};
use crate::load::BUSY;
use crate::peers::Kind;
use crate::targets::{Bound, TARGETS, Target};

/// The report of a run: the targets, then minima and medians behind them.
pub(crate) fn markdown(samples: &Samples) -> String {
    let mut text = String::from(
        "| figure | nginx | nginx `auth_request` | HAProxy | gate | gate / HAProxy | gate / nginx | must | goal |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |\n",
    );
    for target in &TARGETS {
        text.push_str(&target_row(target, samples).unwrap_or_default());
    }
    text.push_str(&spread(samples));
    text.push_str(&idle(samples));
    if !samples.broken.is_empty() {
        text.push_str("\nRuns with errors, which count for nothing:\n\n");
        for broken in &samples.broken {
            let _ = writeln!(text, "- {broken}");
        }
    }
    text
}

/// One row of the first table; `None` when nobody was measured.
fn target_row(target: &Target, samples: &Samples) -> Option<String> {
    let value = |kind| samples.value(target.figure, kind);
    Kind::ALL.into_iter().find_map(value)?;
    let mut row = format!("| {}, {} |", target.title, target.unit);
    for kind in Kind::ALL {
        let _ = write!(row, " {} |", number(value(kind)));
    }
    for peer in [Kind::Haproxy, Kind::Nginx] {
        let ratio = value(Kind::Gate)
            .zip(value(peer))
            .map(|(gate, peer)| gate / peer);
        let ratio = ratio.filter(|ratio| ratio.is_finite());
        let _ = write!(
            row,
            " {} |",
            ratio.map_or_else(|| "–".into(), |ratio: f64| format!("{ratio:.2}"))
        );
    }
    for bounds in [target.must, target.goal] {
        let _ = write!(row, " {} |", verdict(bounds, target.figure, samples));
    }
    row.push('\n');
    Some(row)
}

/// `pass`, `MISS` or nothing, and the bounds.
fn verdict(bounds: &[Bound], figure: Figure, samples: &Samples) -> String {
    let texts: Vec<_> = bounds.iter().map(|bound| bound.text()).collect();
    let kept: Option<Vec<_>> = bounds
        .iter()
        .map(|bound| bound.is_kept(figure, samples))
        .collect();
    let word = match kept {
        None => "",
        Some(kept) if kept.iter().all(|kept| *kept) => "pass: ",
        Some(_) => "**MISS**: ",
    };
    format!("{word}{}", texts.join(", "))
}

/// Minimum, median, rate and times of each busy scenario.
fn spread(samples: &Samples) -> String {
    let mut text = String::new();
    for scenario in BUSY {
        for kind in Kind::ALL {
            let cpu = Figure::Cpu(scenario);
            if samples.count(cpu, kind) == 0 {
                continue;
            }
            let _ = writeln!(
                text,
                "| {} | {kind} | {} | {} | {} | {} | {} | {} | {} |",
                crate::cli::name(scenario),
                samples.count(cpu, kind),
                number(samples.min(cpu, kind)),
                number(samples.median(cpu, kind)),
                number(samples.median(Figure::Rate(scenario), kind)),
                number(samples.median(Figure::P50(scenario), kind)),
                number(samples.median(Figure::P99(scenario), kind)),
                number(samples.min(Figure::Calls(scenario), kind)),
            );
        }
    }
    if text.is_empty() {
        return text;
    }
    let heads = "\n| scenario | proxy | runs | µs CPU, minimum | median | units/s | p50 µs | p99 µs | syscalls |\n\
                 | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    format!("{heads}{text}")
}

/// What rests.
fn idle(samples: &Samples) -> String {
    let columns = [
        Figure::IdlePss,
        Figure::IdlePssMany,
        Figure::BaseRss,
        Figure::FirstCycleRss,
        Figure::ThirdCycleRss,
        Figure::IdleCpu,
    ];
    let mut text = String::new();
    for kind in Kind::ALL {
        if samples.count(Figure::BaseRss, kind) == 0 {
            continue;
        }
        let _ = write!(text, "| {kind} |");
        for figure in columns {
            let _ = write!(text, " {} |", number(samples.value(figure, kind)));
        }
        text.push('\n');
    }
    if text.is_empty() {
        return text;
    }
    let heads = "\n| proxy | KiB PSS per connection, 5,000 | 9,900 | base RSS, MB | after the first cycle | after the third | idle CPU, ms/s |\n\
                 | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    format!("{heads}{text}")
}

/// A number with three digits that mean something.
pub(crate) fn number(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(value) if value >= 99.95 => format!("{value:.0}"),
        Some(value) if value >= 9.995 => format!("{value:.1}"),
        Some(value) if value >= 0.9995 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}
