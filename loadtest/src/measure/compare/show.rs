//! A comparison for a terminal.

use super::{Compared, Comparison, PROVEN_MIN, Verdict};
use crate::measure::number::{self, Unit, number};
use crate::measure::report::Figure;
use crate::report::aligned;

/// Figure by figure, then what should not have been, then what is to be known.
pub fn table(comparison: &Comparison) -> String {
    let head = ["", "first", "second", "unit", "change", "95 % between", "p", "verdict"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    if comparison.pairs < PROVEN_MIN {
        rows[0][5] = "lowest to highest".to_owned();
    }
    rows.extend(comparison.figures.iter().filter_map(row));
    for fault in &comparison.faults {
        let [before, after] = [fault.before, fault.after].map(number);
        let mut cells = vec![fault.what.clone(), before, after, "a round".to_owned()];
        cells.extend([""; 3].map(str::to_owned));
        cells.push(word(fault.verdict).to_owned());
        rows.push(cells);
    }
    let mut text = format!(
        "{}: {} pairs of rounds; a change counts from {} % on\n\n",
        comparison.scenario,
        comparison.pairs,
        number(comparison.threshold * 100.0)
    );
    text += &aligned(&rows, |column| [0, 3, 7].contains(&column));
    if let Some(floor) = comparison.figures.iter().find_map(|figure| figure.floor.as_ref()) {
        text += &format!(
            "\n÷: the change is that of the router's part of {floor} in the same rounds.\n"
        );
    }
    for note in &comparison.notes {
        text += &format!("note: {note}\n");
    }
    text
}

fn row(compared: &Compared) -> Option<Vec<String>> {
    let figure = Figure::named(compared.figure)?;
    let unit = Unit::of(figure.unit, compared.before.abs().max(compared.after.abs()));
    let mark = if compared.floor.is_some() { " ÷" } else { "" };
    let change = |part: f64| number::change(1.0 + part);
    Some(vec![
        format!("{}{mark}", figure.heading),
        unit.write(compared.before),
        unit.write(compared.after),
        unit.name.to_owned(),
        change(compared.change),
        format!("{} to {}", change(compared.low), change(compared.high)),
        compared.chance.map_or(number::NONE.to_owned(), |chance| format!("{chance:.4}")),
        word(compared.verdict).to_owned(),
    ])
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::LikelyBetter => "likely better",
        Verdict::Same => "no difference seen",
        Verdict::Unknown => "too few rounds",
        Verdict::NotJudged => "not judged",
        Verdict::LikelyWorse => "likely WORSE",
        Verdict::Worse => "WORSE",
    }
}
