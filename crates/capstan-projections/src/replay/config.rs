//! Memory, processors and disk of a replay.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::ReplayError;
use super::progress::ReplayProgress;

/// Called a few times a second while the log is replayed, and whenever a step begins.
pub type OnReplay = Arc<dyn Fn(&ReplayProgress) + Send + Sync>;

/// Bytes that the rows and the state of a folded commit take for each byte of its stored text, rounded up.
const ROW_FACTOR: u64 = 4;

/// Memory, processors and disk of a rebuild or a verification.
#[derive(Clone)]
pub struct ReplayConfig {
    /// Bytes of commits and rows held in memory, of all workers together. Default 256 MiB.
    pub memory_bytes: usize,
    /// Number of workers that fold; 0, the default, for one on each processor.
    pub workers: usize,
    /// Where commits are put aside that do not fit an eighth of the memory. It needs as much space as the log has. The
    /// default is that of temporary files.
    pub directory: PathBuf,
    /// Told about the progress.
    pub on_progress: Option<OnReplay>,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 256 * 1024 * 1024,
            workers: 0,
            directory: std::env::temp_dir(),
            on_progress: None,
        }
    }
}

impl ReplayConfig {
    /// Number of workers.
    pub(crate) fn workers(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        if self.workers == 0 { processors() } else { self.workers }
    }

    /// Bytes of commits kept in memory before they are written to the file.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.memory_bytes / 8
    }

    /// An error of the file in the directory.
    pub(crate) fn failed(&self, source: std::io::Error) -> ReplayError {
        ReplayError::Spill { directory: self.directory.clone(), source }
    }

    /// Bytes of commits that a worker may fold at once.
    pub(crate) fn share(&self) -> u64 {
        (self.memory_bytes as u64 / (self.workers() as u64 * ROW_FACTOR)).max(1)
    }
}

impl fmt::Debug for ReplayConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayConfig")
            .field("memory_bytes", &self.memory_bytes)
            .field("workers", &self.workers)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}
