//! What a measurement finds that should not be.

use std::collections::BTreeMap;

use super::report::Round;

/// Violations that are told in full; more are counted.
const TOLD_MAX: usize = 10;

/// What was found, in the order in which it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    violations: Vec<String>,
    violated: u64,
    refused: BTreeMap<String, u64>,
}

impl Found {
    /// Something is not as it has to be.
    pub fn violation(&mut self, what: impl FnOnce() -> String) {
        self.violated += 1;
        if self.violations.len() < TOLD_MAX {
            self.violations.push(what());
        }
    }

    /// A call got this error, which nobody expects.
    pub fn refused(&mut self, name: &str) {
        *self.refused.entry(name.to_owned()).or_default() += 1;
    }

    /// The violations that are told in full.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// The names of the errors that nobody expects, in words.
    pub fn refusals(&self) -> String {
        if self.refused.is_empty() {
            return "nothing was refused".to_owned();
        }
        let names: Vec<&str> = self.refused.keys().map(String::as_str).collect();
        format!("refused: {}", names.join(", "))
    }

    /// A round in which it was found.
    pub fn into_round(self) -> Round {
        let Self { violations, violated, refused } = self;
        Round { violations, violated, refused, ..Round::default() }
    }
}
