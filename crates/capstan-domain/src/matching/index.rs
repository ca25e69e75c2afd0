//! The ordered lists behind matching.
//!
//! Entries move through levels, each exposing only its first to the next, so that nothing blocked is ever
//! scanned: delayed → session (its first due task, while no attempt lives) → class and needs (its first,
//! while the class has room) → workspace (its first per needs) → fair order of workspaces per needs.
//!
//! A task that waits or runs is one record of 80 bytes with a number, and the levels hold numbers. Of a task that sleeps or
//! waits for an answer nothing is held.

mod exposure;
mod levels;
mod ranked;
mod reasons;
mod record;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};

use super::{Config, Needs, Pick, Reach, StreamKey, WaitingReason, WorkerOffer};
use crate::id::RunId;
use crate::interned::Interned;
use crate::millis::Millis;
use crate::slab::Slab;
use crate::task::{Task, TaskState};
use levels::{Class, Named, Session, SessionName, Tenant, Turn};
use record::{Queued, SessionOf, Standing, TaskKey, Tracked};

/// Counts of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Tasks that wait, delayed and reserved ones included.
    pub queued: usize,
    /// Of those, tasks whose next try was not due when last looked at.
    pub delayed: usize,
    /// Live attempts, reservations and attempts that are being cancelled included.
    pub running: usize,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    config: Config,
    limits: HashMap<Named, u32>,
    held_classes: HashMap<Named, WaitingReason>,
    held: HashMap<TaskKey, WaitingReason>,
    tasks: Slab<Tracked>,
    delayed: BTreeSet<(Millis, u32)>,
    /// The tasks queued ones run after.
    before: HashMap<u32, TaskKey>,
    /// Queued tasks by the task they run after.
    successors: HashMap<TaskKey, BTreeSet<u32>>,
    sessions: Slab<Session>,
    classes: Slab<Class>,
    needs: Interned<Needs>,
    /// Workspaces by number; none is ever forgotten.
    tenants: Vec<Tenant>,
    tenant_numbers: HashMap<Arc<str>, u32>,
    turns: BTreeMap<Arc<Needs>, BTreeSet<Turn>>,
    turn: u64,
    queued: usize,
    running: usize,
}

/// Tasks as they come and change.
impl Index {
    pub(super) fn new(config: Config) -> Self {
        Self { config, ..Self::default() }
    }

    pub(super) fn observe(
        &mut self,
        key: &StreamKey,
        task: Option<&Task>,
        is_open: impl FnOnce(&StreamKey) -> bool,
    ) {
        let name = self.name(key);
        let before = task.and_then(|task| task.accepted.runs_after);
        let is_held = || before.is_some_and(|task_id| is_open(&StreamKey { task_id, ..key.clone() }));
        let number = self.tasks.number(&name);
        let after = task.and_then(|task| self.standing(name, task, is_held));
        match (number, after) {
            (Some(number), Some(after)) => self.stand(number, after),
            (Some(number), None) => self.leave(number),
            (None, Some(after)) => {
                if let Some(task) = task {
                    self.join(name, task, after);
                }
            }
            (None, None) => {}
        }
        self.hold_successors(name, task.is_some_and(|task| !task.state.is_terminal()));
    }

    /// The key of a task, with the number of its workspace.
    fn name(&mut self, key: &StreamKey) -> TaskKey {
        let tenant = if let Some(number) = self.tenant_numbers.get(&key.workspace) {
            *number
        } else {
            let number = self.tenants.len() as u32;
            self.tenants.push(Tenant::new(Arc::clone(&key.workspace)));
            self.tenant_numbers.insert(Arc::clone(&key.workspace), number);
            number
        };
        TaskKey { tenant, task_id: key.task_id }
    }

    /// The same for a task that changes nothing; none when nothing of its workspace is known.
    fn known_name(&self, key: &StreamKey) -> Option<TaskKey> {
        let tenant = *self.tenant_numbers.get(&key.workspace)?;
        Some(TaskKey { tenant, task_id: key.task_id })
    }

    /// Keeps back what runs after a task, or lets it go.
    fn hold_successors(&mut self, name: TaskKey, held: bool) {
        let Some(successors) = self.successors.get(&name) else { return };
        // What holds for one of them holds for all.
        let first = successors.first().and_then(|number| self.tasks.get(*number)?.queued());
        if first.is_none_or(|queued| queued.held == held) {
            return;
        }
        for number in successors.clone() {
            let Some(tracked) = self.tasks.get(number) else { continue };
            let mut after = tracked.standing.clone();
            if let Some(queued) = &mut after.queued {
                queued.held = held;
            }
            self.stand(number, after);
        }
    }

    /// What the state of a task says; none when it is neither queued nor live. `is_held`: the task it runs after is open.
    fn standing(&self, name: TaskKey, task: &Task, is_held: impl FnOnce() -> bool) -> Option<Standing> {
        let waiting = task.active_run().filter(|_| task.state == TaskState::Queued);
        if waiting.is_none() && task.live.is_none() {
            return None;
        }
        let epoch = u32::try_from(task.epoch).unwrap_or(u32::MAX);
        let queued = waiting.map(|run| {
            let old = self.tasks.find(&name).map(|tracked| &tracked.standing);
            let old = old.filter(|old| old.epoch == epoch).and_then(|old| old.queued.as_ref());
            let same = old.filter(|queued| queued.run_no == run.run_no);
            let available_at = task.available_at.map(Millis::since);
            let due = available_at.is_none()
                || same.is_some_and(|queued| queued.due && queued.available_at == available_at);
            Queued {
                run_no: run.run_no,
                since: Millis::since(task.queued_at.unwrap_or(task.accepted.accepted_at)),
                priority: task.priority,
                available_at,
                reserved: same.is_some_and(|queued| queued.reserved),
                due,
                held: is_held(),
            }
        });
        Some(Standing { queued, live: task.live.is_some(), epoch })
    }

    /// Takes a task in. Its session, class, needs and predecessor are frozen at its acceptance.
    fn join(&mut self, key: TaskKey, task: &Task, standing: Standing) {
        let Some(workspace) = self.tenants.get(key.tenant as usize).map(|tenant| Arc::clone(&tenant.name))
        else {
            return;
        };
        let session = self.session_of(key, &task.accepted.session_id);
        let class: Named = (workspace, task.accepted.instance_key.as_str().into());
        let class = self.classes.number(&class).unwrap_or_else(|| {
            let (tenant, by_needs) = (key.tenant, BTreeMap::new());
            self.classes.insert(Class { name: class, tenant, members: 0, running: 0, by_needs })
        });
        self.count_members(session, class, true);
        let needs = self.needs.shared(Arc::new(Needs::of(task)));
        let number = self.tasks.insert(Tracked { key, session, class, needs, standing });
        if let Some(task_id) = task.accepted.runs_after {
            self.before.insert(number, TaskKey { task_id, ..key });
        }
        self.enter(number);
    }

    /// The session of a task that is taken in. One that another task had for itself becomes a record.
    fn session_of(&mut self, key: TaskKey, session_id: &str) -> SessionOf {
        let name = SessionName::new(key.tenant, session_id);
        if let Some(number) = self.sessions.number(&name) {
            return SessionOf::Shared(number);
        }
        if name.owner() == key.task_id {
            return SessionOf::Own;
        }
        let session = self.sessions.insert(Session::new(name));
        let owner = self.tasks.number(&TaskKey { task_id: name.owner(), ..key });
        let is_alone = |number: &u32| self.tasks.get(*number).is_some_and(|of| of.session == SessionOf::Own);
        if let Some(owner) = owner.filter(is_alone) {
            self.withdraw(owner);
            if let (Some(owner), Some(of)) = (self.tasks.get_mut(owner), self.sessions.get_mut(session)) {
                owner.session = SessionOf::Shared(session);
                of.members = 1;
            }
            self.enter(owner);
        }
        SessionOf::Shared(session)
    }

    /// Lets go of a task that neither waits nor runs.
    fn leave(&mut self, number: u32) {
        self.withdraw(number);
        let Some(tracked) = self.tasks.get(number) else { return };
        let (key, session, class) = (tracked.key, tracked.session, tracked.class);
        self.tasks.remove(&key);
        self.before.remove(&number);
        self.count_members(session, class, false);
    }

    fn count_members(&mut self, session: SessionOf, class: u32, joins: bool) {
        let change = |members: u32| if joins { members + 1 } else { members.saturating_sub(1) };
        if let SessionOf::Shared(session) = session
            && let Some(of) = self.sessions.get_mut(session)
        {
            of.members = change(of.members);
            if of.members == 0 {
                let name = of.name;
                self.sessions.remove(&name);
            }
        }
        if let Some(of) = self.classes.get_mut(class) {
            of.members = change(of.members);
            if of.members == 0 {
                let name = of.name.clone();
                self.classes.remove(&name);
            }
        }
    }

    /// Moves a task to where it stands now.
    fn stand(&mut self, number: u32, after: Standing) {
        if self.tasks.get(number).is_none_or(|tracked| tracked.standing == after) {
            return;
        }
        self.withdraw(number);
        if let Some(tracked) = self.tasks.get_mut(number) {
            tracked.standing = after;
        }
        self.enter(number);
    }

    fn enter(&mut self, number: u32) {
        let Some(tracked) = self.tasks.get(number) else { return };
        let (holds, queued) = (tracked.holds(), tracked.queued().map(|queued| queued.reserved));
        if holds {
            self.hold(number, true);
        }
        let Some(reserved) = queued else { return };
        self.queued += 1;
        if let Some(before) = self.before.get(&number) {
            self.successors.entry(*before).or_default().insert(number);
        }
        if !reserved {
            self.enqueue(number);
        }
    }

    fn withdraw(&mut self, number: u32) {
        let Some(tracked) = self.tasks.get(number) else { return };
        let (holds, queued) = (tracked.holds(), tracked.queued().map(|queued| queued.reserved));
        if let Some(reserved) = queued {
            self.queued = self.queued.saturating_sub(1);
            if let Some(before) = self.before.get(&number)
                && let Some(successors) = self.successors.get_mut(before)
            {
                successors.remove(&number);
                if successors.is_empty() {
                    self.successors.remove(before);
                }
            }
            if !reserved {
                self.dequeue(number);
            }
        }
        if holds {
            self.hold(number, false);
        }
    }
}

/// Limits, holds and reservations.
impl Index {
    fn limit(&self, class: &Named) -> u32 {
        if self.held_classes.contains_key(class) {
            return 0;
        }
        self.limits.get(class).copied().unwrap_or(self.config.class_limit)
    }

    pub(super) fn set_class_limit(&mut self, workspace: &str, instance_key: &str, limit: Option<u32>) {
        let name: Named = (workspace.into(), instance_key.into());
        match limit {
            Some(limit) => self.limits.insert(name.clone(), limit),
            None => self.limits.remove(&name),
        };
        self.limit_changed(&name);
    }

    pub(super) fn hold_class(&mut self, workspace: &str, instance_key: &str, reason: Option<WaitingReason>) {
        let name: Named = (workspace.into(), instance_key.into());
        match reason {
            Some(reason) => self.held_classes.insert(name.clone(), reason),
            None => self.held_classes.remove(&name),
        };
        self.limit_changed(&name);
    }

    fn limit_changed(&mut self, class: &Named) {
        if let Some(number) = self.classes.number(class) {
            self.expose_class(number);
        }
    }

    pub(super) fn hold_task(&mut self, key: &StreamKey, reason: Option<WaitingReason>) {
        let name = match (&reason, self.known_name(key)) {
            (_, Some(name)) => name,
            (Some(_), None) => self.name(key),
            (None, None) => return,
        };
        if self.held.get(&name) == reason.as_ref() {
            return;
        }
        let number = self.tasks.number(&name);
        if let Some(number) = number {
            self.withdraw(number);
        }
        match reason {
            Some(reason) => self.held.insert(name, reason),
            None => self.held.remove(&name),
        };
        if let Some(number) = number {
            self.enter(number);
        }
    }

    /// Moves every delayed task that is due into its session.
    pub(super) fn release_due(&mut self, now: DateTime<Utc>) {
        while self.delayed.first().is_some_and(|(due, _)| due.time() <= now) {
            let Some((_, number)) = self.delayed.pop_first() else { return };
            let Some(tracked) = self.tasks.get_mut(number) else { continue };
            if let Some(queued) = &mut tracked.standing.queued {
                queued.due = true;
                self.enqueue(number);
            }
        }
    }

    pub(super) fn pick_one(&mut self, offer: &WorkerOffer) -> Option<Pick> {
        let tenant = self.next_tenant(offer)?;
        let of = self.tenants.get(tenant as usize)?;
        let ready = of.ready.iter().filter(|(needs, _)| needs.met_by(offer));
        let (_, number) = *ready.filter_map(|(_, first)| first.first()).min()?;
        let workspace = Arc::clone(&of.name);
        self.turn += 1;
        let turn = self.turn;
        self.change_tenant(tenant, |tenant| tenant.last_turn = turn);
        let task_id = self.tasks.get(number)?.key.task_id;
        let run_id = self.reserve(number, true)?;
        Some(Pick { workspace, task_id, run_id })
    }

    /// The workspace whose turn it is, of those that have something for the worker and that it may serve.
    fn next_tenant(&self, offer: &WorkerOffer) -> Option<u32> {
        let fitting = self.turns.iter().filter(|(needs, _)| needs.met_by(offer));
        let turn = match &offer.reach {
            Reach::All => fitting.filter_map(|(_, turns)| turns.first()).min(),
            // Few of possibly many workspaces: each looks up its own place.
            Reach::Only(workspaces) => {
                let tenant =
                    |name: &String| self.tenants.get(*self.tenant_numbers.get(name.as_str())? as usize);
                let reached: Vec<Turn> = workspaces.iter().filter_map(tenant).map(Tenant::turn).collect();
                fitting.filter_map(|(_, turns)| reached.iter().filter_map(|turn| turns.get(turn)).min()).min()
            }
        };
        self.tenant_numbers.get(&turn?.2).copied()
    }

    pub(super) fn unreserve(&mut self, key: &StreamKey) {
        if let Some(number) = self.known_name(key).and_then(|name| self.tasks.number(&name)) {
            self.reserve(number, false);
        }
    }

    /// Sets or clears a reservation; the run it is about when that changed anything.
    fn reserve(&mut self, number: u32, reserved: bool) -> Option<RunId> {
        let tracked = self.tasks.get(number)?;
        let (task_id, mut after) = (tracked.key.task_id, tracked.standing.clone());
        let queued = after.queued.as_mut().filter(|queued| queued.reserved != reserved)?;
        queued.reserved = reserved;
        let run_id = RunId::for_task(task_id, queued.run_no);
        self.stand(number, after);
        Some(run_id)
    }

    pub(super) fn next_due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // Skipping entries due already: tasks are ordered within one instant, so step over it.
        let after = now.checked_add_signed(Duration::nanoseconds(1))?;
        self.delayed.range((Millis::since(after), 0)..).next().map(|(due, _)| due.time())
    }

    pub(super) fn depth(&self) -> Depth {
        Depth { queued: self.queued, delayed: self.delayed.len(), running: self.running }
    }

    pub(super) fn ready_needs(&self) -> BTreeSet<Needs> {
        self.turns.keys().map(|needs| needs.as_ref().clone()).collect()
    }
}
