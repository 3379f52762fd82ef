//! A copy of the source in which every fault of the list is a switch: one build serves them all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::list::{Fault, Place, places};

/// Names the fault that is on. Not one of the server's settings: it refuses those that it does not
/// know.
pub const VARIABLE: &str = "PLANTED_FAULT";

/// Copies what is in the repository, or new beside it, and weaves the faults in. What has not
/// changed is not touched, so that it is not built again.
pub fn copy(root: &Path, tree: &Path, faults: &[Fault]) -> Result<()> {
    let places = places(root, faults)?;
    let mut files = listed(root)?;
    for file in &files {
        let from = root.join(file);
        let bytes = std::fs::read(&from).with_context(|| from.display().to_string())?;
        let bytes = match (file.as_str(), places.get(file)) {
            ("src/lib.rs", None) => library(&bytes),
            ("src/lib.rs", Some(_)) => bail!("{file} declares modules; no fault fits there"),
            (_, None) => bytes,
            (_, Some(places)) => {
                let text = String::from_utf8(bytes).with_context(|| file.clone())?;
                woven(&text, places, faults).with_context(|| file.clone())?.into_bytes()
            }
        };
        write(&tree.join(file), &bytes)?;
    }
    let switches = "src/planted.rs".to_owned();
    write(&tree.join(&switches), switch(faults)?.as_bytes())?;
    files.insert(switches);
    remove_others(tree, tree, &files)
}

/// The text with each fault as a switch.
pub fn woven(text: &str, places: &[Place], faults: &[Fault]) -> Result<String> {
    let mut places = places.to_vec();
    // The outer ones first; of the same place, in the order of the list.
    places.sort_by_key(|(n, place)| (place.start, std::cmp::Reverse(place.end), *n));
    weave(text, 0..text.len(), &places, faults)
}

fn weave(text: &str, area: Range<usize>, places: &[Place], faults: &[Fault]) -> Result<String> {
    let mut out = String::new();
    let (mut at, mut rest) = (area.start, places);
    while let Some(((n, place), _)) = rest.split_first() {
        let within = rest.iter().take_while(|(_, other)| other.start < place.end).count();
        let (inner, after) = rest.split_at(within);
        let crossing = inner.iter().find(|(_, other)| other.end > place.end);
        if let Some((other, _)) = crossing {
            bail!("{} and {} cross each other", faults[*n].name, faults[*other].name);
        }
        out.push_str(&text[at..place.start]);
        let original = weave(text, place.clone(), &inner[1..], faults)?;
        out.push_str(&switched(&faults[*n], &original));
        (at, rest) = (place.end, after);
    }
    out.push_str(&text[at..area.end]);
    Ok(out)
}

/// Either the fault or the original, by the switch. Statements stay statements.
fn switched(fault: &Fault, original: &str) -> String {
    let (switch, faulty) = (number(&fault.name), &fault.faulty);
    let either = format!("if crate::planted::on({switch:#x}) {{ {faulty} }} else {{ {original} }}");
    let blocks = original.trim_end().ends_with([';', '}']);
    if blocks { either } else { format!("({either})") }
}

/// The library with the module of the switches in it. What a fault leaves unused is no news.
fn library(bytes: &[u8]) -> Vec<u8> {
    let mut woven = b"#![allow(warnings)]\n".to_vec();
    woven.extend_from_slice(bytes);
    woven.extend_from_slice(b"\npub mod planted;\n");
    woven
}

/// The number of a fault's switch: made of its name (FNV-1a), so that a new fault changes no other's
/// place in the copy, and what has none of its own is not built again.
fn number(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn switch(faults: &[Fault]) -> Result<String> {
    let mut names = BTreeMap::new();
    for fault in faults {
        if let Some(other) = names.insert(number(&fault.name), &fault.name) {
            bail!("{} and {other} have one number: give one another name", fault.name);
        }
    }
    let mut known = String::new();
    for (number, name) in names {
        let _ = writeln!(known, "    ({number:#x}, {name:?}),");
    }
    Ok(format!(
        "//! The switches of the planted faults.\n\
         use std::sync::LazyLock;\n\
         const KNOWN: &[(u64, &str)] = &[\n{known}];\n\
         static ON: LazyLock<Option<u64>> = LazyLock::new(|| {{\n\
         \x20   let on = std::env::var({VARIABLE:?}).ok()?;\n\
         \x20   Some(KNOWN.iter().find(|(_, name)| *name == on).expect(\"a fault\").0)\n\
         }});\n\
         /// Whether this fault is switched on.\n\
         pub fn on(fault: u64) -> bool {{\n\
         \x20   *ON == Some(fault)\n\
         }}\n"
    ))
}

fn listed(root: &Path) -> Result<BTreeSet<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = Command::new("git").args(arguments).current_dir(root).output();
    let listed = listed.context("git ls-files")?;
    ensure!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout)?;
    let names = names.split('\0').filter(|name| root.join(name).is_file());
    Ok(names.map(str::to_owned).collect())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}

fn remove_others(tree: &Path, folder: &Path, files: &BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let below = path.strip_prefix(tree)?.to_string_lossy().into_owned();
        if path.is_dir() {
            remove_others(tree, &path, files)?;
        } else if !files.contains(&below) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(original: &str, faulty: &str) -> Fault {
        Fault {
            name: original.into(),
            breaks: String::new(),
            file: String::new(),
            within: None,
            original: original.into(),
            faulty: faulty.into(),
            suites: Vec::new(),
            seen_by: None,
            equivalent: None,
            area: String::new(),
        }
    }

    fn all(text: &str, faults: &[Fault]) -> Result<String> {
        let place = |fault: &Fault| {
            let start = text.find(&fault.original).unwrap();
            start..start + fault.original.len()
        };
        let places: Vec<_> = faults.iter().map(place).enumerate().collect();
        woven(text, &places, faults)
    }

    #[test]
    fn each_is_a_switch_also_within_another() {
        let faults = [fault("a < b", "a <= b"), fault("a < b && c", "false"), fault("d();", "")];
        let woven = all("if a < b && c { d(); }", &faults).unwrap();
        let on = |n: usize| format!("crate::planted::on({:#x})", number(&faults[n].name));
        let inner = format!("(if {} {{ a <= b }} else {{ a < b }})", on(0));
        let outer = format!("(if {} {{ false }} else {{ {inner} && c }})", on(1));
        let last = format!("if {} {{  }} else {{ d(); }}", on(2));
        assert_eq!(woven, format!("if {outer} {{ {last} }}"));
    }

    #[test]
    fn two_in_one_place_are_both_there_and_two_that_cross_are_refused() {
        let same = [fault("a", "b"), fault("a", "c")];
        let woven = all("a", &same).unwrap();
        assert!(woven.contains(") { b }") && woven.contains(") { c }"), "{woven}");
        let crossing = [fault("a && b", "a"), fault("b && c", "c")];
        assert!(all("a && b && c", &crossing).is_err());
    }
}
