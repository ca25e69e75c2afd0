//! State that every part of the process may use, and the commands that need a whole task.

use std::sync::Arc;

use capstan_domain::id::TaskId;
use capstan_domain::matching::{Matching, StreamKey};
use capstan_domain::task::command::ChildEnded;
use capstan_domain::task::{Command, State, TaskState, subtasks};
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
    pub(super) fn load(&mut self, key: &Arc<StreamKey>, heard: u64) {
        if self.tasks.load(key, heard) {
            self.effects.push(Effect::Load(Arc::clone(key)));
        }
    }

    /// Replaces a task's state; false when it is not newer. The one place where a fold becomes facts.
    pub(super) fn replace(
        &mut self,
        key: &Arc<StreamKey>,
        version: u64,
        state: State,
        is_recorded: bool,
    ) -> bool {
        if !self.tasks.replace(key, version, state, is_recorded) {
            return false;
        }
        self.matching.observe(key, self.tasks.get(key).and_then(|tracked| tracked.whole()));
        self.may_match = true;
        true
    }

    /// Orders the creation of a child.
    pub(super) fn create_child(
        &mut self,
        parent: &Arc<StreamKey>,
        child: TaskId,
        now: DateTime<Utc>,
    ) -> bool {
        let task = self.tasks.get(parent).and_then(|tracked| tracked.whole());
        let command = task.and_then(|task| {
            let subtask = task.open_subtasks().find(|subtask| subtask.task_id == child)?;
            Some(Command::Accept(Box::new(subtasks::acceptance(task, subtask))))
        });
        self.follow_up(parent, child, FollowUp::CreateChild(child), command, now)
    }

    /// Orders the report of a task's end to its parent.
    pub(super) fn report_end(&mut self, child: &Arc<StreamKey>, parent: TaskId, now: DateTime<Utc>) -> bool {
        let task = self.tasks.get(child).and_then(|tracked| tracked.whole());
        let command = task.map(|task| Command::ChildEnded(Box::new(subtasks::report(task))));
        self.follow_up(child, parent, FollowUp::ReportEnd, command, now)
    }

    fn follow_up(
        &mut self,
        owner: &Arc<StreamKey>,
        target: TaskId,
        follow_up: FollowUp,
        command: Option<Command>,
        now: DateTime<Utc>,
    ) -> bool {
        let Some(command) = command else { return false };
        let Some(tracked) = self.tasks.get_mut(owner) else { return false };
        let Some(revision) = tracked.revision() else { return false };
        let target = Arc::new(StreamKey::new(&owner.workspace, target));
        tracked.begin();
        let order = Order::follow_up(target, owner, revision, (follow_up, command), now);
        self.effects.push(Effect::Execute(order));
        true
    }

    /// Orders the report of a child that was not possible to create.
    pub(super) fn report_missing(&mut self, parent: &StreamKey, child: TaskId, now: DateTime<Utc>) {
        let task = self.tasks.get(parent).and_then(|tracked| tracked.whole());
        let label = task.and_then(|task| task.children.get(&child)?.subtask.as_ref()?.label.clone());
        let ended = ChildEnded {
            task_id: child,
            label,
            state: TaskState::Dropped,
            result: None,
            error: Some("the subtask could not be created".to_owned()),
            cost_usd: 0.0,
        };
        self.order(parent, Command::ChildEnded(Box::new(ended)), None, now);
    }
}
