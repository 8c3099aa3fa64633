//! What is measured, and the samples of it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::load::{Outcome, Scenario};
use crate::peers::Kind;

/// A figure of the table.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Figure {
    /// CPU time of the proxy per unit, in µs.
    Cpu(Scenario),
    /// Units per second of wall-clock time.
    Rate(Scenario),
    /// The median time of a unit, in µs.
    P50(Scenario),
    /// The time that one unit in a hundred exceeds, in µs.
    P99(Scenario),
    /// System calls per unit.
    Calls(Scenario),
    /// Proportional memory per idle connection with 5,000 of them, in KiB.
    IdlePss,
    /// The same with 9,900.
    IdlePssMany,
    /// Resident memory after the start, in MB.
    BaseRss,
    /// Resident memory after 5,000 connections have come and gone once, in MB.
    FirstCycleRss,
    /// The same after the third time.
    ThirdCycleRss,
    /// CPU time per second with 5,000 idle connections, in ms.
    IdleCpu,
}

/// Samples by figure and proxy; only runs without errors leave any.
#[derive(Debug)]
pub(crate) struct Samples<F = Figure, K = Kind> {
    values: BTreeMap<(F, K), Vec<f64>>,
    /// Runs that count for nothing, and why.
    pub(crate) broken: Vec<String>,
}

/// The samples of one figure and proxy, for the file of results.
#[derive(Debug, Serialize)]
pub(crate) struct Row<F = Figure, K = Kind> {
    figure: F,
    peer: K,
    min: f64,
    median: f64,
    samples: Vec<f64>,
}

impl<F: Ord + Copy, K: Ord + Copy> Samples<F, K> {
    /// Adds one sample.
    pub(crate) fn add(&mut self, figure: F, kind: K, value: f64) {
        self.values.entry((figure, kind)).or_default().push(value);
    }

    /// The number of samples.
    pub(crate) fn count(&self, figure: F, kind: K) -> usize {
        self.values.get(&(figure, kind)).map_or(0, Vec::len)
    }

    /// The smallest sample.
    pub(crate) fn min(&self, figure: F, kind: K) -> Option<f64> {
        let samples = self.values.get(&(figure, kind))?;
        samples.iter().copied().min_by(f64::total_cmp)
    }

    /// The largest sample.
    pub(crate) fn max(&self, figure: F, kind: K) -> Option<f64> {
        let samples = self.values.get(&(figure, kind))?;
        samples.iter().copied().max_by(f64::total_cmp)
    }

    /// The median of the samples.
    pub(crate) fn median(&self, figure: F, kind: K) -> Option<f64> {
        let mut values = self.values.get(&(figure, kind))?.clone();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        if values.len() % 2 == 1 {
            Some(upper)
        } else {
            Some((values[middle - 1] + upper) / 2.0)
        }
    }

    /// All samples, for the file of results.
    pub(crate) fn rows(&self) -> Vec<Row<F, K>> {
        let row = |(&(figure, peer), samples): (&(F, K), &Vec<f64>)| {
            let min = self.min(figure, peer)?;
            let median = self.median(figure, peer)?;
            Some(Row {
                figure,
                peer,
                min,
                median,
                samples: samples.clone(),
            })
        };
        self.values.iter().filter_map(row).collect()
    }
}

impl Samples {
    /// Adds what a run of `scenario` told, which cost the proxy `cpu_nanos`.
    pub(crate) fn add_run(
        &mut self,
        scenario: Scenario,
        kind: Kind,
        cpu_nanos: f64,
        outcome: &Outcome,
    ) {
        let units = outcome.units as f64;
        self.add(Figure::Cpu(scenario), kind, cpu_nanos / 1e3 / units);
        self.add(Figure::Rate(scenario), kind, units / outcome.seconds);
        self.add(Figure::P50(scenario), kind, outcome.p50_us);
        self.add(Figure::P99(scenario), kind, outcome.p99_us);
    }

    /// What is judged: minima of costs, medians of times and of memory.
    pub(crate) fn value(&self, figure: Figure, kind: Kind) -> Option<f64> {
        match figure {
            Figure::Cpu(_) | Figure::Calls(_) | Figure::IdleCpu => self.min(figure, kind),
            _ => self.median(figure, kind),
        }
    }
}

impl<F, K> Default for Samples<F, K> {
    fn default() -> Self {
        Self {
            values: BTreeMap::new(),
            broken: Vec::new(),
        }
    }
}
