//! The witnesses in the lists: which test saw a fault last. Written into the text, so that comments
//! and order stay as people left them.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::list::{FOLDER, Fault};

/// Writes into its list that this test of this suite saw the fault.
pub fn write(root: &Path, fault: &Fault, suite: &str, test: &str) -> Result<()> {
    let path = root.join(FOLDER).join(format!("{}.toml", fault.area));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let text = recorded(&text, &fault.name, &format!("{suite} {test}"))
        .with_context(|| path.display().to_string())?;
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

/// The list with this witness in place of the fault's former one, or as its last line.
fn recorded(text: &str, name: &str, witness: &str) -> Result<String> {
    let (header, line) = (format!("name = {name:?}"), format!("seen_by = {witness:?}"));
    let mut lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| *line == header);
    let at = at.with_context(|| format!("the list has no line {header}"))?;
    let rest = lines[at..].iter().position(|line| line.starts_with("[[fault]]"));
    let end = rest.map_or(lines.len(), |rest| at + rest);
    match lines[at..end].iter().position(|line| line.starts_with("seen_by = ")) {
        Some(former) => lines[at + former] = &line,
        None => {
            // Comments below it belong to the next one.
            let is_of_it = |line: &&str| !line.is_empty() && !line.starts_with('#');
            let last = lines[at..end].iter().rposition(is_of_it).unwrap_or_default();
            lines.insert(at + last + 1, &line);
        }
    }
    let out = lines.join("\n") + "\n";
    let there = toml::from_str::<toml::Table>(&out)?;
    ensure!(there.contains_key("fault"), "the list has no faults any more");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_takes_the_place_of_the_former_one_and_changes_nothing_else() {
        let text = "# Of a.\n\n[[fault]]\nname = \"a\"\nsuites = [\"core\"]\n\n# Of b.\n\n[[fault]]\nname = \"b\"\n";
        let first = recorded(text, "a", "core x::y").unwrap();
        let line = "suites = [\"core\"]\nseen_by = \"core x::y\"\n\n# Of b.";
        assert_eq!(first, text.replace("suites = [\"core\"]\n\n# Of b.", line));
        let second = recorded(&first, "a", "lib z").unwrap();
        assert_eq!(second, first.replace("core x::y", "lib z"));
        let last = recorded(&second, "b", "lib z").unwrap();
        assert_eq!(last, second + "seen_by = \"lib z\"\n");
    }

    #[test]
    fn a_fault_that_is_not_in_the_list_is_said() {
        let said = recorded("[[fault]]\nname = \"ab\"\n", "a", "core x").unwrap_err();
        assert!(said.to_string().contains("no line name = \"a\""), "{said}");
    }
}
