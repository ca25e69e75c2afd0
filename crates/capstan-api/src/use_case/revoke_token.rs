//! Ends a token before its time.

use axum::http::StatusCode;
use capstan_contract::command::{CommandBody, RevokeToken};
use capstan_domain::token::{Command, Revoke};
use capstan_envelope::Workspace;

use super::execute::{Execute, required};
use super::resolve;
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for RevokeToken {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let token_id = required(self.token_id, "/token_id")?;
        let key = call.key(self.idempotency_key())?;
        let stream = resolve::stream(workspace, "token", &token_id.to_string())?;
        let context = call.command(&stream, key.as_ref(), &self);
        let command = Command::Revoke(Revoke { reason: self.reason, at: call.received_at });
        let decided = app.dispatch.tokens.execute(&stream, &command, &context).await?;
        let token = app.shown_token(workspace, token_id, decided.position).await;
        Ok(Reply::new(StatusCode::OK, &context, &decided).showing_object("token", token))
    }
}
