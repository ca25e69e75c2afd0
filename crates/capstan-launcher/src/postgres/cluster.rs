//! The folder of Postgres' data: its place and its creation.

use std::fs::{self, File, Permissions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use capstan_child::{ChildCommand, Identity};
use rustix::fs::{Gid, Uid};

use super::{DATABASE, Programs, reach};
use crate::cache::{Cache, CacheError};
use crate::data_dir::DataDir;
use crate::tag;

/// A cluster could not be created.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The user of Postgres cannot enter the data folder or any other place.
    #[error(
        "find a place for the Postgres data: Postgres refuses to run as root, its user '{user}' cannot enter {}, and \
         {} cannot stand in; choose a data folder that '{user}' can reach, or do not run as root",
        .data_dir.display(), .instead.display()
    )]
    Unreachable {
        /// The user who runs Postgres.
        user: String,
        /// The data folder.
        data_dir: PathBuf,
        /// The place that was tried instead.
        instead: PathBuf,
    },
    /// A file could not be made.
    #[error("prepare the Postgres data in {}", .path.display())]
    Prepare {
        /// The folder or file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Postgres' own tool failed.
    #[error("make the Postgres data in {} with {program}: {output}", .path.display())]
    Tool {
        /// The tool.
        program: &'static str,
        /// The folder.
        path: PathBuf,
        /// Its output.
        output: String,
    },
    /// The cache could not keep the template of empty clusters.
    #[error("keep an empty cluster to copy from")]
    Cache(#[from] CacheError),
}

/// The place of a cluster, which may not exist yet.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) path: PathBuf,
    /// Temporary data outside the data folder.
    throwaway_elsewhere: bool,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.throwaway_elsewhere {
            let _ = remove_tree(&self.path);
        }
    }
}

/// Finds the place of the cluster of `data_dir`.
///
/// As root, the data belongs to the user of Postgres, who cannot enter a data folder under `/root`. In this case the data
/// is in the system's folder for such data, under a unique name, and the data folder has a link to it. A new data
/// folder therefore never finds the data of a deleted one.
pub(crate) async fn locate(
    data_dir: &DataDir,
    identity: Option<&Identity>,
    throwaway: bool,
) -> Result<Cluster, ClusterError> {
    let link = data_dir.cluster();
    let usual = || Cluster { path: link.clone(), throwaway_elsewhere: false };
    let failed = |source| ClusterError::Prepare { path: link.clone(), source };
    if let Ok(path) = fs::read_link(&link) {
        return Ok(Cluster { path, throwaway_elsewhere: throwaway });
    }
    let Some(identity) = identity else { return Ok(usual()) };
    let folder = data_dir.path();
    if !reach::can_enter(folder, Some(identity)).await {
        // The data folder itself is ours to open; those above it are not.
        let mode = fs::metadata(folder).map_err(failed)?.permissions().mode();
        fs::set_permissions(folder, Permissions::from_mode(mode | 0o111)).map_err(failed)?;
    }
    if reach::can_enter(folder, Some(identity)).await {
        return Ok(usual());
    }
    let base = if throwaway { std::env::temp_dir() } else { PathBuf::from("/var/lib/capstan") };
    let unreachable = ClusterError::Unreachable {
        user: identity.name.clone(),
        data_dir: folder.to_owned(),
        instead: base.clone(),
    };
    let opened = throwaway
        || fs::create_dir_all(&base)
            .and_then(|()| fs::set_permissions(&base, Permissions::from_mode(0o755)))
            .is_ok();
    if link.exists() || !opened || !reach::can_enter(&base, Some(identity)).await {
        return Err(unreachable);
    }
    let path = base.join(format!("capstan-postgres-{}", tag::unique()));
    symlink(&path, &link).map_err(failed)?;
    if !throwaway {
        tracing::warn!(
            "user '{}', who runs Postgres, cannot reach {}; the Postgres data is kept in {}",
            identity.name,
            folder.display(),
            path.display()
        );
    }
    Ok(Cluster { path, throwaway_elsewhere: throwaway })
}

/// Creates the cluster at `path` unless it exists.
pub(crate) async fn ensure(
    path: &Path,
    programs: &Programs,
    identity: Option<&Identity>,
    throwaway_from: Option<&Cache>,
) -> Result<(), ClusterError> {
    if path.join("PG_VERSION").exists() {
        return Ok(());
    }
    let failed = |source| ClusterError::Prepare { path: path.to_owned(), source };
    // Renamed into place when whole: a start that was cut short leaves nothing that looks like a cluster.
    let draft = path.with_extension("new");
    remove_tree(&draft).map_err(failed)?;
    if let Some(cache) = throwaway_from {
        let template = template(cache, programs, identity).await?;
        let (owner, to) = (identity.cloned(), draft.clone());
        let copied = tokio::task::spawn_blocking(move || copy_tree(&template, &to, owner.as_ref())).await;
        copied.unwrap_or_else(|panic| Err(io::Error::other(panic))).map_err(failed)?;
    } else {
        initialise(&draft, programs, identity, &[]).await?;
    }
    fs::rename(&draft, path).map_err(failed)
}

/// Removes a folder and all in it, if it is there.
fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// An empty cluster made once per Postgres and user, since copying is many times faster than making.
async fn template(
    cache: &Cache,
    programs: &Programs,
    identity: Option<&Identity>,
) -> Result<PathBuf, ClusterError> {
    let owner = identity.map_or_else(|| rustix::process::geteuid().as_raw(), |identity| identity.uid);
    let name = format!("postgres-template-{}-{owner}-1", programs.version);
    cache
        .entry_filled_by(&name, async |scratch: &Path| {
            let path = scratch.join("cluster");
            // Small segments: nobody wants to copy 16 MB of empty write-ahead log for every test.
            initialise(&path, programs, identity, &["--no-sync", "--wal-segsize=2"]).await?;
            Ok(path)
        })
        .await
}

/// Runs `initdb` and creates the database.
async fn initialise(
    path: &Path,
    programs: &Programs,
    identity: Option<&Identity>,
    extra: &[&str],
) -> Result<(), ClusterError> {
    let failed = |source| ClusterError::Prepare { path: path.to_owned(), source };
    make_private(path, identity).map_err(failed)?;
    let initdb = programs
        .command("initdb", identity)
        .args(["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-instructions"])
        .arg(format!("--username={DATABASE}"))
        .args(extra)
        .arg("-D")
        .arg(path);
    run("initdb", initdb, path, "").await?;
    // The single-user mode spares a start and a stop of the server, and a state without the database.
    let mut single = programs.command("postgres", identity).arg("--single");
    if extra.contains(&"--no-sync") {
        single = single.arg("-F");
    }
    let single = single.arg("-D").arg(path).arg("template1");
    run("postgres", single, path, &format!("CREATE DATABASE {DATABASE};\n")).await
}

async fn run(
    program: &'static str,
    command: ChildCommand,
    path: &Path,
    input: &str,
) -> Result<(), ClusterError> {
    let tool = |output: String| ClusterError::Tool { program, path: path.to_owned(), output };
    let stdin =
        input_file(input).map_err(|source| ClusterError::Prepare { path: path.to_owned(), source })?;
    let output = command.stdin(stdin).current_dir(path).output(Duration::from_mins(5)).await;
    match output {
        // The single-user mode reports failed statements on standard error and ends well all the same.
        Ok(output) if output.status.success() && !output.stderr.contains("ERROR:") => Ok(()),
        Ok(output) => Err(tool(format!("{}\n{}", output.status, output.stderr.trim()))),
        Err(error) => Err(tool(error.to_string())),
    }
}

fn input_file(text: &str) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

fn make_private(path: &Path, owner: Option<&Identity>) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)?;
    give(path, owner)
}

fn give(path: &Path, owner: Option<&Identity>) -> io::Result<()> {
    let Some(owner) = owner else { return Ok(()) };
    Ok(rustix::fs::chown(path, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?)
}

/// Copies a stopped cluster; it holds plain files and folders only.
fn copy_tree(from: &Path, to: &Path, owner: Option<&Identity>) -> io::Result<()> {
    make_private(to, owner)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &copy, owner)?;
        } else {
            fs::copy(entry.path(), &copy)?;
            give(&copy, owner)?;
        }
    }
    Ok(())
}
