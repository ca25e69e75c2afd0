//! How an entry moves through the levels: each exposes its first to the next.

use std::sync::Arc;

use super::Index;
use super::levels::{Session, Tenant};
use super::record::{Rank, SessionOf, Tracked};
use crate::slab::Slab;

/// The order of waiting tasks.
fn by_rank(tasks: &Slab<Tracked>, config: super::Config) -> impl Fn(u32, u32) -> std::cmp::Ordering {
    move |a, b| {
        let rank = |number| tasks.get(number).and_then(|tracked| tracked.rank(config));
        rank(a).cmp(&rank(b))
    }
}

/// The order of tasks that hold their session.
fn by_id(tasks: &Slab<Tracked>) -> impl Fn(u32, u32) -> std::cmp::Ordering {
    move |a, b| {
        let id = |number| tasks.get(number).map(|tracked| tracked.key.task_id);
        id(a).cmp(&id(b))
    }
}

impl Index {
    pub(super) fn enqueue(&mut self, number: u32) {
        self.queue(number, true);
    }

    pub(super) fn dequeue(&mut self, number: u32) {
        self.queue(number, false);
    }

    /// Puts a task that waits to where it stands, or takes it from there: among the delayed, into its session, or
    /// nowhere while it is held.
    fn queue(&mut self, number: u32, enters: bool) {
        let Some(tracked) = self.tasks.get(number) else { return };
        let Some(queued) = tracked.queued().filter(|_| !self.held.contains_key(&tracked.key)) else { return };
        match queued.available_at {
            Some(available_at) if !queued.due && enters => drop(self.delayed.insert((available_at, number))),
            Some(available_at) if !queued.due => drop(self.delayed.remove(&(available_at, number))),
            _ if queued.held => {}
            _ => match tracked.session {
                SessionOf::Own if tracked.standing.live => {}
                SessionOf::Own => {
                    let class = tracked.class;
                    self.line_up(number, enters);
                    self.expose_class(class);
                }
                SessionOf::Shared(session) => {
                    if let Some(session) = self.sessions.get_mut(session) {
                        let order = by_rank(&self.tasks, self.config);
                        if enters {
                            session.waiting.insert(number, order);
                        } else {
                            session.waiting.remove(number, order);
                        }
                    }
                    self.expose_session(session);
                }
            },
        }
    }

    /// Counts a live or reserved attempt in, or out.
    pub(super) fn hold(&mut self, number: u32, begins: bool) {
        let change = |count: u32| if begins { count.saturating_add(1) } else { count.saturating_sub(1) };
        let Some(tracked) = self.tasks.get(number) else { return };
        let (session_of, class_number, tenant) = (tracked.session, tracked.class, tracked.key.tenant);
        self.running = if begins { self.running + 1 } else { self.running.saturating_sub(1) };
        if let SessionOf::Shared(session) = session_of
            && let Some(session) = self.sessions.get_mut(session)
        {
            if begins {
                session.holders.insert(number, by_id(&self.tasks));
            } else {
                session.holders.remove(number, by_id(&self.tasks));
            }
        }
        if let Some(class) = self.classes.get_mut(class_number) {
            class.running = change(class.running);
        }
        self.change_tenant(tenant, |tenant| tenant.running = change(tenant.running));
        if let SessionOf::Shared(session) = session_of {
            self.expose_session(session);
        }
        self.expose_class(class_number);
    }

    /// Keeps the session's first due task in its class while no attempt of the session lives.
    fn expose_session(&mut self, number: u32) {
        let Some(session) = self.sessions.get_mut(number) else { return };
        let Session { holders, waiting, exposed, .. } = session;
        let first = if holders.is_empty() { waiting.first() } else { None };
        let old = std::mem::replace(exposed, first);
        if old == first {
            return;
        }
        for (task, enters) in [(old, false), (first, true)] {
            if let Some(task) = task {
                self.line_up(task, enters);
            }
        }
        for task in [old, first].into_iter().flatten() {
            if let Some(class) = self.tasks.get(task).map(|tracked| tracked.class) {
                self.expose_class(class);
            }
        }
    }

    /// Puts a task that no session holds back into the line of its class, or takes it from there.
    fn line_up(&mut self, number: u32, enters: bool) {
        let Some(tracked) = self.tasks.get(number) else { return };
        let Some(class) = self.classes.get_mut(tracked.class) else { return };
        let line = class.by_needs.entry(Arc::clone(&tracked.needs)).or_default();
        let order = by_rank(&self.tasks, self.config);
        if enters {
            line.waiting.insert(number, order);
        } else {
            line.waiting.remove(number, order);
        }
    }

    /// Keeps the first of the class, per needs, ready in its workspace while the class has room.
    pub(super) fn expose_class(&mut self, number: u32) {
        let Some(limit) = self.classes.get(number).map(|class| self.limit(&class.name)) else { return };
        let Some(class) = self.classes.get_mut(number) else { return };
        let has_room = class.running < limit;
        let tenant = class.tenant;
        let rank = |task: Option<u32>| -> Option<(Rank, u32)> {
            let task = task?;
            Some((self.tasks.get(task)?.rank(self.config)?, task))
        };
        let mut changes = Vec::new();
        for (needs, line) in &mut class.by_needs {
            let first = if has_room { line.waiting.first() } else { None };
            let old = std::mem::replace(&mut line.exposed, first);
            if old != first {
                changes.push((Arc::clone(needs), rank(old), rank(first)));
            }
        }
        class.by_needs.retain(|_, line| !line.waiting.is_empty());
        if changes.is_empty() {
            return;
        }
        self.change_tenant(tenant, |tenant| {
            for (needs, old, first) in changes {
                let ready = tenant.ready.entry(Arc::clone(&needs)).or_default();
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
    pub(super) fn change_tenant(&mut self, number: u32, change: impl FnOnce(&mut Tenant)) {
        let Some(tenant) = self.tenants.get_mut(number as usize) else { return };
        let before = tenant.turn();
        for needs in tenant.ready.keys() {
            if let Some(turns) = self.turns.get_mut(needs) {
                turns.remove(&before);
                if turns.is_empty() {
                    self.turns.remove(needs);
                }
            }
        }
        change(tenant);
        let after = tenant.turn();
        for needs in tenant.ready.keys() {
            self.turns.entry(Arc::clone(needs)).or_default().insert(after.clone());
        }
    }
}
