//! Who may call.
//!
//! Two ways for now: a development server takes everything that comes from this machine, any other server asks
//! for its one admin token. Tokens with scopes take this place later.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::App;
use crate::problem::{Code, Problem};

/// Who may use the routes under `/v1`.
#[derive(Clone)]
pub enum Access {
    /// Everyone on this machine, without a token.
    Loopback,
    /// Whoever knows the token.
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

impl AdminToken {
    /// Keeps the hash of a token.
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Compares hashes, in a time that says nothing about the token.
    fn is(&self, token: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.0.iter().zip(given).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

/// Lets a request through when its caller may ask at all.
pub(crate) async fn require(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    match check(&app.config.access, peer, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let mut response = problem.into_response();
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
            response
        }
    }
}

fn check(access: &Access, peer: Option<SocketAddr>, headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |detail: &str| Err(Problem::new(Code::Unauthenticated, detail));
    match access {
        Access::Token(token) => match bearer(headers) {
            Some(given) if token.is(given) => Ok(()),
            Some(_) => refused("the bearer token is not known"),
            None => refused("a bearer token is needed"),
        },
        Access::Loopback if !peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) => {
            refused("this server has no token and answers only on its own machine")
        }
        // A web page that is open in a browser on this machine is not somebody on this machine.
        Access::Loopback if !names_loopback(headers) => Err(Problem::new(
            Code::Forbidden,
            "without a token, requests must be addressed to, and come from, a loopback address",
        )),
        Access::Loopback => Ok(()),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or("?"));
    let origin = text(header::ORIGIN)
        .map(|origin| origin.split_once("://").map_or(origin, |(_, authority)| authority));
    [text(header::HOST), origin].into_iter().flatten().all(is_loopback_authority)
}

fn is_loopback_authority(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(host, _)| host),
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(header::HeaderName, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn code(access: &Access, peer: &str, list: &[(header::HeaderName, &str)]) -> Option<Code> {
        check(access, Some(peer.parse().unwrap()), &headers(list)).err().map(|problem| problem.code)
    }

    #[test]
    fn without_a_token_only_this_machine_is_served() {
        let host = (header::HOST, "127.0.0.1:7070");
        assert_eq!(code(&Access::Loopback, "127.0.0.1:9", std::slice::from_ref(&host)), None);
        assert_eq!(code(&Access::Loopback, "[::1]:9", &[(header::HOST, "[::1]:7070")]), None);
        assert_eq!(code(&Access::Loopback, "[::ffff:127.0.0.1]:9", &[(header::HOST, "localhost")]), None);
        assert_eq!(code(&Access::Loopback, "10.0.0.7:9", &[host]), Some(Code::Unauthenticated));
    }

    #[test]
    fn a_web_page_cannot_use_a_server_without_a_token() {
        let host = (header::HOST, "127.0.0.1:7070");
        let foreign = (header::ORIGIN, "https://example.org");
        assert_eq!(code(&Access::Loopback, "127.0.0.1:9", &[host, foreign]), Some(Code::Forbidden));
        let rebound = (header::HOST, "attacker.example:7070");
        assert_eq!(code(&Access::Loopback, "127.0.0.1:9", &[rebound]), Some(Code::Forbidden));
    }

    #[test]
    fn with_a_token_nobody_passes_without_it() {
        let access = Access::Token(AdminToken::new("s3cret"));
        let with = |value| code(&access, "127.0.0.1:9", &[(header::AUTHORIZATION, value)]);
        assert_eq!(code(&access, "127.0.0.1:9", &[]), Some(Code::Unauthenticated));
        assert_eq!(with("Bearer s3cre"), Some(Code::Unauthenticated));
        assert_eq!(with("Basic s3cret"), Some(Code::Unauthenticated));
        assert_eq!(with("bearer s3cret"), None);
    }
}
