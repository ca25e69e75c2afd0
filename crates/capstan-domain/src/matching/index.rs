//! The ordered sets behind matching.
//!
//! Entries move through levels, each exposing only its first to the next, so that nothing blocked is ever
//! scanned: delayed → session (its first due task, while no attempt lives) → class and needs (its first,
//! while the class has room) → workspace (its first per needs) → fair order of workspaces per needs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};

use super::{Config, Needs, Pick, Reach, StreamKey, WaitingReason, WorkerOffer};
use crate::id::{RunId, TaskId};
use crate::task::event::Priority;
use crate::task::{Task, TaskState};

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

/// A place in the order of a workspace: aged time, time of queueing, task.
type Rank = (DateTime<Utc>, DateTime<Utc>, TaskId);

/// A session or class of a workspace.
type Named = (Arc<str>, Arc<str>);

/// A place in the fair order: live attempts, last turn, workspace.
type Turn = (u32, u64, Arc<str>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tracked {
    session: Named,
    class: Named,
    needs: Arc<Needs>,
    /// The task it runs after.
    runs_after: Option<StreamKey>,
    /// The run that waits, if one does.
    queued: Option<Queued>,
    /// True while an attempt lives.
    live: bool,
    /// The last epoch given out.
    epoch: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Queued {
    run_id: RunId,
    rank: Rank,
    available_at: Option<DateTime<Utc>>,
    reserved: bool,
    /// True once it is due.
    due: bool,
    /// True while the task it runs after is open: it does not stand in its session then.
    held: bool,
}

impl Tracked {
    fn holds(&self) -> bool {
        self.live || self.queued.as_ref().is_some_and(|queued| queued.reserved)
    }
}

#[derive(Debug, Default)]
struct Session {
    holders: BTreeSet<TaskId>,
    waiting: BTreeSet<Rank>,
    exposed: Option<Rank>,
}

#[derive(Debug, Default)]
struct Class {
    running: u32,
    by_needs: BTreeMap<Arc<Needs>, Line>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: BTreeSet<Rank>,
    exposed: Option<Rank>,
}

#[derive(Debug, Default)]
struct Tenant {
    running: u32,
    last_turn: u64,
    ready: BTreeMap<Arc<Needs>, BTreeSet<Rank>>,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    config: Config,
    limits: HashMap<Named, u32>,
    held_classes: HashMap<Named, WaitingReason>,
    held: HashMap<StreamKey, WaitingReason>,
    tasks: HashMap<StreamKey, Tracked>,
    delayed: BTreeSet<(DateTime<Utc>, StreamKey)>,
    /// Tasks that are not over, whether they wait in the queue or not.
    open: HashSet<StreamKey>,
    /// Queued tasks by the task they run after.
    successors: HashMap<StreamKey, BTreeSet<StreamKey>>,
    sessions: HashMap<Named, Session>,
    classes: HashMap<Named, Class>,
    tenants: HashMap<Arc<str>, Tenant>,
    turns: BTreeMap<Arc<Needs>, BTreeSet<Turn>>,
    turn: u64,
    queued: usize,
    running: usize,
}

impl Index {
    pub(super) fn new(config: Config) -> Self {
        Self { config, ..Self::default() }
    }

    pub(super) fn observe(&mut self, key: &StreamKey, task: Option<&Task>) {
        let is_open = task.is_some_and(|task| !task.state.is_terminal());
        let was_open = if is_open { !self.open.insert(key.clone()) } else { self.open.remove(key) };
        if is_open != was_open {
            self.hold_successors(key, is_open);
        }
        let before = self.tasks.get(key);
        let after = task.and_then(|task| self.tracked(key, task, before));
        if before == after.as_ref() {
            return;
        }
        if let Some(before) = self.tasks.remove(key) {
            self.withdraw(key, &before);
        }
        if let Some(after) = after {
            self.insert(key.clone(), after);
        }
    }

    /// Keeps back what runs after a task, or lets it go.
    fn hold_successors(&mut self, key: &StreamKey, held: bool) {
        for successor in self.successors.get(key).cloned().unwrap_or_default() {
            let Some(mut tracked) = self.tasks.remove(&successor) else { continue };
            self.withdraw(&successor, &tracked);
            if let Some(queued) = &mut tracked.queued {
                queued.held = held;
            }
            self.insert(successor, tracked);
        }
    }

    /// The entry of a task; none when it is neither queued nor live.
    fn tracked(&self, key: &StreamKey, task: &Task, before: Option<&Tracked>) -> Option<Tracked> {
        let waiting = task.active_run().filter(|_| task.state == TaskState::Queued);
        if waiting.is_none() && task.live.is_none() {
            return None;
        }
        let runs_after = task.accepted.runs_after;
        let runs_after = runs_after.map(|task_id| StreamKey { workspace: key.workspace.clone(), task_id });
        let held = runs_after.as_ref().is_some_and(|before| self.open.contains(before));
        let old = before.and_then(|before| before.queued.as_ref().map(|queued| (before.epoch, queued)));
        let queued = waiting.map(|run| {
            let queued_at = task.queued_at.unwrap_or(task.accepted.accepted_at);
            let same = old.filter(|(epoch, queued)| *epoch == task.epoch && queued.run_id == run.run_id);
            let due = task.available_at.is_none()
                || same.is_some_and(|(_, queued)| queued.due && queued.available_at == task.available_at);
            Queued {
                run_id: run.run_id,
                rank: (self.aged(queued_at, task.priority), queued_at, key.task_id),
                available_at: task.available_at,
                reserved: same.is_some_and(|(_, queued)| queued.reserved),
                due,
                held,
            }
        });
        let (session, class, needs) = match before {
            // Frozen at acceptance.
            Some(before) => (before.session.clone(), before.class.clone(), before.needs.clone()),
            None => (
                (key.workspace.clone(), task.accepted.session_id.as_str().into()),
                (key.workspace.clone(), task.accepted.instance_key.as_str().into()),
                Arc::new(Needs::of(task)),
            ),
        };
        Some(Tracked {
            session,
            class,
            needs,
            runs_after,
            queued,
            live: task.live.is_some(),
            epoch: task.epoch,
        })
    }

    /// The instant by which tasks are ordered: one step later for every priority below urgent.
    fn aged(&self, queued_at: DateTime<Utc>, priority: Priority) -> DateTime<Utc> {
        let steps = match priority {
            Priority::Urgent => 0,
            Priority::High => 1,
            Priority::Normal => 2,
            Priority::Low => 3,
        };
        Duration::try_milliseconds(self.config.age_step_ms.saturating_mul(steps))
            .and_then(|span| queued_at.checked_add_signed(span))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn insert(&mut self, key: StreamKey, tracked: Tracked) {
        if tracked.holds() {
            self.hold(&key, &tracked, true);
        }
        if let Some(queued) = &tracked.queued {
            self.queued += 1;
            if let Some(before) = &tracked.runs_after {
                self.successors.entry(before.clone()).or_default().insert(key.clone());
            }
            if !queued.reserved {
                self.enqueue(&key, &tracked, queued);
            }
        }
        self.tasks.insert(key, tracked);
    }

    fn withdraw(&mut self, key: &StreamKey, tracked: &Tracked) {
        if let Some(queued) = &tracked.queued {
            self.queued = self.queued.saturating_sub(1);
            if let Some(before) = &tracked.runs_after
                && let Some(successors) = self.successors.get_mut(before)
            {
                successors.remove(key);
                if successors.is_empty() {
                    self.successors.remove(before);
                }
            }
            if !queued.reserved {
                self.dequeue(key, tracked, queued);
            }
        }
        if tracked.holds() {
            self.hold(key, tracked, false);
        }
    }

    fn enqueue(&mut self, key: &StreamKey, tracked: &Tracked, queued: &Queued) {
        if self.held.contains_key(key) {
            return;
        }
        match queued.available_at {
            Some(available_at) if !queued.due => {
                self.delayed.insert((available_at, key.clone()));
            }
            _ if queued.held => {}
            _ => {
                let session = self.sessions.entry(tracked.session.clone()).or_default();
                session.waiting.insert(queued.rank);
                self.expose_session(&tracked.session, Some((key, tracked)));
            }
        }
    }

    fn dequeue(&mut self, key: &StreamKey, tracked: &Tracked, queued: &Queued) {
        if self.held.contains_key(key) {
            return;
        }
        match queued.available_at {
            Some(available_at) if !queued.due => {
                self.delayed.remove(&(available_at, key.clone()));
            }
            _ if queued.held => {}
            _ => {
                if let Some(session) = self.sessions.get_mut(&tracked.session) {
                    session.waiting.remove(&queued.rank);
                }
                self.expose_session(&tracked.session, Some((key, tracked)));
            }
        }
    }

    /// Counts a live or reserved attempt in, or out.
    fn hold(&mut self, key: &StreamKey, tracked: &Tracked, begins: bool) {
        let change = |count: u32| if begins { count.saturating_add(1) } else { count.saturating_sub(1) };
        self.running = if begins { self.running + 1 } else { self.running.saturating_sub(1) };
        let session = self.sessions.entry(tracked.session.clone()).or_default();
        if begins {
            session.holders.insert(key.task_id);
        } else {
            session.holders.remove(&key.task_id);
        }
        let class = self.classes.entry(tracked.class.clone()).or_default();
        class.running = change(class.running);
        self.change_tenant(&key.workspace, |tenant| tenant.running = change(tenant.running));
        self.expose_session(&tracked.session, Some((key, tracked)));
        self.expose_class(&tracked.class);
    }

    /// Keeps the session's first due task in its class while no attempt of the session lives. `moved` is a
    /// task that is about to enter or has just left the map of tasks.
    fn expose_session(&mut self, name: &Named, moved: Option<(&StreamKey, &Tracked)>) {
        let Some(session) = self.sessions.get_mut(name) else { return };
        let first = if session.holders.is_empty() { session.waiting.first().copied() } else { None };
        let old = std::mem::replace(&mut session.exposed, first);
        if session.holders.is_empty() && session.waiting.is_empty() {
            self.sessions.remove(name);
        }
        if old == first {
            return;
        }
        for (rank, enters) in [(old, false), (first, true)] {
            let Some(rank) = rank else { continue };
            let key = StreamKey { workspace: name.0.clone(), task_id: rank.2 };
            let place = match moved {
                Some((moved, tracked)) if *moved == key => Some(tracked),
                _ => self.tasks.get(&key),
            };
            let Some((class, needs)) = place.map(|tracked| (tracked.class.clone(), tracked.needs.clone()))
            else {
                continue;
            };
            let line = self.classes.entry(class.clone()).or_default().by_needs.entry(needs).or_default();
            if enters {
                line.waiting.insert(rank);
            } else {
                line.waiting.remove(&rank);
            }
            self.expose_class(&class);
        }
    }

    /// Keeps the first of the class, per needs, ready in its workspace while the class has room.
    fn expose_class(&mut self, name: &Named) {
        let limit = self.limit(name);
        let Some(class) = self.classes.get_mut(name) else { return };
        let has_room = class.running < limit;
        let mut changes = Vec::new();
        for (needs, line) in &mut class.by_needs {
            let first = if has_room { line.waiting.first().copied() } else { None };
            let old = std::mem::replace(&mut line.exposed, first);
            if old != first {
                changes.push((needs.clone(), old, first));
            }
        }
        class.by_needs.retain(|_, line| !line.waiting.is_empty());
        if class.running == 0 && class.by_needs.is_empty() {
            self.classes.remove(name);
        }
        if changes.is_empty() {
            return;
        }
        self.change_tenant(&name.0, |tenant| {
            for (needs, old, first) in changes {
                let ready = tenant.ready.entry(needs.clone()).or_default();
                if let Some(old) = old {
                    ready.remove(&old);
                }
                ready.extend(first);
                if ready.is_empty() {
                    tenant.ready.remove(&needs);
                }
            }
        });
    }

    /// Changes a workspace's figures and keeps its places in the fair order in step.
    fn change_tenant(&mut self, workspace: &Arc<str>, change: impl FnOnce(&mut Tenant)) {
        let tenant = self.tenants.entry(workspace.clone()).or_default();
        let place = |tenant: &Tenant| (tenant.running, tenant.last_turn, workspace.clone());
        let before = place(tenant);
        for needs in tenant.ready.keys() {
            if let Some(turns) = self.turns.get_mut(needs) {
                turns.remove(&before);
                if turns.is_empty() {
                    self.turns.remove(needs);
                }
            }
        }
        change(tenant);
        let after = place(tenant);
        for needs in tenant.ready.keys() {
            self.turns.entry(needs.clone()).or_default().insert(after.clone());
        }
    }

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
        self.expose_class(&name);
    }

    pub(super) fn hold_class(&mut self, workspace: &str, instance_key: &str, reason: Option<WaitingReason>) {
        let name: Named = (workspace.into(), instance_key.into());
        match reason {
            Some(reason) => self.held_classes.insert(name.clone(), reason),
            None => self.held_classes.remove(&name),
        };
        self.expose_class(&name);
    }

    pub(super) fn hold_task(&mut self, key: &StreamKey, reason: Option<WaitingReason>) {
        if self.held.get(key) == reason.as_ref() {
            return;
        }
        let tracked = self.tasks.remove(key);
        if let Some(tracked) = &tracked {
            self.withdraw(key, tracked);
        }
        match reason {
            Some(reason) => self.held.insert(key.clone(), reason),
            None => self.held.remove(key),
        };
        if let Some(tracked) = tracked {
            self.insert(key.clone(), tracked);
        }
    }

    /// Moves every delayed task that is due into its session.
    pub(super) fn release_due(&mut self, now: DateTime<Utc>) {
        while self.delayed.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, key)) = self.delayed.pop_first() else { return };
            let Some(mut tracked) = self.tasks.remove(&key) else { continue };
            if let Some(queued) = &mut tracked.queued {
                queued.due = true;
            }
            if let Some(queued) = &tracked.queued {
                self.enqueue(&key, &tracked, queued);
            }
            self.tasks.insert(key, tracked);
        }
    }

    pub(super) fn pick_one(&mut self, offer: &WorkerOffer) -> Option<Pick> {
        let workspace = self.next_tenant(offer)?;
        let ready = self.tenants.get(&workspace)?.ready.iter().filter(|(needs, _)| needs.met_by(offer));
        let rank = *ready.filter_map(|(_, ranks)| ranks.first()).min()?;
        self.turn += 1;
        let turn = self.turn;
        self.change_tenant(&workspace, |tenant| tenant.last_turn = turn);
        let key = StreamKey { workspace, task_id: rank.2 };
        let run_id = self.reserve(&key, true)?;
        Some(Pick { workspace: key.workspace, task_id: key.task_id, run_id })
    }

    /// The workspace whose turn it is, of those that have something for the worker and that it may serve.
    fn next_tenant(&self, offer: &WorkerOffer) -> Option<Arc<str>> {
        let fitting = self.turns.iter().filter(|(needs, _)| needs.met_by(offer));
        match &offer.reach {
            Reach::All => fitting.filter_map(|(_, turns)| turns.first()).min(),
            // Few of possibly many workspaces: each looks up its own place.
            Reach::Only(workspaces) => {
                let reached: Vec<Turn> = workspaces
                    .iter()
                    .filter_map(|name| self.tenants.get_key_value(name.as_str()))
                    .map(|(name, tenant)| (tenant.running, tenant.last_turn, name.clone()))
                    .collect();
                fitting.filter_map(|(_, turns)| reached.iter().filter_map(|turn| turns.get(turn)).min()).min()
            }
        }
        .map(|(_, _, workspace)| workspace.clone())
    }

    pub(super) fn unreserve(&mut self, key: &StreamKey) {
        self.reserve(key, false);
    }

    /// Sets or clears a reservation; the run it is about when that changed anything.
    fn reserve(&mut self, key: &StreamKey, reserved: bool) -> Option<RunId> {
        let queued = self.tasks.get(key)?.queued.as_ref()?;
        if queued.reserved == reserved {
            return None;
        }
        let run_id = queued.run_id;
        let mut tracked = self.tasks.remove(key)?;
        self.withdraw(key, &tracked);
        if let Some(queued) = &mut tracked.queued {
            queued.reserved = reserved;
        }
        self.insert(key.clone(), tracked);
        Some(run_id)
    }

    pub(super) fn next_due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // Skipping entries due already: tasks are ordered within one instant, so step over it.
        let after = now.checked_add_signed(Duration::nanoseconds(1))?;
        let first = StreamKey { workspace: "".into(), task_id: TaskId(uuid::Uuid::nil()) };
        self.delayed.range((after, first)..).next().map(|(due, _)| *due)
    }

    pub(super) fn needs_of_queued(&self, key: &StreamKey) -> Option<Arc<Needs>> {
        self.tasks.get(key).filter(|tracked| tracked.queued.is_some()).map(|tracked| tracked.needs.clone())
    }

    /// The reasons that hold a queued task back, apart from missing workers.
    pub(super) fn reasons(&self, key: &StreamKey) -> Vec<WaitingReason> {
        let Some((tracked, queued)) =
            self.tasks.get(key).and_then(|tracked| Some((tracked, tracked.queued.as_ref()?)))
        else {
            return Vec::new();
        };
        if queued.reserved {
            return vec![WaitingReason::BeingLeased];
        }
        let mut reasons: Vec<_> = self.held.get(key).cloned().into_iter().collect();
        if let Some(until) = queued.available_at.filter(|_| !queued.due) {
            reasons.push(WaitingReason::RetryDelay { until });
        }
        let session = self.sessions.get(&tracked.session);
        let holder = session.and_then(|session| session.holders.first());
        if let Some(holder) = holder {
            reasons.push(WaitingReason::SessionBusy { task_id: *holder });
        } else if let Some(before) = tracked.runs_after.as_ref().filter(|_| queued.held) {
            reasons.push(WaitingReason::SessionBusy { task_id: before.task_id });
        }
        let limit = self.limit(&tracked.class);
        let class = self.classes.get(&tracked.class);
        let running = class.map_or(0, |class| class.running);
        if let Some(held) = self.held_classes.get(&tracked.class) {
            reasons.push(held.clone());
        } else if running >= limit {
            reasons.push(WaitingReason::ClassFull { running, limit });
        }
        if self.held.contains_key(key) || self.held_classes.contains_key(&tracked.class) {
            return reasons;
        }
        // The first entry of each level, up to the level it reaches.
        let mut before =
            session.and_then(|session| session.waiting.first()).filter(|_| queued.due && !queued.held);
        let is_first = |before: Option<&Rank>| before == Some(&queued.rank);
        if is_first(before) && holder.is_none() {
            let line = class.and_then(|class| class.by_needs.get(&tracked.needs));
            before = line.and_then(|line| line.waiting.first());
            if is_first(before) && running < limit {
                let tenant = self.tenants.get(&key.workspace);
                before = tenant.and_then(|tenant| tenant.ready.get(&tracked.needs)).and_then(BTreeSet::first);
            }
        }
        if let Some(before) = before.filter(|before| **before != queued.rank) {
            reasons.push(WaitingReason::BehindOthers { task_id: before.2 });
        }
        reasons
    }

    pub(super) fn depth(&self) -> Depth {
        Depth { queued: self.queued, delayed: self.delayed.len(), running: self.running }
    }

    pub(super) fn ready_needs(&self) -> BTreeSet<Needs> {
        self.turns.keys().map(|needs| needs.as_ref().clone()).collect()
    }
}
