//! All models folded together, one commit at a time.

use std::collections::HashMap;

use capstan_contract::DomainEvent;
use capstan_domain::{agent, task, workspace};
use capstan_envelope::{Position, StreamHead};
use futures_util::future::try_join_all;

use crate::fact::{Decoded, Fact};
use crate::models::all_rows;
use crate::models::stream_snapshots::{StreamSnapshots, stream_key};
use crate::rows::{ModelRows, Rows, StoreError};
use crate::session::Session;

/// Which Postgres schema holds the tables of each model.
pub(crate) type Schemas = HashMap<String, String>;

/// Why a commit cannot be folded. Its stream is parked; the others flow on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfoldable {
    #[error("an event of the commit cannot be read: {0}")]
    Malformed(String),
    #[error("the stream does not begin with the event that makes it")]
    NoBeginning,
    #[error("the commit does not link to version {version} at {position}, the last one folded")]
    BrokenChain { version: u64, position: Position },
    #[error("Postgres refused the row: {0}")]
    Refused(String),
}

/// The rows of all models, or of those chosen for a rebuild.
pub(crate) struct Fold {
    spine: ModelRows<StreamSnapshots>,
    models: Vec<Box<dyn Rows>>,
    writes_spine: bool,
}

impl Fold {
    /// A fold of the models `takes` says yes to. The stream snapshots are always folded, as the others need
    /// them, but only written when chosen.
    pub(crate) fn of(takes: impl Fn(&str) -> bool) -> Self {
        Self {
            spine: ModelRows::default(),
            models: all_rows().into_iter().filter(|rows| takes(rows.name())).collect(),
            writes_spine: takes("stream_snapshots"),
        }
    }

    /// Notes what a commit needs from the tables.
    pub(crate) fn want(&mut self, decoded: &Decoded) {
        let Ok(events) = &decoded.events else { return };
        for event in events {
            self.spine.want(&decoded.recorded, event);
            for rows in &mut self.models {
                rows.want(&decoded.recorded, event);
            }
        }
    }

    /// Reads what was noted. The reads of all models travel together.
    pub(crate) async fn fetch(&mut self, session: &Session, schemas: &Schemas) -> Result<(), StoreError> {
        let spine: &mut dyn Rows = &mut self.spine;
        let all =
            std::iter::once(spine).chain(self.models.iter_mut().map(|rows| &mut **rows as &mut dyn Rows));
        try_join_all(all.filter_map(|rows| {
            let schema = schemas.get(rows.name())?;
            Some(rows.fetch(session, schema))
        }))
        .await?;
        Ok(())
    }

    /// Folds one commit into all models, or none of it.
    pub(crate) fn fold(&mut self, decoded: &Decoded) -> Result<(), Unfoldable> {
        let recorded = &decoded.recorded;
        let events = decoded.events.as_ref().map_err(|error| Unfoldable::Malformed(explain(error)))?;
        let stream = stream_key(&recorded.commit.stream);
        let known = self.spine.entry(&stream).and_then(|entry| entry.row.as_ref());
        match known {
            Some(row) if row.head.position >= recorded.position => {}
            Some(row) if !row.head.is_followed_by(recorded) => {
                let StreamHead { version, position, .. } = row.head;
                return Err(Unfoldable::BrokenChain { version, position });
            }
            None if !begins(events) => return Err(Unfoldable::NoBeginning),
            Some(_) | None => {}
        }
        for (index, event) in events.iter().enumerate() {
            self.spine.fold(&Fact { recorded, event, accepted: None }, index);
            let row = self.spine.entry(&stream).and_then(|entry| entry.row.as_ref());
            let fact = Fact { recorded, event, accepted: row.and_then(|row| row.accepted()) };
            for rows in &mut self.models {
                rows.fold(&fact, index);
            }
        }
        Ok(())
    }

    /// Everything that is written.
    pub(crate) fn written(&self) -> impl Iterator<Item = &dyn Rows> {
        let spine = self.writes_spine.then_some(&self.spine as &dyn Rows);
        spine.into_iter().chain(self.models.iter().map(|rows| &**rows))
    }

    /// Everything that is written, to hand over to COPY.
    pub(crate) fn into_written(self) -> Vec<Box<dyn Rows>> {
        let spine = self.writes_spine.then(|| Box::new(self.spine) as Box<dyn Rows>);
        spine.into_iter().chain(self.models).collect()
    }

    /// Marks the changes as written.
    pub(crate) fn settle(&mut self) {
        self.spine.settle();
        self.models.iter_mut().for_each(|rows| rows.settle());
    }

    /// Forgets all rows.
    pub(crate) fn forget(&mut self) {
        self.spine.forget();
        self.models.iter_mut().for_each(|rows| rows.forget());
    }

    /// How many streams are in memory.
    pub(crate) fn streams(&self) -> usize {
        self.spine.len()
    }
}

fn begins(events: &[DomainEvent]) -> bool {
    matches!(
        events.first(),
        Some(
            DomainEvent::Workspace(workspace::Event::Created(_))
                | DomainEvent::Agent(agent::Event::Created(_))
                | DomainEvent::Task(task::Event::TaskAccepted(_))
        )
    )
}

/// An error with its causes, in one line.
pub(crate) fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
