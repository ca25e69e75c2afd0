//! Settings of workspaces, as the log has them.

use std::collections::HashMap;
use std::sync::Arc;

use capstan_contract::WorkspaceCodec;
use capstan_decider::fold;
use capstan_domain::workspace::{Settings, State, Workspace};
use capstan_envelope::{Codec as _, CodecError, Recorded};

/// The workspaces whose settings are known.
#[derive(Debug, Default)]
pub(super) struct Workspaces {
    known: HashMap<Arc<str>, State>,
}

impl Workspaces {
    pub(super) fn settings(&self, workspace: &str) -> Option<&Settings> {
        self.known.get(workspace)?.settings()
    }

    pub(super) fn replace(&mut self, workspace: Arc<str>, state: State) {
        self.known.insert(workspace, state);
    }

    /// Folds a commit; the workspace it is about.
    pub(super) fn commit(&mut self, recorded: &Recorded) -> Result<Arc<str>, CodecError> {
        let events = WorkspaceCodec::decode(&recorded.commit)?;
        let workspace: Arc<str> = recorded.commit.stream.workspace().as_str().into();
        let known = self.known.get(&workspace).cloned().unwrap_or_default();
        self.known.insert(Arc::clone(&workspace), fold::<Workspace>(known, &events));
        Ok(workspace)
    }
}
