//! Reading settings: the file, then the environment. All that is wrong is told at once.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::settings::{ENTRIES, Entry, SECTIONS, Settings};

/// What the names of variables begin with.
const PREFIX: &str = "SWITCHBOARD_";

/// After the prefix: variables of the project's tests, which a server started by one inherits.
const NO_SETTINGS: [&str; 2] = ["TEST_", "SIM_"];

/// Something wrong in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: a file with its line, a variable, an option.
    pub at: String,
    /// What, and what to do.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// A configuration that is not taken, with all its problems.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct BadConfig {
    /// At least one.
    pub problems: Vec<Problem>,
}

/// The settings: the defaults, over them the file (its name and text), over that the variables
/// whose names begin with `SWITCHBOARD_`. Errors with all problems.
pub fn read(
    file: Option<(&str, &str)>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, BadConfig> {
    let mut settings = Settings::default();
    let mut problems = Vec::new();
    if let Some((name, text)) = file {
        let mut found = Vec::new();
        read_file(&mut settings, Source { name, text }, &mut found);
        found.sort_by_key(|(line, _)| *line);
        problems.extend(found.into_iter().map(|(_, problem)| problem));
    }
    for (name, value) in environment {
        let Some(path) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if NO_SETTINGS.iter().any(|tests| path.starts_with(tests)) {
            continue;
        }
        if let Err(what) = read_variable(&mut settings, path, &value) {
            problems.push(Problem { at: name, what });
        }
    }
    problems.extend(settings.check_whole());
    if problems.is_empty() { Ok(settings) } else { Err(BadConfig { problems }) }
}

impl Settings {
    /// What single settings cannot show. To be asked again once the command line has been read.
    pub fn check_whole(&self) -> Option<Problem> {
        let (listen, ops) = (self.server.listen, self.server.ops_listen);
        // Port 0 lets the system choose, and it chooses differently each time.
        (listen == ops && listen.port() != 0).then(|| Problem {
            at: "server.ops_listen".to_owned(),
            what: format!("{ops} is server.listen already; give it a port of its own"),
        })
    }

    /// Sets one setting from the command line; `option` is what the error names.
    pub fn set(
        &mut self,
        section: &str,
        key: &str,
        text: &str,
        option: &str,
    ) -> Result<(), BadConfig> {
        let found = find(section, key);
        let set = found
            .ok_or_else(|| format!("there is no setting `{section}.{key}`"))
            .and_then(|entry| (entry.from_text)(self, text));
        set.map_err(|what| BadConfig { problems: vec![Problem { at: option.to_owned(), what }] })
    }
}

fn find(section: &str, key: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.section == section && entry.key == key)
}

/// A file with its lines, to say where something is.
struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

impl Source<'_> {
    /// The problem with its line, to be told in their order.
    fn problem(&self, at: Range<usize>, what: String) -> (usize, Problem) {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let at = format!("{}:{line}", self.name);
        (line, Problem { at, what })
    }
}

fn read_file(settings: &mut Settings, source: Source<'_>, problems: &mut Vec<(usize, Problem)>) {
    let table = match DeTable::parse(source.text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let at = error.span().unwrap_or_default();
            problems.push(source.problem(at, error.message().to_owned()));
            return;
        }
    };
    for (section, value) in &table {
        let known = SECTIONS.iter().map(|(name, _)| *name);
        let name = section.get_ref().as_ref();
        match value.get_ref() {
            _ if !known.clone().any(|known| known == name) => {
                let what = unknown("section", name, known);
                problems.push(source.problem(section.span(), what));
            }
            DeValue::Table(table) => read_section(settings, &source, name, table, problems),
            _ => {
                let what = format!("`{name}` is a section; write [{name}] and its settings below");
                problems.push(source.problem(section.span(), what));
            }
        }
    }
}

fn read_section(
    settings: &mut Settings,
    source: &Source<'_>,
    section: &str,
    table: &DeTable<'_>,
    problems: &mut Vec<(usize, Problem)>,
) {
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let Some(entry) = find(section, name) else {
            let own = ENTRIES.iter().filter(|entry| entry.section == section);
            let what = unknown("setting", name, own.map(|entry| entry.key));
            problems.push(source.problem(key.span(), what));
            continue;
        };
        if let Err(what) = (entry.from_file)(settings, Spanned::get_ref(value)) {
            let what = format!("`{section}.{name}`: {what}");
            problems.push(source.problem(value.span(), what));
        }
    }
}

fn read_variable(settings: &mut Settings, path: &str, value: &str) -> Result<(), String> {
    let variable = |entry: &Entry| format!("{}_{}", entry.section, entry.key).to_uppercase();
    let found = ENTRIES.iter().find(|entry| variable(entry) == path);
    if let Some(entry) = found {
        return (entry.from_text)(settings, value);
    }
    let known: Vec<_> = ENTRIES.iter().map(|entry| variable(entry).to_lowercase()).collect();
    let near = nearest(path, known.iter().map(String::as_str));
    let hint = near.map_or_else(
        || "config/default.toml has them all".to_owned(),
        |near| format!("did you mean {PREFIX}{}?", near.to_uppercase()),
    );
    Err(format!("there is no such setting; {hint}"))
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(near) => format!("there is no {what} `{name}`; did you mean `{near}`?"),
        None => {
            let all: Vec<_> = known.collect();
            format!("there is no {what} `{name}`; there are {}", all.join(", "))
        }
    }
}
