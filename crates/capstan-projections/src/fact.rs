//! An event as a read model sees it.

use capstan_contract::DomainEvent;
use capstan_domain::task::Event as TaskEvent;
use capstan_domain::task::event::TaskAccepted;
use capstan_envelope::{CodecError, Recorded};
use chrono::{DateTime, Utc};

/// A commit with its events decoded once for all models.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// The commit as it was read.
    pub(crate) recorded: Recorded,
    /// Its events, or why they cannot be read.
    pub(crate) events: Result<Vec<DomainEvent>, CodecError>,
}

impl Decoded {
    /// Decodes a commit.
    pub(crate) fn new(recorded: Recorded) -> Self {
        let events = capstan_contract::decode_commit(&recorded.commit);
        Self { recorded, events }
    }

    /// Bytes of its events as they are stored.
    pub(crate) fn bytes(&self) -> usize {
        self.recorded.commit.events.iter().map(|event| event.data.get().len()).sum()
    }
}

/// One event with what surrounds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fact<'a> {
    /// The commit it is part of.
    pub(crate) recorded: &'a Recorded,
    /// The event.
    pub(crate) event: &'a DomainEvent,
    /// What the task was accepted as, for events of tasks.
    pub(crate) accepted: Option<&'a TaskAccepted>,
}

impl<'a> Fact<'a> {
    /// The event, when it is one of a task.
    pub(crate) fn task_event(&self) -> Option<(&'a TaskEvent, &'a TaskAccepted)> {
        match (self.event, self.accepted) {
            (DomainEvent::Task(event), Some(accepted)) => Some((event, accepted)),
            _ => None,
        }
    }

    /// When the decision was taken.
    pub(crate) fn occurred_at(&self) -> DateTime<Utc> {
        self.recorded.commit.metadata.occurred_at
    }

    /// The stream's version with this commit.
    pub(crate) fn version(&self) -> u64 {
        self.recorded.commit.version
    }

    /// The tenant.
    pub(crate) fn workspace(&self) -> &'a str {
        self.recorded.commit.stream.workspace().as_str()
    }
}
