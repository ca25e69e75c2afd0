//! What is under way about a task: its orders and loads, and the pause after a failure.

use chrono::{DateTime, Utc};

use super::effect::Order;
use super::outcome::{Loaded, Settled};
use super::retry::{after_failure, parked};

/// What is under way about a task.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Orders and loads under way.
    under_way: u32,
    /// Leases among them, the one to be repeated included.
    leases: u32,
    /// A lease whose fate is unknown. Its task stays reserved until a repeat is answered: given to no other worker,
    /// and no other task of its session either.
    retry: Option<Box<Order>>,
    /// A lease that was refused: perhaps it, or an earlier try of it, is what made the view stale.
    refused: Option<Box<Order>>,
    /// An order was refused: this view of the task is stale.
    is_doubtful: bool,
    /// The load under way is for a step that needs the whole task.
    is_for_step: bool,
    /// After a failure: nothing before this instant.
    not_before: Option<DateTime<Utc>>,
    failures: u32,
}

impl Work {
    /// True when nothing is left of it.
    pub(super) fn is_over(&self) -> bool {
        let Self { under_way, leases, retry, refused, is_doubtful, is_for_step, not_before, failures } = self;
        let counts = [*under_way, *leases, *failures];
        let is_open = retry.is_some() || refused.is_some() || not_before.is_some();
        counts == [0; 3] && !is_open && !is_doubtful && !is_for_step
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    pub(super) fn is_leasing(&self) -> bool {
        self.leases > 0
    }

    pub(super) fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    pub(super) fn has_retry(&self) -> bool {
        self.retry.is_some()
    }

    /// True when no pause and no lease to be repeated keeps a load back.
    pub(super) fn may_load(&self) -> bool {
        self.failures == 0 && self.retry.is_none()
    }

    pub(super) fn after_pause(&self, due: DateTime<Utc>) -> DateTime<Utc> {
        self.not_before.map_or(due, |not_before| due.max(not_before))
    }

    pub(super) fn is_paused(&self) -> bool {
        self.not_before.is_some()
    }

    pub(super) fn end_pause(&mut self) {
        if self.retry.is_none() {
            self.not_before = None;
        }
    }

    /// Begins an order.
    pub(super) fn begin(&mut self, is_lease: bool) {
        self.under_way += 1;
        self.leases += u32::from(is_lease);
    }

    /// Begins the lease that is to be repeated, if there is one.
    pub(super) fn begin_retry(&mut self) -> Option<Order> {
        let order = self.retry.take()?;
        self.under_way += 1;
        Some(*order)
    }

    /// Begins a load; false while anything else is under way.
    pub(super) fn begin_load(&mut self, is_for_step: bool) -> bool {
        if self.under_way > 0 {
            return false;
        }
        self.is_for_step = is_for_step;
        self.is_doubtful = false;
        self.under_way = 1;
        true
    }

    /// Ends an order or a load.
    pub(super) fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Ends a pause after a success.
    pub(super) fn resumed(&mut self) {
        self.failures = 0;
        self.not_before = None;
    }

    pub(super) fn failed(&mut self, now: DateTime<Utc>, is_retryable: bool) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(after_failure(now, self.failures, is_retryable));
    }

    pub(super) fn settled(&mut self, order: &Order, outcome: &Settled, may_repeat: bool, now: DateTime<Utc>) {
        match outcome {
            Settled::Decided { events, .. } => {
                self.failures = 0;
                self.leases -= u32::from(order.is_lease() && self.leases > 0);
                self.not_before = (events.is_empty() && !may_repeat).then(|| parked(now));
            }
            Settled::Refused => {
                self.failures = 0;
                self.leases -= u32::from(order.is_lease() && self.leases > 0);
                self.is_doubtful = true;
                self.refused = order.is_lease().then(|| Box::new(order.clone()));
            }
            Settled::Failed { is_retryable } => {
                self.failed(now, *is_retryable);
                if order.is_lease() {
                    self.leases = self.leases.saturating_sub(u32::from(self.retry.is_some()));
                    self.retry = Some(Box::new(Order { request: None, ..order.clone() }));
                }
            }
        }
    }

    /// Notes the outcome of a load; the lease that was refused before it, if one was.
    pub(super) fn loaded(&mut self, outcome: &Loaded, now: DateTime<Utc>) -> Option<Box<Order>> {
        self.end();
        let was_for_step = std::mem::take(&mut self.is_for_step);
        match outcome {
            // The step that follows may fail as the one before it: its pauses grow.
            Loaded::State { .. } if was_for_step => None,
            Loaded::State { .. } => {
                self.resumed();
                self.refused.take()
            }
            Loaded::Failed { is_retryable } => {
                self.is_doubtful = true;
                self.failed(now, *is_retryable);
                None
            }
        }
    }
}
