//! Checks that the database can hold the read models, and their lag.

use capstan_contract::causes::explain;
use capstan_envelope::Position;
use capstan_eventlog::{Inspection, ReadError};
use capstan_projections::{ReadModels, TablesState};

use super::Findings;
use crate::settings::Settings;

/// The oldest supported version number.
const VERSION_MIN: i32 = 140_000;
/// Lag above which the check warns.
const LAG_MAX: u64 = 10_000;

/// Checks Postgres, and its read models against the log if that is reachable.
pub(super) async fn look(settings: &Settings, log: Option<&Inspection>, findings: &mut Findings) {
    let models = match ReadModels::connect(&settings.database_url) {
        Ok(models) => models,
        Err(error) => return findings.failed("postgres", explain(&error)),
    };
    let found = match models.inspect().await {
        Ok(found) => found,
        Err(error) => return findings.failed("postgres", explain(&error)),
    };
    findings.ok("postgres", "reachable");
    if found.version_number >= VERSION_MIN {
        findings.ok("postgres.version", &found.version);
    } else {
        findings.failed("postgres.version", format!("{}: 14 or newer is needed", found.version));
    }
    let check = "postgres.tables";
    match found.tables {
        TablesState::There if found.outdated_models.is_empty() => {
            findings.ok(check, "present and up to date");
        }
        TablesState::There => {
            let models = found.outdated_models.join(", ");
            findings.warning(check, format!("the next projector rebuilds these: {models}"));
        }
        TablesState::CanBeMade => findings.ok(check, "missing; the first start creates them"),
        TablesState::CannotBeMade => findings
            .failed(check, "missing, and this login may not create them: GRANT CREATE ON DATABASE is needed"),
        TablesState::Newer(version) => findings.failed(
            check,
            format!("created by a newer Capstan (version {version}): use that version, or another database"),
        ),
    }
    if let (Some(position), Some(log)) = (found.position, log) {
        lag(position, log, findings).await;
    }
    if found.position.is_some() {
        if found.has_projector {
            findings.ok("projection.writer", "a projector is running");
        } else {
            findings.warning("projection.writer", "no projector is running: start one");
        }
        match found.parked_commits {
            0 => findings.ok("projection.parked", "none"),
            parked => {
                findings.warning("projection.parked", format!("{parked} commits; see capstan dlq list"));
            }
        }
    }
    findings.clock("postgres.clock", found.clock_ahead);
}

/// Checks that the checkpoint is a position of this log, then its distance to the end.
async fn lag(position: Position, log: &Inspection, findings: &mut Findings) {
    let check = "projection.lag";
    match log.commits_after(position).await {
        Ok(behind) if behind > LAG_MAX => {
            findings.warning(check, format!("at {position}: {behind} commits behind"));
        }
        Ok(behind) => findings.ok(check, format!("at {position}: {behind} commits behind")),
        Err(error @ ReadError::Diverged { .. }) => {
            findings.failed(check, format!("at {position}: the rows belong to another log: {error}"));
        }
        Err(error) => findings.failed(check, explain(&error)),
    }
}
