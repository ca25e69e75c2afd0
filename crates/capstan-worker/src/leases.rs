//! The leases held by this worker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use capstan_client::{AttemptId, LeasedAttempt, RenewAnswer, RenewStatus, Renewal};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// The state of an attempt's lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LeaseState {
    /// Held and renewed.
    #[default]
    Held,
    /// Held, and the attempt must stop.
    Cancelled {
        /// The reason, for display.
        reason: String,
    },
    /// Lost, or not renewed for its whole duration: stop at once and report nothing.
    Lost,
}

/// The latest hints of the server for an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The state of the lease.
    pub lease: LeaseState,
    /// The number of unclaimed inputs.
    pub inputs_pending: u32,
    /// True when one of them should reach the agent within its turn.
    pub steer: bool,
}

struct Held {
    epoch: u64,
    lease: Duration,
    /// The time of sending the last successful renewal: the lease started at or after it.
    renewed_at: Instant,
    hints: watch::Sender<Hints>,
}

/// All leases of this worker.
#[derive(Clone, Default)]
pub(crate) struct Leases {
    held: Arc<Mutex<HashMap<AttemptId, Held>>>,
    pub(crate) added: Arc<Notify>,
}

impl Leases {
    fn held(&self) -> MutexGuard<'_, HashMap<AttemptId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a lease that was requested at `asked_at`.
    pub(crate) fn add(&self, leased: &LeasedAttempt, asked_at: Instant) -> watch::Receiver<Hints> {
        let (hints, receiver) = watch::channel(Hints::default());
        let lease = Duration::from_millis(u64::try_from(leased.lease_ms).unwrap_or_default().max(1));
        let held = Held { epoch: leased.epoch, lease, renewed_at: asked_at, hints };
        self.held().insert(leased.attempt_id.clone(), held);
        self.added.notify_one();
        receiver
    }

    /// Removes a reported or abandoned attempt.
    pub(crate) fn remove(&self, attempt_id: &AttemptId) {
        self.held().remove(attempt_id);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held().is_empty()
    }

    /// The leases to renew, and the wait of the long poll: a third of the shortest lease.
    pub(crate) fn renewals(&self) -> (Vec<Renewal>, Duration) {
        let held = self.held();
        let renewal = |(id, held): (&AttemptId, &Held)| Renewal { attempt_id: id.clone(), epoch: held.epoch };
        let shortest = held.values().map(|held| held.lease).min().unwrap_or(Duration::from_secs(30));
        (held.iter().map(renewal).collect(), shortest / 3)
    }

    /// Applies the responses to renewals sent at `sent_at`.
    pub(crate) fn renewed(&self, answers: &[RenewAnswer], sent_at: Instant) {
        let mut held = self.held();
        for answer in answers {
            let Some(held) = held.get_mut(&answer.attempt_id) else { continue };
            if answer.status != RenewStatus::Lost {
                held.renewed_at = held.renewed_at.max(sent_at);
            }
            let lease = match answer.status {
                RenewStatus::Ok => LeaseState::Held,
                RenewStatus::Cancel => LeaseState::Cancelled {
                    reason: answer.reason.clone().unwrap_or_else(|| "cancelled".to_owned()),
                },
                RenewStatus::Lost => LeaseState::Lost,
            };
            hint(&held.hints, Hints { lease, inputs_pending: answer.inputs_pending, steer: answer.steer });
        }
    }

    /// Marks leases as lost that were not renewed for their whole duration: another worker may hold them.
    pub(crate) fn expire(&self, now: Instant) {
        for held in self.held().values() {
            if now.saturating_duration_since(held.renewed_at) >= held.lease {
                hint(&held.hints, Hints { lease: LeaseState::Lost, ..Hints::default() });
            }
        }
    }
}

/// Updates the hints of an attempt; a lost lease stays lost, and a cancelled attempt stays cancelled.
fn hint(hints: &watch::Sender<Hints>, new: Hints) {
    hints.send_if_modified(|hints| {
        let is_later = match (&hints.lease, &new.lease) {
            (LeaseState::Lost, _) => false,
            (LeaseState::Cancelled { .. }, state) => *state == LeaseState::Lost,
            (LeaseState::Held, _) => *hints != new,
        };
        if is_later {
            *hints = new;
        }
        is_later
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::leased;

    fn answer(status: RenewStatus, inputs_pending: u32) -> RenewAnswer {
        RenewAnswer {
            attempt_id: leased().attempt_id,
            status,
            reason: None,
            inputs_pending,
            waiting: false,
            steer: false,
        }
    }

    #[test]
    fn a_lease_that_is_not_renewed_in_time_is_lost_and_stays_lost() {
        let (leases, start) = (Leases::default(), Instant::now());
        let hints = leases.add(&leased(), start);
        leases.renewed(&[answer(RenewStatus::Ok, 0)], start + Duration::from_secs(10));
        leases.expire(start + Duration::from_secs(39));
        assert_eq!(hints.borrow().lease, LeaseState::Held);
        leases.expire(start + Duration::from_secs(40));
        assert_eq!(hints.borrow().lease, LeaseState::Lost);
        leases.renewed(&[answer(RenewStatus::Ok, 0)], start + Duration::from_secs(41));
        assert_eq!(hints.borrow().lease, LeaseState::Lost);
    }

    #[test]
    fn a_cancelled_attempt_is_not_told_to_go_on() {
        let leases = Leases::default();
        let hints = leases.add(&leased(), Instant::now());
        leases.renewed(&[answer(RenewStatus::Cancel, 0)], Instant::now());
        leases.renewed(&[answer(RenewStatus::Ok, 3)], Instant::now());
        assert_eq!(hints.borrow().lease, LeaseState::Cancelled { reason: "cancelled".into() });
    }

    #[test]
    fn pending_inputs_reach_the_attempt_and_a_third_of_the_lease_is_waited() {
        let leases = Leases::default();
        let mut hints = leases.add(&leased(), Instant::now());
        assert_eq!(leases.renewals().1, Duration::from_secs(10));
        leases.renewed(&[answer(RenewStatus::Ok, 2)], Instant::now());
        assert!(hints.has_changed().unwrap());
        assert_eq!(hints.borrow_and_update().inputs_pending, 2);
        leases.remove(&leased().attempt_id);
        assert!(leases.is_empty());
    }
}
