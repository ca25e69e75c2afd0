//! Who may call, and what.
//!
//! A caller shows a bearer token: the installation's own, which opens everything, or one that was issued for a
//! workspace. A development server also takes everything that comes from this machine without one. What the caller may
//! do then follows from the operation alone: its scope, and the workspace its path names. What belongs to another
//! workspace does not exist for a token, so nothing can be learned from the difference.

mod bearer;
mod caller;
mod holders;
mod loopback;
pub(crate) mod rates;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{ConnectInfo, RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use capstan_domain::id::AttemptId;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub(crate) use bearer::{Secret, mint};
pub(crate) use caller::Caller;
pub(crate) use holders::Holders;

use crate::App;
use crate::operation::Operation;
use crate::problem::{Code, Problem};

/// Who may use the routes under `/v1` besides the holders of tokens.
#[derive(Clone)]
pub enum Access {
    /// Everyone on this machine, without a token.
    Loopback,
    /// Whoever knows the installation's token.
    Token(AdminToken),
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Loopback => "Loopback",
            Self::Token(_) => "Token(..)",
        })
    }
}

/// The hash of the one token that opens everything; the token itself is not kept.
#[derive(Clone)]
pub struct AdminToken([u8; 32]);

/// The installation's token is too short to be safe from guessing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the admin token must have at least {} characters; make one with: openssl rand -hex 32",
    AdminToken::CHARACTERS_MIN
)]
pub struct AdminTokenTooShort;

impl AdminToken {
    /// Fewest characters such a token has.
    pub const CHARACTERS_MIN: usize = 32;

    /// Keeps the hash of a token.
    pub fn new(token: &str) -> Result<Self, AdminTokenTooShort> {
        let is_long = token.chars().count() >= Self::CHARACTERS_MIN;
        is_long.then(|| Self(Sha256::digest(token.as_bytes()).into())).ok_or(AdminTokenTooShort)
    }

    /// Compares hashes, in a time that says nothing about the token.
    fn is(&self, token: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.0.ct_eq(&given).into()
    }
}

/// Lets a request through when its caller may ask this, and tells the handler who it is.
pub(crate) async fn authorise(
    State((app, operation)): State<(Arc<App>, &'static Operation)>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let headers = request.headers();
    let admitted = async {
        let caller = identify(&app, peer, headers).await?;
        app.rates.take(&caller)?;
        let path = path.map_err(|_| Problem::new(Code::MalformedRequest, "the path cannot be read"))?;
        caller.must_be_allowed(operation.scope, &Place::of(&path))?;
        Ok(caller)
    };
    match admitted.await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => refusal(problem, request.headers()),
    }
}

fn refusal(problem: Problem, headers: &HeaderMap) -> Response {
    let is_nobody = problem.code == Code::Unauthenticated;
    let mut response = problem.into_response();
    if is_nobody {
        let is_wrong = headers.contains_key(header::AUTHORIZATION);
        let challenge = if is_wrong { r#"Bearer error="invalid_token""# } else { "Bearer" };
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

async fn identify(app: &App, peer: Option<SocketAddr>, headers: &HeaderMap) -> Result<Caller, Problem> {
    let access = &app.config.access;
    match (headers.get(header::AUTHORIZATION), access) {
        (None, Access::Token(_)) => Err(Problem::new(Code::Unauthenticated, "a bearer token is needed")),
        (None, Access::Loopback) => {
            loopback::check(peer, headers).map(|()| Caller::Installation("anonymous"))
        }
        (Some(given), access) => {
            let Some(token) = given.to_str().ok().and_then(bearer::of_header) else {
                return Err(Problem::new(Code::Unauthenticated, "only bearer tokens are taken"));
            };
            match access {
                Access::Token(admin) if admin.is(token) => Ok(Caller::Installation("bootstrap")),
                Access::Token(_) | Access::Loopback => app.holder(token).await.map(Caller::Token),
            }
        }
    }
}

/// Where a request wants to go.
pub(crate) enum Place {
    /// Into this workspace.
    Workspace(String),
    /// To an attempt of this workspace; what is no attempt's id is of none.
    Attempt(Option<String>),
    /// To no workspace in particular.
    Anywhere,
}

impl Place {
    /// Where a path leads, by what it names.
    pub(crate) fn of<'a>(path: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        for (name, value) in path {
            match name {
                "workspace" => return Self::Workspace(value.to_owned()),
                "attempt" => {
                    return Self::Attempt(value.parse().ok().map(|attempt: AttemptId| attempt.workspace));
                }
                _ => {}
            }
        }
        Self::Anywhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_token_is_long_and_known_by_its_hash_only() {
        let token = "0123456789abcdef0123456789abcdef";
        assert!(AdminToken::new(&token[1..]).is_err());
        let admin = AdminToken::new(token).unwrap();
        assert!(admin.is(token) && !admin.is(&token[1..]) && !admin.is(""));
        assert_eq!(format!("{:?}", Access::Token(admin)), "Token(..)");
    }
}
