//! `loadtest floor`: a server that does the least, for who drives it from elsewhere.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use loadtest::measure::{floor, scenario};

use super::messages::Floor;

/// The options of `floor`.
#[derive(Debug, Args)]
pub struct FloorArguments {
    /// Which
    kind: Floor,
    /// Where the durable one keeps what it is sent: a folder without a store
    #[arg(long, value_name = "FOLDER", default_value = "floor")]
    data: PathBuf,
}

impl FloorArguments {
    /// Serves until it is ended; says where on standard output.
    pub fn run(&self) -> anyhow::Result<bool> {
        let target = self.kind.target().context("this is no floor")?;
        let kind = scenario::kind(target, self.data.clone()).context("this is no floor")?;
        floor::serve(&kind, &mut std::io::stdout())?;
        Ok(true)
    }
}
