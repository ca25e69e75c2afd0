//! Finds a Postgres that is new enough and fits the data, or fetches one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use capstan_child::{ChildCommand, Identity};

use super::Programs;
use crate::cache::Cache;
use crate::config::{BinarySource, LaunchConfig};
use crate::error::Error;
use crate::provision::{self, POSTGRES_MAJOR};
use crate::search::{SearchError, absolute, named_by, path_folders, version_of};

const OLDEST_MAJOR: u32 = 14;
const NEEDED: &str = "14 or newer";

/// Finds the Postgres to run on `cluster`, which an earlier run may have created.
pub(crate) async fn find(
    config: &LaunchConfig,
    cache: &Cache,
    cluster: &Path,
    identity: Option<&Identity>,
) -> Result<Programs, Error> {
    let made_by = major_that_made(cluster);
    let other_major = |at_hand: String| SearchError::OtherMajor {
        cluster: cluster.to_owned(),
        made_by: made_by.unwrap_or_default(),
        at_hand,
    };
    let fits = |programs: &Programs| made_by.is_none_or(|major| major == programs.version.major);

    if let Some(folder) = config.postgres_bin_dir.clone().or_else(|| named_by("CAPSTAN_POSTGRES_BIN_DIR")) {
        let programs = explicit(folder, identity).await?;
        if fits(&programs) {
            return Ok(programs);
        }
        return Err(other_major(format!("{} was configured", told(&programs))).into());
    }
    let mut passed_over = Vec::new();
    if config.binaries == BinarySource::Anywhere {
        for folder in installed().await {
            match check(&folder, identity).await {
                Ok(programs) if programs.version.major < OLDEST_MAJOR => {
                    tracing::warn!(folder = %folder.display(), version = %programs.version, "passing over a Postgres that is too old; needed is {NEEDED}");
                }
                Ok(programs) if fits(&programs) => {
                    tracing::debug!(folder = %folder.display(), version = %programs.version, "found Postgres");
                    return Ok(programs);
                }
                Ok(programs) => passed_over.push(told(&programs)),
                Err(reason) => {
                    tracing::warn!(folder = %folder.display(), reason, "passing over a Postgres that does not run");
                }
            }
        }
    }
    if made_by.is_some_and(|major| major != POSTGRES_MAJOR) {
        passed_over.push(format!("Postgres {POSTGRES_MAJOR} could be fetched"));
        return Err(other_major(format!("at hand: {}", passed_over.join(", "))).into());
    }
    let folder = provision::postgres(cache).await?;
    Ok(explicit(folder, identity).await?)
}

/// The major version recorded in a cluster.
fn major_that_made(cluster: &Path) -> Option<u32> {
    fs::read_to_string(cluster.join("PG_VERSION")).ok()?.trim().parse().ok()
}

fn told(programs: &Programs) -> String {
    format!("Postgres {}.{} in {}", programs.version.major, programs.version.minor, programs.folder.display())
}

async fn explicit(folder: PathBuf, identity: Option<&Identity>) -> Result<Programs, SearchError> {
    let folder = absolute(folder);
    match check(&folder, identity).await {
        Ok(programs) if programs.version.major >= OLDEST_MAJOR => Ok(programs),
        Ok(programs) => Err(SearchError::TooOld {
            program: folder.join("postgres"),
            found: programs.version.to_string(),
            needed: NEEDED,
        }),
        Err(reason) => Err(SearchError::Unusable { program: folder.join("postgres"), reason }),
    }
}

async fn check(folder: &Path, identity: Option<&Identity>) -> Result<Programs, String> {
    if !folder.join("initdb").is_file() {
        return Err("there is no initdb beside it".to_owned());
    }
    let version = version_of(&folder.join("postgres"), identity).await?;
    Ok(Programs { folder: folder.to_owned(), version })
}

/// Every folder with `initdb` and `postgres` in the places where Postgres is usually installed.
async fn installed() -> Vec<PathBuf> {
    let numbered = [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql@", "bin"),
        ("/usr/local/opt", "postgresql@", "bin"),
        ("/opt/local/lib", "postgresql", "bin"),
    ];
    let mut folders: Vec<PathBuf> = configured().await.into_iter().collect();
    folders.extend(path_folders());
    folders.extend(
        numbered.iter().flat_map(|(base, prefix, below)| newest_first(Path::new(base), prefix, below)),
    );
    folders.push("/Applications/Postgres.app/Contents/Versions/latest/bin".into());

    // The programs look for their other files beside their real place.
    let real = folders.into_iter().filter_map(|folder| {
        let program = fs::canonicalize(folder.join("postgres")).ok()?;
        let folder = program.parent()?.to_owned();
        folder.join("initdb").is_file().then_some(folder)
    });
    let mut distinct = Vec::new();
    for folder in real {
        if !distinct.contains(&folder) {
            distinct.push(folder);
        }
    }
    distinct
}

/// The folder named by `pg_config`, if it is installed.
async fn configured() -> Option<PathBuf> {
    let output = ChildCommand::new("pg_config").arg("--bindir").output(Duration::from_secs(20)).await.ok()?;
    output.status.success().then(|| PathBuf::from(output.stdout.trim()))
}

/// The folders `base/prefixN/below`, the highest N first.
fn newest_first(base: &Path, prefix: &str, below: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(base)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((number, entry.path().join(below)))
        })
        .collect();
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    found.into_iter().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_installation_comes_first_by_number_not_by_letter() {
        let base = tempfile::tempdir().unwrap();
        for name in ["pgsql-9", "pgsql-16", "pgsql-15", "pgsql-common", "other"] {
            fs::create_dir(base.path().join(name)).unwrap();
        }
        let expected = ["pgsql-16/bin", "pgsql-15/bin", "pgsql-9/bin"].map(|name| base.path().join(name));
        assert_eq!(newest_first(base.path(), "pgsql-", "bin"), expected);
    }
}
