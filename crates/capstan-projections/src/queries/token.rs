//! Reads of tokens.

use capstan_domain::id::TokenId;

use crate::queries::select::{Query, Select};

const TABLE: &str = "tokens";

/// Tokens, oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenFilter {
    /// Revoked or not; both when absent.
    pub revoked: Option<bool>,
}

impl Query for TokenFilter {
    fn select(&self, workspace: &str) -> Select {
        let mut select = Select::all(TABLE, workspace);
        select.filter_some("revoked = ?", self.revoked);
        select
    }
}

impl Query for TokenId {
    fn select(&self, workspace: &str) -> Select {
        Select::by_id(TABLE, workspace, self.0)
    }
}
