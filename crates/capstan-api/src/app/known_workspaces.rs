//! The workspaces this process has seen.

use std::collections::HashSet;
use std::sync::RwLock;

use capstan_envelope::Workspace;

/// The workspaces known to exist: a workspace is never deleted, so the log need not be read again.
#[derive(Debug, Default)]
pub(crate) struct KnownWorkspaces(RwLock<HashSet<Workspace>>);

impl KnownWorkspaces {
    /// True when the workspace is known to exist.
    pub(crate) fn contains(&self, workspace: &Workspace) -> bool {
        self.0.read().is_ok_and(|known| known.contains(workspace))
    }

    /// Remembers that the workspace exists.
    pub(crate) fn insert(&self, workspace: Workspace) {
        if let Ok(mut known) = self.0.write() {
            known.insert(workspace);
        }
    }
}
