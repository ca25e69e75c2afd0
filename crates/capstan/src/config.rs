//! `capstan config`: the settings of `capstan serve`.

use clap::{Args, Subcommand};

use crate::output;
use crate::serve::SettingsSource;
use crate::settings::DEFAULTS;

/// The settings of `capstan serve`.
#[derive(Args)]
pub(crate) struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "read once from the command line")]
enum Action {
    /// Print the effective settings of this file, environment and flags; secrets are masked.
    Print(SettingsSource),
    /// Print all settings with their defaults and descriptions.
    Defaults,
}

impl ConfigCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Print(source) => {
                let settings = source.read()?.masked();
                output::line(serde_json::to_string_pretty(&settings)?.as_str())?;
            }
            Action::Defaults => output::line(DEFAULTS.trim_end())?,
        }
        Ok(())
    }
}
