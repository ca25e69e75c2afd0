//! Checks that a request without a token comes from this machine.
//!
//! It must come from a loopback address, be addressed to one, not come from a web page of another origin, and not have
//! passed a proxy: behind a proxy on this machine every caller looks local.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::problem::{Code, Problem};

/// Headers that proxies add.
const PROXIED: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

/// Refuses a request that does not come from this machine.
pub(crate) fn check(peer: Option<SocketAddr>, headers: &HeaderMap) -> Result<(), Problem> {
    if !peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
        let detail =
            "a bearer token is required: without one this server accepts only requests from its own machine";
        return Err(Problem::new(Code::Unauthenticated, detail));
    }
    if PROXIED.iter().any(|name| headers.contains_key(*name)) {
        return Err(Problem::new(Code::Forbidden, "a bearer token is required through a proxy"));
    }
    // A web page open in a browser on this machine must not use the api.
    if !names_loopback(headers) {
        let detail = "without a token, requests must be addressed to, and come from, a loopback address";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    Ok(())
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let texts = |name: HeaderName| {
        headers.get_all(name).into_iter().map(|value: &HeaderValue| value.to_str().unwrap_or("?"))
    };
    let of_origin =
        |origin: &'_ str| origin.split_once("://").map_or(origin.to_owned(), |(_, it)| it.to_owned());
    texts(header::HOST)
        .map(str::to_owned)
        .chain(texts(header::ORIGIN).map(of_origin))
        .all(|it| is_loopback(&it))
}

fn is_loopback(authority: &str) -> bool {
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

    fn code(peer: &str, list: &[(&str, &str)]) -> Option<Code> {
        let headers =
            list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        check(Some(peer.parse().unwrap()), &headers).err().map(|problem| problem.code)
    }

    #[test]
    fn without_a_token_only_this_machine_is_served() {
        let host = ("host", "127.0.0.1:7070");
        assert_eq!(code("127.0.0.1:9", &[host]), None);
        assert_eq!(code("[::1]:9", &[("host", "[::1]:7070")]), None);
        assert_eq!(code("[::ffff:127.0.0.1]:9", &[("host", "localhost")]), None);
        assert_eq!(code("10.0.0.7:9", &[host]), Some(Code::Unauthenticated));
        assert_eq!(check(None, &HeaderMap::new()).unwrap_err().code, Code::Unauthenticated);
    }

    #[test]
    fn a_web_page_cannot_use_a_server_without_a_token() {
        let host = ("host", "127.0.0.1:7070");
        assert_eq!(code("127.0.0.1:9", &[host, ("origin", "https://example.org")]), Some(Code::Forbidden));
        assert_eq!(code("127.0.0.1:9", &[("host", "attacker.example:7070")]), Some(Code::Forbidden));
        assert_eq!(code("127.0.0.1:9", &[host, ("origin", "http://localhost:3000")]), None);
    }

    #[test]
    fn whoever_comes_through_a_proxy_is_not_this_machine() {
        for name in PROXIED {
            let headers = [("host", "localhost"), (name, "10.0.0.7")];
            assert_eq!(code("127.0.0.1:9", &headers), Some(Code::Forbidden), "{name}");
        }
    }
}
