//! Reads of tokens.

use crate::queries::select::{Query, Select};

/// Tokens, oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenFilter {
    /// Revoked or not; both when absent.
    pub revoked: Option<bool>,
}

impl Query for TokenFilter {
    fn select(&self, workspace: &str) -> Select {
        let mut select = Select::all("tokens", workspace);
        select.filter_some("revoked = ?", self.revoked);
        select
    }
}
