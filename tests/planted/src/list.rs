//! The list of faults, and where in the source each of them has its place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::suites;

/// Where the lists are, from the root of the repository.
pub const FOLDER: &str = "tests/planted/faults";

/// A fault: a place in the source, and what stands there instead while it is switched on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Says what goes wrong; unique.
    pub name: String,
    /// Which promise that breaks, in a sentence.
    pub breaks: String,
    /// The source file, from the root of the repository.
    pub file: String,
    /// The beginning of the item in which it stands, where the text alone is not unique.
    pub within: Option<String>,
    /// What stands there: an expression, or whole statements.
    pub original: String,
    /// What the fault makes of it.
    pub faulty: String,
    /// The suites that are tried first where no witness is known; with a part of a test's name behind a
    /// space, those tests of it before all else.
    #[serde(default)]
    pub suites: Vec<String>,
    /// Its witness: the suite and the one test that saw it last.
    pub seen_by: Option<String>,
    /// Why nobody could notice; none: a suite has to see it.
    pub equivalent: Option<String>,
    /// The file of the list that it is in.
    #[serde(skip)]
    pub area: String,
}

impl Fault {
    /// The suites that are tried first, and which of their tests.
    pub fn first(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.suites.iter().map(|text| match text.split_once(' ') {
            Some((suite, tests)) => (suite, Some(tests)),
            None => (text.as_str(), None),
        })
    }

    /// The suite and the test that saw it last.
    pub fn witness(&self) -> Option<(&str, &str)> {
        self.seen_by.as_deref()?.split_once(' ')
    }

    /// Both names, as filters and reports have them.
    pub fn path(&self) -> String {
        format!("{}/{}", self.area, self.name)
    }
}

/// Where a fault of the list, by its number, has its place in a file, bytes.
pub type Place = (usize, Range<usize>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Area {
    fault: Vec<Fault>,
}

/// All faults, area by area.
pub fn load(root: &Path) -> Result<Vec<Fault>> {
    let folder = root.join(FOLDER);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.sort();
    let mut faults = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path)?;
        let area: Area = toml::from_str(&text).with_context(|| path.display().to_string())?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        faults.extend(area.fault.into_iter().map(|fault| Fault { area: name.clone(), ..fault }));
    }
    Ok(faults)
}

/// Where each fault has its place, by file. Errors where a text is not there exactly once, and
/// where the list contradicts itself.
pub fn places(root: &Path, faults: &[Fault]) -> Result<BTreeMap<String, Vec<Place>>> {
    let mut names = BTreeMap::new();
    let mut places: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    for (n, fault) in faults.iter().enumerate() {
        let Fault { name, area, .. } = fault;
        if let Some(other) = names.insert(name, area) {
            bail!("{name} is in {other}.toml and in {area}.toml: give one another name");
        }
        check(fault).with_context(|| format!("{area}.toml: {name}"))?;
        let text = std::fs::read_to_string(root.join(&fault.file))
            .with_context(|| format!("{area}.toml: {name}: {}", fault.file))?;
        let place = place(&text, fault)
            .with_context(|| format!("{area}.toml: {name}: in {}", fault.file))?;
        places.entry(fault.file.clone()).or_default().push((n, place));
    }
    Ok(places)
}

fn check(fault: &Fault) -> Result<()> {
    let plain = fault.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    ensure!(plain && !fault.name.is_empty(), "a name is made of letters, digits and `_`");
    ensure!(!fault.breaks.trim().is_empty(), "say in `breaks` which promise it breaks");
    ensure!(fault.file.starts_with("src/"), "faults are planted in the product: below src/");
    ensure!(!fault.original.trim().is_empty(), "`original` is empty");
    ensure!(squeezed(&fault.original) != squeezed(&fault.faulty), "it changes nothing");
    let statement = fault.original.trim_end().ends_with(';');
    let binds = statement && fault.original.trim_start().starts_with("let ");
    ensure!(!binds, "a `let` cannot be switched: take the expression behind its `=`");
    ensure!(
        is_balanced(&fault.original),
        "`original` closes not all of the brackets that it opens"
    );
    let field = is_field(&fault.original);
    ensure!(!field, "a field is no expression: take what stands behind its `:`");
    let one = statement || !has_loose_comma(&fault.original);
    ensure!(one, "`original` is a part of a list: take one expression, or the whole list");
    ensure!(
        fault.seen_by.is_none() || fault.witness().is_some_and(|(_, test)| !test.contains(' ')),
        "`seen_by` is a suite and the whole name of a test"
    );
    let named =
        fault.first().map(|(suite, _)| suite).chain(fault.witness().map(|(suite, _)| suite));
    if let Some(unknown) = named.into_iter().find(|suite| suites::named(suite).is_none()) {
        bail!("there is no suite {unknown}: they are {}", suites::names());
    }
    let contradicts = fault.equivalent.is_some() && fault.seen_by.is_some();
    ensure!(!contradicts, "what is equivalent is seen by nothing: one of the two is wrong");
    let explained = fault.equivalent.as_ref().is_none_or(|why| !why.trim().is_empty());
    ensure!(explained, "`equivalent` needs an explanation");
    Ok(())
}

/// Whether a comma stands outside of all brackets: then it is no expression.
fn has_loose_comma(text: &str) -> bool {
    let mut depth = 0_i32;
    text.chars().any(|c| {
        depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
        c == ',' && depth == 0
    })
}

/// Whether every bracket is closed by one of its kind, and none that was not opened. Those in texts and
/// characters do not count.
fn is_balanced(text: &str) -> bool {
    let (mut open, mut rest) = (Vec::new(), text.chars());
    while let Some(c) = rest.next() {
        match c {
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(c) => return false,
            '"' => {
                while let Some(c) = rest.next().filter(|c| *c != '"') {
                    // What is escaped ends no text.
                    let _ = (c == '\\').then(|| rest.next());
                }
            }
            // Of a lifetime nothing is skipped.
            '\'' => match rest.as_str().chars().collect::<Vec<_>>().as_slice() {
                ['\\', _, '\'', ..] => drop(rest.nth(2)),
                [_, '\'', ..] => drop(rest.nth(1)),
                _ => {}
            },
            _ => {}
        }
    }
    open.is_empty()
}

/// Whether it begins with the name of a field.
fn is_field(text: &str) -> bool {
    let text = text.trim_start();
    let name = text.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
    let behind = name.trim_start();
    name.len() < text.len() && behind.starts_with(':') && !behind.starts_with("::")
}

/// Whether what stands here is what an operator before it applies to: that would apply to the switch.
fn is_operand(text: &str, at: usize) -> bool {
    text[..at].ends_with(['*', '!', '-', '&'])
}

/// Where the fault's text stands.
fn place(text: &str, fault: &Fault) -> Result<Range<usize>> {
    let area = match &fault.within {
        None => 0..text.len(),
        Some(header) => item(text, only(find(text, header), header)?.start),
    };
    let found = find(&text[area.clone()], &fault.original);
    let place = only(found, &fault.original)?;
    let place = area.start + place.start..area.start + place.end;
    ensure!(!is_operand(text, place.start), "`original` begins behind an operator: take it along");
    Ok(place)
}

fn only(found: Vec<Range<usize>>, wanted: &str) -> Result<Range<usize>> {
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => bail!("this is not there any more:\n{wanted}"),
        _ => bail!("this is there {} times; say `within` which item:\n{wanted}", found.len()),
    }
}

/// The item that begins on the line of `at`: up to the line that closes it, which formatted source
/// indents as the first one.
fn item(text: &str, at: usize) -> Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let indent = text[start..].len() - text[start..].trim_start_matches(' ').len();
    let closing = format!("\n{}}}", " ".repeat(indent));
    let end = text[at..].find(&closing).map_or(text.len(), |close| at + close + closing.len());
    start..end
}

/// All places of a text, however it is broken into lines, at the borders of words.
fn find(text: &str, wanted: &str) -> Vec<Range<usize>> {
    let wanted: Vec<char> = wanted.chars().filter(|c| !c.is_whitespace()).collect();
    let chars: Vec<(usize, char)> =
        text.char_indices().filter(|(_, c)| !c.is_whitespace()).collect();
    let mut found = Vec::new();
    for window in chars.windows(wanted.len()) {
        let same = window.iter().map(|(_, c)| c).eq(&wanted);
        let (Some((start, _)), Some((last, c)), true) = (window.first(), window.last(), same)
        else {
            continue;
        };
        let place = *start..last + c.len_utf8();
        if is_border(text, place.start) && is_border(text, place.end) {
            found.push(place);
        }
    }
    found
}

fn is_border(text: &str, at: usize) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    !is_word(text[..at].chars().next_back()) || !is_word(text[at..].chars().next())
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn fault(within: Option<&str>, original: &str) -> Fault {
        Fault {
            name: "x".into(),
            breaks: "y".into(),
            file: "src/x.rs".into(),
            within: within.map(str::to_owned),
            original: original.into(),
            faulty: "false".into(),
            suites: Vec::new(),
            seen_by: None,
            equivalent: None,
            area: String::new(),
        }
    }

    #[test]
    fn every_fault_and_every_slow_down_has_one_place_in_the_source_of_today() {
        let slow = crate::slow::places(&crate::slow::load(&root()).unwrap());
        for faults in [load(&root()).unwrap(), slow] {
            let places = places(&root(), &faults).unwrap_or_else(|error| panic!("{error:#}"));
            assert_eq!(places.values().map(Vec::len).sum::<usize>(), faults.len());
            for (file, places) in places {
                let text = std::fs::read_to_string(root().join(&file)).unwrap();
                let woven = crate::weave::woven(&text, &places, &faults);
                woven.unwrap_or_else(|error| panic!("{file}: {error}"));
            }
        }
    }

    #[test]
    fn a_text_is_found_however_it_is_broken_into_lines() {
        let text =
            "let x = a(\n    b, c);\nfn ab() {\n    now < at\n}\nfn c() {\n    now < at\n}\n";
        assert_eq!(find(text, "a(b, c)").len(), 1);
        assert_eq!(find(text, "b()").len(), 0, "a part of a name is no place");
        assert_eq!(find(text, "now < at").len(), 2);
        let item = item(text, text.find("fn ab").unwrap());
        assert_eq!(&text[item], "fn ab() {\n    now < at\n}");
    }

    #[test]
    fn a_part_of_a_list_is_no_expression() {
        assert!(has_loose_comma("Cause::Stood, Cause::CoolDown"));
        assert!(!has_loose_comma("f(a, b) && [a, b].len() > 1"));
    }

    #[test]
    fn what_is_no_whole_expression_is_refused() {
        for whole in
            ["f(a[1], { b })", "c == '(' || c == '\\''", r#"say("it \") is", x)"#, "f::<'a>(x)"]
        {
            assert!(is_balanced(whole), "{whole}");
        }
        for part in ["f(a", "a)", "a) || (b", "f(a]", "[a}"] {
            assert!(!is_balanced(part), "{part}");
        }
        for field in ["row: row(x)", "row : x", "a_1: 2"] {
            assert!(is_field(field), "{field}");
        }
        for other in ["row(x)", "row::X", "Row { row: x }", "(a: b)", "x"] {
            assert!(!is_field(other), "{other}");
        }
        let checked = |original: &str| {
            let fault = Fault { file: "src/x.rs".into(), ..fault(None, original) };
            format!("{:?}", check(&fault))
        };
        assert!(checked("f(a").contains("brackets"));
        assert!(checked("row: row(x)").contains("field"));
        assert_eq!(checked("row(x)"), "Ok(())");
        for before in ["*", "!", "-", "&"] {
            let text = format!("let x = {before}a == b;");
            let placed = place(&text, &fault(None, "a == b"));
            assert!(format!("{placed:?}").contains("operator"), "{text}: {placed:?}");
            assert!(place(&text, &fault(None, &format!("{before}a == b"))).is_ok(), "{text}");
            let text = format!("let x = c {before} a;");
            assert!(place(&text, &fault(None, "a")).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_gone_or_doubled_is_said() {
        let text = "fn a() {\n    now < at\n}\nfn b() {\n    now < at\n}\n";
        let said = |within, original| format!("{:?}", place(text, &fault(within, original)));
        assert!(said(None, "now > at").contains("not there any more"));
        assert!(said(None, "now < at").contains("2 times"));
        assert!(said(Some("fn c("), "now < at").contains("not there any more"));
        assert_eq!(place(text, &fault(Some("fn b("), "now < at")).unwrap(), 37..45);
    }
}
