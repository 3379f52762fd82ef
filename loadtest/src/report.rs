//! What people read: the plan in short, and figures side by side.
//!
//! Owns the words and the layout. Computes nothing but units. Names of operators are shown, since
//! they are in the trace; texts of dialogues never are.

use std::fmt::Write;

use crate::pace::Speed;
use crate::plan::{Operator, Plan};
use crate::stats::{Fate, Figures, Samples, Skips, Summary};

/// Figures under a heading.
pub struct Column<'a> {
    /// The heading.
    pub title: &'a str,
    /// The figures.
    pub figures: &'a Figures,
}

/// What stands where there is no figure.
const NONE: &str = "-";

/// Figures side by side. `speed` turns trace time into real time. How each figure is meant stands
/// in the documentation of [`Figures`].
pub fn table(columns: &[Column<'_>], speed: Speed) -> String {
    let mut rows = vec![vec![String::new()]];
    rows[0].extend(columns.iter().map(|column| column.title.to_owned()));
    let mut row = |label: &str, cell: &dyn Fn(&Figures) -> Option<String>| {
        let cells = columns.iter().map(|column| cell(column.figures));
        let mut row = vec![label.to_owned()];
        row.extend(cells.map(|cell| cell.unwrap_or_else(|| NONE.to_owned())));
        if row.iter().skip(1).any(|cell| cell != NONE) {
            rows.push(row);
        }
    };
    row("offered", &|f| Some(f.offered.to_string()));
    row("served", &|f| Some(f.count(Fate::Served).to_string()));
    row("left", &|f| Some(f.count(Fate::Left).to_string()));
    row("unserved, nobody on duty", &|f| Some(f.count(Fate::Unserved).to_string()));
    row("wait, trace s: mean/p50/p95/p99", &|f| spread(&f.waits, 1_000.0));
    let per_real_ms = f64::from(speed.times());
    row("wait, real ms: mean/p50/p95/p99", &|f| spread(&f.waits, per_real_ms));
    row("wait of the served, trace s", &|f| spread(&f.waits_of_served, 1_000.0));
    row("answered within 20 s of the trace", &|f| f.share_in_time().map(percent));
    row("occupancy", &|f| f.occupancy().map(percent));
    row("messages", &|f| f.wire.as_ref().map(|wire| wire.messages.to_string()));
    row("acknowledged, ms: p50/p99", &|f| ends(&f.wire.as_ref()?.acknowledge_us, 1_000.0));
    row("delivered, ms: p50/p99", &|f| ends(&f.wire.as_ref()?.delivery_us, 1_000.0));
    row("idle beside waiting, real ms: p50/p99", &|f| ends(&f.wire.as_ref()?.idle_beside_ms, 1.0));
    row("samples beyond the bound", &|f| Some(beyond(f)).filter(|n| *n > 0).map(|n| n.to_string()));
    aligned(&rows, |_| true)
}

/// The skipped rows with their reasons, on one line.
pub fn skips(skips: &Skips) -> String {
    let each: Vec<String> = skips.iter().map(|(why, count)| format!("{count} {why}")).collect();
    let sum: u64 = skips.values().sum();
    if each.is_empty() {
        "skipped: none\n".to_owned()
    } else {
        format!("skipped: {sum} ({})\n", each.join(", "))
    }
}

/// Queues and operators of a plan. `from_s` is the time of day at which it begins, s.
pub fn summary(plan: &Plan, from_s: u32, speed: Speed) -> String {
    let mut text = String::new();
    let real_s = speed.real_ms(plan.length_ms) / 1_000;
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} customers, {} queues, {} operators ({} sent home), {} min of real time and the drain",
        plan.customers.len(),
        plan.queues.len(),
        plan.operators.len(),
        plan.sent_home,
        real_s.div_ceil(60),
    );
    text += &skips(&plan.skipped);
    text.push('\n');
    text += &aligned(&queue_rows(plan, from_s), |_| true);
    text.push('\n');
    text += &aligned(&operator_rows(plan, from_s), |_| true);
    text
}

fn queue_rows(plan: &Plan, from_s: u32) -> Vec<Vec<String>> {
    let head = ["queue", "customers", "members", "nobody on duty"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for ((place, name), gaps) in plan.queues.iter().enumerate().zip(plan.nobody()) {
        let customers = plan.customers.iter().filter(|who| who.queue == place).count();
        let members = plan.operators.iter().filter(|who| who.queues.contains(&place)).count();
        let gaps = gaps.iter().map(|(from, to)| stretch(*from, Some(*to), from_s));
        let gaps: Vec<String> = gaps.collect();
        rows.push(vec![
            name.clone(),
            customers.to_string(),
            members.to_string(),
            if gaps.is_empty() { NONE.to_owned() } else { gaps.join(" ") },
        ]);
    }
    rows
}

fn operator_rows(plan: &Plan, from_s: u32) -> Vec<Vec<String>> {
    let mut rows = vec![["operator", "queues", "on duty"].map(str::to_owned).to_vec()];
    let row = |who: &Operator| {
        let queues: Vec<&str> = who
            .queues
            .iter()
            .filter_map(|place| plan.queues.get(*place))
            .map(String::as_str)
            .collect();
        let shifts = who.shifts.iter().map(|shift| stretch(shift.from_ms, shift.to_ms, from_s));
        let shifts: Vec<String> = shifts.collect();
        vec![who.name.clone(), queues.join(" "), shifts.join(" ")]
    };
    rows.extend(plan.operators.iter().map(row));
    rows
}

/// `9:00-11:00`, or `9:00-end`.
fn stretch(from_ms: u64, to_ms: Option<u64>, from_s: u32) -> String {
    let clock = |ms: u64| {
        let minutes = ms / 60_000 + u64::from(from_s) / 60;
        format!("{}:{:02}", minutes / 60, minutes % 60)
    };
    format!("{}-{}", clock(from_ms), to_ms.map_or("end".to_owned(), clock))
}

fn spread(samples: &Samples, per: f64) -> Option<String> {
    let Summary { mean, p50, p95, p99, .. } = samples.summary()?;
    let [p50, p95, p99] = [p50, p95, p99].map(|value| scaled(value as f64 / per));
    Some(format!("{}/{p50}/{p95}/{p99}", scaled(mean / per)))
}

fn ends(samples: &Samples, per: f64) -> Option<String> {
    let Summary { p50, p99, .. } = samples.summary()?;
    Some(format!("{}/{}", scaled(p50 as f64 / per), scaled(p99 as f64 / per)))
}

/// One decimal, or none from a hundred on.
fn scaled(value: f64) -> String {
    if value < 99.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn beyond(figures: &Figures) -> u64 {
    let wire = figures.wire.as_ref();
    let of_wire = wire.map_or(0, |wire| {
        wire.acknowledge_us.beyond() + wire.delivery_us.beyond() + wire.idle_beside_ms.beyond()
    });
    figures.waits.beyond() + of_wire
}

/// Columns as wide as their widest cell, two blanks apart; cells stand to the left of some, to the right of others.
pub(crate) fn aligned(rows: &[Vec<String>], is_to_the_left: impl Fn(usize) -> bool) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = (0..).zip(row.iter().zip(&widths)).map(|(column, (cell, width))| {
            if is_to_the_left(column) {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::day::Hours;
    use crate::dialog::Dialogs;
    use crate::plan::Choice;
    use crate::stats::WireFigures;
    use crate::trace::Skip;

    fn speed() -> Speed {
        Speed::new(10).unwrap()
    }

    #[test]
    fn figures_stand_side_by_side() {
        let mut recorded = Figures::default();
        recorded.customer(Fate::Served, 5_000);
        recorded.customer(Fate::Left, 250_000);
        (recorded.busy_ms, recorded.on_duty_ms) = (1, 4);
        let mut measured = recorded.clone();
        let mut wire = WireFigures { messages: 12, ..WireFigures::default() };
        wire.acknowledge_us.add(2_500);
        measured.wire = Some(wire);
        let columns = [
            Column { title: "recorded", figures: &recorded },
            Column { title: "measured", figures: &measured },
        ];
        let table = table(&columns, speed());
        let row = |label: &str| {
            let line = table.lines().find(|line| line.starts_with(label)).unwrap();
            line[label.len()..]
                .split("  ")
                .filter(|cell| !cell.is_empty())
                .map(str::trim)
                .collect::<Vec<_>>()
        };
        assert_eq!(row("offered"), ["2", "2"]);
        assert_eq!(row("wait, trace s: mean/p50/p95/p99")[0], "128/5.0/250/250");
        assert_eq!(row("wait, real ms: mean/p50/p95/p99")[0], "12750/500/25000/25000");
        assert_eq!(row("answered within 20 s of the trace"), ["50.0 %", "50.0 %"]);
        assert_eq!(row("occupancy"), ["25.0 %", "25.0 %"]);
        assert_eq!(row("messages"), ["-", "12"]);
        assert_eq!(row("acknowledged, ms: p50/p99"), ["-", "2.5/2.5"]);
        assert!(!table.contains("delivered"), "a row without a figure is left out");
    }

    #[test]
    fn what_is_skipped_is_told_with_its_reason() {
        let two = Skips::from([(Skip::Phantom, 17), (Skip::NeverAsked, 3)]);
        assert_eq!(skips(&two), "skipped: 20 (17 phantom, 3 hung up before asking)\n");
        assert_eq!(skips(&Skips::new()), "skipped: none\n");
    }

    #[test]
    fn a_plan_in_short_names_hours_of_the_clock_and_no_text() {
        let dialogs = Dialogs::own().unwrap();
        let choice = Choice { staff: 1.0, seed: 3 };
        let hours = Hours::parse("8-11").unwrap();
        let plan = crate::synthetic::plan(hours, &dialogs, choice).unwrap();
        let text = summary(&plan, hours.from_s(), speed());
        assert!(text.contains("operator-04  orders invoices  8:00-10:00"), "{text}");
        assert!(text.contains("operator-03  orders other     8:00-end"), "{text}");
        for turn in plan.customers[0].dialog.iter() {
            assert!(!text.contains(turn.text.as_str()));
        }
    }
}
