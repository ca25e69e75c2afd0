//! The account of the commits of some streams while they are folded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use capstan_contract::causes::explain;
use capstan_eventlog::ReadError;

use super::ReplayError;
use super::parked::ParkedAside;
use super::spanning::SpanningCommits;
use crate::catalogue::ReadModel;
use crate::fact::Decoded;
use crate::fold::Unfoldable;
use crate::parked::Parking;

/// The first commit of each stream, by its name, whose rows Postgres is known to refuse: its number and the reason.
pub(crate) type Refusals = HashMap<String, (u64, String)>;

/// What became of the commits. The names of parked streams are held in memory; parked commits leave it with
/// [`Tally::absorb`] or when they are taken.
pub(crate) struct Tally {
    refusals: Arc<Refusals>,
    parked: HashSet<String>,
    /// Number of commits folded or parked.
    pub(crate) commits: u64,
    /// Number of events folded.
    pub(crate) events: u64,
    /// Commits that were not folded, until they are put aside.
    pub(crate) parking: Vec<Parking>,
    /// What the models over several streams read of those that were.
    pub(crate) spanning: SpanningCommits,
}

impl Tally {
    /// Nothing folded yet; `spanning` are the models over several streams that are folded later.
    pub(crate) fn new(spanning: &[&'static ReadModel], refusals: Arc<Refusals>) -> Self {
        Self {
            refusals,
            parked: HashSet::new(),
            commits: 0,
            events: 0,
            parking: Vec::new(),
            spanning: SpanningCommits::of(spanning),
        }
    }

    /// Adds what became of commits of other streams; those that are parked are put aside.
    pub(crate) fn absorb(&mut self, other: Self, parked: &mut ParkedAside) -> Result<(), ReplayError> {
        self.commits += other.commits;
        self.events += other.events;
        self.parked.extend(other.parked);
        parked.put(other.parking)
    }

    /// Number of parked streams.
    pub(crate) fn parked_streams(&self) -> usize {
        self.parked.len()
    }

    /// True for a commit whose stream is parked.
    pub(crate) fn is_parked(&self, decoded: &Decoded) -> bool {
        !self.parked.is_empty() && self.parked.contains(&decoded.recorded.commit.stream.to_string())
    }

    /// True for a commit that is not to be folded, because its stream is parked. It is parked, too.
    pub(crate) fn holds_back(&mut self, decoded: &Decoded) -> bool {
        if self.parked.is_empty() && self.refusals.is_empty() {
            return false;
        }
        let stream = decoded.recorded.commit.stream.to_string();
        if self.parked.contains(&stream) {
            self.parking.push(Parking::new(decoded, None));
            self.commits += 1;
            return true;
        }
        match self.refusals.get(&stream) {
            Some((sequence, reason)) if decoded.recorded.position.sequence() >= *sequence => {
                let reason = reason.clone();
                self.park(decoded, reason);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Counts a commit that was folded, or parks it.
    pub(crate) fn count(
        &mut self,
        decoded: &Decoded,
        folded: Result<(), Unfoldable>,
    ) -> Result<(), ReadError> {
        if let Err(error) = folded {
            self.park(decoded, explain(&error));
            return Ok(());
        }
        self.commits += 1;
        self.events += decoded.recorded.commit.events.len() as u64;
        self.spanning.add(decoded)
    }

    /// Parks a commit for its own fault.
    pub(crate) fn park(&mut self, decoded: &Decoded, error: String) {
        tracing::error!(
            stream.id = %decoded.recorded.commit.stream,
            log.position = %decoded.recorded.position,
            error,
            "a commit cannot be folded: its stream is parked"
        );
        self.commits += 1;
        self.parked.insert(decoded.recorded.commit.stream.to_string());
        self.parking.push(Parking::new(decoded, Some(error)));
    }
}
