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
use std::fmt;

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

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("path"),
            Self::Query => f.write_str("query string"),
            Self::Header(name) => write!(f, "header {name}"),
        }
    }
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
    /// The reason why it has no text that could be read.
    pub(crate) fault: Option<&'static str>,
}

impl<'a> Outer<'a> {
    pub(crate) fn new(name: impl Into<Cow<'a, str>>, text: impl Into<Cow<'a, str>>, source: Source) -> Self {
        Self { name: name.into(), text: text.into(), source, fault: None }
    }

    /// A field that is refused for this reason.
    pub(crate) fn unreadable(name: impl Into<Cow<'a, str>>, source: Source, fault: &'static str) -> Self {
        Self { name: name.into(), text: Cow::Borrowed(""), source, fault: Some(fault) }
    }

    fn is_blank_parameter(&self) -> bool {
        self.source == Source::Query && self.fault.is_none() && self.text.trim().is_empty()
    }

    /// True when it says again what `other` says in another place. What the path names has no other place.
    fn repeats(&self, other: &Self) -> bool {
        self.name == other.name
            && self.source != other.source
            && ![self.source, other.source].contains(&Source::Path)
            && self.fault.is_none()
            && other.fault.is_none()
            && joined::says(&other.text, &self.text)
    }

    /// The place as the caller wrote it: a parameter of the query string begins with `?`, a header has its name.
    fn place(&self) -> String {
        match self.source {
            Source::Query => format!("?{}", escaped(&self.name)),
            Source::Header(name) => name.to_owned(),
            Source::Path => format!("/{}", escaped(&self.name)),
        }
    }
}

/// Reads a request and the fields beside it. A body of blanks counts as `{}`.
pub(crate) fn read<T, B>(outer: &[Outer<'_>], body: &[u8]) -> Result<(T, B), Problem>
where
    T: DeserializeOwned + JsonSchema + 'static,
    B: Beside,
{
    read_without(outer, body, &[])
}

const NULL: &[u8] = b"null";
/// Most levels of objects and lists in a body. What is kept of it lies some levels deeper: in an event, in a state, in the
/// commit that carries a state forward. A reader of JSON takes 127.
const LEVELS_MAX: usize = 64;

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
    let scanned = document::scan(body);
    if scanned.levels > LEVELS_MAX {
        return Err(Problem::new(Code::MalformedRequest, too_deep()));
    }
    let given = given::<T, B>(outer);
    let outer = &*given;
    let is_unreadable = outer.iter().any(|field| field.fault.is_some());
    if is_unreadable || !scanned.integers.is_empty() {
        return Err(faults::all::<T, B>(outer, body, known, None));
    }
    let mut undeclared = false;
    let mut beside = BesideFields::new(outer, B::NAMES);
    let doubts = beside.doubts();
    let mut json = serde_json::Deserializer::from_slice(body);
    let joined = Joined { outer, known, beside: &mut beside, json: &mut json };
    let request = serde_ignored::deserialize(joined, |_| undeclared = true);
    match request {
        Ok(request) if !undeclared => {
            json.end().map_err(|error| malformed(&error))?;
            let beside = B::deserialize(beside)
                .map_err(|error| faults::all::<T, B>(outer, body, known, Some(&error)))?;
            if doubts.get() {
                faults::of_repeated::<T, B>(outer, body)?;
            }
            // A reader takes `null` for any field that may be absent; where it has no meaning, the schema has none.
            if body.windows(NULL.len()).any(|text| text == NULL) {
                faults::of_nulls::<T, B>(outer, body, known)?;
            }
            Ok((request, beside))
        }
        Ok(_) => Err(faults::all::<T, B>(outer, body, known, None)),
        // Some wrong types count as wrong JSON here: a number in the place of a word.
        Err(error) => Err(faults::all::<T, B>(outer, body, known, Some(&error))),
    }
}

/// The fields outside the body that are read: without blank parameters, which count as absent if their name is that of a
/// parameter, and without what a field of another place has said already.
fn given<'a, T: JsonSchema + 'static, B: Beside>(outer: &'a [Outer<'a>]) -> Cow<'a, [Outer<'a>]> {
    let is_left_out = |(index, field): (usize, &Outer<'_>)| {
        let before = &outer[..index];
        let is_twice = || {
            let alike = |other: &&Outer<'_>| other.name == field.name && other.source == field.source;
            outer.iter().filter(alike).count() > 1
        };
        let is_in_path =
            || before.iter().any(|before| before.source == Source::Path && before.name == field.name);
        (field.is_blank_parameter() && !is_in_path() && faults::declares::<T, B>(&field.name))
            || (before.iter().any(|before| field.repeats(before)) && !is_twice())
    };
    if !outer.iter().enumerate().any(is_left_out) {
        return Cow::Borrowed(outer);
    }
    let left = outer.iter().enumerate().filter(|field| !is_left_out(*field));
    Cow::Owned(left.map(|(_, field)| field.clone()).collect())
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

fn too_deep() -> String {
    format!("objects and lists may be {LEVELS_MAX} levels deep; there are more")
}

/// A body that is not one JSON value, or one that no reader takes.
pub(crate) fn malformed(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    let what = match what {
        "recursion limit exceeded" => too_deep(),
        "number out of range" => "a number is beyond the range of 64-bit floats".to_owned(),
        what => format!("the body is not JSON: {what}"),
    };
    let place = format!("line {}, column {}", error.line(), error.column());
    Problem::new(Code::MalformedRequest, format!("{what} at {place}"))
}

#[cfg(test)]
mod tests;
