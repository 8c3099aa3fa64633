//! The samples, and the table as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use super::Scenario;
use super::peers::Kind;
use crate::cli::name;

/// A figure of one scenario.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Figure {
    /// CPU time of the bridge per thousand events, in ms; turns and all.
    CpuPerThousand,
    /// CPU time of the bridge per turn, in ms.
    CpuPerTurn,
    /// From asking to the first event, in µs.
    FirstP50,
    FirstP99,
    /// From the upstream's writing to the client's reading, in µs.
    DelayP50,
    DelayP99,
    /// Events per second of wall-clock time.
    Rate,
    /// Proportional memory per idle socket, in KiB.
    IdlePss,
    /// Resident memory with all idle sockets, in MB.
    Rss,
}

/// Samples by scenario, figure and bridge; only runs without errors leave any.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    values: BTreeMap<(Scenario, Figure, Kind), Vec<f64>>,
    /// Runs that count for nothing, and why.
    pub(crate) broken: Vec<String>,
}

/// A row of the table: what it is, and the bound.
struct Row {
    title: &'static str,
    scenario: Scenario,
    figure: Figure,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    /// At most this part of each peer's.
    OfPeers(f64),
    /// At most this much more than the direct client's.
    OverDirect(f64),
    None,
}

const ROWS: [Row; 12] = [
    row(
        "CPU per 1,000 events, paced, ms",
        Scenario::Events,
        Figure::CpuPerThousand,
        Bound::OfPeers(0.05),
    ),
    row(
        "CPU per 1,000 events, burst, ms",
        Scenario::Burst,
        Figure::CpuPerThousand,
        Bound::OfPeers(0.05),
    ),
    row(
        "CPU per short turn, ms",
        Scenario::First,
        Figure::CpuPerTurn,
        Bound::OfPeers(0.05),
    ),
    row(
        "time to the first event, p50, µs",
        Scenario::First,
        Figure::FirstP50,
        Bound::OverDirect(1_000.0),
    ),
    row(
        "time to the first event, p99, µs",
        Scenario::First,
        Figure::FirstP99,
        Bound::None,
    ),
    row(
        "an event's delay, paced, p50, µs",
        Scenario::Events,
        Figure::DelayP50,
        Bound::None,
    ),
    row(
        "an event's delay, paced, p99, µs",
        Scenario::Events,
        Figure::DelayP99,
        Bound::None,
    ),
    row(
        "events per second, burst",
        Scenario::Burst,
        Figure::Rate,
        Bound::None,
    ),
    row(
        "500 streams: an event's delay, p50, µs",
        Scenario::Many,
        Figure::DelayP50,
        Bound::None,
    ),
    row(
        "500 streams: an event's delay, p99, µs",
        Scenario::Many,
        Figure::DelayP99,
        Bound::None,
    ),
    row(
        "500 streams: events per second",
        Scenario::Many,
        Figure::Rate,
        Bound::None,
    ),
    row(
        "PSS per idle socket, KiB",
        Scenario::Idle,
        Figure::IdlePss,
        Bound::OfPeers(1.0),
    ),
];

const fn row(title: &'static str, scenario: Scenario, figure: Figure, bound: Bound) -> Row {
    Row {
        title,
        scenario,
        figure,
        bound,
    }
}

impl Samples {
    /// Adds one sample.
    pub(crate) fn add(&mut self, scenario: Scenario, figure: Figure, kind: Kind, value: f64) {
        self.values
            .entry((scenario, figure, kind))
            .or_default()
            .push(value);
    }

    /// What is judged: minima of costs, medians of all else.
    fn value(&self, scenario: Scenario, figure: Figure, kind: Kind) -> Option<f64> {
        let mut values = self.values.get(&(scenario, figure, kind))?.clone();
        values.sort_by(f64::total_cmp);
        match figure {
            Figure::CpuPerThousand | Figure::CpuPerTurn => values.first().copied(),
            _ => values.get(values.len() / 2).copied(),
        }
    }

    /// All samples, for the file of results.
    pub(crate) fn json(&self) -> Value {
        let rows = self.values.iter().map(|((scenario, figure, kind), samples)| {
            json!({ "scenario": scenario, "figure": figure, "peer": kind, "samples": samples })
        });
        json!({ "rows": rows.collect::<Vec<_>>(), "broken": self.broken })
    }

    /// The table.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "| figure | direct | bytes | LiteLLM | ccproxy-api | gate | gate / LiteLLM | gate / ccproxy-api | target |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n",
        );
        for row in &ROWS {
            self.write(row, &mut text);
        }
        for scenario in Scenario::BUSY.into_iter().chain([Scenario::Idle]) {
            let counts = Kind::ALL.map(|kind| {
                let first = self
                    .values
                    .iter()
                    .find(|((of, _, by), _)| (*of, *by) == (scenario, kind));
                format!("{kind} {}", first.map_or(0, |(_, samples)| samples.len()))
            });
            let _ = write!(
                text,
                "\nRuns of `{}`: {}.",
                name(scenario),
                counts.join(", ")
            );
        }
        text.push('\n');
        if !self.broken.is_empty() {
            text.push_str("\nRuns with errors, which count for nothing:\n\n");
            for broken in &self.broken {
                let _ = writeln!(text, "- {broken}");
            }
        }
        text
    }

    fn write(&self, row: &Row, text: &mut String) {
        let value = |kind| self.value(row.scenario, row.figure, kind);
        if Kind::ALL.into_iter().all(|kind| value(kind).is_none()) {
            return;
        }
        let _ = write!(text, "| {} |", row.title);
        for kind in Kind::ALL {
            let _ = write!(
                text,
                " {} |",
                value(kind).map_or_else(|| "–".into(), number)
            );
        }
        let gate = value(Kind::Gate);
        let ratio = |peer| gate.zip(value(peer)).map(|(gate, peer)| gate / peer);
        for peer in [Kind::Litellm, Kind::Ccproxy] {
            let _ = write!(
                text,
                " {} |",
                ratio(peer).map_or_else(|| "–".into(), |ratio| format!("{ratio:.3}"))
            );
        }
        let word = |kept: Option<bool>| match kept {
            None => "",
            Some(true) => "pass: ",
            Some(false) => "**MISS**: ",
        };
        let verdict = match row.bound {
            Bound::None => String::new(),
            Bound::OfPeers(part) => {
                let ratios: Vec<_> = [Kind::Litellm, Kind::Ccproxy]
                    .into_iter()
                    .filter_map(ratio)
                    .collect();
                let kept = (!ratios.is_empty()).then(|| ratios.iter().all(|ratio| *ratio <= part));
                format!("{}≤ {part:.2} of each", word(kept))
            }
            Bound::OverDirect(most) => {
                let more = gate
                    .zip(value(Kind::Direct))
                    .map(|(gate, direct)| gate - direct);
                let shown = more.map_or_else(String::new, |more| format!("{more:.0} µs more; "));
                format!(
                    "{}{shown}≤ {most:.0} µs more than direct",
                    word(more.map(|more| more <= most))
                )
            }
        };
        let _ = writeln!(text, " {verdict} |");
    }
}

/// A number with three digits that mean something.
fn number(value: f64) -> String {
    match value {
        99.95.. => format!("{value:.0}"),
        9.995.. => format!("{value:.1}"),
        0.9995.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
