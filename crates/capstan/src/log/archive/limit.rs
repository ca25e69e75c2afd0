//! The last commit that may be archived: open tasks keep their commits, and the configurations they were accepted with.

use std::collections::BTreeMap;

use capstan_domain::agent;
use capstan_envelope::StreamId;
use capstan_eventlog::Snapshots as _;
use capstan_projections::ReadModels;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};

use super::content::{Content, Streams};
use super::notes::Notes;

/// The last commit that may be archived, and the reason why none after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) through: u64,
    pub(super) reason: String,
}

impl Limit {
    /// The last commit that is asked for, or before it `old`, the last one of those that `keep_days` does not keep.
    pub(super) fn asked(asked: u64, old: u64, keep_days: u32) -> Self {
        let reason = match (asked, old) {
            (0, _) => "no commit that is left was asked for".to_owned(),
            (_, 0) => format!("--keep-days {keep_days} keeps every commit that was asked for"),
            _ if old < asked => format!("--keep-days {keep_days} keeps the commits after {old}"),
            _ => format!("{asked} is the last one asked for"),
        };
        Self { through: old, reason }
    }

    /// Keeps the commits from `first` on.
    fn keep(&mut self, first: u64, reason: impl FnOnce() -> String) {
        if (1..=self.through).contains(&first) {
            *self = Self { through: first - 1, reason: reason() };
        }
    }
}

/// A note about the stream of an open task or of its agent.
#[derive(Debug, Serialize, Deserialize)]
enum Open {
    /// This is the task.
    Task,
    /// This task was accepted with the configuration of this number.
    Refers(u64, String),
}

/// The open tasks and the configurations they refer to, put aside by stream.
pub(super) struct OpenTasks {
    notes: Notes,
}

impl OpenTasks {
    /// Those of now.
    pub(super) async fn read(read_models: &ReadModels, content: &Content) -> anyhow::Result<Self> {
        let mut notes = content.open_notes();
        let mut references = read_models.open_references().await?;
        while let Some(open) = references.try_next().await? {
            notes.add(&open.task.tokens(), &Open::Task)?;
            notes.add(&open.agent.tokens(), &Open::Refers(open.config_version, open.task.to_string()))?;
        }
        Ok(Self { notes })
    }

    /// Keeps the commits of tasks that are not over.
    pub(super) fn keep_tasks(&self, content: &Content, limit: &mut Limit) -> anyhow::Result<()> {
        for bucket in 0..self.notes.buckets() {
            let streams = content.streams(&content.others, bucket, 0)?;
            self.notes.each(bucket, |name, open: Open| {
                if let (Open::Task, Some(task)) = (open, streams.get(name)) {
                    let stream = StreamId::from_tokens(name)?;
                    limit.keep(task.first, || format!("{stream} is not over"));
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Keeps every configuration of an agent of which an open task refers to an earlier one than the last: only that is carried
    /// forward. The last one is that of the rows; without rows, the one that was carried forward.
    pub(super) async fn keep_configurations(
        &self,
        content: &Content,
        rows: Option<&ReadModels>,
        limit: &mut Limit,
    ) -> anyhow::Result<()> {
        for bucket in 0..self.notes.buckets() {
            let streams = content.streams(&content.agents, bucket, 0)?;
            for (agent, (version, task)) in self.earliest(bucket, &streams, limit.through)? {
                let seen = &streams[&agent.tokens()];
                let last = match rows {
                    Some(rows) => match rows.load(&agent).await? {
                        Some(known) => first_known(&serde_json::from_str(known.state.get())?),
                        None => continue,
                    },
                    None => seen.config_version,
                };
                let meanwhile = if rows.is_none() { " meanwhile; archive again" } else { "" };
                if version < last {
                    limit.keep(seen.first, || {
                        format!("{task} refers to a configuration that {agent} had earlier{meanwhile}")
                    });
                }
            }
        }
        Ok(())
    }

    /// Of each agent in a bucket that begins up to `through`: the earliest configuration that an open task refers to, and that
    /// task.
    fn earliest(
        &self,
        bucket: usize,
        agents: &Streams,
        through: u64,
    ) -> anyhow::Result<BTreeMap<StreamId, (u64, String)>> {
        let mut earliest = BTreeMap::<StreamId, (u64, String)>::new();
        self.notes.each(bucket, |name, open: Open| {
            let Open::Refers(version, task) = open else { return Ok(()) };
            if agents.get(name).is_some_and(|agent| (1..=through).contains(&agent.first)) {
                let of = earliest.entry(StreamId::from_tokens(name)?).or_insert((u64::MAX, String::new()));
                if version < of.0 {
                    *of = (version, task);
                }
            }
            Ok(())
        })?;
        Ok(earliest)
    }
}

/// Number of the first configuration that whoever begins with this state knows.
pub(super) fn first_known(agent: &agent::State) -> u64 {
    // Of one that is deleted it has none.
    agent.config_version + u64::from(agent.profile.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Limit = Limit { through: 90, reason: String::new() };

    /// Open tasks, each with its agent and the number of a configuration.
    fn open(content: &Content, tasks: &[(&str, &str, u64)]) -> OpenTasks {
        let mut notes = content.open_notes();
        for (task, agent, version) in tasks {
            notes.add(task, &Open::Task).unwrap();
            notes.add(agent, &Open::Refers(*version, (*task).to_owned())).unwrap();
        }
        OpenTasks { notes }
    }

    #[test]
    fn what_was_asked_for_is_named_or_the_days_that_keep_it() {
        let told = |asked, old| {
            let limit = Limit::asked(asked, old, 2);
            assert_eq!(limit.through, old);
            limit.reason
        };
        assert_eq!(told(90, 90), "90 is the last one asked for");
        assert_eq!(told(90, 17), "--keep-days 2 keeps the commits after 17");
        assert_eq!(told(90, 0), "--keep-days 2 keeps every commit that was asked for");
        assert_eq!(told(0, 0), "no commit that is left was asked for");
    }

    #[test]
    fn nothing_is_archived_of_a_task_that_is_not_over() {
        let mut content = Content::of_tests(32 << 20);
        for (number, task) in [(50, "dev/task/1"), (70, "dev/task/2"), (95, "dev/task/3")] {
            content.note_facts(number, task);
        }
        let kept = |tasks: &[(&str, &str, u64)], mut limit: Limit| {
            open(&content, tasks).keep_tasks(&content, &mut limit).unwrap();
            limit
        };
        assert_eq!(kept(&[], FIRST), FIRST);
        // One that begins later, and one whose beginning was archived before.
        assert_eq!(kept(&[("dev.task.3", "dev.agent.a", 1), ("dev.task.4", "dev.agent.a", 1)], FIRST), FIRST);
        let limit = kept(&[("dev.task.2", "dev.agent.a", 1), ("dev.task.1", "dev.agent.a", 1)], FIRST);
        assert_eq!((limit.through, &*limit.reason), (49, "dev/task/1 is not over"));
        assert_eq!(kept(&[("dev.task.2", "dev.agent.a", 1)], Limit { through: 40, ..FIRST }).through, 40);
    }

    #[tokio::test]
    async fn a_configuration_stays_that_was_replaced_before_its_agent_was_carried_forward() {
        let mut content = Content::of_tests(32 << 20);
        for (number, agent) in
            [(5, "dev/agent/a"), (6, "dev/agent/b"), (7, "dev/agent/c"), (95, "dev/agent/d")]
        {
            content.note_facts(number, agent);
        }
        content.note_carried(100, "dev/agent/a", 2);
        content.note_carried(101, "dev/agent/b", 1);
        // What changed later stays in the log.
        content.note_facts(102, "dev/agent/b");
        content.note_carried(103, "dev/agent/d", 7);
        let kept = async |tasks: &[(&str, &str, u64)]| {
            let mut limit = FIRST;
            open(&content, tasks).keep_configurations(&content, None, &mut limit).await.unwrap();
            limit
        };
        let limit = kept(&[("dev.task.1", "dev.agent.a", 2), ("dev.task.2", "dev.agent.a", 1)]).await;
        assert!(limit.through == 4 && limit.reason.contains("dev.task.2"), "{limit:?}");
        assert!(limit.reason.contains("archive again"), "{limit:?}");
        assert_eq!(kept(&[("dev.task.1", "dev.agent.a", 2)]).await, FIRST);
        assert_eq!(kept(&[("dev.task.1", "dev.agent.b", 1), ("dev.task.2", "dev.agent.b", 2)]).await, FIRST);
        // Nothing of it is removed.
        assert_eq!(kept(&[("dev.task.1", "dev.agent.d", 1)]).await, FIRST);
    }
}
