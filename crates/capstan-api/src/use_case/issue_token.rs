//! Issues a token. Its secret is made here, shown in this one answer and kept nowhere.

use axum::http::StatusCode;
use capstan_contract::command::{CommandBody, IssueToken};
use capstan_domain::id::TokenId;
use capstan_domain::token::{Command, Issue};
use capstan_envelope::Workspace;

use super::execute::Execute;
use super::resolve;
use crate::App;
use crate::auth::mint;
use crate::call::{CallContext, fresh_id};
use crate::problem::{Code, Problem};
use crate::receipt::Reply;

impl Execute for IssueToken {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        if call.answer_is_kept {
            let detail = "a durable command's answer is kept, and a secret must not be: ask over HTTP or \
                          capstan.rpc";
            return Err(Problem::new(Code::Forbidden, detail));
        }
        let key = call.key(self.idempotency_key())?;
        let token_id = match &key {
            Some(key) => TokenId::of_key(workspace.as_str(), &key.text()),
            None => TokenId(fresh_id(call.received_at)),
        };
        let stream = resolve::stream(workspace, "token", &token_id.to_string())?;
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
        let token = app.shown_token(workspace, token_id, decided.position).await;
        let mut reply = Reply::new(StatusCode::CREATED, &context, &decided).showing_object("token", token);
        // A repeat made another secret, which opens nothing; the first one is known to nobody here.
        reply.secret = decided.changed.then_some(minted.secret);
        Ok(reply)
    }
}
