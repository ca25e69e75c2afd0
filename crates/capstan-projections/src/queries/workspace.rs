//! Reads of workspaces.

use crate::queries::select::{Query, Select};

/// The workspace itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisWorkspace;

impl Query for ThisWorkspace {
    fn select(&self, workspace: &str) -> Select {
        Select::all("workspaces", workspace)
    }
}
