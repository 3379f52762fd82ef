//! The glossary in `ARCHITECTURE.md`, held against the sources: each of its words stands there once, what
//! it names is there, and no type besides has the name of one that it names.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Types that share their name with one of the glossary, and why; any other has to find a name of its own.
const SHARED: &[(&str, &str)] = &[
    ("domain::queue::Queue", "the configuration of what `machine::queue` decides over"),
    ("machine::chat::driver::Driver", "the same, with a chat"),
    ("storage::record::Slot", "what a record is of, within the bytes of the stores alone"),
];

/// What declares a type.
const TYPES: &[&str] = &["enum", "struct", "trait", "type"];

/// What declares anything that the glossary may name.
const ITEMS: &[&str] = &["const", "enum", "fn", "mod", "struct", "trait", "type"];

/// The sources, by the paths of their modules.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let below = path.strip_prefix(&root).expect("below src").with_extension("");
                let parts = below.iter().map(|part| part.to_string_lossy().into_owned());
                let parts: Vec<String> = parts.filter(|part| part != "mod").collect();
                found.insert(parts.join("::"), std::fs::read_to_string(&path).expect("is text"));
            }
        }
    }
    found
}

fn glossary() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(path).expect("ARCHITECTURE.md can be read");
    let (_, behind) = text.split_once("\n## Glossary\n").expect("a chapter of the words");
    behind.split("\n## ").next().unwrap_or_default().to_owned()
}

/// The words of a glossary: its bold ones, in the lines of its lists.
fn words(glossary: &str) -> Vec<String> {
    let lines = glossary.lines().filter(|line| line.starts_with("- "));
    let bold = lines.flat_map(|line| line.split("**").skip(1).step_by(2));
    bold.map(str::to_owned).collect()
}

/// The paths that a glossary names.
fn paths(glossary: &str) -> BTreeSet<&str> {
    glossary.split('`').skip(1).step_by(2).filter(|text| text.contains("::")).collect()
}

/// What a line declares, if that is one of these kinds. What a trait calls one of its types is no type of
/// its own.
fn declared<'a>(line: &'a str, kinds: &[&str]) -> Option<&'a str> {
    if line.starts_with(' ') && line.trim_start().starts_with("type ") {
        return None;
    }
    let line = line.trim_start();
    let line = line.strip_prefix("pub").map_or(line, |line| match line.split_once(") ") {
        Some((scope, line)) if scope.starts_with('(') => line,
        _ => line.trim_start(),
    });
    let (kind, line) = line.split_once(' ')?;
    let end = line.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(line.len());
    (kinds.contains(&kind) && end > 0).then_some(&line[..end])
}

/// Whether it is a module, or declared in the module that it is named in or within that.
fn is_there(path: &str, sources: &BTreeMap<String, String>) -> bool {
    let Some((module, name)) = path.rsplit_once("::") else { return false };
    let within = format!("{module}::");
    let mut texts = sources.iter().filter(|(file, _)| *file == module || file.starts_with(&within));
    sources.contains_key(path)
        || texts.any(|(_, text)| text.lines().any(|line| declared(line, ITEMS) == Some(name)))
}

/// Types that have the name of one that the glossary names and are another.
fn others(paths: &BTreeSet<&str>, sources: &BTreeMap<String, String>) -> BTreeSet<String> {
    let names = paths.iter().filter_map(|path| path.rsplit_once("::"));
    let names: BTreeMap<&str, &str> = names.map(|(module, name)| (name, module)).collect();
    let mut found = BTreeMap::<&str, Vec<&str>>::new();
    for (file, text) in sources {
        for name in text.lines().filter_map(|line| declared(line, TYPES)) {
            if names.contains_key(name) {
                found.entry(name).or_default().push(file);
            }
        }
    }
    let is_own = |name: &str, file: &str| {
        let module = names.get(name).copied().unwrap_or_default();
        file == module || file.starts_with(&format!("{module}::"))
    };
    let all = found.into_iter().flat_map(|(name, files)| {
        let mut own = files.iter().filter(|file| is_own(name, file));
        let own = own.next().copied();
        let others = files.into_iter().filter(move |file| Some(*file) != own);
        others.map(move |file| format!("{file}::{name}"))
    });
    all.collect()
}

#[test]
fn each_word_stands_there_once() {
    let mut seen = BTreeSet::new();
    for word in words(&glossary()) {
        assert!(seen.insert(word.clone()), "`{word}` stands there twice: one word, one meaning");
    }
    assert!(seen.len() > 40, "the words were not read");
}

#[test]
fn what_it_names_is_there() {
    let (glossary, sources) = (glossary(), sources());
    let gone: Vec<_> =
        paths(&glossary).into_iter().filter(|path| !is_there(path, &sources)).collect();
    assert!(gone.is_empty(), "the glossary names what is not in the sources: {gone:?}");
}

#[test]
fn no_other_type_has_the_name_of_one_of_its() {
    let shared: BTreeSet<String> = SHARED.iter().map(|(path, _)| (*path).to_owned()).collect();
    let found = others(&paths(&glossary()), &sources());
    assert_eq!(found, shared, "name what is new otherwise, or say in `SHARED` why not");
}

#[test]
fn what_is_wrong_is_seen() {
    let glossary =
        "\n**A chapter**\n- **line**: it (`a::Line`).\n- **line**, **row** (`b::c`, `x`)\n";
    assert_eq!(words(glossary), ["line", "line", "row"]);
    assert_eq!(paths(glossary), BTreeSet::from(["a::Line", "b::c"]));
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let sources = BTreeMap::from([
        file("a::one", "//! struct Gone\n    pub(super) struct Line<W> {"),
        file("b", "mod c;\nuse a::Line;\nstruct Lines;"),
        file("b::c", "struct Line(u8);\nfn line() {}\nlet x = type_of;\n    type Line = u8;"),
        file("b::d", "pub type Row = u8;\n    type Line;"),
    ]);
    assert!(is_there("a::Line", &sources) && is_there("b::c", &sources));
    assert!(is_there("b::c::line", &sources) && is_there("b::line", &sources));
    for gone in ["a::Gone", "a::Lines", "c::Line", "b::e", "a::one::line", "b::d::Line"] {
        assert!(!is_there(gone, &sources), "{gone}");
    }
    assert_eq!(others(&paths(glossary), &sources), BTreeSet::from(["b::c::Line".to_owned()]));
}
