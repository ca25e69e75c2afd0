//! Can the read models live in this database, and how far are they?

use capstan_projections::{ReadModels, TablesState};

use super::Findings;
use crate::output;
use crate::settings::Settings;

/// The oldest release that will do, as a number.
const VERSION_MIN: i32 = 140_000;
/// Lag from which on it is worth a look.
const LAG_MAX: u64 = 10_000;

/// `head` is where the log ends, if it could be asked.
pub(super) async fn look(settings: &Settings, head: Option<u64>, findings: &mut Findings) {
    let models = match ReadModels::connect(&settings.database_url) {
        Ok(models) => models,
        Err(error) => return findings.failed("postgres", output::chain(&error.into())),
    };
    let found = match models.inspect().await {
        Ok(found) => found,
        Err(error) => return findings.failed("postgres", output::chain(&error.into())),
    };
    findings.ok("postgres", "reachable");
    if found.version_number >= VERSION_MIN {
        findings.ok("postgres.version", &found.version);
    } else {
        findings.failed("postgres.version", format!("{}: 14 or newer is needed", found.version));
    }
    let check = "postgres.tables";
    match found.tables {
        TablesState::There if found.outdated_models.is_empty() => findings.ok(check, "there and up to date"),
        TablesState::There => {
            let models = found.outdated_models.join(", ");
            findings.warning(check, format!("the next projector makes these anew: {models}"));
        }
        TablesState::CanBeMade => findings.ok(check, "not there yet; the first start makes them"),
        TablesState::CannotBeMade => findings
            .failed(check, "not there, and this login may not make them: GRANT CREATE ON DATABASE is needed"),
        TablesState::Newer(version) => findings.failed(
            check,
            format!("made by a newer Capstan (version {version}): use that one, or another database"),
        ),
    }
    if let (Some(position), Some(head)) = (found.position, head) {
        let position = position.sequence();
        let detail = format!("at {position} of {head}");
        let check = "projection.lag";
        if position > head {
            findings.failed(check, format!("{detail}: STORE_DIVERGED, the rows come from another log"));
        } else if head - position > LAG_MAX {
            findings.warning(check, format!("{detail}: {} commits behind", head - position));
        } else {
            findings.ok(check, detail);
        }
    }
    if found.position.is_some() {
        if found.has_projector {
            findings.ok("projection.writer", "a projector is at work");
        } else {
            findings.warning("projection.writer", "no projector is at work: start one");
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
