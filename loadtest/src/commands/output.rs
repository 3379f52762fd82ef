//! Where a report goes beside the terminal: the options that all commands share which measure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use loadtest::client::clock::wall_ms;
use loadtest::measure::html;
use loadtest::measure::report::{Build, Machine, Report, VERSION};

use super::target::OwnServerArguments;

/// Files of a report.
#[derive(Debug, Args)]
pub struct OutputArguments {
    /// Write the report there, for machines and for `compare`
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report there, for people: one page that loads nothing
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

impl OutputArguments {
    /// The report of a run before anything has happened. Errors where it could not be written in the end.
    pub fn begin(
        &self,
        (scenario, own): (&str, &OwnServerArguments),
        options: &[(&'static str, String)],
        settings: &[(&str, u64)],
    ) -> anyhow::Result<Report> {
        self.check()?;
        let config = own.config.as_ref();
        let config = config.map_or("none".to_owned(), |file| file.display().to_string());
        let options = options.iter().cloned().chain([("config", config)]);
        let settings =
            settings.iter().map(|(name, value)| (name.to_lowercase(), value.to_string()));
        Ok(Report {
            version: VERSION,
            scenario: scenario.to_owned(),
            began_ms: wall_ms(),
            build: Build::here(own.server_binary.as_deref()),
            machine: Machine::here(&std::env::temp_dir()),
            options: options.map(|(name, value)| (name.to_owned(), value)).collect(),
            settings: settings.collect(),
            rounds: BTreeMap::new(),
            warnings: Vec::new(),
            failed: None,
        })
    }

    /// Shows and writes what came of a run, also of one that has ended early. Says whether all held.
    pub fn finish(
        &self,
        mut report: Report,
        ended: anyhow::Result<()>,
        show: impl FnOnce(&Report),
    ) -> anyhow::Result<bool> {
        if let Err(error) = &ended {
            report.failed = Some(format!("{error:#}"));
        }
        report.warn();
        show(&report);
        let written = self.write(&report);
        // Of two errors the one of the run came first, and says more.
        ended?;
        written?;
        Ok(report.holds())
    }

    /// Tells before a run what would keep its report from being written: a folder that is not there.
    fn check(&self) -> anyhow::Result<()> {
        for path in self.json.iter().chain(&self.html) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let is_there = folder.is_none_or(Path::is_dir);
            anyhow::ensure!(is_there, "{} is in a folder that is not there", path.display());
        }
        Ok(())
    }

    /// Both files are tried.
    fn write(&self, report: &Report) -> anyhow::Result<()> {
        let page =
            self.html.as_ref().map_or(Ok(()), |path| write(path, html::page(report).as_bytes()));
        if let Some(path) = &self.json {
            write(path, &serde_json::to_vec_pretty(report).context("writing the report")?)?;
        }
        page
    }
}

/// Writes a file as a whole.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}
