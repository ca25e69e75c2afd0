//! The commands of a token: issue and revoke.

use capstan_contract::query::{ListTokens, Page};
use capstan_domain::id::TokenId;
use capstan_domain::token::{Command, IssueToken, NewToken, RevokeToken};
use capstan_envelope::Workspace;
use capstan_projections::TokenFilter;

use super::answer::Answer;
use super::execute::{Execute, decide_and_show};
use super::streams;
use crate::App;
use crate::answered::Answered;
use crate::auth::bearer::mint;
use crate::call::CallContext;
use crate::problem::{Code, Problem};
use crate::receipt::{Reply, Success};

/// The secret is generated here, returned in this one answer and not stored.
impl Execute for IssueToken {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        if call.answer_is_kept {
            let detail =
                "a durable command's answer is stored, and a secret must not be: use HTTP or capstan.rpc";
            return Err(Problem::new(Code::Forbidden, detail));
        }
        let key = call.key();
        let token_id = call.keyed_id(key.as_ref(), |key| TokenId::from_key(workspace.as_str(), key));
        let stream = streams::token(workspace, token_id)?;
        let context = call.command(&stream, key.as_ref(), &self);
        let minted = mint(workspace, token_id);
        let new = NewToken {
            token_id,
            workspace: workspace.to_string(),
            secret_hash: minted.secret_hash,
            last_four: minted.last_four,
        };
        let command = Command::Issue(self, new);
        let shown = call.shows(app.reads.one(workspace, &token_id));
        let tokens = &app.dispatch.tokens;
        let mut reply =
            decide_and_show(app, tokens, &stream, command, &context, Success::Created, shown).await?;
        // A repeat generated another secret, which is not valid; the first one is no longer known.
        reply.secret = (!reply.receipt.duplicate).then_some(minted.secret);
        Ok(reply)
    }
}

impl Execute for RevokeToken {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let token_id = self.token_id;
        let shown = call.shows(app.reads.one(workspace, &token_id));
        let stream = streams::token(workspace, self.token_id)?;
        let context = call.command(&stream, call.key().as_ref(), &self);
        let command = Command::Revoke(self);
        decide_and_show(app, &app.dispatch.tokens, &stream, command, &context, Success::Done, shown).await
    }
}

impl Answer for ListTokens {
    async fn answer(self, app: &App, workspace: &Workspace, page: Page) -> Result<Answered, Problem> {
        Ok(app.reads.list(workspace, &TokenFilter { revoked: self.revoked }, &page).await?.into())
    }
}
