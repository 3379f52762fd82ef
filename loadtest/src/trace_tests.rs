//! The trace's format, on rows made up here.

use super::*;

const DAY: &str = "2001-03-05";

/// A line from `column=value` pairs over a quiet, served contact of 5 March 2001.
fn line(changes: &[(Column, &str)]) -> String {
    let mut cells = [
        "L1", "7", "0", "1", "AA", "010305", "9:00:00", "9:00:10", "10", "9:00:10", "9:00:40",
        "30", "AGENT", "9:00:39", "9:02:39", "120", "ROSE",
    ];
    for (column, value) in changes {
        cells[*column as usize] = value;
    }
    cells.join("\t")
}

const NOT_SERVED: [(Column, &str); 5] = [
    (Column::Outcome, "HANG"),
    (Column::SerStart, "0:00:00"),
    (Column::SerExit, "0:00:00"),
    (Column::SerTime, "0"),
    (Column::Server, "NO_SERVER"),
];

fn read(lines: &[String]) -> Result<Trace, TraceError> {
    let text = format!("{HEADER}\n{}\n", lines.join("\n"));
    parse(&text, Day::parse(DAY).unwrap())
}

fn skip_of(changes: &[(Column, &str)]) -> Skip {
    let trace = read(&[line(changes)]).unwrap();
    assert!(trace.rows.is_empty(), "{:?}", trace.rows);
    trace.skipped[0].why
}

fn row_of(changes: &[(Column, &str)]) -> Row {
    let trace = read(&[line(changes)]).unwrap();
    assert!(trace.skipped.is_empty(), "{:?}", trace.skipped);
    trace.rows[0].clone()
}

fn cell_error(changes: &[(Column, &str)]) -> String {
    read(&[line(changes)]).unwrap_err().to_string()
}

#[test]
fn reads_a_served_contact() {
    let row = row_of(&[]);
    assert_eq!(
        row,
        Row {
            line: 2,
            priority: Priority::new(1).unwrap(),
            kind: "AA".to_owned(),
            asked_s: 32_410,
            waited_s: 30,
            ended: Ended::Served(Service {
                from_s: 32_440,
                length_s: 120,
                server: Some("ROSE".to_owned()),
            }),
        }
    );
}

#[test]
fn reads_one_who_left_and_one_served_by_nobody_known() {
    assert_eq!(row_of(&NOT_SERVED).ended, Ended::Left);
    let unknown = row_of(&[(Column::Server, "NO_SERVER")]);
    assert!(matches!(unknown.ended, Ended::Served(Service { server: None, .. })));
}

#[test]
fn a_served_contact_without_a_recorded_service_takes_no_time() {
    let row = row_of(&[
        (Column::SerStart, "0:00:00"),
        (Column::SerExit, "0:00:00"),
        (Column::SerTime, "0"),
    ]);
    assert!(matches!(row.ended, Ended::Served(Service { length_s: 0, .. })));
}

#[test]
fn every_reason_to_skip_is_told() {
    assert_eq!(skip_of(&[(Column::Outcome, "PHANTOM")]), Skip::Phantom);
    assert_eq!(skip_of(&[(Column::Outcome, "TRANSFER")]), Skip::UnknownOutcome);
    let mut at_once = NOT_SERVED.to_vec();
    at_once.extend([(Column::QExit, "9:00:10"), (Column::QTime, "0")]);
    assert_eq!(skip_of(&at_once), Skip::NeverAsked);
    let back = [(Column::VruExit, "8:59:10"), (Column::VruTime, "-50")];
    assert_eq!(skip_of(&back), Skip::TimesBackwards);
    let service_back = [(Column::SerExit, "9:00:00"), (Column::SerTime, "-39")];
    assert_eq!(skip_of(&service_back), Skip::TimesBackwards);
    let too_early = [(Column::SerStart, "9:00:37"), (Column::SerTime, "122")];
    assert_eq!(skip_of(&too_early), Skip::ServedBeforeWaited);
}

#[test]
fn two_clocks_may_differ_by_two_seconds() {
    let row = row_of(&[(Column::SerStart, "9:00:38"), (Column::SerTime, "121")]);
    assert_eq!(row.waited_s, 30);
}

#[test]
fn midnight_is_no_fault() {
    let row = row_of(&[
        (Column::VruEntry, "23:59:20"),
        (Column::VruExit, "23:59:30"),
        (Column::QStart, "23:59:30"),
        (Column::QExit, "0:00:30"),
        (Column::QTime, "60"),
        (Column::SerStart, "0:00:29"),
        (Column::SerExit, "0:01:29"),
        (Column::SerTime, "60"),
    ]);
    assert_eq!((row.asked_s, row.waited_s), (86_370, 60));
    let asked_after = row_of(&[
        (Column::VruEntry, "23:59:55"),
        (Column::VruExit, "0:00:05"),
        (Column::QStart, "0:00:05"),
        (Column::QExit, "0:00:35"),
        (Column::SerStart, "0:00:35"),
        (Column::SerExit, "0:02:35"),
    ]);
    assert_eq!(asked_after.asked_s, DAY_S + 5);
}

#[test]
fn rows_are_sorted_and_other_days_counted() {
    let trace = read(&[
        line(&[(Column::Date, "010304")]),
        line(&[]),
        line(&[
            (Column::VruEntry, "9:00:05"),
            (Column::VruExit, "9:00:09"),
            (Column::VruTime, "4"),
        ]),
        line(&[(Column::Outcome, "PHANTOM")]),
    ])
    .unwrap();
    assert_eq!(trace.other_days, 1);
    assert_eq!(trace.skipped.len(), 1);
    let lines: Vec<u64> = trace.rows.iter().map(|row| row.line).collect();
    assert_eq!(lines, [4, 3]);
}

#[test]
fn a_broken_cell_is_named_by_line_and_column() {
    assert_eq!(
        cell_error(&[(Column::SerExit, "9:2:39")]),
        "line 2, column 15 (ser_exit): `9:2:39` is not a time as H:MM:SS"
    );
    assert_eq!(
        cell_error(&[(Column::Priority, "11")]),
        "line 2, column 4 (priority): `11` is not a priority of 0 to 10"
    );
    assert_eq!(
        cell_error(&[(Column::Date, "010230")]),
        "line 2, column 6 (date): `010230` is not a day as YYMMDD"
    );
    assert_eq!(
        cell_error(&[(Column::QTime, "31")]),
        "line 2, column 12 (q_time): 31 s is not the time from 32410 to 32440 s"
    );
    for wrong in ["24:00:00", "9:60:00", "9:00:60", "9:00", "x:00:00", "+9:00:00", ""] {
        assert!(cell_error(&[(Column::VruExit, wrong)]).contains("column 8 (vru_exit)"));
    }
    for wrong in ["", "a b", "é"] {
        assert!(cell_error(&[(Column::Type, wrong)]).contains("column 5 (type)"));
    }
}

#[test]
fn a_broken_file_is_refused() {
    let day = Day::parse(DAY).unwrap();
    assert_eq!(parse("", day), Err(TraceError::Header));
    assert_eq!(parse("a\tb\n", day), Err(TraceError::Header));
    let short = TraceError::Columns { line: 2, got: 2 };
    assert_eq!(parse(&format!("{HEADER}\na\tb\n"), day), Err(short));
}
