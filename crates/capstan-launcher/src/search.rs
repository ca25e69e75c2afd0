//! Finds installed programs and asks for their version.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use capstan_child::{ChildCommand, Identity};

use crate::version::Version;

/// A configured program cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The configured program is missing or does not run.
    #[error("run {}, which was configured: {reason}", .program.display())]
    Unusable {
        /// The program.
        program: PathBuf,
        /// The fault.
        reason: String,
    },
    /// The configured program is too old.
    #[error("use {}, which was configured: it is version {found}, and {needed} is needed", .program.display())]
    TooOld {
        /// The program.
        program: PathBuf,
        /// Its version.
        found: String,
        /// The required version.
        needed: &'static str,
    },
    /// The data was made by another Postgres than those at hand.
    #[error(
        "open the Postgres data in {}: Postgres {made_by} made it, and {at_hand}; install Postgres {made_by}, name its \
         folder in CAPSTAN_POSTGRES_BIN_DIR, or choose another data folder",
        .cluster.display()
    )]
    OtherMajor {
        /// The cluster.
        cluster: PathBuf,
        /// The major version that made it.
        made_by: u32,
        /// The versions found instead.
        at_hand: String,
    },
    /// Postgres refuses to run as root, and there is no other user.
    #[error(
        "find a user to run Postgres as: it refuses to run as root, and there is neither 'postgres' nor 'nobody'"
    )]
    NoUser,
}

/// Runs `program --version` as `identity`; an error gives the reason for which it cannot be used.
pub(crate) async fn version_of(program: &Path, identity: Option<&Identity>) -> Result<Version, String> {
    let mut command = ChildCommand::new(program).arg("--version").current_dir("/");
    if let Some(identity) = identity {
        command = command.identity(identity);
    }
    let output = command.output(Duration::from_secs(20)).await.map_err(|error| match identity {
        Some(user) => format!("as user '{}': {error}", user.name),
        None => error.to_string(),
    })?;
    if !output.status.success() {
        return Err(format!(
            "asked for its version, it ended with {}: {}",
            output.status,
            output.stderr.trim()
        ));
    }
    Version::find_in(&output.stdout).ok_or_else(|| format!("it prints no version: {}", output.stdout.trim()))
}

/// The absolute path.
pub(crate) fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// The folders of `PATH`.
pub(crate) fn path_folders() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// The path in an environment variable, if it is set and not empty.
pub(crate) fn named_by(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
