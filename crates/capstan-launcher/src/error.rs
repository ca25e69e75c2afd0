//! The error of a start.

use crate::cache::CacheError;
use crate::data_dir::DataDirError;
use crate::postgres::cluster::ClusterError;
use crate::provision::ProvisionError;
use crate::search::SearchError;
use crate::supervisor::StartError;

/// The servers could not be started; the source is the cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// There is no usable cache folder for fetched programs.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// No usable program was found.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// No program could be fetched.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The Postgres cluster could not be created.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A program did not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Error {
    /// True when the same start may succeed later without a change.
    pub fn is_retryable(&self) -> bool {
        match self {
            // The other process may end, a slow disk may catch up, a registry may be reachable again.
            Self::DataDir(DataDirError::InUse { .. })
            | Self::Start(StartError::StillRunning { .. } | StartError::Silent { .. })
            | Self::Provision(ProvisionError::Tool { .. }) => true,
            _ => false,
        }
    }
}
