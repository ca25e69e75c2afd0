//! Finds a nats-server that is new enough, or fetches one.

use std::env;
use std::path::{Path, PathBuf};

use crate::cache::Cache;
use crate::config::{BinarySource, LaunchConfig};
use crate::error::Error;
use crate::provision;
use crate::search::{SearchError, absolute, named_by, path_folders, version_of};
use crate::version::Version;

const NEEDED: &str = "2.14.4 or newer (or 2.12.14 or newer of the 2.12 line)";

/// Finds the nats-server to run.
pub(crate) async fn find(config: &LaunchConfig, cache: &Cache) -> Result<PathBuf, Error> {
    if let Some(program) = config.nats_server.clone().or_else(|| named_by("CAPSTAN_NATS_SERVER_BIN")) {
        return Ok(explicit(program).await?);
    }
    if config.binaries == BinarySource::Anywhere {
        for program in installed() {
            match version_of(&program, None).await {
                Ok(version) if serves(version) => {
                    tracing::debug!(program = %program.display(), %version, "found nats-server");
                    return Ok(program);
                }
                Ok(version) => {
                    tracing::warn!(program = %program.display(), %version, "passing over a nats-server that is too old; needed is {NEEDED}");
                }
                Err(reason) => {
                    tracing::warn!(program = %program.display(), reason, "passing over a nats-server that does not run");
                }
            }
        }
    }
    Ok(provision::nats_server(cache).await?)
}

async fn explicit(program: PathBuf) -> Result<PathBuf, SearchError> {
    let program = absolute(program);
    match version_of(&program, None).await {
        Ok(version) if serves(version) => Ok(program),
        Ok(version) => Err(SearchError::TooOld { program, found: version.to_string(), needed: NEEDED }),
        Err(reason) => Err(SearchError::Unusable { program, reason }),
    }
}

/// Every nats-server in the places where one is usually installed, `PATH` first.
fn installed() -> impl Iterator<Item = PathBuf> {
    let home = env::home_dir();
    let of_user = ["go/bin", ".local/bin"].map(|folder| home.as_ref().map(|home| home.join(folder)));
    let of_system = [
        // Debian's place, often missing from a user's PATH.
        "/usr/sbin",
        "/usr/bin",
        "/usr/local/bin",
        "/usr/local/sbin",
        "/opt/homebrew/bin",
        "/usr/local/opt/nats-server/bin",
    ];
    path_folders()
        .into_iter()
        .chain(of_system.map(PathBuf::from))
        .chain(of_user.into_iter().flatten())
        .map(|folder| folder.join("nats-server"))
        .filter(|program| Path::is_file(program))
}

/// True for a version with everything the log requires.
fn serves(version: Version) -> bool {
    match (version.major, version.minor) {
        (2, 12) => version.patch >= 14,
        (2, 14) => version.patch >= 4,
        (major, minor) => (major, minor) > (2, 14),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_with_atomic_batches_that_hold_are_taken() {
        let serves = |text| serves(Version::find_in(text).expect(text));
        for good in ["2.12.14", "2.12.20", "2.14.4", "2.15.0", "3.0.0"] {
            assert!(serves(good), "{good}");
        }
        for bad in ["2.9.10", "2.11.99", "2.12.13", "2.13.9", "2.14.3", "1.4.1"] {
            assert!(!serves(bad), "{bad}");
        }
    }
}
