//! What the log says of each stream: put aside while the log is read, and folded a few streams at a time.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::ensure;
use capstan_contract::TaskCodec;
use capstan_contract::catalogue::{AgentCodec, BUDGET_WARNED, USAGE_RECORDED};
use capstan_domain::agent;
use capstan_domain::task::event::{BudgetScope, Event};
use capstan_envelope::{Codec as _, Commit, CommitId, KeysSeen, Position, Recorded, StreamId};
use capstan_eventlog::{EventLog, JetStreamLog};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::limit::first_known;
use super::notes::Notes;

/// Bytes of the memory for notes that each bucket has at least: blocks of its file are not much smaller.
const BUCKET_BUFFER_MIN: usize = 16 << 10;
/// Most buckets.
const BUCKETS_MAX: usize = 1_024;

/// Bytes of memory of an archive, and the folder for what exceeds them. Each use has its part.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    /// Bytes in all.
    pub(super) bytes: usize,
    /// Where notes lie that do not fit.
    pub(super) directory: PathBuf,
}

impl Memory {
    /// Bytes of the log on their way: an eighth, and half as much in batches.
    fn ahead(&self) -> usize {
        self.bytes / 8
    }

    /// Bytes of notes about tasks and the like that are not in the file: an eighth. Those about agents have as much, and so
    /// have those about open tasks.
    fn notes(&self) -> usize {
        self.bytes / 8
    }

    /// Bytes of the streams that are looked at together: an eighth.
    fn streams(&self) -> usize {
        self.bytes / 8
    }

    /// Bytes of the streams that are read and carried forward at once: a quarter.
    pub(super) fn carried(&self) -> usize {
        self.bytes / 4
    }

    /// So many that the streams of each fit, of a log of this size: a stream of a single commit takes more than its commit.
    fn buckets(&self, log_bytes: u64) -> usize {
        let shares = usize::try_from(log_bytes / (self.streams() / 2) as u64).unwrap_or(BUCKETS_MAX);
        shares.min(self.notes() / BUCKET_BUFFER_MIN).clamp(1, BUCKETS_MAX)
    }

    /// No notes yet, in so many buckets.
    pub(super) fn notes_in(&self, buckets: usize) -> Notes {
        Notes::new(self.directory.clone(), self.notes(), buckets)
    }
}

/// What a commit says of a stream.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    #[serde(rename = "n")]
    number: u64,
    #[serde(rename = "s")]
    said: Said,
}

#[derive(Debug, Serialize, Deserialize)]
enum Said {
    /// Facts, in so many bytes; by a command with a key.
    #[serde(rename = "f")]
    Facts(u64, Option<CommitId>),
    /// It carries the stream forward.
    #[serde(rename = "c")]
    Carried(Box<CarriedNote>),
    /// A commit of a task: it changed the account of this agent.
    #[serde(rename = "$")]
    Spent,
}

#[derive(Debug, Serialize, Deserialize)]
struct CarriedNote {
    bytes: u64,
    keys: KeysSeen,
    /// Number of the last commit that the account it carries counts, if it carries one.
    spent_through: Option<u64>,
    /// Of an agent: number of the first configuration that is known from it on.
    config_version: u64,
}

/// A stream, as far as the log was read; commits by number.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) first: u64,
    /// The last one that carries it forward; 0 for none.
    pub(super) carried: u64,
    /// Of an agent: number of the first configuration that is known from the commit that carries it on.
    pub(super) config_version: u64,
    pub(super) keys: KeysSeen,
    /// Bytes from its last beginning on: its state is made of them.
    pub(super) bytes: u64,
    /// True while the last one carries it forward: its bytes are those.
    pub(super) is_carried_last: bool,
    /// Bytes of the commits that an archive would remove.
    pub(super) freed: u64,
    pub(super) freed_commits: u64,
    /// Of an agent: the last commit that changed its account; 0 for none.
    spent: u64,
}

impl Seen {
    /// Takes the next note; commits up to `through` would be removed.
    fn take(&mut self, Note { number, said }: Note, through: u64) {
        let bytes = match said {
            Said::Spent => {
                self.spent = number;
                return;
            }
            Said::Facts(bytes, command) => {
                if let Some(command) = command {
                    self.keys.add(command);
                }
                self.bytes += bytes;
                self.is_carried_last = false;
                bytes
            }
            Said::Carried(note) => {
                // What was spent on an agent in the meantime would be missing in the account it carries.
                let holds = note.spent_through.map_or(self.spent == 0, |through| self.spent <= through);
                if holds {
                    self.carried = number;
                }
                (self.keys, self.config_version) = (note.keys, note.config_version);
                (self.bytes, self.is_carried_last) = (note.bytes, holds);
                note.bytes
            }
        };
        if self.first == 0 {
            self.first = number;
        }
        if number <= through {
            self.freed += bytes;
            self.freed_commits += 1;
        }
    }

    /// True for a stream that is to be carried forward before the commits up to `through` are removed.
    pub(super) fn waits(&self, through: u64) -> bool {
        (1..=through).contains(&self.first) && self.carried <= through
    }
}

/// The streams of a bucket, by their names as in subjects.
pub(super) type Streams = HashMap<String, Seen>;

/// The log as far as it was read.
pub(super) struct Content {
    memory: Memory,
    pub(super) end: Position,
    /// About every stream that is no agent's.
    pub(super) others: Notes,
    /// About agents, which are asked about again and again.
    pub(super) agents: Notes,
    /// Bytes that the log takes for a commit besides its text.
    pub(super) besides: u64,
}

impl Content {
    /// Reads the log up to `end`; tells of each commit its number and the time it was recorded.
    pub(super) async fn read(
        log: &JetStreamLog,
        end: Position,
        memory: Memory,
        mut tell: impl FnMut(u64, DateTime<Utc>),
    ) -> anyhow::Result<Self> {
        let mut scan = log.scan(Position::START, end, memory.ahead()).await?;
        let log_bytes = scan.bytes().unwrap_or_default();
        let buckets = memory.buckets(log_bytes);
        let (others, agents) = (memory.notes_in(buckets), memory.notes_in(buckets));
        let mut content = Self { memory, end, others, agents, besides: 0 };
        let (mut commits, mut bytes) = (0, 0);
        while let Some(scanned) = scan.next().await? {
            for scanned in scanned {
                let raw = scanned.raw();
                (commits, bytes) = (commits + 1, bytes + raw.payload.len() as u64);
                let Recorded { position, recorded_at, commit, .. } = raw.decode()?;
                tell(position.sequence(), recorded_at);
                content.note(position.sequence(), raw.payload.len() as u64, &commit, true)?;
            }
        }
        content.besides = log_bytes.saturating_sub(bytes) / commits.max(1);
        Ok(content)
    }

    /// Reads on to `end`, and notes what concerns agents: they are carried forward until their accounts hold.
    pub(super) async fn read_on(&mut self, log: &JetStreamLog, end: Position) -> anyhow::Result<()> {
        let mut scan = log.scan(self.end, end, self.memory.ahead()).await?;
        while let Some(scanned) = scan.next().await? {
            for scanned in scanned {
                let raw = scanned.raw();
                let Recorded { position, commit, .. } = raw.decode()?;
                self.note(position.sequence(), raw.payload.len() as u64, &commit, false)?;
            }
        }
        self.end = end;
        Ok(())
    }

    /// The streams of a bucket of `notes`; commits up to `through` would be removed.
    pub(super) fn streams(&self, notes: &Notes, bucket: usize, through: u64) -> anyhow::Result<Streams> {
        let mut streams = Streams::new();
        let (mut held, most) = (0, self.memory.streams());
        notes.each(bucket, |name, note: Note| {
            let seen = if let Some(seen) = streams.get_mut(name) {
                seen
            } else {
                // Twice: the table may be half empty.
                held += name.len() + 2 * size_of::<(String, Seen)>();
                streams.entry(name.to_owned()).or_default()
            };
            let before = seen.keys.bytes();
            seen.take(note, through);
            held = held + seen.keys.bytes() - before;
            ensure!(
                held <= most || streams.len() == 1,
                "archive the log: it has too many streams for this memory; give it more (--memory-mb)"
            );
            Ok(())
        })?;
        Ok(streams)
    }

    /// No notes about open tasks yet, in the same buckets.
    pub(super) fn open_notes(&self) -> Notes {
        self.memory.notes_in(self.others.buckets())
    }

    fn note(&mut self, number: u64, bytes: u64, commit: &Commit, notes_others: bool) -> anyhow::Result<()> {
        for agent in spent_on(commit)? {
            self.agents.add(&agent.tokens(), &Note { number, said: Said::Spent })?;
        }
        let is_agent = commit.stream.category() == AgentCodec::CATEGORY;
        if !is_agent && !notes_others {
            return Ok(());
        }
        let said = match commit.carried()? {
            None => Said::Facts(bytes, KeysSeen::command_of(commit)),
            Some(carried) => {
                let config_version =
                    if is_agent { first_known(&carried.state::<agent::State>()?) } else { 0 };
                let keys = KeysSeen::carried_by(commit)?.unwrap_or_default();
                let spent_through = carried.spent.map(|account| account.through.sequence());
                Said::Carried(Box::new(CarriedNote { bytes, keys, spent_through, config_version }))
            }
        };
        let notes = if is_agent { &mut self.agents } else { &mut self.others };
        notes.add(&commit.stream.tokens(), &Note { number, said })
    }
}

/// The agents whose accounts a commit changes.
fn spent_on(commit: &Commit) -> anyhow::Result<Vec<StreamId>> {
    let spends = [USAGE_RECORDED.name, BUDGET_WARNED.name];
    let is_task = commit.stream.category() == TaskCodec::CATEGORY;
    if !is_task || !commit.events.iter().any(|event| spends.contains(&event.name.as_str())) {
        return Ok(Vec::new());
    }
    let agents = TaskCodec::decode(commit)?.into_iter().filter_map(|event| {
        if let Event::UsageRecorded(used) = event {
            used.agent_id
        } else if let Event::BudgetWarned(warned) = event {
            warned.agent_id.filter(|_| warned.scope == BudgetScope::Agent)
        } else {
            None
        }
    });
    let workspace = commit.stream.workspace();
    let stream = |id: capstan_domain::id::AgentId| {
        Ok(StreamId::new(workspace.clone(), AgentCodec::CATEGORY, &id.to_string())?)
    };
    agents.map(stream).collect()
}

#[cfg(test)]
mod tests;
