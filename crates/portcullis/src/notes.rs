//! What `/readyz` warns of beyond the gate's own warnings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_gateway::Gate;

/// The lines of each part of the program that has something to say. The gate has one place for all.
#[derive(Debug)]
pub(crate) struct Notes {
    gate: Arc<Gate>,
    by_part: Mutex<BTreeMap<&'static str, Vec<String>>>,
}

impl Notes {
    /// None yet, for `gate`.
    pub(crate) const fn new(gate: Arc<Gate>) -> Self {
        Self {
            gate,
            by_part: Mutex::new(BTreeMap::new()),
        }
    }

    /// Replaces what `part` says.
    pub(crate) fn set(&self, part: &'static str, lines: Vec<String>) {
        let mut by_part = self.by_part.lock().unwrap_or_else(PoisonError::into_inner);
        by_part.insert(part, lines);
        self.gate
            .set_notes(by_part.values().flatten().cloned().collect());
    }
}
