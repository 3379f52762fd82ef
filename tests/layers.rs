//! The picture of the layers in `ARCHITECTURE.md`, held against the paths that the sources name:
//! the sources have no arrow that the picture has not, and the picture none that they have not.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The outermost: may name everything, and stand in no picture.
const OUTERMOST: &[&str] = &["app", "main", "lib"];

/// Each line of a picture in the chapter of the layers, in two: before the arrow, and the words behind.
fn lines_of(picture: usize) -> Vec<(String, BTreeSet<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(path).expect("ARCHITECTURE.md can be read");
    let (_, layers) = text.split_once("## Layers").expect("a chapter of the layers");
    let picture = layers.split("```").nth(2 * picture + 1).expect("a picture");
    let lines = picture.lines().filter_map(|line| line.split_once("->"));
    lines.map(|(left, may)| (left.trim().to_owned(), words(may))).collect()
}

fn words(list: &str) -> BTreeSet<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

/// Each module and what it may name besides itself: the lines of the first picture.
fn picture() -> BTreeMap<String, BTreeSet<String>> {
    lines_of(0).into_iter().collect()
}

/// A line of the second picture, which is that of the actors.
struct Group {
    name: String,
    files: BTreeSet<String>,
    may: BTreeSet<String>,
}

fn groups() -> Vec<Group> {
    let lines = lines_of(1).into_iter().filter_map(|(left, may)| {
        let (name, files) = left.split_once(':')?;
        Some(Group { name: name.to_owned(), files: words(files), may })
    });
    lines.collect()
}

/// May speak JSON: the wire, the outermost, and what is stored or configured in that form.
const MAY_NAME_JSON: &[&str] = &["protocol", "storage", "access", "catalog", "config", "edge"];

/// May name an adapter of storage.
const MAY_NAME_ADAPTERS: &[&str] = &["storage", "app", "main"];

#[derive(Clone)]
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

/// Of each file of the actors, or folder among them, which others it names.
fn among_actors(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let part = |source: &Source| {
        let part = source.path.iter().nth(1).expect("below actors").to_string_lossy();
        part.trim_end_matches(".rs").to_owned()
    };
    let of_actors = sources.iter().filter(|source| source.module == "actors");
    let (tops, files): (Vec<_>, Vec<_>) = of_actors.partition(|one| part(one) == "mod");
    // What can be named without its file, since `actors` shows it.
    let mut homes: BTreeMap<String, String> =
        files.iter().map(|source| (part(source), part(source))).collect();
    // Of any visibility: what is private there is seen by all files below.
    for used in tops.iter().flat_map(|top| uses(&top.text)) {
        let file = used.path.iter().find(|step| !IS_ACTORS.contains(&step.as_str()));
        if let Some(file) = file.filter(|file| homes.contains_key(*file)) {
            let file = homes[file].clone();
            homes.insert(used.name, file);
        }
    }
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in files {
        let file = part(source);
        let mut named = below(&source.text, "actors::");
        named.extend(below(&source.text, "super::"));
        let used = named.iter().filter_map(|name| homes.get(name));
        let used = used.filter(|used| **used != file).cloned();
        arrows.entry(file.clone()).or_default().extend(used);
    }
    arrows
}

/// Steps of a path that lead to the actors and no further.
const IS_ACTORS: &[&str] = &["crate", "self", "super", "actors"];

/// What gives a file of the actors names of which nobody sees where they are at home: all names at once,
/// or those of `actors` by another name.
fn hides_names(source: &Source) -> Vec<String> {
    let top = source.path == Path::new("actors/mod.rs");
    let hides = |used: &Use| {
        let here = used.path.iter().all(|step| step == "*" || IS_ACTORS.contains(&step.as_str()));
        (here && used.name != "actors") || (top && used.name == "*")
    };
    let used = uses(&without_tests(&source.text));
    used.into_iter().filter(hides).map(|used| used.path.join("::")).collect()
}

/// Without the modules of tests, which may name all that is around them.
fn without_tests(text: &str) -> String {
    let mut parts = text.split("#[cfg(test)]");
    let mut left = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let lines = part.lines().skip_while(|line| line.is_empty() || line.starts_with("#["));
        let module = lines.clone().next().is_some_and(|line| line.starts_with("mod "));
        let behind = part.split_once("\n}").map_or("", |(_, behind)| behind);
        left += if module { behind } else { part };
    }
    left
}

/// What is wrong with arrows between the files of the actors: those that the picture has not, those that
/// only the picture has, and files that stand in no group.
fn wrong_among_actors(
    groups: &[Group],
    arrows: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let group = |file: &String| groups.iter().find(|group| group.files.contains(file));
    let mut wrong = Vec::new();
    let mut used: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (file, named) in arrows {
        let Some(from) = group(file) else {
            wrong.push(format!("{file} stands in no group"));
            continue;
        };
        for (other, to) in named.iter().filter_map(|other| Some((other, group(other)?))) {
            used.insert((&from.name, &to.name));
            if !from.may.contains(&to.name) {
                wrong.push(format!("{file} -> {other}: {} may not name {}", from.name, to.name));
            }
        }
    }
    for group in groups {
        let unused = group.may.iter().filter(|may| !used.contains(&(&group.name, may)));
        wrong.extend(unused.map(|may| format!("{} names nothing of {may}", group.name)));
        let gone = group.files.iter().filter(|file| !arrows.contains_key(*file));
        wrong.extend(gone.map(|file| format!("{file} is in the picture and is no file")));
    }
    wrong
}

/// Whether a path goes by `super::` to the root. One step in a module's own file may be that of its tests.
fn climbs(source: &Source, picture: &BTreeMap<String, BTreeSet<String>>) -> bool {
    let folder = source.path.file_name().is_some_and(|name| name == "mod.rs");
    match source.path.components().count() - usize::from(folder) {
        1 => below(&source.text, "super::").iter().any(|name| picture.contains_key(name)),
        depth => source.text.contains(&"super::".repeat(depth)),
    }
}

/// The files that name each other in circles, and those between: what is left when all are gone that
/// name none of the rest, or are named by none of it.
fn in_circles(arrows: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut left: BTreeSet<String> = arrows.keys().cloned().collect();
    loop {
        let names = |file: &String| arrows[file].iter().any(|other| left.contains(other));
        let named = |file: &String| left.iter().any(|other| arrows[other].contains(file));
        let stays = |file: &&String| names(file) && named(file);
        let next: BTreeSet<String> = left.iter().filter(stays).cloned().collect();
        if next.len() == left.len() {
            return left;
        }
        left = next;
    }
}

/// Without comments: a text may speak of what the code must not name.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules named by `crate::x`, also in `use crate::{x::.., y}` over several lines, and in macros.
fn named(text: &str) -> Vec<String> {
    below(text, "crate::")
}

/// What is named below a module, by a path that begins with it.
fn below(text: &str, module: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, _) in text.match_indices(module) {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = text[at + module.len()..].trim_start();
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

/// A name that a `use` gives.
struct Use {
    path: Vec<String>,
    /// Its last step, or what it is called here; `*`: all.
    name: String,
}

/// All names that are used, of whatever visibility and however they stand in braces.
fn uses(text: &str) -> Vec<Use> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let begins = |at: usize| !text[..at].chars().next_back().is_some_and(is_word);
    let found = text.match_indices("use ").filter(|(at, _)| begins(*at));
    let trees = found.filter_map(|(at, word)| text[at + word.len()..].split(';').next());
    let leaves = trees.flat_map(leaves).map(|leaf| {
        let (path, called) = leaf.split_once(" as ").unwrap_or((&leaf, ""));
        let path: Vec<String> = path.split("::").map(|step| step.trim().to_owned()).collect();
        let last = path.iter().rev().find(|step| *step != "self");
        let name = if called.is_empty() { last.cloned() } else { Some(called.trim().to_owned()) };
        Use { path, name: name.unwrap_or_default() }
    });
    leaves.collect()
}

/// Each path of a tree of them.
fn leaves(tree: &str) -> Vec<String> {
    let Some((before, list)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let list = list.rsplit_once('}').map_or(list, |(list, _)| list);
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in list.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        match parts.last_mut() {
            Some(part) if c != ',' || depth > 0 => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| leaves(part)).map(|leaf| format!("{}{leaf}", before.trim())).collect()
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

/// Which adapters a text names: by a path, or by a `use`; `*` is all of them, and storage by another name.
fn named_adapters(text: &str, adapters: &[String]) -> BTreeSet<String> {
    let by_path = adapters.iter().filter(|name| text.contains(&format!("storage::{name}")));
    let mut named: BTreeSet<String> = by_path.cloned().collect();
    for used in uses(text) {
        let mut behind = used.path.iter().skip_while(|step| *step != "storage").skip(1);
        match behind.find(|step| *step != "self") {
            Some(step) if step == "*" || adapters.contains(step) => {
                named.insert(step.clone());
            }
            None if used.path.iter().any(|step| step == "storage") && used.name != "storage" => {
                named.insert("*".to_owned());
            }
            _ => {}
        }
    }
    named
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
fn the_actors_name_what_they_use_one_by_one() {
    for source in sources().iter().filter(|source| source.module == "actors") {
        let hidden = hides_names(source);
        assert!(hidden.is_empty(), "{}: name each of {hidden:?}", source.path.display());
    }
}

#[test]
fn the_actors_name_each_other_as_their_picture_says_and_in_no_circle() {
    let arrows = among_actors(&sources());
    assert!(arrows.len() > 20, "the files are found");
    let wrong = wrong_among_actors(&groups(), &arrows);
    assert!(wrong.is_empty(), "{wrong:#?}");
    let circles = in_circles(&arrows);
    assert!(circles.is_empty(), "these name each other in circles: {circles:?}\nof {arrows:#?}");
}

/// By `super::super::` one would come to where no arrow is counted.
#[test]
fn no_path_climbs_out_of_its_module() {
    let picture = picture();
    for source in sources() {
        let climbs = climbs(&source, &picture) && !OUTERMOST.contains(&source.module.as_str());
        assert!(!climbs, "{}: name it by crate::", source.path.display());
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
        let named = named_adapters(&source.text, &adapters);
        assert!(named.is_empty(), "{} names of storage {named:?}", source.path.display());
    }
}

#[test]
fn an_adapter_is_seen_however_it_is_named() {
    let adapters = adapters(&sources());
    for (text, adapter) in [
        ("use crate::storage::memory::X;", "memory"),
        ("use crate::storage::{memory::X, Store};", "memory"),
        ("pub(crate) use crate::{domain::Y, storage::{Store, scylla}};", "scylla"),
        (
            "use crate::{\n    storage::{\n        Store,\n        sqlite as s,\n    },\n};",
            "sqlite",
        ),
        ("fn x() { storage::sqlite::y() }", "sqlite"),
        ("use crate::storage::*;", "*"),
        ("use crate::storage::{self as kept};", "*"),
        ("use crate::storage as kept;", "*"),
    ] {
        let named = named_adapters(text, &adapters);
        assert!(named.contains(adapter), "{text}: {named:?}");
    }
    let fine = "use crate::storage::{self, Store, StoreError}; use crate::storage; use std::fs;";
    assert_eq!(named_adapters(fine, &adapters), BTreeSet::new());
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

#[test]
fn an_arrow_among_the_actors_that_the_picture_has_not_is_seen() {
    let file = |path: &str, text: &str| Source {
        path: path.into(),
        module: "actors".to_owned(),
        text: text.to_owned(),
    };
    let group = |line: &str, may: &str| {
        let (name, files) = line.split_once(':').expect("a name and files");
        Group { name: name.to_owned(), files: words(files), may: words(may) }
    };
    let groups =
        [group("low: hub view", "low"), group("shells: chat", "low"), group("top: router", "low")];
    let top =
        file("actors/mod.rs", "mod chat; pub use router::{CallError, Router}; pub use hub::Hub;");
    let router = file("actors/router.rs", "use super::hub::Hub; fn x() { super::view::y() }");
    let wrong = |text: &str, chat: &str| {
        let low = [file("actors/hub.rs", text), file("actors/view.rs", "")];
        let chat = file("actors/chat/watermarks.rs", chat);
        let all = [top.clone(), router.clone(), chat].into_iter().chain(low);
        let arrows = among_actors(&all.collect::<Vec<_>>());
        (wrong_among_actors(&groups, &arrows), in_circles(&arrows).len())
    };
    let chat = "use super::ChatState; use crate::actors::{hub::Hub, view};";
    assert_eq!(wrong("use super::view;", chat), (vec![], 0));
    let up = |arrow: &str, group: &str| vec![format!("hub -> {arrow}: low may not name {group}")];
    assert_eq!(wrong("use super::{view, chat::X};", chat), (up("chat", "shells"), 2));
    assert_eq!(wrong("use crate::actors::{Router, view};", chat), (up("router", "top"), 2));
    assert_eq!(wrong("use super::view; fn x(_: super::Router) {}", chat), (up("router", "top"), 2));
    let unused = ["low names nothing of low", "shells names nothing of low"].map(str::to_owned);
    assert_eq!(wrong("", ""), (unused.to_vec(), 0));
    let shown = |visibility: &str| {
        let top = format!("mod hub; {visibility}use self::{{hub::X, router::{{Router as Way}}}};");
        let low = file("actors/hub.rs", "use super::Way;");
        let arrows = among_actors(&[file("actors/mod.rs", &top), router.clone(), low]);
        arrows["hub"].clone()
    };
    for visibility in ["", "pub ", "pub(super) ", "pub(crate) ", "pub(in crate::actors) "] {
        assert_eq!(shown(visibility), words("router"), "{visibility}");
    }
    let hidden = |path: &str, text: &str| hides_names(&file(path, text)).len();
    let globs = ["use super::*;", "use crate::actors::*;", "use super::{hub::Hub, *};"];
    let renamed = ["use crate::actors as a;", "use crate::actors::{self as a};"];
    for text in globs.into_iter().chain(renamed) {
        assert_eq!(hidden("actors/view.rs", text), 1, "{text}");
    }
    assert_eq!(hidden("actors/chat/watermarks.rs", "fn x() {\n    use super::super::*;\n}"), 1);
    assert_eq!(hidden("actors/mod.rs", "pub(super) use hub::*;"), 1);
    let tests = "#[cfg(test)]\n#[allow(x)]\nmod tests {\n    use super::*;\n}\n";
    assert_eq!(hidden("actors/view.rs", tests), 0, "tests may");
    assert_eq!(hidden("actors/view.rs", &format!("{tests}use super::*;")), 1, "behind them");
    let item = "#[cfg(test)]\nfn x() {}\nuse super::*;\nfn y() {\n}";
    assert_eq!(hidden("actors/view.rs", item), 1, "what is for tests alone and no module");
    assert_eq!(hidden("actors/view.rs", "use super::hub::Hub; use crate::actors;"), 0);
    let climbs = |path, text| climbs(&file(path, text), &picture());
    assert!(climbs("actors/hub.rs", "use super::super::edge::X;"));
    assert!(climbs("actors/chat/mod.rs", "use super::super::edge::X;"));
    assert!(!climbs("actors/chat/watermarks.rs", "use super::super::hub::X;"));
    assert!(
        climbs("actors/mod.rs", "use super::edge::X;") && !climbs("actors/mod.rs", "use super::*;")
    );
    let mut arrows = BTreeMap::from([("new".to_owned(), BTreeSet::new())]);
    assert!(wrong_among_actors(&groups, &arrows).contains(&"new stands in no group".to_owned()));
    arrows.insert("old".to_owned(), words("new"));
    assert_eq!(in_circles(&arrows).len(), 0);
    arrows.insert("new".to_owned(), words("old"));
    assert_eq!(in_circles(&arrows).len(), 2);
}
