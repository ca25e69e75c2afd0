//! Commits that are parked during a replay, put aside until the tables are switched.

use super::ReplayError;
use super::config::ReplayConfig;
use super::spill::{Records, Spill};
use crate::parked::Parking;

/// Parked commits, in the order in which they were found.
#[derive(Debug)]
pub(crate) struct ParkedAside {
    spill: Spill,
    config: ReplayConfig,
}

impl ParkedAside {
    /// None yet.
    pub(crate) fn new(config: &ReplayConfig) -> Self {
        let spill = Spill::new(config.directory.clone(), config.aside_bytes(), 1);
        Self { spill, config: config.clone() }
    }

    /// Puts more of them aside.
    pub(crate) fn put(&mut self, parked: impl IntoIterator<Item = Parking>) -> Result<(), ReplayError> {
        for parking in parked {
            let record = serde_json::to_vec(&parking).map_err(|error| self.config.failed(error.into()))?;
            self.spill.push(0, 0, &[&record]).map_err(|source| self.config.failed(source))?;
        }
        Ok(())
    }

    /// All of them, from the first.
    pub(crate) fn read(&self) -> ParkedCommits<'_> {
        ParkedCommits { records: self.spill.read(0, self.config.batch_bytes()), config: &self.config }
    }
}

/// The parked commits while they are read.
pub(crate) struct ParkedCommits<'a> {
    records: Records<'a>,
    config: &'a ReplayConfig,
}

impl ParkedCommits<'_> {
    /// The next ones, few at once; none at the end.
    pub(crate) fn next(&mut self) -> Result<Vec<Parking>, ReplayError> {
        let (mut some, mut bytes) = (Vec::new(), 0);
        while bytes < self.config.batch_bytes() {
            let Some(record) = self.records.take().map_err(|source| self.config.failed(source))? else {
                break;
            };
            bytes += record.len();
            some.push(serde_json::from_slice(record).map_err(|error| self.config.failed(error.into()))?);
        }
        Ok(some)
    }
}
