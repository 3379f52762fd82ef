//! A report as those need it who show it or compare it.
//!
//! Owns how a written report is read, in which order servers and figures are shown, what their names mean to people,
//! and ratios in short. Refuses any layout.

use serde::Deserialize;

use super::report::{BEFORE, FIGURES, Figure, ROUTER, Report, VERSION, median};

/// Why a text is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is of another form.
    #[error(
        "the report's form is version {found}, and this program reads version {VERSION}: measure anew, \
         or use the program that wrote it"
    )]
    Version {
        /// Which.
        found: u32,
    },
    /// It is none at all, or damaged.
    #[error("this is no report: {0}")]
    Form(#[from] serde_json::Error),
}

/// Ratios of several rounds in short.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Their [`median`].
    pub median: f64,
    /// The lowest one.
    pub lowest: f64,
    /// The highest one.
    pub highest: f64,
}

/// What a name of a figure or of a sampled value means to people: its heading and its unit. What is none of
/// [`FIGURES`] says its unit at the end of its name.
pub fn wording(name: &str) -> (String, &'static str) {
    if let Some(figure) = Figure::named(name) {
        return (figure.heading.to_owned(), figure.unit);
    }
    let units = [("_bytes", "bytes"), ("_us", "µs"), ("_per_second", "/s")];
    let unit = units.into_iter().find(|(end, _)| name.ends_with(end));
    let words = unit.and_then(|(end, _)| name.strip_suffix(end)).unwrap_or(name);
    (words.replace('_', " "), unit.map_or("", |(_, unit)| unit))
}

impl Report {
    /// Reads one that was written as JSON. What later versions of the same form have added may be missing.
    pub fn read(text: &[u8]) -> Result<Self, ReadError> {
        #[derive(Deserialize)]
        struct Form {
            version: u32,
        }
        // Another form need not have the members of this one, and is told before they are missed.
        let Form { version: found } = serde_json::from_slice(text)?;
        if found == VERSION {
            Ok(serde_json::from_slice(text)?)
        } else {
            Err(ReadError::Version { found })
        }
    }

    /// The servers in the order in which they are shown: [`ROUTER`], [`BEFORE`], the floors.
    pub fn servers(&self) -> Vec<&str> {
        let first = [ROUTER, BEFORE].into_iter().filter(|name| self.rounds.contains_key(*name));
        first.chain(self.floors()).collect()
    }

    /// The floors.
    pub fn floors(&self) -> impl Iterator<Item = &str> {
        self.rounds.keys().map(String::as_str).filter(|name| ![ROUTER, BEFORE].contains(name))
    }

    /// What the router is held against: [`BEFORE`] and the floors.
    pub fn others(&self) -> Vec<&str> {
        self.servers().into_iter().filter(|name| *name != ROUTER).collect()
    }

    /// The figures that a server has in some round, in the order of [`FIGURES`].
    pub fn measured(&self) -> Vec<&'static Figure> {
        let has = |figure: &&Figure| {
            self.rounds.values().flatten().any(|round| round.figures.contains_key(figure.name))
        };
        FIGURES.iter().filter(has).collect()
    }

    /// The ratios of a figure of two servers, in short. None where there is no ratio.
    pub fn spread(&self, of: &str, to: &str, figure: &str) -> Option<Spread> {
        let ratios = self.ratios(of, to, figure);
        let lowest = ratios.iter().copied().min_by(f64::total_cmp)?;
        let highest = ratios.iter().copied().max_by(f64::total_cmp)?;
        Some(Spread { median: median(ratios)?, lowest, highest })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::measure::sample;

    #[test]
    fn what_is_no_figure_says_its_unit_in_its_name() {
        let says = |name| {
            let (heading, unit) = wording(name);
            format!("{heading} [{unit}]")
        };
        assert_eq!(says("acknowledge_p99_us"), "acknowledged p99 [µs]");
        assert_eq!(says("wal_bytes"), "wal [bytes]");
        assert_eq!(says("calls_under_way"), "calls under way []");
    }

    #[test]
    fn a_report_of_another_form_is_told_from_what_is_none() {
        let told = |text: &str| Report::read(text.as_bytes()).unwrap_err().to_string();
        assert!(told(r#"{"version":7,"scenes":[]}"#).contains("version 7, and this program reads"));
        assert!(told("{}").contains("this is no report"));
        assert!(told(r#"{"version":1}"#).contains("missing field"));
    }

    /// Every member of one value is in the other one, which may have more.
    fn has_all(whole: &Value, part: &Value) -> bool {
        match (whole, part) {
            (Value::Object(whole), Value::Object(part)) => part
                .iter()
                .all(|(name, part)| whole.get(name).is_some_and(|whole| has_all(whole, part))),
            (Value::Array(whole), Value::Array(part)) => {
                whole.len() == part.len() && whole.iter().zip(part).all(|(a, b)| has_all(a, b))
            }
            _ => whole == part,
        }
    }

    #[test]
    fn a_report_of_yesterday_is_read_and_written_with_all_that_it_said() {
        let report = Report::read(sample::WRITTEN).unwrap();
        assert_eq!(report.servers(), [ROUTER, "durable"]);
        assert_eq!(report.rounds[ROUTER][0].samples[2].values["wal_bytes"], 4_194_304.0);
        let before: Value = serde_json::from_slice(sample::WRITTEN).unwrap();
        let after = serde_json::to_value(&report).unwrap();
        assert!(has_all(&after, &before), "{after}");
    }
}
