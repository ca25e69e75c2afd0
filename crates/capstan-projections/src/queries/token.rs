//! Reads of tokens.

use capstan_domain::id::TokenId;

use crate::queries::cursor::Page;
use crate::queries::select::{Direction, Select};
use crate::queries::{Item, Listing, QueryError};
use crate::read_models::ReadModels;

impl ReadModels {
    /// A token.
    pub async fn token(&self, workspace: &str, id: TokenId) -> Result<Option<Item>, QueryError> {
        let mut select = Select::of("tokens", workspace, "created_at");
        select.filter("id = ?", id.0);
        select.one(self).await
    }

    /// Tokens, revoked or not, both when that is not said; oldest first.
    pub async fn tokens(
        &self,
        workspace: &str,
        revoked: Option<bool>,
        page: &Page,
    ) -> Result<Listing, QueryError> {
        let mut select = Select::of("tokens", workspace, "created_at");
        select.filter_some("revoked = ?", revoked);
        select.page(self, page, Direction::OldestFirst).await
    }
}
