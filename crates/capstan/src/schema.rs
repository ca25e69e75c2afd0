//! `capstan schema`: write the contracts to a folder.

use std::path::PathBuf;

use clap::Args;

use crate::output;

/// Write the contracts to a folder.
#[derive(Args)]
pub(crate) struct SchemaCommand {
    /// Target folder.
    #[arg(default_value = "schemas")]
    folder: PathBuf,
}

impl SchemaCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let written = capstan_contract::schema_files::regenerate(&self.folder)?;
        output::line(&format!("{} files written to {}", written.len(), self.folder.display()))?;
        Ok(())
    }
}
