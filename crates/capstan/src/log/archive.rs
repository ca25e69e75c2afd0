//! Archives the beginning of the log: carries every stream in it forward, declares it archived, and removes it.
//!
//! Each step may be repeated after an interruption. A stream that was carried forward is not carried again, and nothing is
//! removed before the last one is.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use capstan_contract::TaskCodec;
use capstan_contract::catalogue::{AgentCodec, BUDGET_WARNED, USAGE_RECORDED};
use capstan_domain::agent;
use capstan_domain::task::State;
use capstan_domain::task::event::{BudgetScope, Event};
use capstan_envelope::{
    Actor, CarriedAccount, Codec as _, Commit, CommitId, KeysSeen, Metadata, Position, Recorded, StreamId,
};
use capstan_eventlog::{AppendError, Durability, EventLog, JetStreamLog, OpenTasks as _, SCAN_AHEAD};
use capstan_projections::ReadModels;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use crate::output;

/// Longest wait for the rows to stand where the log does.
const ROWS_WAIT: Duration = Duration::from_secs(30);
/// Streams carried forward at once: they share flushes of the log.
const AT_ONCE: usize = 64;
/// Most tries with a stream that others write to, and with an agent that others spend on.
const TRIES_MAX: usize = 50;
/// Interval at which nats-server flushes when it is told nothing.
const FLUSHED_EVERY: Duration = Duration::from_mins(2);
/// Name of the command in the metadata of the commits.
const COMMAND: &str = "carry-forward";

/// The last commit to archive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Through {
    /// At most this number.
    Number(u64),
    /// The last one recorded before this time.
    Time(DateTime<Utc>),
}

impl FromStr for Through {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(time) = text.parse() {
            return Ok(Self::Time(time));
        }
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        let position: Position =
            text.parse().map_err(|_| "expected a position, a number or an RFC 3339 time")?;
        Ok(Self::Number(position.sequence()))
    }
}

/// The commits of a stream, by number.
#[derive(Debug, Default)]
struct Seen {
    first: u64,
    /// The last one with facts.
    last_fact: u64,
    /// The last one that carries it forward; 0 for none.
    carried: u64,
    /// Of an agent: number of the first configuration that is known from the commit that carries it on.
    config_version: u64,
    keys: KeysSeen,
}

/// A task the engine follows.
struct Open {
    stream: StreamId,
    agent: StreamId,
    /// Number of the configuration it was accepted with.
    config_version: u64,
}

/// Archives at most what `through` says and what is older than `keep_days`. What is acknowledged is flushed after
/// `flushed_after`, by default as the server says.
pub(super) async fn archive(
    log: &JetStreamLog,
    read_models: &ReadModels,
    through: Through,
    keep_days: u32,
    flushed_after: Option<Duration>,
) -> anyhow::Result<()> {
    let head = log.head().await?;
    read_models.wait_for(head, ROWS_WAIT).await.context("wait for the read models")?;
    let parked = read_models.parked(1).await?;
    ensure!(parked.is_empty(), "archive the log: a stream is parked; see capstan dlq list");
    let archived = log.archived();
    ensure!(
        !archived.forgets_streams(),
        "archive the log: its commits up to {} were archived by hand, and only those up to {} carried forward; what else \
         stood there would count as carried forward too",
        archived.through,
        archived.carried_through
    );
    let open = open_tasks(read_models).await?;
    let kept_since = Utc::now() - TimeDelta::days(i64::from(keep_days));
    let kept_since = kept_since.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
    let kept_since = if keep_days == 0 { DateTime::<Utc>::MAX_UTC } else { kept_since };
    let mut wanted = 0;
    let mut content = Content::default();
    content
        .read(log, head, |number, recorded_at| {
            let is_asked = match through {
                Through::Number(last) => number <= last,
                Through::Time(time) => recorded_at < time,
            };
            if is_asked && recorded_at < kept_since {
                wanted = number;
            }
        })
        .await?;
    let (through, limit) = allowed(wanted, &content.streams, &open);
    if through <= log.archived().through {
        return nothing(log, &limit).await;
    }
    let mut count = 0;
    for tries in 0.. {
        // Again those whose accounts others changed meanwhile.
        let waiting = content.waiting(through);
        if waiting.is_empty() {
            break;
        }
        if tries == 0 {
            count = waiting.len();
        }
        ensure!(
            tries < TRIES_MAX,
            "archive the log: {} is spent on all the time; archive again",
            waiting[0].0
        );
        let carries = waiting
            .iter()
            .map(|(stream, seen)| carry_forward(log, read_models, stream, &seen.keys, content.end));
        let mut carries = futures_util::stream::iter(carries).buffer_unordered(AT_ONCE);
        while carries.try_next().await?.is_some() {}
        drop(carries);
        content.read_on(log, read_models).await?;
    }
    // The rows would otherwise stand before the beginning of the log after a crash of Postgres.
    read_models.flush().await.context("flush the read models")?;
    let flushed_after = flushed_after.unwrap_or_else(|| flushes_within(log.durability()));
    if !flushed_after.is_zero() {
        tracing::info!(seconds = flushed_after.as_secs_f64(), "waiting until the log is flushed");
        tokio::time::sleep(flushed_after).await;
    }
    // Agents changed since the first look, and tasks were accepted. Less may be removed than is carried forward.
    content.read_on(log, read_models).await?;
    let open = open_tasks(read_models).await?;
    let lower = keeping_configurations(through, &content.streams, &open);
    let (through, limit) = lower.unwrap_or((through, limit));
    if through <= log.archived().through {
        return nothing(log, &limit).await;
    }
    log.archive(through).await.context("archive the log")?;
    output::line(&format!("{count} streams carried forward; the log begins after {through} ({limit})"))
}

/// Says why nothing is archived, once what an interrupted archive declared is removed.
async fn nothing(log: &JetStreamLog, limit: &str) -> anyhow::Result<()> {
    let through = log.archived().through;
    if through > 0 {
        log.archive(through).await.context("remove what is archived")?;
    }
    output::line(&format!("nothing to archive: {limit}"))
}

/// The time after which an acknowledged commit is flushed.
fn flushes_within(durability: Durability) -> Duration {
    match durability {
        Durability::Always => Duration::ZERO,
        // A flush that is under way may have begun before the commit.
        Durability::Interval(every) => 2 * every,
        Durability::SomeInterval | Durability::Unknown => 2 * FLUSHED_EVERY,
    }
}

/// The tasks that are not over, or whose end is not settled.
async fn open_tasks(read_models: &ReadModels) -> anyhow::Result<Vec<Open>> {
    let mut chunks = read_models.open_tasks().await?.chunks;
    let mut open = Vec::new();
    while let Some(chunk) = chunks.try_next().await? {
        for row in chunk.into_iter().filter(|row| row.stream.category() == TaskCodec::CATEGORY) {
            let state: State = serde_json::from_str(row.state.get())?;
            let Some(task) = state else { continue };
            let agent_id = task.accepted.agent_id.to_string();
            let agent = StreamId::new(row.stream.workspace().clone(), AgentCodec::CATEGORY, &agent_id)?;
            let config_version = task.accepted.agent_config_version;
            open.push(Open { stream: row.stream, agent, config_version });
        }
    }
    Ok(open)
}

/// The log as far as it was read.
#[derive(Default)]
struct Content {
    end: Position,
    streams: HashMap<StreamId, Seen>,
    /// Number of the last commit that changed the account of an agent, by its stream.
    spent: HashMap<StreamId, u64>,
}

impl Content {
    /// Reads on to `end`; tells of each commit its number and the time it was recorded.
    async fn read(
        &mut self,
        log: &JetStreamLog,
        end: Position,
        mut tell: impl FnMut(u64, DateTime<Utc>),
    ) -> anyhow::Result<()> {
        let mut scan = log.scan(self.end, end, SCAN_AHEAD).await?;
        while let Some(commits) = scan.next().await? {
            for scanned in commits {
                let Recorded { position, recorded_at, commit, .. } = scanned.raw().decode()?;
                tell(position.sequence(), recorded_at);
                self.take(position.sequence(), &commit)?;
            }
        }
        self.end = end;
        Ok(())
    }

    /// Reads on to where the log ends now, once the rows stand there.
    async fn read_on(&mut self, log: &JetStreamLog, read_models: &ReadModels) -> anyhow::Result<()> {
        let end = log.head().await?;
        read_models.wait_for(end, ROWS_WAIT).await.context("wait for the read models")?;
        self.read(log, end, |_, _| ()).await
    }

    fn take(&mut self, number: u64, commit: &Commit) -> anyhow::Result<()> {
        self.note_spending(number, commit)?;
        let carried = commit.carried()?;
        // What was spent on an agent in the meantime would be missing in the account it carries.
        let holds = |account: &CarriedAccount| {
            account.holds(self.spent.get(&commit.stream).copied().unwrap_or_default())
        };
        let is_unspent = !self.spent.contains_key(&commit.stream);
        let holds = carried.as_ref().map(|carried| carried.spent.as_ref().map_or(is_unspent, holds));
        let is_agent = commit.stream.category() == AgentCodec::CATEGORY;
        let agent =
            carried.filter(|_| is_agent).map(|carried| carried.state::<agent::State>()).transpose()?;
        let seen = self
            .streams
            .entry(commit.stream.clone())
            .or_insert_with(|| Seen { first: number, ..Seen::default() });
        seen.keys.take(commit)?;
        match holds {
            None => seen.last_fact = number,
            Some(true) => seen.carried = number,
            Some(false) => {}
        }
        if let Some(agent) = agent {
            // Of one that is deleted it has none.
            seen.config_version = agent.config_version + u64::from(agent.profile.is_none());
        }
        Ok(())
    }

    fn note_spending(&mut self, number: u64, commit: &Commit) -> anyhow::Result<()> {
        let spends = [USAGE_RECORDED.name, BUDGET_WARNED.name];
        let is_task = commit.stream.category() == TaskCodec::CATEGORY;
        if !is_task || !commit.events.iter().any(|event| spends.contains(&event.name.as_str())) {
            return Ok(());
        }
        for event in TaskCodec::decode(commit)? {
            let agent_id = if let Event::UsageRecorded(used) = &event {
                used.agent_id
            } else if let Event::BudgetWarned(warned) = &event {
                warned.agent_id.filter(|_| warned.scope == BudgetScope::Agent)
            } else {
                None
            };
            if let Some(agent_id) = agent_id {
                let workspace = commit.stream.workspace().clone();
                let agent = StreamId::new(workspace, AgentCodec::CATEGORY, &agent_id.to_string())?;
                self.spent.insert(agent, number);
            }
        }
        Ok(())
    }

    /// The streams that are to be carried forward before the commits up to `through` are removed.
    fn waiting(&self, through: u64) -> Vec<(&StreamId, &Seen)> {
        self.streams.iter().filter(|(_, seen)| seen.first <= through && seen.carried <= through).collect()
    }
}

/// The last commit that may be archived, and the reason why none after it.
fn allowed(wanted: u64, streams: &HashMap<StreamId, Seen>, open: &[Open]) -> (u64, String) {
    let (mut through, mut limit) = (wanted, format!("{wanted} is the last one asked for"));
    let mut keep = |first: u64, reason: &dyn Fn() -> String| {
        if first <= through {
            (through, limit) = (first.saturating_sub(1), reason());
        }
    };
    for Open { stream, agent, .. } in open {
        let Some(task) = streams.get(stream) else { continue };
        keep(task.first, &|| format!("{stream} is not over"));
        // The stream of an agent keeps every configuration it had; only the last one is carried forward.
        if let Some(seen) = streams.get(agent).filter(|agent| agent.last_fact > task.first) {
            keep(seen.first, &|| format!("{stream} was accepted with an earlier configuration of {agent}"));
        }
    }
    (through, limit)
}

/// The last commit that may be removed, with the reason, when that is less than `through`: an open task needs a configuration
/// that an agent had before it was carried forward.
fn keeping_configurations(
    through: u64,
    streams: &HashMap<StreamId, Seen>,
    open: &[Open],
) -> Option<(u64, String)> {
    let needed = open.iter().filter_map(|task| {
        let agent = streams.get(&task.agent)?;
        let is_lost = agent.first <= through && task.config_version < agent.config_version;
        is_lost.then_some((agent.first, task))
    });
    let (first, task) = needed.min_by_key(|(first, _)| *first)?;
    let Open { stream, agent, .. } = task;
    Some((
        first.saturating_sub(1),
        format!("{stream} was accepted meanwhile with an earlier configuration of {agent}; archive again"),
    ))
}

/// Appends the commit that carries a stream forward. `keys` are those of its commits up to `read`.
async fn carry_forward(
    log: &JetStreamLog,
    read_models: &ReadModels,
    stream: &StreamId,
    keys: &KeysSeen,
    read: Position,
) -> anyhow::Result<()> {
    for _ in 0..TRIES_MAX {
        let last = log.last(stream).await?.with_context(|| format!("carry {stream} forward: it is gone"))?;
        read_models.wait_for(last.position, ROWS_WAIT).await.context("wait for the read models")?;
        let carried = match read_models.carried(stream).await {
            Err(error) if error.is_retryable() => continue,
            carried => carried?,
        };
        let (head, mut carried) = carried.with_context(|| {
            format!("carry {stream} forward: the read models do not have it; rebuild them")
        })?;
        if head.position != last.position {
            continue;
        }
        if stream.category() == TaskCodec::CATEGORY {
            let state: State = carried.state()?;
            let is_over = state.is_none_or(|task| task.is_at_rest());
            ensure!(is_over, "carry {stream} forward: it was set in motion meanwhile; archive again");
        }
        let mut keys = keys.clone();
        if !read.reaches(head.position) {
            for recorded in log.read_stream(stream, read).await? {
                keys.take(&recorded.commit)?;
            }
        }
        carried.older = keys.without(&carried.keys);
        let id =
            Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{COMMAND} {stream} {}", head.version).as_bytes());
        let commit = Commit {
            commit_id: CommitId(id),
            stream: stream.clone(),
            version: head.version + 1,
            previous: head.position,
            previous_hash: head.hash,
            metadata: Metadata::new(COMMAND, Actor::System, id, Utc::now()),
            events: vec![carried.record()?],
        };
        // Once the prefix is purged nothing else tells what it says.
        let stored = Commit::from_bytes(stream.clone(), 0, &commit.to_bytes()?);
        let read = stored.map_err(anyhow::Error::from).and_then(|stored| {
            let carried = stored.carried()?.context("it carries nothing")?;
            Ok(carried.state::<serde_json::Value>()?)
        });
        read.with_context(|| format!("carry {stream} forward: its commit cannot be read back"))?;
        match log.append(&commit).await {
            Ok(_) => return Ok(()),
            Err(AppendError::Conflict { .. }) => {}
            Err(error) => return Err(error).with_context(|| format!("carry {stream} forward")),
        }
    }
    bail!("carry {stream} forward: others write to it all the time; archive again")
}

#[cfg(test)]
mod tests {
    use capstan_envelope::{AppliedKeys, Carried, CommitHash, EventRecord, OlderKeys};

    use super::*;

    fn stream(name: &str) -> StreamId {
        name.parse().unwrap()
    }

    #[test]
    fn nothing_is_archived_that_an_open_task_needs() {
        let seen = |first, last_fact| Seen { first, last_fact, ..Seen::default() };
        let streams: HashMap<_, _> = [
            (stream("dev/agent/a"), seen(5, 60)),
            (stream("dev/agent/b"), seen(6, 6)),
            (stream("dev/task/1"), seen(50, 55)),
            (stream("dev/task/2"), seen(70, 71)),
        ]
        .into();
        let open =
            |task: &str, agent: &str| Open { stream: stream(task), agent: stream(agent), config_version: 1 };
        assert_eq!(allowed(90, &streams, &[]).0, 90);
        assert_eq!(allowed(90, &streams, &[open("dev/task/2", "dev/agent/b")]).0, 69);
        assert_eq!(allowed(40, &streams, &[open("dev/task/2", "dev/agent/b")]).0, 40);
        assert_eq!(allowed(90, &streams, &[open("dev/task/2", "dev/agent/a")]).0, 69);
        let (through, reason) = allowed(90, &streams, &[open("dev/task/1", "dev/agent/a")]);
        assert!(through == 4 && reason.contains("earlier configuration"), "{through} {reason}");
    }

    fn commit(stream_name: &str, events: Vec<EventRecord>) -> Commit {
        Commit {
            commit_id: CommitId(Uuid::nil()),
            stream: stream(stream_name),
            version: 2,
            previous: Position::START,
            previous_hash: CommitHash::NONE,
            metadata: Metadata::new(COMMAND, Actor::System, Uuid::nil(), DateTime::UNIX_EPOCH),
            events,
        }
    }

    /// A commit that carries an agent forward whose configuration has this number; without one when it is deleted.
    fn carries(agent: &str, config_version: u64, is_deleted: bool) -> Commit {
        let profile = serde_json::json!({
            "agent_id": Uuid::nil(), "workspace": "dev", "agent_key": "a", "name": "a", "config": {},
            "created_at": "2026-03-02T09:20:11.513Z",
        });
        let profile = if is_deleted { serde_json::Value::Null } else { profile };
        let state = serde_json::json!({ "profile": profile, "config_version": config_version });
        let carried = Carried {
            state: serde_json::value::to_raw_value(&state).unwrap(),
            keys: AppliedKeys::default(),
            older: OlderKeys::default(),
            shown: None,
            spent: None,
        };
        commit(agent, vec![carried.record().unwrap()])
    }

    #[test]
    fn a_configuration_stays_that_was_replaced_before_its_agent_was_carried_forward() {
        let mut content = Content::default();
        content.take(5, &commit("dev/agent/a", Vec::new())).unwrap();
        content.take(6, &commit("dev/agent/b", Vec::new())).unwrap();
        // Both were at their first configuration when the open tasks were looked for.
        content.take(100, &carries("dev/agent/a", 2, false)).unwrap();
        content.take(101, &carries("dev/agent/b", 1, false)).unwrap();
        content.take(102, &commit("dev/agent/b", Vec::new())).unwrap();
        content.take(7, &commit("dev/agent/c", Vec::new())).unwrap();
        content.take(103, &carries("dev/agent/c", 1, true)).unwrap();
        let open = |agent: &str, config_version| Open {
            stream: stream("dev/task/1"),
            agent: stream(agent),
            config_version,
        };
        let kept = |through, open: Open| keeping_configurations(through, &content.streams, &[open]);
        let (through, reason) = kept(90, open("dev/agent/a", 1)).unwrap();
        assert!(through == 4 && reason.contains("archive again"), "{through} {reason}");
        assert_eq!(kept(4, open("dev/agent/a", 1)), None);
        assert_eq!(kept(90, open("dev/agent/a", 2)), None);
        // What changed later stays in the log.
        assert_eq!(kept(90, open("dev/agent/b", 1)), None);
        assert_eq!(kept(90, open("dev/agent/b", 2)), None);
        assert_eq!(kept(90, open("dev/agent/c", 1)).unwrap().0, 6);
    }

    #[test]
    fn an_agent_carried_without_its_account_is_carried_again_once_it_is_spent_on() {
        let stream = "dev/agent/a".parse().unwrap();
        let is_carried = |spent: Option<u64>| {
            let mut content = Content::default();
            content.take(5, &commit("dev/agent/a", Vec::new())).unwrap();
            content.spent.extend(spent.map(|number| (StreamId::clone(&stream), number)));
            content.take(100, &carries("dev/agent/a", 1, false)).unwrap();
            content.waiting(90).is_empty()
        };
        assert!(is_carried(None) && !is_carried(Some(99)));
    }

    #[test]
    fn the_end_is_a_number_a_position_or_a_time() {
        assert!(matches!("17".parse(), Ok(Through::Number(17))));
        assert!(matches!("0-17-0a0b0c0d".parse(), Ok(Through::Number(17))));
        assert!(matches!("2026-01-02T03:04:05Z".parse(), Ok(Through::Time(_))));
        assert!("yesterday".parse::<Through>().is_err());
    }
}
