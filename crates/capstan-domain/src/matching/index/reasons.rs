//! The reasons a queued task is not picked.

use std::sync::Arc;

use super::super::{Needs, StreamKey, WaitingReason};
use super::Index;
use super::record::{SessionOf, Tracked};
use crate::id::TaskId;

impl Index {
    pub(in super::super) fn needs_of_queued(&self, key: &StreamKey) -> Option<Arc<Needs>> {
        let (_, tracked) = self.queued_task(key)?;
        Some(Arc::clone(&tracked.needs))
    }

    fn queued_task(&self, key: &StreamKey) -> Option<(u32, &Tracked)> {
        let number = self.tasks.number(&self.known_name(key)?)?;
        Some((number, self.tasks.get(number).filter(|tracked| tracked.queued().is_some())?))
    }

    fn id(&self, number: u32) -> Option<TaskId> {
        self.tasks.get(number).map(|tracked| tracked.key.task_id)
    }

    /// The reasons that hold a queued task back, apart from missing workers.
    pub(in super::super) fn reasons(&self, key: &StreamKey) -> Vec<WaitingReason> {
        let Some((number, tracked)) = self.queued_task(key) else { return Vec::new() };
        let Some(queued) = tracked.queued() else { return Vec::new() };
        if queued.reserved {
            return vec![WaitingReason::BeingLeased];
        }
        let held = self.held.get(&tracked.key);
        let mut reasons: Vec<_> = held.cloned().into_iter().collect();
        if let Some(until) = queued.available_at.filter(|_| !queued.due) {
            reasons.push(WaitingReason::RetryDelay { until: until.time() });
        }
        // The tasks that hold its session and wait in it first; of its own session that can only be the task itself.
        let (holder, first) = match tracked.session {
            SessionOf::Own => (tracked.holds().then_some(number), Some(number)),
            SessionOf::Shared(session) => self
                .sessions
                .get(session)
                .map_or((None, None), |session| (session.holders.first(), session.waiting.first())),
        };
        let holder = holder.and_then(|holder| self.id(holder));
        if let Some(task_id) = holder {
            reasons.push(WaitingReason::SessionBusy { task_id });
        } else if let Some(before) = self.before.get(&number).filter(|_| queued.held) {
            reasons.push(WaitingReason::SessionBusy { task_id: before.task_id });
        }
        let Some(class) = self.classes.get(tracked.class) else { return reasons };
        let (limit, running) = (self.limit(&class.name), class.running);
        let held_class = self.held_classes.get(&class.name);
        if let Some(held) = held_class {
            reasons.push(held.clone());
        } else if running >= limit {
            reasons.push(WaitingReason::ClassFull { running, limit });
        }
        if held.is_some() || held_class.is_some() {
            return reasons;
        }
        // The first entry of each level, up to the level it reaches.
        let mut before = first.filter(|_| queued.due && !queued.held);
        if before == Some(number) && holder.is_none() {
            before = class.by_needs.get(&tracked.needs).and_then(|line| line.waiting.first());
            if before == Some(number) && running < limit {
                let tenant = self.tenants.get(tracked.key.tenant as usize);
                let ready = tenant.and_then(|tenant| tenant.ready.get(&tracked.needs)?.first());
                before = ready.map(|(_, number)| *number);
            }
        }
        if let Some(task_id) = before.filter(|before| *before != number).and_then(|before| self.id(before)) {
            reasons.push(WaitingReason::BehindOthers { task_id });
        }
        reasons
    }
}
