//! The levels an entry moves through: session, class, workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use super::super::Needs;
use super::ranked::Ranked;
use super::record::Rank;
use crate::id::{TaskId, derived};
use crate::slab::Keyed;

/// A class of a workspace.
pub(super) type Named = (Arc<str>, Arc<str>);

/// A place in the fair order: live attempts, last turn, workspace.
pub(super) type Turn = (u32, u64, Arc<str>);

/// The name of a session: the number of its workspace, and sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionName {
    tenant: u32,
    /// The id of the task whose own session it is; otherwise a digest.
    name: Uuid,
}

impl SessionName {
    /// Names the session of this id. That of a task that was accepted without one is the task's id.
    pub(super) fn new(tenant: u32, session_id: &str) -> Self {
        let task_id = Uuid::try_parse(session_id).ok();
        let mut text = Uuid::encode_buffer();
        let task_id = task_id.filter(|id| *id.hyphenated().encode_lower(&mut text) == *session_id);
        Self { tenant, name: task_id.unwrap_or_else(|| derived(&["matching-session", session_id])) }
    }

    /// The task whose own session it is, if there is such a task.
    pub(super) fn owner(&self) -> TaskId {
        TaskId(self.name)
    }
}

/// A session that tasks of the index belong to, except one that a single task has for itself.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) name: SessionName,
    /// Tasks of the index that belong to it.
    pub(super) members: u32,
    /// The task it exposes to its class.
    pub(super) exposed: Option<u32>,
    /// By their ids.
    pub(super) holders: Ranked,
    /// By their ranks.
    pub(super) waiting: Ranked,
}

impl Session {
    pub(super) fn new(name: SessionName) -> Self {
        Self { name, members: 0, exposed: None, holders: Ranked::default(), waiting: Ranked::default() }
    }
}

impl Keyed for Session {
    type Key = SessionName;

    fn key(&self) -> &SessionName {
        &self.name
    }
}

/// A class that has tasks in the index.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) name: Named,
    /// The number of its workspace.
    pub(super) tenant: u32,
    /// Tasks of the index that belong to it.
    pub(super) members: u32,
    pub(super) running: u32,
    pub(super) by_needs: BTreeMap<Arc<Needs>, Line>,
}

impl Keyed for Class {
    type Key = Named;

    fn key(&self) -> &Named {
        &self.name
    }
}

/// The first tasks of sessions of a class that have the same needs.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) waiting: Ranked,
    pub(super) exposed: Option<u32>,
}

/// A workspace.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) name: Arc<str>,
    pub(super) running: u32,
    pub(super) last_turn: u64,
    /// The first of each class, with the numbers of the tasks.
    pub(super) ready: BTreeMap<Arc<Needs>, BTreeSet<(Rank, u32)>>,
}

impl Tenant {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, running: 0, last_turn: 0, ready: BTreeMap::new() }
    }

    /// Its place in the fair order.
    pub(super) fn turn(&self) -> Turn {
        (self.running, self.last_turn, Arc::clone(&self.name))
    }
}
