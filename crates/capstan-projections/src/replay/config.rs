//! Memory, processors and disk of a replay.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::ReplayError;
use super::progress::ReplayProgress;
use crate::copy_in::COPY_BYTES;

/// Called a few times a second while the log is replayed, and whenever a step begins.
pub type OnReplay = Arc<dyn Fn(&ReplayProgress) + Send + Sync>;

/// Bytes that the rows and the state of a folded commit take for each byte of its stored text, rounded up.
const ROW_FACTOR: usize = 4;
/// Bytes of a row of a model over several streams, rounded up.
const SPANNING_ROW: usize = 1024;

/// Memory, processors and disk of a rebuild or a verification.
#[derive(Clone)]
pub struct ReplayConfig {
    /// Bytes of commits and rows held in memory, of all workers together and whatever the sizes of commits are; the parts
    /// below are divided among what holds them. Default 256 MiB. The process takes [`ReplayConfig::BESIDES`] more.
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
    /// Bytes of the process besides: the executable, its threads and connections, and what the allocator rounds up.
    pub const BESIDES: usize = 48 * 1024 * 1024;

    /// Number of workers.
    pub(crate) fn workers(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        if self.workers == 0 { processors() } else { self.workers }
    }

    /// Bytes of the log on their way to be put aside: an eighth, and half as much in batches.
    pub(crate) fn ahead(&self) -> usize {
        self.memory_bytes / 8
    }

    /// Bytes of commits kept in memory before they are written to the file: an eighth.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.memory_bytes / 8
    }

    /// The same for what is put aside while buckets are folded, each of three kinds: a 32nd.
    pub(crate) fn aside_bytes(&self) -> usize {
        self.memory_bytes / 32
    }

    /// Bytes of encoded rows on their way to the tables: an eighth.
    pub(crate) fn encoded_bytes(&self) -> usize {
        self.memory_bytes / 8
    }

    /// Bytes of rows that are sent to a table at once, unless a single row has more.
    pub(crate) fn piece_bytes(&self) -> usize {
        (self.memory_bytes / 512).clamp(16 * 1024, COPY_BYTES)
    }

    /// Bytes of commits that are read at once, or folded onto tables at once.
    pub(crate) fn batch_bytes(&self) -> usize {
        (self.memory_bytes / 64).clamp(1, 1024 * 1024)
    }

    /// Bytes of rows of finished tables that are kept in memory: with the rows of a batch, a 16th.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.memory_bytes / 32
    }

    /// Rows of models over several streams that are folded at once.
    pub(crate) fn spanning_rows_max(&self) -> usize {
        (self.memory_bytes / 4 / SPANNING_ROW).max(1)
    }

    /// An error of the file in the directory.
    pub(crate) fn failed(&self, source: std::io::Error) -> ReplayError {
        ReplayError::Spill { directory: self.directory.clone(), source }
    }

    /// Bytes of the bucket that a worker folds: with the rows of its streams, which may be a single one, all workers have half of
    /// the memory.
    pub(crate) fn share(&self) -> u64 {
        (self.memory_bytes / (2 * self.workers() * (1 + ROW_FACTOR))).max(1) as u64
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
