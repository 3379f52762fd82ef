//! The picture of the layers in `ARCHITECTURE.md`, held against the paths that the sources name:
//! the sources have no arrow that the picture has not, and the picture none that they have not.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The outermost: may name everything, and stand in no picture.
const OUTERMOST: &[&str] = &["app", "main", "lib"];

/// Each module and what it may name besides itself: the lines of the picture.
fn picture() -> BTreeMap<String, BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(path).expect("ARCHITECTURE.md can be read");
    let (_, layers) = text.split_once("## Layers").expect("a chapter of the layers");
    let picture = layers.split("```").nth(1).expect("a picture");
    let lines = picture.lines().filter_map(|line| line.split_once("->"));
    let words = |list: &str| list.split_whitespace().map(str::to_owned).collect();
    lines.map(|(module, may)| (module.trim().to_owned(), words(may))).collect()
}

/// May speak JSON: the wire, the outermost, and what is stored or configured in that form.
const MAY_NAME_JSON: &[&str] = &["protocol", "storage", "access", "catalog", "config", "edge"];

/// May name an adapter of storage.
const MAY_NAME_ADAPTERS: &[&str] = &["storage", "app", "main"];

struct Source {
    path: PathBuf,
    /// The first part of its path below `src`.
    module: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let below = path.strip_prefix(&root).expect("below src");
                let first = below.iter().next().expect("a name").to_string_lossy();
                let module = first.trim_end_matches(".rs").to_owned();
                let text = code(&std::fs::read_to_string(&path).expect("is text"));
                found.push(Source { path: below.to_owned(), module, text });
            }
        }
    }
    found
}

/// Without comments: a text may speak of what the code must not name.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules named by `crate::x`, also in `use crate::{x::.., y}` over several lines.
fn named(text: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = text[at + "crate::".len()..].trim_start();
        match rest.strip_prefix('{') {
            None => modules.push(word(rest)),
            Some(list) => {
                let (mut depth, mut start) = (0, true);
                for (n, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && !c.is_whitespace() => {
                            modules.push(word(&list[n..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    modules
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The arrows against the picture.
fn wrong_arrows(
    picture: &BTreeMap<String, BTreeSet<String>>,
    module: &str,
    text: &str,
) -> Vec<String> {
    if OUTERMOST.contains(&module) {
        return Vec::new();
    }
    let Some(may) = picture.get(module) else {
        return vec![format!("{module} has no place in the picture of ARCHITECTURE.md")];
    };
    let named = named(text).into_iter();
    let wrong = named.filter(|used| used != module && !may.contains(used));
    wrong.map(|used| format!("{module} -> {used}")).collect()
}

/// The names of storage's adapters: its modules besides the ports themselves.
fn adapters(sources: &[Source]) -> Vec<String> {
    let below = sources.iter().filter(|source| source.module == "storage");
    let names = below.filter_map(|source| source.path.iter().nth(1));
    let names = names.map(|name| name.to_string_lossy().trim_end_matches(".rs").to_owned());
    let mut names: Vec<String> = names.filter(|name| name != "mod").collect();
    names.extend(["sqlite", "memory", "cql", "scylla"].map(str::to_owned));
    names.sort();
    names.dedup();
    names
}

#[test]
fn no_arrow_points_against_the_picture() {
    let (sources, picture) = (sources(), picture());
    assert!(sources.len() > 20, "the sources are found");
    for source in &sources {
        let wrong = wrong_arrows(&picture, &source.module, &source.text);
        assert!(wrong.is_empty(), "{}: {wrong:?}", source.path.display());
    }
}

#[test]
fn the_picture_has_no_arrow_that_nothing_goes_along() {
    let sources = sources();
    for (module, may) in picture() {
        let of_module = sources.iter().filter(|source| source.module == module);
        let used: BTreeSet<String> = of_module.flat_map(|source| named(&source.text)).collect();
        let unused: Vec<_> = may.difference(&used).collect();
        assert!(
            unused.is_empty(),
            "{module} names none of {unused:?}: take them out of the picture"
        );
    }
}

#[test]
fn nothing_below_the_wire_speaks_json_and_the_core_does_not_know_serde() {
    for source in sources() {
        let (module, path) = (source.module.as_str(), source.path.display());
        let outermost = OUTERMOST.contains(&module);
        let json = source.text.contains("serde_json");
        assert!(!json || outermost || MAY_NAME_JSON.contains(&module), "{path} names serde_json");
        if ["domain", "routing", "machine"].contains(&module) {
            assert!(!source.text.contains("serde"), "{path} names serde");
            for outside in ["tokio", "ractor", "axum", "rusqlite", "async fn"] {
                assert!(!source.text.contains(outside), "{path} names {outside}");
            }
        }
    }
}

#[test]
fn adapters_of_storage_are_named_outermost_only() {
    let sources = sources();
    let adapters = adapters(&sources);
    for source in &sources {
        if MAY_NAME_ADAPTERS.contains(&source.module.as_str()) {
            continue;
        }
        for adapter in &adapters {
            let named = source.text.contains(&format!("storage::{adapter}"));
            assert!(!named, "{} names storage::{adapter}", source.path.display());
        }
    }
}

#[test]
fn the_reading_of_paths_sees_what_it_must() {
    let text = "use crate::{actors::X, domain::{ChatId, Y},\n  edge};\nlet a = crate::app::run();";
    assert_eq!(named(text), ["actors", "domain", "edge", "app"]);
    let picture = picture();
    let wrong = |module, text| wrong_arrows(&picture, module, text).len();
    assert_eq!(wrong("routing", text), 3);
    assert_eq!(wrong("domain", "use crate::domain::ChatId; use crate::routing::x;"), 1);
    assert_eq!(wrong("app", text), 0);
    assert_eq!(wrong("newcomer", ""), 1);
    assert_eq!(named(&code("// crate::edge in a comment\nlet x = 1;")), Vec::<String>::new());
}
