//! State that every part of the process may use.

use std::sync::Arc;

use capstan_domain::id::TaskId;
use capstan_domain::matching::{Matching, StreamKey};
use capstan_domain::task::{Command, State};
use chrono::{DateTime, Utc};

use super::config::ProcessConfig;
use super::effect::{CallId, Effect, FollowUp, Order};
use super::tasks::Tasks;
use super::workers::Workers;
use super::workspaces::Workspaces;
use crate::protocol::Answer;

/// State that every part of the process may use.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: ProcessConfig,
    pub(super) tasks: Tasks,
    pub(super) matching: Matching,
    pub(super) workers: Workers,
    pub(super) workspaces: Workspaces,
    /// Effects since the last turn.
    pub(super) effects: Vec<Effect>,
    /// True when something changed that may let a waiting lease request be served.
    pub(super) may_match: bool,
}

impl Shared {
    pub(super) fn new(config: ProcessConfig) -> Self {
        Self {
            config,
            tasks: Tasks::default(),
            matching: Matching::new(config.matching),
            workers: Workers::default(),
            workspaces: Workspaces::default(),
            effects: Vec::new(),
            may_match: false,
        }
    }

    pub(super) fn answer(&mut self, call: CallId, answer: Answer) {
        self.effects.push(Effect::Answer(call, answer));
    }

    /// Orders a command to a task; false when there is no such task in memory.
    pub(super) fn order(
        &mut self,
        key: &StreamKey,
        command: Command,
        request: Option<CallId>,
        now: DateTime<Utc>,
    ) -> bool {
        let order = self.tasks.order(key, command, request, now);
        let is_ordered = order.is_some();
        self.effects.extend(order.map(Effect::Execute));
        is_ordered
    }

    /// Loads a task, unless something about it is under way.
    pub(super) fn load(&mut self, key: &StreamKey, heard: u64) {
        if self.tasks.load(key, heard, false) {
            self.effects.push(Effect::Load(key.clone()));
        }
    }

    /// Loads a task for a step that needs it whole, unless something about it is under way.
    pub(super) fn load_for_step(&mut self, key: &StreamKey) {
        if self.tasks.load(key, 0, true) {
            self.effects.push(Effect::Load(key.clone()));
        }
    }

    /// Takes the newer state of a task; false when it is not newer. The one place where a state becomes facts and an
    /// entry of matching.
    pub(super) fn replace(
        &mut self,
        key: &StreamKey,
        version: u64,
        state: &State,
        is_recorded: bool,
    ) -> bool {
        if !self.tasks.replace(key, version, state, is_recorded) {
            return false;
        }
        let is_open = |key: &StreamKey| self.tasks.facts(key).is_some_and(|facts| !facts.state.is_terminal());
        self.matching.observe(key, state.as_deref(), is_open);
        self.may_match = true;
        true
    }

    /// Orders a command to a relative of the task `owner`.
    pub(super) fn follow_up(
        &mut self,
        owner: &StreamKey,
        relative: TaskId,
        order: (FollowUp, Command),
        now: DateTime<Utc>,
    ) -> bool {
        let Some(tracked) = self.tasks.get_mut(owner) else { return false };
        let Some(revision) = tracked.revision() else { return false };
        let target = StreamKey { workspace: Arc::clone(&owner.workspace), task_id: relative };
        tracked.work_mut().begin(false);
        self.effects.push(Effect::Execute(Order::follow_up(target, owner, revision, order, now)));
        true
    }
}
