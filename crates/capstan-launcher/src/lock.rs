//! File locks that the system gives back when their holder dies.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Locks the file at `path`; `None` when somebody else holds it.
///
/// The lock belongs to the open file: it lasts until every copy of it is closed, copies inherited by other processes
/// included.
pub(crate) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Locks the file at `path` as soon as it is free; `None` when it is still held after `limit`.
pub(crate) async fn lock_within(path: &Path, limit: Duration) -> io::Result<Option<File>> {
    let deadline = Instant::now() + limit;
    loop {
        match try_lock(path)? {
            Some(file) => return Ok(Some(file)),
            None if Instant::now() >= deadline => return Ok(None),
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
