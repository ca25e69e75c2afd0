//! The workers this engine knows.

use std::collections::{HashMap, VecDeque};

use capstan_contract::command::RegisterWorker;
use capstan_domain::id::WorkerId;
use capstan_domain::matching::{Capabilities, Reach, WorkerOffer};
use capstan_domain::span::later;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use crate::protocol::{WorkerStatus, WorkerView};

/// A worker that has been silent for this number of leases is forgotten.
const FORGOTTEN_AFTER_LEASES: i64 = 20;

/// The offer of a worker that lists nothing.
const RUNTIMES: [&str; 2] = ["gvisor", "runc"];
const ACCESS: [&str; 3] = ["none", "ro", "rw"];

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) offer: WorkerOffer,
    pub(super) registered: RegisterWorker,
    pub(super) last_seen_at: DateTime<Utc>,
    pub(super) is_draining: bool,
    pub(super) attempts: u32,
    /// Attempts that were leased to it after its request was answered.
    pub(super) owed: VecDeque<Box<RawValue>>,
}

#[derive(Debug, Default)]
pub(super) struct Workers {
    known: HashMap<WorkerId, Worker>,
}

impl Workers {
    pub(super) fn register(
        &mut self,
        worker_id: WorkerId,
        worker: RegisterWorker,
        reach: Reach,
        now: DateTime<Utc>,
    ) -> WorkerOffer {
        let or_all = |claimed: &[String], all: &[&str]| {
            if claimed.is_empty() {
                all.iter().map(|name| (*name).to_owned()).collect()
            } else {
                claimed.to_vec()
            }
        };
        let claimed = &worker.capabilities;
        let offer = WorkerOffer {
            worker_id,
            pools: worker.pools.clone(),
            capabilities: Capabilities {
                runtimes: or_all(&claimed.runtimes, &RUNTIMES),
                network_isolation: claimed.network_isolation,
                workspace_access: or_all(&claimed.workspace_access, &ACCESS),
                tools: claimed.tools.clone(),
            },
            reach,
        };
        let worker = Worker {
            offer: offer.clone(),
            registered: worker,
            last_seen_at: now,
            is_draining: false,
            attempts: 0,
            owed: VecDeque::new(),
        };
        self.known.insert(worker_id, worker);
        offer
    }

    pub(super) fn get(&self, worker_id: WorkerId) -> Option<&Worker> {
        self.known.get(&worker_id)
    }

    /// True when a caller of this reach may act for the worker. An unknown worker has nothing to protect.
    pub(super) fn is_reached(&self, worker_id: WorkerId, reach: &Reach) -> bool {
        self.known.get(&worker_id).is_none_or(|worker| reach.covers(&worker.offer.reach))
    }

    pub(super) fn get_mut(&mut self, worker_id: WorkerId) -> Option<&mut Worker> {
        self.known.get_mut(&worker_id)
    }

    pub(super) fn count_attempt(&mut self, worker_id: WorkerId, begins: bool) {
        if let Some(worker) = self.known.get_mut(&worker_id) {
            worker.attempts =
                if begins { worker.attempts.saturating_add(1) } else { worker.attempts.saturating_sub(1) };
        }
    }

    pub(super) fn views(&self, now: DateTime<Utc>, lease_ms: i64) -> Vec<WorkerView> {
        let mut views: Vec<_> =
            self.known.iter().map(|(id, worker)| worker.view(*id, now, lease_ms)).collect();
        views.sort_by(|a, b| (&a.name, a.worker_id).cmp(&(&b.name, b.worker_id)));
        views
    }

    /// Forgets workers that are gone; the ids of those that fell silent and so offer nothing.
    pub(super) fn sweep(&mut self, now: DateTime<Utc>, lease_ms: i64) -> Vec<WorkerId> {
        let patience_ms = lease_ms.saturating_mul(FORGOTTEN_AFTER_LEASES);
        self.known.retain(|_, worker| later(worker.last_seen_at, patience_ms) > now);
        self.known.iter().filter(|(_, worker)| worker.is_deaf(now, lease_ms)).map(|(id, _)| *id).collect()
    }
}

impl Worker {
    fn is_deaf(&self, now: DateTime<Utc>, lease_ms: i64) -> bool {
        later(self.last_seen_at, lease_ms) < now
    }

    fn view(&self, worker_id: WorkerId, now: DateTime<Utc>, lease_ms: i64) -> WorkerView {
        let status = if self.is_deaf(now, lease_ms) {
            WorkerStatus::Deaf
        } else if self.is_draining {
            WorkerStatus::Draining
        } else {
            WorkerStatus::Active
        };
        WorkerView {
            worker_id,
            name: self.registered.name.clone(),
            pools: self.registered.pools.clone(),
            slots: self.registered.slots,
            labels: self.registered.labels.clone(),
            tools: self.registered.capabilities.tools.clone(),
            reach: self.offer.reach.clone(),
            status,
            attempts: self.attempts,
            last_seen_at: self.last_seen_at,
        }
    }
}
