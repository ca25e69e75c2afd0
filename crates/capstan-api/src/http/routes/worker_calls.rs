//! The calls of workers over HTTP.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};

use crate::App;
use crate::answered::Answered;
use crate::auth::caller::Caller;
use crate::call::CallContext;
use crate::http::body;
use crate::http::command_request::outer;
use crate::problem::Problem;
use crate::request::{Beside, Outer, Source};
use crate::use_case::worker_call::{self, WorkerCall};

/// Executes the call. Its fields stand in the path and in the body, the epoch of its lease in a header.
pub(super) async fn execute<C: WorkerCall>(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Answered, Problem> {
    let (mut head, body) = request.into_parts();
    let call = CallContext::from_request_parts(&mut head, &app).await?;
    let mut outer = outer(&mut head).await?;
    let epoch = head.headers.get("capstan-lease-epoch").map(|value| value.to_str().unwrap_or_default());
    if let Some(epoch) = epoch.filter(|_| C::Conditions::NAMES.contains(&"lease_epoch")) {
        let (text, source) = (epoch.to_owned().into(), Source::Header("Capstan-Lease-Epoch"));
        outer.push(Outer { name: "lease_epoch".into(), text, source });
    }
    let json = body::read(&head.headers, body, worker_call::bytes_max::<C>(&app)).await?;
    worker_call::execute::<C>(&app, &caller, call, &outer, &json).await
}
