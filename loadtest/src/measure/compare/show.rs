//! A comparison for a terminal.

use super::{Compared, Comparison, PROVEN_MIN, Verdict};
use crate::measure::number::{self, Unit, number};
use crate::measure::report::Figure;
use crate::report::aligned;

/// Figure by figure, then what should not have been, then what is to be known.
pub fn table(comparison: &Comparison) -> String {
    let head =
        ["", "first", "second", "unit", "change", "95 % between", "p", "corrected p", "verdict"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    if comparison.pairs < PROVEN_MIN {
        rows[0][5] = "lowest to highest".to_owned();
    }
    rows.extend(comparison.figures.iter().filter_map(row));
    for fault in &comparison.faults {
        let [before, after] = [fault.before, fault.after].map(number);
        let mut cells = vec![fault.what.clone(), before, after, "a round".to_owned()];
        cells.extend([""; 4].map(str::to_owned));
        cells.push(word_of_fault(fault.verdict).to_owned());
        rows.push(cells);
    }
    let mut text = format!(
        "{}: {} pairs of rounds; a change counts from {} % on\n\n",
        comparison.scenario,
        comparison.pairs,
        number(comparison.threshold * 100.0)
    );
    text += &aligned(&rows, |column| [0, 3, 8].contains(&column));
    if let Some(floor) = comparison.figures.iter().find_map(|figure| figure.floor.as_ref()) {
        text += &format!(
            "\n÷: the change is that of the router's part of {floor} in the same rounds.\n"
        );
    }
    for note in &comparison.notes {
        text += &format!("note: {note}\n");
    }
    text + &in_short(comparison) + &rounds(comparison)
}

/// What `--fail-on-worse` counts, and what not.
fn in_short(comparison: &Comparison) -> String {
    let figures = |verdict: Verdict| -> Vec<&str> {
        let figures = comparison.figures.iter().filter(|figure| figure.verdict == verdict);
        figures.filter_map(|figure| Some(Figure::named(figure.figure)?.heading)).collect()
    };
    let (mut proven, likely) = (figures(Verdict::Worse), figures(Verdict::LikelyWorse));
    let faults = comparison.faults.iter().filter(|fault| fault.verdict == Verdict::Worse);
    proven.extend(faults.map(|fault| fault.what.as_str()));
    let mut text = if proven.is_empty() {
        "\nnothing is proven worse\n".to_owned()
    } else {
        format!("\nproven worse: {}\n", proven.join(", "))
    };
    if !likely.is_empty() {
        let (likely, of) = (likely.join(", "), judged(comparison));
        text +=
            &format!("likely worse: {likely}; chance alone does that to {of} too often to count\n");
    }
    text
}

/// How many rounds would prove something, where there are too few.
fn rounds(comparison: &Comparison) -> String {
    let Comparison { scenario, pairs, pairs_to_prove: wanted, .. } = comparison;
    if pairs >= wanted || comparison.judged == 0 {
        return String::new();
    }
    let fewer = match comparison.judged {
        0 | 1 => String::new(),
        _ if *pairs < PROVEN_MIN => {
            format!(", or {PROVEN_MIN} with one figure chosen beforehand (--figure)")
        }
        _ => ", or fewer figures, chosen beforehand (--figure)".to_owned(),
    };
    format!(
        "{pairs} rounds prove no change of {}: measure {wanted} or more \
         (loadtest {scenario} --rounds {wanted}){fewer}\n",
        judged(comparison)
    )
}

fn judged(comparison: &Comparison) -> String {
    match comparison.judged {
        1 => "one figure".to_owned(),
        figures => format!("one of {figures} figures"),
    }
}

fn row(compared: &Compared) -> Option<Vec<String>> {
    let figure = Figure::named(compared.figure)?;
    let unit = Unit::of(figure.unit, compared.before.abs().max(compared.after.abs()));
    let mark = if compared.floor.is_some() { " ÷" } else { "" };
    let chance = |chance: Option<f64>| {
        chance.map_or(number::NONE.to_owned(), |chance| format!("{chance:.4}"))
    };
    let change = |part: f64| number::change(1.0 + part);
    Some(vec![
        format!("{}{mark}", figure.heading),
        unit.write(compared.before),
        unit.write(compared.after),
        unit.name.to_owned(),
        change(compared.change),
        format!("{} to {}", change(compared.low), change(compared.high)),
        chance(compared.chance),
        chance(compared.corrected),
        word(compared.verdict).to_owned(),
    ])
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better, proven",
        Verdict::LikelyBetter => "likely better",
        Verdict::Same => "no difference seen",
        Verdict::Unknown => "too few rounds",
        Verdict::NotJudged => "not judged",
        Verdict::LikelyWorse => "likely worse",
        Verdict::Worse => "WORSE, proven",
    }
}

/// Faults are counted; chance has no part in what is new.
fn word_of_fault(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::LikelyBetter => "fewer",
        Verdict::LikelyWorse => "more",
        Verdict::Worse => "WORSE",
        Verdict::Same | Verdict::Unknown | Verdict::NotJudged => "the same",
    }
}
