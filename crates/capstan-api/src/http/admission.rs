//! Admits requests to the handlers of their operations.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{ConnectInfo, FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{body, fields};
use crate::App;
use crate::auth::access::Access;
use crate::auth::caller::Caller;
use crate::auth::place::Place;
use crate::auth::{bearer, loopback};
use crate::operation::{Operation, Scope, Verb};
use crate::problem::{Code, Problem};

/// Passes a request on when its caller may execute the operation, with the caller in its extensions unless the operation is
/// public, and when it comes as its method demands: a read has no body, a change no parameters in its address.
pub(crate) async fn admit(
    State((app, operation)): State<(Arc<App>, &'static Operation)>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    if operation.scope != Scope::Public {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
        match authorise(&app, operation, path, peer, request.headers()).await {
            Ok(caller) => request.extensions_mut().insert(caller),
            Err(problem) => return refusal(problem, request.headers()),
        };
    }
    let complete = match operation.method {
        Verb::Get => body::must_be_empty(&request),
        Verb::Post | Verb::Put | Verb::Patch => fields::must_have_no_parameters(request.uri()),
        Verb::Delete => Ok(()),
    };
    match complete {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn authorise(
    app: &App,
    operation: &Operation,
    path: Result<RawPathParams, RawPathParamsRejection>,
    peer: Option<SocketAddr>,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    let caller = identify(app, peer, headers).await?;
    app.rates.take(&caller)?;
    let path = path.map_err(|_| Problem::new(Code::MalformedRequest, "the path is malformed"))?;
    caller.must_be_allowed(operation.scope, &Place::from_path(&path))?;
    Ok(caller)
}

fn refusal(problem: Problem, headers: &HeaderMap) -> Response {
    let is_unauthenticated = problem.code == Code::Unauthenticated;
    let mut response = problem.into_response();
    if is_unauthenticated {
        let is_invalid = headers.contains_key(header::AUTHORIZATION);
        let challenge = if is_invalid { r#"Bearer error="invalid_token""# } else { "Bearer" };
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

async fn identify(app: &App, peer: Option<SocketAddr>, headers: &HeaderMap) -> Result<Caller, Problem> {
    if headers.get_all(header::AUTHORIZATION).iter().count() > 1 {
        let detail = "the header Authorization is given more than once";
        return Err(Problem::new(Code::MalformedRequest, detail));
    }
    let access = &app.config.access;
    match (headers.get(header::AUTHORIZATION), access) {
        (None, Access::Token(_)) => Err(Problem::new(Code::Unauthenticated, "a bearer token is required")),
        (None, Access::Loopback) => {
            loopback::check(peer, headers).map(|()| Caller::Installation("anonymous"))
        }
        (Some(value), access) => {
            let Some(token) = value.to_str().ok().and_then(bearer::from_header) else {
                return Err(Problem::new(Code::Unauthenticated, "only bearer tokens are accepted"));
            };
            match access {
                Access::Token(admin) if admin.is(token) => Ok(Caller::Installation("bootstrap")),
                Access::Token(_) | Access::Loopback => app.holders.find(token).await.map(Caller::Token),
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new(Code::Unauthenticated, "caller was not authenticated"))
    }
}
