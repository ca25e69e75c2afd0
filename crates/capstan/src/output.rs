//! The output and the exit code of a command.
#![expect(clippy::print_stderr, reason = "errors of the command line go to standard error")]

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use capstan_contract::causes::explain;
use capstan_projections::RebuildError;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use crate::settings::SettingsFaults;

/// Output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON document; one per line for streams.
    Json,
    /// Aligned columns for people.
    #[default]
    Table,
}

impl Format {
    /// Prints one object.
    pub(crate) fn object(self, object: &impl Serialize) -> anyhow::Result<()> {
        let value = serde_json::to_value(object)?;
        match self {
            Self::Json => line(&serde_json::to_string_pretty(&value)?)?,
            Self::Table => {
                let mut table = plain_table();
                for (name, value) in value.as_object().into_iter().flatten() {
                    table.add_row([name.clone(), cell(value)]);
                }
                line(&table.to_string())?;
            }
        }
        Ok(())
    }

    /// Prints a page: as it is, or its items with these columns.
    pub(crate) fn page(self, page: &impl Serialize, columns: &[&str]) -> anyhow::Result<()> {
        let page = serde_json::to_value(page)?;
        match self {
            Self::Json => self.object(&page),
            Self::Table => self.list(&page["items"], columns),
        }
    }

    /// Prints a list with these columns; the table truncates texts to 80 characters.
    pub(crate) fn list(self, items: &impl Serialize, columns: &[&str]) -> anyhow::Result<()> {
        self.list_with(cell, items, columns)
    }

    /// Prints a list with these columns, without truncation.
    pub(crate) fn list_whole(self, items: &impl Serialize, columns: &[&str]) -> anyhow::Result<()> {
        self.list_with(
            |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            items,
            columns,
        )
    }

    fn list_with(
        self,
        cell: fn(&Value) -> String,
        items: &impl Serialize,
        columns: &[&str],
    ) -> anyhow::Result<()> {
        let value = serde_json::to_value(items)?;
        match self {
            Self::Json => line(&serde_json::to_string_pretty(&value)?)?,
            Self::Table => {
                let mut table = plain_table();
                table.set_header(columns.iter().map(|column| column.to_uppercase()));
                for item in value.as_array().into_iter().flatten() {
                    table.add_row(columns.iter().map(|column| cell(&item[*column])));
                }
                line(&table.to_string())?;
            }
        }
        Ok(())
    }
}

/// Prints one line. Fails when the reader has closed the pipe, see [`failure`].
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).context("write to standard output")
}

fn plain_table() -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let first = text.lines().next().unwrap_or_default();
    if first.chars().count() > 80 || text.lines().count() > 1 {
        first.chars().take(79).chain(['…']).collect()
    } else {
        text
    }
}

/// The awaited task did not succeed, or waits for an answer.
#[derive(Debug, thiserror::Error)]
#[error("the task is {0}")]
pub(crate) struct TaskEnded(pub(crate) String);

/// Some checks failed; their findings are already printed.
#[derive(Debug, thiserror::Error)]
#[error("checks failed: {0}")]
pub(crate) struct CheckFailed(pub(crate) usize);

/// Arguments that clap cannot refuse.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongUsage(pub(crate) String);

/// Prints the chain of causes and returns the exit code.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    // Only the error of [`line`] is not below another one: a connection may have lost its pipe as well.
    let printing = error.downcast_ref::<io::Error>();
    if printing.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        // `capstan … | head` closes the pipe early.
        return ExitCode::SUCCESS;
    }
    if let Some(unsuccessful) = error.downcast_ref::<TaskEnded>() {
        eprintln!("capstan: {unsuccessful}");
        return ExitCode::from(5);
    }
    if let Some(failed) = error.downcast_ref::<CheckFailed>() {
        eprintln!("capstan: {failed}");
        return ExitCode::FAILURE;
    }
    eprintln!("capstan: failed to {}", explain(error.as_ref()));
    // A context is no cause, and is found by the error itself only.
    let usage = error.is::<WrongUsage>().then(|| ExitCode::from(2));
    usage.or_else(|| error.chain().find_map(exit_code)).unwrap_or(ExitCode::FAILURE)
}

/// The exit code of a cause that has one of its own.
fn exit_code(cause: &(dyn std::error::Error + 'static)) -> Option<ExitCode> {
    let (usage, refused, unreachable) = (ExitCode::from(2), ExitCode::from(3), ExitCode::from(4));
    if cause.is::<SettingsFaults>() {
        return Some(usage);
    }
    if let Some(error) = cause.downcast_ref::<capstan_client::Error>() {
        return match error {
            capstan_client::Error::Problem(_) => Some(refused),
            capstan_client::Error::Address { .. } => Some(usage),
            capstan_client::Error::Transport(_) | capstan_client::Error::Silent => Some(unreachable),
            capstan_client::Error::Diverged { .. }
            | capstan_client::Error::Unreadable { .. }
            | capstan_client::Error::Encode(_)
            | capstan_client::Error::Decode { .. } => None,
        };
    }
    if let Some(capstan_projections::ConnectError::Address(_)) = cause.downcast_ref() {
        return Some(usage);
    }
    if let Some(RebuildError::UnknownModel(_)) = cause.downcast_ref() {
        return Some(usage);
    }
    let is_unreachable =
        matches!(cause.downcast_ref(), Some(capstan_projections::QueryError::Unavailable(_)))
            || matches!(cause.downcast_ref(), Some(capstan_eventlog::ConnectError::Connect { .. }))
            || matches!(cause.downcast_ref(), Some(capstan_eventlog::ReadError::Unavailable { .. }))
            || cause.is::<async_nats::ConnectError>()
            || (cause.is::<tokio_postgres::Error>()
                && cause.source().is_some_and(<dyn std::error::Error>::is::<io::Error>));
    is_unreachable.then_some(unreachable)
}
