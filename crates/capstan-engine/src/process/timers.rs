//! Timers: what is due for a task, and when.

use capstan_domain::matching::StreamKey;
use capstan_domain::task::Command;
use chrono::{DateTime, Utc};

use super::Process;
use super::effect::Effect;
use crate::metric;

impl Process {
    /// Sends what is due for a task whose timer fires.
    pub(super) fn fire(&mut self, key: &StreamKey, now: DateTime<Utc>) {
        let is_due = self.task_due(key).is_some_and(|due| due <= now);
        let Some(tracked) = self.shared.tasks.get_mut(key) else { return };
        if !is_due || !tracked.is_idle() {
            // Set again now, or by the outcome of what is under way.
            return self.tidy(key);
        }
        // It is over.
        tracked.end_pause();
        if tracked.has_retry()
            && let Some(order) = tracked.work_mut().begin_retry()
        {
            self.shared.effects.push(Effect::Execute(order));
            return;
        }
        if tracked.is_stale() {
            let heard = tracked.heard();
            return self.shared.load(key, heard);
        }
        if self.relations.turn(key, None, &mut self.shared, now) {
            return;
        }
        self.tool_execution.ask_for_place(key, &mut self.shared, now);
        let Some(command) = self.due_command(key, now) else {
            if self.tool_execution.waits(key) {
                // Its call is no longer due; something else may be, later.
                self.tidy(key);
            }
            return;
        };
        if matches!(command, Command::ExpireLease(_)) {
            metrics::counter!(metric::LEASE_EXPIRIES).increment(1);
            // What it loses must not go straight back to a worker that has fallen silent.
            let live = self.shared.tasks.facts(key).and_then(|facts| facts.live.as_ref());
            if let Some(silent) = live.map(|live| *live.worker_id) {
                self.worker_requests.end_polls(silent, &mut self.shared);
            }
        }
        self.shared.order(key, command, None, now);
    }

    /// The instant at which something is due for the task.
    fn task_due(&self, key: &StreamKey) -> Option<DateTime<Utc>> {
        const AT_ONCE: DateTime<Utc> = DateTime::<Utc>::MIN_UTC;
        let tracked = self.shared.tasks.get(key)?;
        if tracked.has_retry() || tracked.is_stale() {
            return Some(tracked.after_pause(AT_ONCE));
        }
        let facts = tracked.facts()?;
        if self.relations.is_due(key, facts) {
            return Some(tracked.after_pause(AT_ONCE));
        }
        let dues = [
            facts.timer.as_ref().map(|timer| timer.due),
            self.leases.due(self.shared.tasks.number(key)?, facts),
            self.budgets.due_command(key, facts, 0).map(|_| AT_ONCE),
            self.tool_execution.due(key, facts),
            // Its call is offered to workers again when the pause is over.
            (tracked.is_paused() && self.tool_polls.offers(key)).then_some(AT_ONCE),
        ];
        dues.into_iter().flatten().min().map(|due| tracked.after_pause(due))
    }

    /// The command that is due for the task: of several, the timer's comes first.
    fn due_command(&self, key: &StreamKey, now: DateTime<Utc>) -> Option<Command> {
        let facts = self.shared.tasks.facts(key)?;
        let grace_ms = self.shared.config.grace_ms;
        if let Some(timer) = facts.timer.as_ref().filter(|timer| timer.due <= now) {
            return Some(timer.command(facts.newest_attempt(key), grace_ms));
        }
        let settings = self.shared.workspaces.settings(&key.workspace);
        self.budgets
            .due_command(key, facts, grace_ms)
            .or_else(|| self.tool_execution.due_command(key, facts, settings, now))
            .or_else(|| self.leases.due_command((self.shared.tasks.number(key)?, key), facts, now))
    }

    pub(super) fn tidy_touched(&mut self) {
        while let Some(key) = self.shared.tasks.next_touched() {
            self.tidy(&key);
        }
    }

    /// Sets the task's timer, loads what was missed, and forgets a task that is over.
    fn tidy(&mut self, key: &StreamKey) {
        let Some(tracked) = self.shared.tasks.get_mut(key).filter(|tracked| tracked.is_idle()) else {
            return;
        };
        tracked.tidy();
        if tracked.wants_load() {
            let heard = tracked.heard();
            return self.shared.load(key, heard);
        }
        self.tool_execution.tidy(key, &mut self.shared);
        let Some(tracked) = self.shared.tasks.get(key) else { return };
        let is_over = tracked.facts().is_none_or(|facts| facts.is_at_rest)
            && !tracked.is_stale()
            && !tracked.has_retry()
            && !self.budgets.has_warning(key)
            && !self.tool_execution.is_working(key);
        if is_over {
            return self.forget(key);
        }
        if let Some(due) = self.task_due(key) {
            self.shared.tasks.set_timer(key, due);
        }
    }

    fn forget(&mut self, key: &StreamKey) {
        self.shared.tasks.forget(key);
        self.shared.matching.hold(key, None);
        self.budgets.forget(key);
        self.relations.forget(key);
        self.tool_execution.forget(key, &mut self.shared);
        self.tool_polls.forget(key);
    }
}
