//! The trace of a contact centre: one row a contact, tab-separated, seventeen columns.
//!
//! Owns the format and what a usable row is. A file that does not keep to the format is refused
//! with its line and column; a row that keeps to it and yet cannot be replayed is kept as skipped,
//! with its reason, so that nothing disappears uncounted. Reads one day and only counts the rest.
//!
//! Invariants: every row of the file is exactly one of: usable, skipped, of another day.

use std::fmt;

use switchboard::domain::Priority;

use crate::day::{Day, number};

/// The header that a trace begins with.
pub const HEADER: &str = "vru+line\tcall_id\tcustomer_id\tpriority\ttype\tdate\tvru_entry\tvru_exit\t\
vru_time\tq_start\tq_exit\tq_time\toutcome\tser_start\tser_exit\tser_time\tserver";

/// Columns of a row.
const COLUMNS: usize = 17;

/// Seconds of a day.
pub const DAY_S: u32 = 86_400;

/// What stands for no operator.
const NO_SERVER: &str = "NO_SERVER";

/// Longest name of a type or a server, bytes: they become names of queues and operators.
const NAME_MAX_BYTES: usize = 64;

/// By how much a service may seem to begin before the wait ended, s. The centre has two clocks and
/// cuts both to whole seconds: most served rows show 1 or 2 s, and hardly any shows 3.
pub const CLOCK_SKEW_S: u32 = 2;

/// A usable contact. Times are seconds since the day's midnight; they may exceed [`DAY_S`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its line in the file, the header being 1.
    pub line: u64,
    /// How much sooner it is served.
    pub priority: Priority,
    /// The type of call: the skill asked for.
    pub kind: String,
    /// When the customer asked for a person.
    pub asked_s: u32,
    /// How long it waited, s.
    pub waited_s: u32,
    /// What came of it.
    pub ended: Ended,
}

/// What came of a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Somebody served it.
    Served(Service),
    /// The customer's patience ended.
    Left,
}

/// A service as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// When it began, as the wait's end is recorded.
    pub from_s: u32,
    /// How long it took, s; 0 when the centre recorded none.
    pub length_s: u32,
    /// Who served; none when unrecorded.
    pub server: Option<String>,
}

/// Why a row is not replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// The trace says to ignore it.
    Phantom,
    /// Hung up before asking for a person: `HANG` without a wait.
    NeverAsked,
    /// Its own times run backwards: a recording fault.
    TimesBackwards,
    /// Its service began more than [`CLOCK_SKEW_S`] before its wait ended: the same fault, across
    /// two of its clocks.
    ServedBeforeWaited,
    /// Neither `AGENT`, `HANG` nor `PHANTOM`.
    UnknownOutcome,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Phantom => "phantom",
            Self::NeverAsked => "hung up before asking",
            Self::TimesBackwards => "times run backwards",
            Self::ServedBeforeWaited => "served before the wait ended",
            Self::UnknownOutcome => "unknown outcome",
        })
    }
}

/// A row that is not replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// Its line in the file.
    pub line: u64,
    /// When the customer asked for a person, s since midnight.
    pub asked_s: u32,
    /// Why not.
    pub why: Skip,
}

/// One day of a trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// The usable rows, by `asked_s`, then line.
    pub rows: Vec<Row>,
    /// The others of the day, in the file's order.
    pub skipped: Vec<Skipped>,
    /// How many rows are of other days.
    pub other_days: u64,
}

/// What is wrong with a trace file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The first line is another.
    #[error(
        "line 1: not the header of a trace: it begins with `vru+line` and names {COLUMNS} columns"
    )]
    Header,
    /// Too few or too many.
    #[error("line {line}: {got} columns instead of {COLUMNS}")]
    Columns {
        /// Where.
        line: u64,
        /// How many there are.
        got: usize,
    },
    /// A cell that cannot be read.
    #[error("line {line}, column {column} ({name}): `{got}` is not {wanted}")]
    Cell {
        /// Where, the header being 1.
        line: u64,
        /// Which column, the first being 1.
        column: usize,
        /// Its name.
        name: &'static str,
        /// What it holds, cut to 40 characters.
        got: String,
        /// What it should hold.
        wanted: &'static str,
    },
    /// A duration that is not the difference of its two times.
    #[error("line {line}, column {column} ({name}): {got} s is not the time from {from} to {to} s")]
    Length {
        /// Where.
        line: u64,
        /// Which column.
        column: usize,
        /// Its name.
        name: &'static str,
        /// What it says, s.
        got: i64,
        /// The earlier time, s since midnight.
        from: u32,
        /// The later one.
        to: u32,
    },
}

/// Reads one day of a trace. Errors with the first place at which the text breaks the format.
pub fn parse(text: &str, day: Day) -> Result<Trace, TraceError> {
    let mut lines = (1..).zip(text.lines());
    match lines.next() {
        Some((_, header)) if header == HEADER => {}
        Some(_) | None => return Err(TraceError::Header),
    }
    let mut trace = Trace::default();
    for (line, text) in lines {
        let cells = Cells::split(line, text)?;
        if cells.day()? != day {
            trace.other_days += 1;
            continue;
        }
        match cells.read()? {
            Ok(row) => trace.rows.push(row),
            Err(skipped) => trace.skipped.push(skipped),
        }
    }
    trace.rows.sort_by_key(|row| (row.asked_s, row.line));
    Ok(trace)
}

/// The columns that are read, by their place.
#[derive(Debug, Clone, Copy)]
enum Column {
    Priority = 3,
    Type = 4,
    Date = 5,
    VruEntry = 6,
    VruExit = 7,
    VruTime = 8,
    QStart = 9,
    QExit = 10,
    QTime = 11,
    Outcome = 12,
    SerStart = 13,
    SerExit = 14,
    SerTime = 15,
    Server = 16,
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Priority => "priority",
            Self::Type => "type",
            Self::Date => "date",
            Self::VruEntry => "vru_entry",
            Self::VruExit => "vru_exit",
            Self::VruTime => "vru_time",
            Self::QStart => "q_start",
            Self::QExit => "q_exit",
            Self::QTime => "q_time",
            Self::Outcome => "outcome",
            Self::SerStart => "ser_start",
            Self::SerExit => "ser_exit",
            Self::SerTime => "ser_time",
            Self::Server => "server",
        }
    }
}

/// A stretch between two wall-clock times and what the row says of its length.
struct Stretch {
    from_s: u32,
    length_s: Option<u32>,
}

/// One line, split.
struct Cells<'a> {
    line: u64,
    cells: Vec<&'a str>,
}

impl<'a> Cells<'a> {
    fn split(line: u64, text: &'a str) -> Result<Self, TraceError> {
        let cells: Vec<&str> = text.split('\t').collect();
        match cells.len() {
            COLUMNS => Ok(Self { line, cells }),
            got => Err(TraceError::Columns { line, got }),
        }
    }

    /// Reads every cell that counts, then decides whether the row can be replayed.
    fn read(&self) -> Result<Result<Row, Skipped>, TraceError> {
        let vru = self.stretch(Column::VruEntry, Column::VruExit, Column::VruTime)?;
        let queue = self.stretch(Column::QStart, Column::QExit, Column::QTime)?;
        let service = self.stretch(Column::SerStart, Column::SerExit, Column::SerTime)?;
        let priority = self.priority()?;
        let kind = self.name(Column::Type)?;
        let server = self.name(Column::Server)?;
        let (exit_s, entry_s) = (self.time(Column::VruExit)?, vru.from_s);
        // The date is that of the entry; who asks after midnight asks on the next day.
        let asked_s = exit_s + if vru.length_s.is_some() && exit_s < entry_s { DAY_S } else { 0 };
        let skip = |why| Ok(Err(Skipped { line: self.line, asked_s, why }));
        let outcome = self.cell(Column::Outcome);
        match outcome {
            "AGENT" | "HANG" => {}
            "PHANTOM" => return skip(Skip::Phantom),
            _ => return skip(Skip::UnknownOutcome),
        }
        if outcome == "HANG" && queue.length_s == Some(0) {
            return skip(Skip::NeverAsked);
        }
        let (Some(_), Some(waited_s), Some(length_s)) =
            (vru.length_s, queue.length_s, service.length_s)
        else {
            return skip(Skip::TimesBackwards);
        };
        let waits_until_s = asked_s + waited_s;
        let recorded = length_s > 0 || service.from_s > 0;
        if outcome == "AGENT" && recorded && early(service.from_s, waits_until_s) > CLOCK_SKEW_S {
            return skip(Skip::ServedBeforeWaited);
        }
        let ended = match outcome {
            "AGENT" => Ended::Served(Service {
                from_s: waits_until_s,
                length_s,
                server: (server != NO_SERVER).then(|| server.to_owned()),
            }),
            _ => Ended::Left,
        };
        Ok(Ok(Row { line: self.line, priority, kind: kind.to_owned(), asked_s, waited_s, ended }))
    }

    /// Two times and their difference. Past midnight the later one is the smaller number, and the
    /// length proves it. No length: the times run backwards.
    fn stretch(&self, from: Column, to: Column, length: Column) -> Result<Stretch, TraceError> {
        let (from_s, to_s) = (self.time(from)?, self.time(to)?);
        let wanted = "a number of seconds";
        let got: i64 = number(self.cell(length)).ok_or_else(|| self.bad(length, wanted))?;
        let difference = i64::from(to_s) - i64::from(from_s);
        let length_s = match u32::try_from(got) {
            Ok(seconds) if got == difference || got == difference + i64::from(DAY_S) => {
                Some(seconds)
            }
            Err(_) if got == difference => None,
            Ok(_) | Err(_) => {
                return Err(TraceError::Length {
                    line: self.line,
                    column: length as usize + 1,
                    name: length.name(),
                    got,
                    from: from_s,
                    to: to_s,
                });
            }
        };
        Ok(Stretch { from_s, length_s })
    }

    fn day(&self) -> Result<Day, TraceError> {
        Day::parse_short(self.cell(Column::Date))
            .ok_or_else(|| self.bad(Column::Date, "a day as YYMMDD"))
    }

    fn priority(&self) -> Result<Priority, TraceError> {
        number(self.cell(Column::Priority))
            .and_then(|points| Priority::new(points).ok())
            .ok_or_else(|| self.bad(Column::Priority, "a priority of 0 to 10"))
    }

    fn name(&self, column: Column) -> Result<&'a str, TraceError> {
        let name = self.cell(column);
        let plain = name.bytes().all(|byte| byte.is_ascii_graphic());
        if plain && (1..=NAME_MAX_BYTES).contains(&name.len()) {
            Ok(name)
        } else {
            Err(self.bad(column, "a name of 1 to 64 visible ASCII characters"))
        }
    }

    /// `H:MM:SS`, as seconds since midnight.
    fn time(&self, column: Column) -> Result<u32, TraceError> {
        let read = || {
            let mut parts = self.cell(column).split(':');
            let (h, m, s) = (parts.next()?, parts.next()?, parts.next()?);
            if parts.next().is_some() || m.len() != 2 || s.len() != 2 {
                return None;
            }
            let (h, m, s): (u32, u32, u32) = (number(h)?, number(m)?, number(s)?);
            (h < 24 && m < 60 && s < 60).then_some(h * 3_600 + m * 60 + s)
        };
        read().ok_or_else(|| self.bad(column, "a time as H:MM:SS"))
    }

    fn cell(&self, column: Column) -> &'a str {
        self.cells.get(column as usize).copied().unwrap_or_default()
    }

    fn bad(&self, column: Column, wanted: &'static str) -> TraceError {
        TraceError::Cell {
            line: self.line,
            column: column as usize + 1,
            name: column.name(),
            got: self.cell(column).chars().take(40).collect(),
            wanted,
        }
    }
}

/// By how much a time of day lies before another, s; 0 when it does not. Both are taken to lie
/// within half a day of each other.
fn early(time_s: u32, reference_s: u32) -> u32 {
    let behind = (reference_s % DAY_S + DAY_S - time_s % DAY_S) % DAY_S;
    if behind < DAY_S / 2 { behind } else { 0 }
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
