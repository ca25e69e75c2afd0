//! Query parameters, read strictly: an unknown or unreadable one is refused, never ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use capstan_domain::Fault;
use capstan_projections::{Page, Span};
use serde::de::DeserializeOwned;
use serde::de::value::StrDeserializer;

use crate::problem::{Code, Problem};
use crate::use_case::read::LIMIT_MAX;

/// Objects on a page without a limit; the read models have the same default.
const LIMIT_DEFAULT: u32 = 50;

/// The parameters of one request, each to be taken by name.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    given: BTreeMap<String, String>,
    /// What is understood on every read; other routes may have a use of their own for it.
    everywhere: BTreeMap<String, String>,
    /// Names somebody asked for: what the route takes.
    known: BTreeSet<String>,
    faults: Vec<Fault>,
}

/// Parameters that [`conventions`](crate::http::conventions) understands on every read.
const EVERYWHERE: [&str; 2] = ["min_position", "wait_ms"];

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::new(Code::MalformedRequest, "the query string cannot be read"))?;
        let mut parameters = Self::default();
        for (name, value) in pairs {
            if EVERYWHERE.contains(&name.as_str()) {
                parameters.everywhere.insert(name, value);
                continue;
            }
            if parameters.given.insert(name.clone(), value).is_some() {
                parameters.fault(&name, "is given twice");
            }
        }
        Ok(parameters)
    }
}

impl Parameters {
    /// Notes a fault of one parameter.
    pub(crate) fn fault(&mut self, name: &str, message: impl Into<String>) {
        self.faults.push(Fault { pointer: format!("?{name}"), message: message.into() });
    }

    /// Notes a fault of a header that takes the place of a parameter.
    pub(crate) fn header_fault(&mut self, name: &str, message: impl Into<String>) {
        self.faults.push(Fault { pointer: name.to_owned(), message: message.into() });
    }

    /// Takes a text; an empty one counts as absent.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.known.insert(name.to_owned());
        self.given.remove(name).or_else(|| self.everywhere.remove(name)).filter(|text| !text.is_empty())
    }

    /// Takes a value of the wanted type.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str, what: &str) -> Option<T> {
        let text = self.text(name)?;
        if let Ok(value) = text.parse() {
            return Some(value);
        }
        self.fault(name, format!("must be {what}"));
        None
    }

    /// Takes the span between `<what>_after` and `<what>_before`.
    pub(crate) fn span(&mut self, what: &str) -> Span {
        let mut instant =
            |end| self.value(&format!("{what}_{end}"), "an instant, as in 2026-01-02T03:04:05Z");
        Span { after: instant("after"), before: instant("before") }
    }

    /// Takes `archived`: `false` when it is not said, `true`, or `any` for both.
    pub(crate) fn archived(&mut self) -> Option<bool> {
        match self.text("archived").as_deref() {
            None | Some("0" | "false") => Some(false),
            Some("1" | "true") => Some(true),
            Some("any") => None,
            Some(_) => {
                self.fault("archived", "must be true, false or any");
                None
            }
        }
    }

    /// Takes the page of a list.
    pub(crate) fn page(&mut self) -> Page {
        Page {
            limit: Some(self.limit()),
            cursor: self.text("cursor"),
            count: self.flag("count").unwrap_or(false),
        }
    }

    /// Takes the length of a page, clamped to what is allowed.
    pub(crate) fn limit(&mut self) -> u32 {
        self.value::<u32>("limit", "a number").unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
    }

    /// Takes a flag.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        let text = self.text(name)?;
        match text.as_str() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => {
                self.fault(name, "must be true or false");
                None
            }
        }
    }

    /// Takes some of a closed set of words, separated by commas.
    pub(crate) fn choices<T: DeserializeOwned>(&mut self, name: &str, what: &str) -> Vec<T> {
        let mut chosen = Vec::new();
        for word in self.words(name) {
            match T::deserialize(StrDeserializer::<serde::de::value::Error>::new(&word)) {
                Ok(choice) => chosen.push(choice),
                Err(_) => self.fault(name, format!("must hold {what}; {word:?} is none")),
            }
        }
        chosen
    }

    /// Takes a list of words, separated by commas.
    pub(crate) fn words(&mut self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// Refuses the request when a parameter could not be read or nobody took it.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        for name in std::mem::take(&mut self.given).into_keys() {
            let known: Vec<_> = self.known.iter().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            self.fault(&name, format!("is not a parameter of this route, which takes {known}"));
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }
}

/// Reads one id of a path; what cannot be an id names nothing.
pub(crate) fn path_id<T: FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found(what.strip_suffix("_id").unwrap_or(what)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parameters(query: &str) -> Parameters {
        let request = axum::http::Request::get(format!("/x?{query}")).body(()).unwrap();
        Parameters::from_request_parts(&mut request.into_parts().0, &()).await.unwrap()
    }

    #[tokio::test]
    async fn every_fault_of_a_query_is_named() {
        let mut given = parameters("limit=x&state=queued&colour=red&state=done&min_position=7").await;
        assert_eq!(given.value::<u32>("limit", "a number"), None);
        assert!(given.text("state").is_some());
        let problem = given.finish().unwrap_err();
        let pointers: Vec<_> = problem.errors.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["?state", "?limit", "?colour"]);
    }

    #[tokio::test]
    async fn what_every_read_understands_may_mean_something_to_a_route_too() {
        let mut given = parameters("wait_ms=300&min_position=7").await;
        assert_eq!(given.value::<u64>("wait_ms", "a number"), Some(300));
        assert!(given.finish().is_ok());
    }

    #[tokio::test]
    async fn known_parameters_pass() {
        let mut given = parameters("limit=7&include=logs,%20outputs&snapshot=1&label=").await;
        assert_eq!(given.value("limit", "a number"), Some(7));
        assert_eq!(given.words("include"), ["logs", "outputs"]);
        assert_eq!(given.flag("snapshot"), Some(true));
        assert_eq!(given.text("label"), None);
        assert!(given.finish().is_ok());
    }
}
