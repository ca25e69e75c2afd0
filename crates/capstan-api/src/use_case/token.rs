//! The commands of a token: issue and revoke.

use capstan_contract::command::{IssueToken, RevokeToken};
use capstan_domain::id::TokenId;
use capstan_domain::token::{Command, Issue, Revoke};
use capstan_envelope::Workspace;

use super::execute::Execute;
use super::{streams, wait};
use crate::App;
use crate::auth::bearer::mint;
use crate::call::{CallContext, fresh_id};
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
        let token_id = match &key {
            Some(key) => TokenId::of_key(workspace.as_str(), &key.text()),
            None => TokenId(fresh_id(call.received_at)),
        };
        let stream = streams::token(workspace, token_id)?;
        let context = call.command(&stream, key.as_ref(), &self);
        let minted = mint(workspace, token_id);
        let command = Command::Issue(Issue {
            token_id,
            workspace: workspace.to_string(),
            name: self.name,
            scopes: self.scopes,
            secret_hash: minted.secret_hash,
            last_four: minted.last_four,
            expires_at: self.expires_at,
            at: call.received_at,
        });
        let decided = app.dispatch.tokens.execute(&stream, &command, &context).await?;
        let token = wait::shown(app, decided.position, app.reads.token(workspace, token_id)).await;
        let mut reply = Reply::new(Success::Created, &context, &decided).showing_object("token", token);
        // A repeat generated another secret, which is not valid; the first one is no longer known.
        reply.secret = decided.changed.then_some(minted.secret);
        Ok(reply)
    }
}

impl Execute for RevokeToken {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let token_id = self.token_id;
        let key = call.key();
        let stream = streams::token(workspace, token_id)?;
        let context = call.command(&stream, key.as_ref(), &self);
        let command = Command::Revoke(Revoke { reason: self.reason, at: call.received_at });
        let decided = app.dispatch.tokens.execute(&stream, &command, &context).await?;
        let token = wait::shown(app, decided.position, app.reads.token(workspace, token_id)).await;
        Ok(Reply::new(Success::Done, &context, &decided).showing_object("token", token))
    }
}
