//! The targets of the gate: each a figure, what it must reach and what it should.

use crate::figures::{Figure, Samples};
use crate::load::Scenario;
use crate::peers::Kind;

/// What a figure of the gate is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// A multiple of the figure of a peer.
    Of(f64, Kind),
    /// A multiple of the smallest figure of all peers.
    OfBest(f64),
    /// A number.
    Below(f64),
    /// Another figure of the gate, and some more.
    Plus(f64, Figure),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) figure: Figure,
    pub(crate) must: &'static [Bound],
    pub(crate) goal: &'static [Bound],
}

use Bound::{Below, Of, OfBest, Plus};
use Kind::{Haproxy, Nginx};

/// What counts as no growth: three cycles differ by some pages, in MB.
const PAGES_MB: f64 = 0.25;

/// The targets, in the order of the table.
pub(crate) const TARGETS: [Target; 15] = [
    Target {
        title: "CPU per admitted handshake",
        unit: "µs",
        figure: Figure::Cpu(Scenario::Handshake),
        must: &[Of(0.90, Haproxy)],
        goal: &[Of(0.80, Haproxy), Of(1.00, Nginx)],
    },
    Target {
        title: "CPU per refused handshake",
        unit: "µs",
        figure: Figure::Cpu(Scenario::Refused),
        must: &[Of(0.85, Haproxy)],
        goal: &[Of(0.70, Haproxy)],
    },
    Target {
        title: "CPU per 64 B echo",
        unit: "µs",
        figure: Figure::Cpu(Scenario::Echo64),
        must: &[Of(1.10, Nginx), Of(1.10, Haproxy)],
        goal: &[Of(1.03, Nginx), Of(1.03, Haproxy)],
    },
    Target {
        title: "CPU per 64 B echo, 32 deep",
        unit: "µs",
        figure: Figure::Cpu(Scenario::Echo64Deep),
        must: &[OfBest(1.10)],
        goal: &[OfBest(1.00)],
    },
    Target {
        title: "CPU per 16 KiB echo",
        unit: "µs",
        figure: Figure::Cpu(Scenario::Echo16K),
        must: &[Of(0.55, Haproxy), Of(0.55, Nginx)],
        goal: &[Of(0.45, Haproxy)],
    },
    Target {
        title: "CPU per 1 MiB echo",
        unit: "µs",
        figure: Figure::Cpu(Scenario::Echo1M),
        must: &[Of(0.75, Haproxy), Of(0.95, Nginx)],
        goal: &[Of(0.50, Haproxy)],
    },
    Target {
        title: "PSS per idle connection",
        unit: "KiB",
        figure: Figure::IdlePss,
        must: &[Of(0.50, Haproxy)],
        goal: &[Of(0.30, Haproxy)],
    },
    Target {
        title: "base RSS",
        unit: "MB",
        figure: Figure::BaseRss,
        must: &[Below(15.0)],
        goal: &[Below(8.0)],
    },
    Target {
        title: "RSS after three cycles of 5,000",
        unit: "MB",
        figure: Figure::ThirdCycleRss,
        must: &[Plus(PAGES_MB, Figure::FirstCycleRss)],
        goal: &[Plus(5.0, Figure::BaseRss)],
    },
    Target {
        title: "CPU with 5,000 idle connections",
        unit: "ms/s",
        figure: Figure::IdleCpu,
        must: &[Of(1.00, Haproxy)],
        goal: &[Below(0.2)],
    },
    Target {
        title: "p99 at 64 B",
        unit: "µs",
        figure: Figure::P99(Scenario::Echo64),
        must: &[Of(1.15, Haproxy)],
        goal: &[Of(1.00, Haproxy)],
    },
    calls(
        "syscalls per handshake",
        Scenario::Handshake,
        &[Below(20.0)],
        &[Below(17.0)],
    ),
    calls(
        "syscalls per 64 B echo",
        Scenario::Echo64,
        &[Below(6.1)],
        &[Below(6.0)],
    ),
    calls(
        "syscalls per 64 B echo, 32 deep",
        Scenario::Echo64Deep,
        &[Below(0.16)],
        &[Below(0.16)],
    ),
    calls(
        "syscalls per 1 MiB echo",
        Scenario::Echo1M,
        &[Below(80.0)],
        &[Below(30.0)],
    ),
];

const fn calls(
    title: &'static str,
    scenario: Scenario,
    must: &'static [Bound],
    goal: &'static [Bound],
) -> Target {
    Target {
        title,
        unit: "calls",
        figure: Figure::Calls(scenario),
        must,
        goal,
    }
}

impl Bound {
    /// Whether `figure` of the gate keeps it; `None` where something was not measured.
    pub(crate) fn is_kept(self, figure: Figure, samples: &Samples) -> Option<bool> {
        let of = |kind| samples.value(figure, kind);
        let limit = match self {
            Self::Of(factor, kind) => factor * of(kind)?,
            Self::OfBest(factor) => {
                let peers = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Gate);
                factor * peers.filter_map(of).min_by(f64::total_cmp)?
            }
            Self::Below(limit) => limit,
            Self::Plus(more, other) => samples.value(other, Kind::Gate)? + more,
        };
        // Half of the last digit shown is not a miss.
        Some(of(Kind::Gate)? <= limit * 1.0005)
    }

    /// How the bound reads in the table.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Of(factor, kind) => format!("≤ {factor:.2} {kind}"),
            Self::OfBest(factor) => format!("≤ {factor:.2} best"),
            Self::Below(limit) => format!("≤ {limit}"),
            Self::Plus(_, Figure::FirstCycleRss) => "no growth after the first".into(),
            Self::Plus(more, _) => format!("≤ base + {more}"),
        }
    }
}
