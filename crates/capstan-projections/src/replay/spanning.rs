//! The models whose rows take from several streams: folded from their own commits, in the order of the log.

use std::io;

use capstan_contract::DomainEvent;
use capstan_contract::catalogue::implied_by;
use capstan_domain::implied;
use capstan_envelope::{
    AppliedKeys, Carried, CodecError, Commit, CommitHash, EventRecord, OlderKeys, Position, Recorded,
};
use capstan_eventlog::{RawCommit, ReadError};
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::config::ReplayConfig;
use super::record::Record;
use super::spill::Spill;
use super::{ReplayError, ReplayModels, TakeRows};
use crate::catalogue::ReadModel;
use crate::fact::{Decoded, Fact};
use crate::rows::Rows;

/// Parts of the log that are each about a worker's share, so that what is kept of one can be brought into its order in memory.
#[derive(Debug, Default)]
pub(crate) struct LogParts {
    /// Number of the first commit of each part.
    starts: Vec<u64>,
    /// Bytes of the last one so far.
    bytes: u64,
}

impl LogParts {
    /// Takes the next commit of the log.
    pub(crate) fn take(&mut self, raw: &RawCommit<'_>, share: u64) {
        let bytes = raw.payload.len() as u64;
        if self.starts.is_empty() || self.bytes + bytes > share {
            self.starts.push(raw.sequence);
            self.bytes = 0;
        }
        self.bytes += bytes;
    }

    /// Number of parts.
    pub(crate) fn count(&self) -> usize {
        self.starts.len()
    }

    /// The part that has the commit with this number.
    fn of(&self, sequence: u64) -> usize {
        self.starts.partition_point(|start| *start <= sequence).saturating_sub(1)
    }
}

/// Commits with what the models over several streams read of them.
pub(crate) struct SpanningCommits {
    models: Vec<&'static ReadModel>,
    kept: Vec<Part>,
}

/// A part of a commit: the events those models read.
struct Part {
    sequence: u64,
    recorded_at: DateTime<Utc>,
    stream: String,
    expected: u64,
    payload: Vec<u8>,
    hash: CommitHash,
}

impl SpanningCommits {
    /// None yet, for these models.
    pub(crate) fn of(models: &[&'static ReadModel]) -> Self {
        Self { models: models.to_vec(), kept: Vec::new() }
    }

    /// Keeps what the models read of a folded commit.
    pub(crate) fn add(&mut self, decoded: &Decoded) -> Result<(), ReadError> {
        let Ok(events) = &decoded.events else { return Ok(()) };
        let unreadable = |error: CodecError| ReadError::Corrupt {
            position: decoded.recorded.position,
            source: error.into(),
        };
        if let Some(carried) = decoded.recorded.commit.carried().map_err(unreadable)? {
            let stream = &decoded.recorded.commit.stream;
            if !self.models.iter().any(|model| (model.carried_id)(stream, &carried).is_some()) {
                return Ok(());
            }
            // Without the state, which may be long and is no concern of these models.
            let (state, keys, older) = (nothing(), AppliedKeys::default(), OlderKeys::default());
            let account = Carried { state, keys, older, shown: None, spent: carried.spent };
            return self.keep(&decoded.recorded, vec![account.record().map_err(unreadable)?]);
        }
        let read = |event: &&DomainEvent| self.models.iter().any(|model| (model.reads)(event));
        let read: Vec<_> = events.iter().filter(read).collect();
        if read.is_empty() {
            return Ok(());
        }
        // Written anew: as they are stored they may leave out what an event says that is not kept.
        let records = implied::within(implied_by(decoded.recorded.commit.facts()), || {
            read.into_iter().map(DomainEvent::encode).collect::<Result<_, _>>()
        });
        self.keep(&decoded.recorded, records.map_err(unreadable)?)
    }

    /// Keeps these events of a commit.
    fn keep(&mut self, recorded: &Recorded, events: Vec<EventRecord>) -> Result<(), ReadError> {
        let Recorded { position, recorded_at, hash, commit } = recorded;
        let part = Commit {
            commit_id: commit.commit_id,
            stream: commit.stream.clone(),
            version: commit.version,
            previous: commit.previous,
            previous_hash: commit.previous_hash,
            metadata: commit.metadata.clone(),
            events,
        };
        let payload = part
            .to_bytes()
            .map_err(|error| ReadError::Corrupt { position: *position, source: error.into() })?;
        self.kept.push(Part {
            sequence: position.sequence(),
            recorded_at: *recorded_at,
            stream: commit.stream.tokens(),
            expected: commit.previous.sequence(),
            payload,
            hash: *hash,
        });
        Ok(())
    }

    /// Puts them aside, each with those of its part of the log.
    pub(crate) fn put_aside(&mut self, spill: &mut Spill, parts: &LogParts) -> io::Result<()> {
        for Part { sequence, recorded_at, stream, expected, payload, hash } in self.kept.drain(..) {
            let raw = RawCommit { sequence, recorded_at, stream: &stream, expected, payload: &payload };
            Record { raw, hash }.put(spill, |_| parts.of(sequence))?;
        }
        Ok(())
    }
}

/// No state.
fn nothing() -> Box<RawValue> {
    RawValue::from_string("null".to_owned()).unwrap_or_else(|_| unreachable!("null is JSON"))
}

/// Folds what was put aside and hands over the rows. When they are too many for the memory, some of them are folded first,
/// and what was put aside is read again for the others.
pub(crate) fn fold_spanning(
    spill: &Spill,
    models: &ReplayModels,
    taker: &dyn TakeRows,
    config: &ReplayConfig,
) -> Result<(), ReplayError> {
    let mut first = 0;
    loop {
        let (folded, last) = fold_some(spill, models, first, config)?;
        folded.iter().try_for_each(|rows| taker.take(&**rows))?;
        match last.checked_add(1) {
            Some(next) => first = next,
            None => return Ok(()),
        }
    }
}

/// Folds the rows with keys whose hashes are `first` to some other, which is returned: so many that they fit.
fn fold_some(
    spill: &Spill,
    models: &ReplayModels,
    first: u64,
    config: &ReplayConfig,
) -> Result<(Vec<Box<dyn Rows>>, u64), ReplayError> {
    let mut last = u64::MAX;
    let mut folded: Vec<Box<dyn Rows>> = models.spanning.iter().map(|model| (model.rows)()).collect();
    let restrict = |folded: &mut Vec<Box<dyn Rows>>, last| {
        for rows in folded {
            rows.restrict(first..=last);
        }
    };
    if first > 0 {
        restrict(&mut folded, last);
    }
    for part in 0..spill.buckets() {
        for recorded in in_order(spill, part, config)? {
            let position = recorded.position;
            let Decoded { recorded, events } = Decoded::new(recorded);
            // The whole commit was decoded before; a part that cannot be would be missing in a sum.
            let events = events.map_err(|error| ReadError::Corrupt { position, source: error.into() })?;
            let carried = recorded.commit.carried();
            let carried = carried.map_err(|error| ReadError::Corrupt { position, source: error.into() })?;
            if let Some(carried) = carried {
                for rows in &mut folded {
                    let carried = rows.carry(&recorded, &carried);
                    carried.map_err(|error| ReadError::Corrupt { position, source: error.into() })?;
                }
            }
            for (index, event) in events.iter().enumerate() {
                let fact = Fact::alone(&recorded, event);
                for rows in &mut folded {
                    rows.fold(&fact, index);
                }
            }
            while folded.iter().map(|rows| rows.len()).sum::<usize>() > config.spanning_rows_max()
                && last > first
            {
                last = first + (last - first) / 2;
                restrict(&mut folded, last);
            }
        }
    }
    Ok((folded, last))
}

/// What was put aside of a part of the log, in its order.
fn in_order(spill: &Spill, part: usize, config: &ReplayConfig) -> Result<Vec<Recorded>, ReplayError> {
    let mut kept = Vec::new();
    let mut records = spill.read(part, config.batch_bytes());
    while let Some(record) = Record::take(&mut records).map_err(|source| config.failed(source))? {
        let part = record.raw.decode()?;
        let position = Position::new(part.position.sequence(), record.hash);
        kept.push(Recorded { position, hash: record.hash, ..part });
    }
    kept.sort_unstable_by_key(|recorded| recorded.position.sequence());
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use capstan_contract::TaskCodec;
    use capstan_domain::id::{AttemptId, RunId, TaskId};
    use capstan_domain::task::event::{AttemptStarted, Event, UsageRecorded};
    use capstan_domain::usage::Usage;
    use capstan_envelope::{Actor, Codec as _, CommitId, Metadata};
    use uuid::Uuid;

    use super::*;
    use crate::catalogue::MODELS;

    /// The kept event leaves out in its commit what an event says that is not kept.
    #[test]
    fn what_is_kept_of_a_commit_says_all_of_itself() {
        let (at, task) = (DateTime::UNIX_EPOCH, TaskId(Uuid::from_u128(7)));
        let attempt_id = AttemptId { workspace: "dev".into(), task, epoch: 3 };
        let run_id = RunId::for_task(task, 2);
        let used = Event::UsageRecorded(UsageRecorded {
            attempt_id: attempt_id.clone(),
            run_id,
            agent_id: None,
            usage: Usage::default(),
            at,
        });
        let events = [Event::AttemptStarted(AttemptStarted { attempt_id, run_id }), used];
        let mut commit = Commit {
            commit_id: CommitId(Uuid::from_u128(1)),
            stream: format!("dev/task/{task}").parse().unwrap(),
            version: 1,
            previous: Position::START,
            previous_hash: CommitHash::NONE,
            metadata: Metadata::new("report", Actor::Worker, Uuid::from_u128(1), at),
            events: Vec::new(),
        };
        commit.events = TaskCodec::encode(&events, commit.facts()).unwrap();
        assert!(!commit.events[1].data.get().contains("attempt_id"));
        let hash = CommitHash::of("s", b"c");
        let recorded = Recorded { position: Position::new(1, hash), recorded_at: at, hash, commit };
        let spanning: Vec<_> = MODELS.iter().filter(|model| model.spans_streams).collect();
        let mut kept = SpanningCommits::of(&spanning);
        kept.add(&Decoded::new(recorded.clone())).unwrap();
        let Part { payload, .. } = &kept.kept[0];
        let part = Commit::from_bytes(recorded.commit.stream.clone(), 0, payload).unwrap();
        assert_eq!(TaskCodec::decode(&part).unwrap(), events[1..]);
    }
}
