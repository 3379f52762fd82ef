//! The suites that look for faults, in the order of what they cost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// A suite: a test binary and which of its tests.
#[derive(Debug)]
pub struct Suite {
    /// What it is called here.
    pub name: &'static str,
    /// The test target; none: the library's own tests.
    target: Option<&'static str>,
    /// Further arguments.
    pub arguments: &'static [&'static str],
    /// What it is told by its environment.
    pub environment: &'static [(&'static str, &'static str)],
    /// After so long it hangs, s: several times what it takes on two busy cores.
    pub limit_s: u64,
}

/// No CQL server here: each test binary would start one of its own.
const WITHOUT_CQL: &[&str] = &["--skip", "cql", "--skip", "distributed_store"];

/// The core decides and does nothing else: its own tests take a second.
const CORE: &[&str] = &["machine::", "routing::", "domain::"];
const BESIDE_CORE: &[&str] = &["--skip", "machine::", "--skip", "routing::", "--skip", "domain::"];

/// So many seeds see what a simulation of a few seconds can.
const SEEDS: (&str, &str) = ("SWITCHBOARD_SIM_SEEDS", "150");

/// The dependencies have no faults of ours: they are built in the shortest time.
const PLAIN_DEPENDENCIES: &str = "profile.test.package.\"*\".opt-level=0";
/// But for these, with which exports and records are read many thousand times.
const QUICK_DEPENDENCIES: &[&str] = &["crc32c", "serde_json", "sha2"];

/// All of them.
pub const SUITES: &[Suite] = &[
    Suite { arguments: CORE, ..quick("core", None) },
    quick("matching", Some("matching")),
    Suite { arguments: BESIDE_CORE, ..quick("lib", None) },
    quick("protocol", Some("protocol")),
    quick("config", Some("config")),
    quick("catalog", Some("catalog")),
    quick("access", Some("access")),
    Suite {
        name: "simulation",
        target: Some("simulation"),
        // Its own planted faults are not looked for here.
        arguments: &["--skip", "planted::", "--skip", "theory::"],
        environment: &[SEEDS],
        limit_s: 600,
    },
    Suite {
        name: "supervision",
        target: Some("supervision"),
        arguments: WITHOUT_CQL,
        environment: &[],
        limit_s: 900,
    },
    Suite {
        name: "conformance",
        target: Some("conformance"),
        arguments: WITHOUT_CQL,
        environment: &[],
        limit_s: 1_200,
    },
    Suite {
        name: "edge",
        target: Some("edge"),
        arguments: WITHOUT_CQL,
        environment: &[],
        limit_s: 1_200,
    },
];

const fn quick(name: &'static str, target: Option<&'static str>) -> Suite {
    Suite { name, target, arguments: WITHOUT_CQL, environment: &[], limit_s: 300 }
}

/// The suite of that name.
pub fn named(name: &str) -> Option<&'static Suite> {
    SUITES.iter().find(|suite| suite.name == name)
}

/// All names, for messages.
pub fn names() -> String {
    SUITES.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ")
}

/// What cargo says of something that it built.
#[derive(Deserialize)]
struct Built {
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds the test binaries of these suites; answers where they are.
pub fn build(
    tree: &Path,
    target: &Path,
    suites: &[&'static Suite],
) -> Result<BTreeMap<&'static str, PathBuf>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--no-run", "--package", "switchboard", "--message-format", "json"]);
    cargo.args(["--config", PLAIN_DEPENDENCIES]);
    for package in QUICK_DEPENDENCIES {
        cargo.args(["--config", &format!("profile.test.package.{package}.opt-level=1")]);
    }
    // The library's own tests are two suites.
    let targets: BTreeSet<_> = suites.iter().map(|suite| suite.target).collect();
    for target in targets {
        match target {
            None => cargo.arg("--lib"),
            Some(target) => cargo.args(["--test", target]),
        };
    }
    cargo.current_dir(tree).env("CARGO_TARGET_DIR", target).stderr(Stdio::inherit());
    let output = cargo.output().context("cargo test --no-run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        // Errors come in the same form; those who read them want the text.
        let rendered = text.lines().filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            message.get("message")?.get("rendered")?.as_str().map(str::to_owned)
        });
        rendered.for_each(|message| eprintln!("{message}"));
    }
    ensure!(output.status.success(), "the source with the switches in it is not built");
    let mut built = BTreeMap::new();
    for line in text.lines() {
        let Ok(Built { target: Some(target), profile: Some(profile), executable: Some(path) }) =
            serde_json::from_str(line)
        else {
            continue;
        };
        let library = target.kind.iter().any(|kind| kind == "lib");
        for suite in suites.iter().filter(|_| profile.test) {
            if suite.target.map_or(library, |name| name == target.name) {
                built.insert(suite.name, path.clone());
            }
        }
    }
    for suite in suites {
        ensure!(built.contains_key(suite.name), "cargo built no test binary of {}", suite.name);
    }
    Ok(built)
}
