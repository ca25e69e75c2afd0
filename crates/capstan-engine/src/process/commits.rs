//! Commits of the log, routed to the parts that follow them.

use std::sync::Arc;

use capstan_contract::{AgentCodec, TaskCodec, WorkspaceCodec, decode_commit};
use capstan_decider::fold;
use capstan_domain::matching::StreamKey;
use capstan_domain::task::{Event, State, TaskDecider};
use capstan_envelope::{Carried, Codec as _, CodecError, Recorded};
use chrono::{DateTime, Utc};

use super::effect::{ClassKey, ScheduleKey};
use super::{Process, task_key};

impl Process {
    /// Takes a commit from the log, with the task it belongs to as the caller has it in memory. Repeated and older commits
    /// change nothing; a task that nobody has in memory is loaded.
    pub fn commit(
        &mut self,
        recorded: &Recorded,
        memory: Option<(u64, &State)>,
        now: DateTime<Utc>,
    ) -> Result<(), CodecError> {
        let taken = self.route_commit(recorded, memory, now);
        self.watching.reach(recorded.position);
        self.tidy_touched();
        taken
    }

    fn route_commit(
        &mut self,
        recorded: &Recorded,
        memory: Option<(u64, &State)>,
        now: DateTime<Utc>,
    ) -> Result<(), CodecError> {
        if let Some(carried) = recorded.commit.carried()? {
            // A state of a newer build may look malformed to this one: its codec tells them apart.
            decode_commit(&recorded.commit)?;
            return self.carried(recorded, &carried, now);
        }
        let stream = &recorded.commit.stream;
        if let Some(key) = ScheduleKey::from_stream(stream) {
            return self.schedules.commit(key, recorded);
        }
        if let Some(key) = ClassKey::from_stream(stream) {
            return self.classes.commit(&key, recorded, &mut self.shared);
        }
        if let (AgentCodec::CATEGORY, Ok(agent_id)) = (stream.category(), stream.id().parse()) {
            self.schedules.agent_changed(recorded);
            return self.budgets.agent_commit(agent_id, recorded);
        }
        if stream.category() == WorkspaceCodec::CATEGORY {
            let workspace = self.shared.workspaces.commit(recorded)?;
            self.budgets.set_day_limit(&workspace, &self.shared);
            return Ok(());
        }
        let Some(key) = task_key(stream) else { return Ok(()) };
        let events = TaskCodec::decode(&recorded.commit)?;
        self.task_commit(&key, (recorded.commit.version, &events), memory, now);
        self.budgets.book(&key, recorded.position, &events, &mut self.shared);
        Ok(())
    }

    /// Takes a commit that carries its stream forward: the state as it is, for an engine that began behind its beginning.
    fn carried(
        &mut self,
        recorded: &Recorded,
        carried: &Carried,
        now: DateTime<Utc>,
    ) -> Result<(), CodecError> {
        let (stream, version) = (&recorded.commit.stream, recorded.commit.version);
        if let Some(key) = ScheduleKey::from_stream(stream) {
            self.begin_with_schedule(key, version, carried.state()?);
        } else if let Some(key) = ClassKey::from_stream(stream) {
            self.begin_with_class(&key, version, carried.state()?);
        } else if let (AgentCodec::CATEGORY, Ok(agent_id)) = (stream.category(), stream.id().parse()) {
            self.begin_with_agent(stream.workspace().as_str(), agent_id, carried.state()?);
            if let Some(spent) = &carried.spent {
                let key = (stream.workspace().as_str().into(), agent_id);
                self.budgets.carry(&key, recorded.position, spent)?;
            }
        } else if stream.category() == WorkspaceCodec::CATEGORY {
            self.begin_with_workspace(stream.workspace().as_str(), carried.state()?);
        } else if let Some(key) = task_key(stream) {
            let state = carried.state()?;
            self.task_commit(&key, (version, &[]), Some((version, &state)), now);
        }
        Ok(())
    }

    /// Takes a commit of a task: its state comes from memory, from the events that begin it, or from a load.
    fn task_commit(
        &mut self,
        key: &StreamKey,
        (version, events): (u64, &[Event]),
        memory: Option<(u64, &State)>,
        now: DateTime<Utc>,
    ) {
        let known = self.shared.tasks.hear(key, version);
        let begun = (version == 1 && known == 0).then(|| fold::<TaskDecider>(None, events));
        let begun = begun.as_ref().map(|state| (1, state));
        let newer = memory.filter(|(at, _)| *at >= version).or(begun).filter(|(at, _)| *at > known);
        if let Some((at, state)) = newer {
            self.replace_from(key, (at, state), (version, events), now);
        } else {
            self.follow(key, version, events, now);
            if version > known {
                self.shared.load(key, version);
            }
        }
    }

    /// Takes the newer state of a task, to which `events` led, and lets every part follow.
    pub(super) fn replace(
        &mut self,
        key: &StreamKey,
        version: u64,
        state: &State,
        events: &[Event],
        now: DateTime<Utc>,
    ) {
        self.replace_from(key, (version, state), (version, events), now);
    }

    /// As [`Self::replace`], when the state may be that of a later commit than the events.
    pub(super) fn replace_from(
        &mut self,
        key: &StreamKey,
        (version, state): (u64, &State),
        (followed, events): (u64, &[Event]),
        now: DateTime<Utc>,
    ) {
        if !self.shared.replace(key, version, state, !events.is_empty()) {
            return;
        }
        let facts = self.shared.tasks.facts(key);
        self.schedules.observe_task(key, facts);
        self.watching.observe(key, facts);
        self.tool_polls.observe(key, facts);
        if !events.is_empty() {
            self.follow(key, followed, events, now);
        }
        self.leases.observe(key, &mut self.shared, now);
        self.relations.observe(key, &mut self.shared);
        self.budgets.observe(key, &mut self.shared);
        self.shared.tasks.touch(key);
        self.tidy_touched();
    }

    /// Lets the parts follow the events of a commit that need more than the state it led to.
    fn follow(&mut self, key: &StreamKey, version: u64, events: &[Event], now: DateTime<Utc>) {
        if !self.shared.tasks.follow(key, version) {
            return;
        }
        self.leases.follow(key, events, &mut self.shared);
        let Some(facts) = self.shared.tasks.facts(key) else { return };
        let instance_key = Arc::clone(&facts.origin.class);
        let class = ClassKey { workspace: Arc::clone(&key.workspace), instance_key };
        for event in events {
            if let Event::AttemptEnded(ended) = event {
                self.classes.attempt_ended(&class, ended, &mut self.shared, now);
            }
        }
    }
}
