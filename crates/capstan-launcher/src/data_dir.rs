//! The files of the data folder, and its lock.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lock;

/// A data folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process works with it.
    #[error("use the data folder {}: it is in use by {holder}; stop that one or choose another folder", .path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The holder, as far as known.
        holder: String,
    },
    /// It could not be made or written to.
    #[error("prepare the data folder {}", .path.display())]
    Prepare {
        /// The folder or file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// The data folder, held by this process alone.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder if it is missing and takes it for this process.
    pub(crate) async fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |source| DataDirError::Prepare { path: path.to_owned(), source };
        fs::create_dir_all(path.join("logs")).map_err(failed)?;
        let path = fs::canonicalize(path).map_err(failed)?;
        let failed = |source| DataDirError::Prepare { path: path.clone(), source };
        let file = path.join("capstan.lock");
        // A program just being started shares every open file for the blink between fork and exec.
        let Some(mut lock) = lock::lock_within(&file, Duration::from_millis(200)).await.map_err(failed)?
        else {
            return Err(DataDirError::InUse { holder: holder(&file), path });
        };
        lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id())).map_err(failed)?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn nats_store(&self) -> PathBuf {
        self.path.join("nats")
    }

    pub(crate) fn nats_config(&self) -> PathBuf {
        self.path.join("nats.conf")
    }

    pub(crate) fn cluster(&self) -> PathBuf {
        self.path.join("postgres")
    }

    pub(crate) fn log_of(&self, program: &str) -> PathBuf {
        self.path.join("logs").join(format!("{program}.log"))
    }

    /// The file a running program keeps locked, see [`crate::supervisor`].
    pub(crate) fn lock_of(&self, program: &str) -> PathBuf {
        self.path.join(format!("{program}.lock"))
    }

    /// Replaces `run.json`, which tells tools where the servers are.
    pub(crate) fn write_run_file(&self, content: &serde_json::Value) -> Result<(), DataDirError> {
        let file = self.run_file();
        let draft = self.path.join("run.json.new");
        fs::write(&draft, format!("{content:#}\n"))
            .and_then(|()| fs::rename(&draft, &file))
            .map_err(|source| DataDirError::Prepare { path: file, source })
    }

    /// Removes `run.json`: no server runs any more.
    pub(crate) fn remove_run_file(&self) {
        let _ = fs::remove_file(self.run_file());
    }

    fn run_file(&self) -> PathBuf {
        self.path.join("run.json")
    }
}

fn holder(lock: &Path) -> String {
    let mut pid = String::new();
    match File::open(lock).and_then(|mut file| file.read_to_string(&mut pid)) {
        Ok(_) if !pid.is_empty() => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}
