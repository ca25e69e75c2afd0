//! The commands of callers: from a wire name and a JSON body to a reply.

use std::borrow::Cow;

use capstan_contract::{command, for_each_command};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::execute::Execute;
use super::resolve;
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::request::{self, Outer, Source};

/// Executes the command of this wire name; the body is JSON, as received.
pub fn execute<'a>(
    app: &'a App,
    workspace: &'a str,
    wire_name: &'a str,
    json: &'a [u8],
    call: &'a CallContext,
) -> BoxFuture<'a, Result<Reply, Problem>> {
    execute_given(app, workspace, wire_name, &[], json, &[], call)
}

macro_rules! execute_by_name {
    ($($body:ident($beside:ident) = $name:literal, $method:ident $path:literal => $shown:tt;)*) => {
        /// Executes the command of this wire name, with fields outside its body and without the fields of the body that
        /// were read before. Boxed: the commands of all kinds together are compiled once, not in each place that waits
        /// for one.
        pub(crate) fn execute_given<'a>(
            app: &'a App,
            workspace: &'a str,
            wire_name: &'a str,
            outer: &'a [Outer<'a>],
            json: &'a [u8],
            known: &'static [&'static str],
            call: &'a CallContext,
        ) -> BoxFuture<'a, Result<Reply, Problem>> {
            match wire_name {
                $($name => run::<command::$body>(app, workspace, outer, json, known, call).boxed(),)*
                _ => ready(Err(Problem::not_found("command"))).boxed(),
            }
        }
    };
}

for_each_command!(execute_by_name);

async fn run<C: Execute>(
    app: &App,
    workspace: &str,
    outer: &[Outer<'_>],
    json: &[u8],
    known: &'static [&'static str],
    call: &CallContext,
) -> Result<Reply, Problem> {
    let mut outer = Cow::Borrowed(outer);
    let workspace = if C::NEW_WORKSPACE.is_some() {
        outer.to_mut().push(Outer::new("workspace", workspace, Source::Path));
        resolve::new_workspace(workspace)?
    } else {
        resolve::workspace(app, workspace).await?
    };
    let (command, conditions) = request::read_without::<C, C::Beside>(&outer, json, known)?;
    let reply = command.execute(app, &workspace, &call.under(conditions.into())).await?;
    Ok(Reply { is_minimal: call.is_minimal, ..reply })
}
