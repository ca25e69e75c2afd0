//! The folder where fetched programs are kept.

use std::env;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use capstan_child::Identity;

use crate::postgres::reach;

/// No folder for fetched programs could be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// None of the usual places can be used.
    #[error("find a cache folder that {user} can reach (tried {})", list(.tried))]
    NoPlace {
        /// The user who must be able to run the programs.
        user: String,
        /// The places that were tried.
        tried: Vec<PathBuf>,
    },
    /// A folder could not be created.
    #[error("prepare {} in the cache", .path.display())]
    Prepare {
        /// The folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// A folder this user owns and the user of Postgres can reach.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Uses `chosen`, or else the first usual place that the reader can enter.
    ///
    /// Root's home is closed to others, and Postgres does not run as root, so the user's own cache cannot always be used.
    pub(crate) async fn locate(chosen: Option<&Path>, reader: Option<&Identity>) -> Result<Self, CacheError> {
        let places = chosen.map_or_else(usual_places, |chosen| vec![chosen.to_owned()]);
        for place in &places {
            if let Ok(root) = prepare(place)
                && reach::can_enter(&root, reader).await
            {
                return Ok(Self { root });
            }
        }
        let user = reader.map_or_else(|| "this user".to_owned(), |user| format!("user '{}'", user.name));
        Err(CacheError::NoPlace { user, tried: places })
    }

    /// The path of an entry, whether it exists or not.
    pub(crate) fn entry(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Gives the entry `name`, letting `fill` make its content in a scratch folder first if it does not exist.
    ///
    /// The finished folder is renamed into place: an entry is there whole or not at all, and of two processes that
    /// fill it at once the first one wins and the other uses its work.
    pub(crate) async fn entry_filled_by<E: From<CacheError>>(
        &self,
        name: &str,
        fill: impl AsyncFnOnce(&Path) -> Result<PathBuf, E>,
    ) -> Result<PathBuf, E> {
        let entry = self.entry(name);
        if entry.exists() {
            return Ok(entry);
        }
        let failed = |source| CacheError::Prepare { path: entry.clone(), source };
        let scratch = tempfile::Builder::new().prefix(".filling-").tempdir_in(&self.root).map_err(failed)?;
        // Scratch folders are private by default, but the user of Postgres may have to work in here.
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o755)).map_err(failed)?;
        let filled = fill(scratch.path()).await?;
        match fs::rename(filled, &entry) {
            Err(_) if entry.exists() => {}
            renamed => renamed.map_err(failed)?,
        }
        Ok(entry)
    }
}

fn usual_places() -> Vec<PathBuf> {
    let of_user = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| env::home_dir().map(|home| home.join(".cache")));
    let of_system = Identity::is_root().then(|| PathBuf::from("/var/cache"));
    let mut places: Vec<PathBuf> =
        of_user.into_iter().chain(of_system).map(|base| base.join("capstan")).collect();
    places.push(env::temp_dir().join(format!("capstan-cache-{}", rustix::process::geteuid().as_raw())));
    places
}

/// Makes the folder and checks that it is ours: programs are run from here.
fn prepare(root: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(root)?;
    let root = fs::canonicalize(root)?;
    if fs::metadata(&root)?.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    fs::set_permissions(&root, Permissions::from_mode(0o755))?;
    Ok(root)
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
