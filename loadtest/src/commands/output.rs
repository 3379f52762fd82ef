//! Where a report goes beside the terminal: the options that all commands share which measure.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use loadtest::measure::html;
use loadtest::measure::report::Report;

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
    /// Tells before a run what would keep its report from being written: a folder that is not there.
    pub fn check(&self) -> anyhow::Result<()> {
        for path in self.json.iter().chain(&self.html) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let is_there = folder.is_none_or(Path::is_dir);
            anyhow::ensure!(is_there, "{} is in a folder that is not there", path.display());
        }
        Ok(())
    }

    /// Writes it, also that of a run that has ended early. Both files are tried.
    pub fn write(&self, report: &Report) -> anyhow::Result<()> {
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
