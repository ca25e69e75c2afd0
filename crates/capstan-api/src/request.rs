//! Requests: one strict reading, whichever way they come.
//!
//! A request is one object. Over HTTP some of its fields stand in the path and in the query string, over NATS and in
//! batches all of them stand in the body; [`read`] joins them and reads the type that the published schema is drawn
//! from. It refuses, at every depth, a field that is not declared, a name that is given twice and an integer that would
//! become a rounded float. Some fields are not part of the request itself but apply to a kind of request, such as `idempotency_key`; they are read [`Beside`] it,
//! from the same places and headers.
//!
//! A request that cannot be read is read a second time, against its schema, so that the answer names every fault at once.

mod document;
mod faults;
mod joined;
mod name;
mod strict;
mod text;

use std::borrow::Cow;

use capstan_contract::beside::Beside;
use capstan_domain::Fault;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::problem::{Code, Problem};
use joined::{BesideFields, Joined};

/// The place of a field outside the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A segment of the path. A value that cannot be an id identifies nothing: 404.
    Path,
    /// The query string.
    Query,
    /// The header of this name.
    Header(&'static str),
}

/// A field given outside the body, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outer<'a> {
    /// The field of the request.
    pub(crate) name: Cow<'a, str>,
    /// Its value.
    pub(crate) text: Cow<'a, str>,
    /// Its place.
    pub(crate) source: Source,
}

/// Reads a request and the fields beside it. A body of blanks counts as `{}`.
pub(crate) fn read<T, B>(outer: &[Outer<'_>], body: &[u8]) -> Result<(T, B), Problem>
where
    T: DeserializeOwned + JsonSchema + 'static,
    B: Beside,
{
    read_without(outer, body, &[])
}

/// Reads a request, without the fields of the body that its reader has read already.
pub(crate) fn read_without<T, B>(
    outer: &[Outer<'_>],
    body: &[u8],
    known: &'static [&'static str],
) -> Result<(T, B), Problem>
where
    T: DeserializeOwned + JsonSchema + 'static,
    B: Beside,
{
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    let is_blank = |field: &Outer<'_>| field.source == Source::Query && field.text.trim().is_empty();
    let given: Vec<_>;
    let outer = if outer.iter().any(is_blank) {
        // A blank parameter counts as absent, but its name must be that of a field.
        let is_given = |field: &&Outer<'_>| !is_blank(field) || !faults::declares::<T, B>(&field.name);
        given = outer.iter().filter(is_given).cloned().collect();
        &given
    } else {
        outer
    };
    if !document::integers_beyond_64_bits(body).is_empty() {
        return Err(faults::all::<T, B>(outer, body, known, None));
    }
    let mut undeclared = false;
    let mut beside = BesideFields::new(outer, B::NAMES);
    let mut json = serde_json::Deserializer::from_slice(body);
    let joined = Joined { outer, known, beside: &mut beside, json: &mut json };
    let request = serde_ignored::deserialize(joined, |_| undeclared = true);
    match request {
        Ok(request) if !undeclared => {
            json.end().map_err(|error| malformed(&error))?;
            match B::deserialize(beside) {
                Ok(beside) => Ok((request, beside)),
                Err(error) => Err(faults::all::<T, B>(outer, body, known, Some(&error))),
            }
        }
        Ok(_) => Err(faults::all::<T, B>(outer, body, known, None)),
        // Some wrong types count as wrong JSON here: a number in the place of a word.
        Err(error) => Err(faults::all::<T, B>(outer, body, known, Some(&error))),
    }
}

/// Names the invalid fields of a problem where the caller wrote them.
pub(crate) fn located(problem: Problem, outer: &[Outer<'_>]) -> Problem {
    if problem.errors.is_empty() || problem.code != Code::ValidationFailed {
        return problem;
    }
    let shown = |fault: &Fault| Fault { pointer: shown(outer, &fault.pointer), ..fault.clone() };
    let located = Problem::invalid(problem.errors.iter().map(shown).collect());
    // With several faults the detail names none of them, but their number, which may be larger than those here.
    if problem.errors.len() > 1 { Problem { errors: located.errors, ..problem } } else { located }
}

/// The place of a field as the caller wrote it: a parameter of the query string begins with `?`, a header has its name.
fn shown(outer: &[Outer<'_>], pointer: &str) -> String {
    let rest = pointer.strip_prefix('/').unwrap_or_default();
    let name = rest.split('/').next().unwrap_or_default();
    match outer.iter().find(|outer| outer.name == name).map(|outer| outer.source) {
        Some(Source::Query) => format!("?{rest}"),
        Some(Source::Header(name)) => name.to_owned(),
        Some(Source::Path) | None => pointer.to_owned(),
    }
}

/// A name as a part of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A body that is not one JSON value, or one that no reader takes.
pub(crate) fn malformed(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    let what = match what {
        "recursion limit exceeded" => "objects and lists may be 127 levels deep; there are more".to_owned(),
        "number out of range" => "a number is beyond the range of 64-bit floats".to_owned(),
        what => format!("the body is not JSON: {what}"),
    };
    let place = format!("line {}, column {}", error.line(), error.column());
    Problem::new(Code::MalformedRequest, format!("{what} at {place}"))
}

#[cfg(test)]
mod tests;
