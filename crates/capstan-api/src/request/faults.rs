//! Every fault of a request that cannot be read, named where the caller wrote it.

use std::any::TypeId;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use capstan_contract::beside::Beside;
use capstan_contract::schema::request_schema_of;
use capstan_domain::Fault;
use capstan_domain::choice::READ;
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ValidationError, Validator};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use super::document::Document;
use super::joined::{self, BesideFields, Joined};
use super::{Outer, Source, escaped, shown, text};
use crate::json_schema::{self, SHAPE, TIME, UUID, in_words, of_type, one_of};
use crate::problem::{FAULTS_MAX, Problem};

/// Begins the message about a field of the body with another value than the one outside it; that one's place follows.
const CONTRADICTS: &str = "contradicts the ";
/// A name that stands more than once in its object, or a field in several places outside the body.
const GIVEN_TWICE: &str = "is given twice";
/// A parameter that is no field of the query string, because the path names it.
const IN_PATH: &str = "is no parameter: it stands in the path";
/// A header of a field that the kind of request does not have.
const NO_HEADER: &str = "this request does not take this header";
/// Begins a reader's message about such a name.
const DUPLICATE: &str = "duplicate field `";
/// An integer that no number of 64 bits holds.
const TOO_LARGE: &str =
    "must be from -9223372036854775808 to 18446744073709551615; write a larger integer as a text";
/// The form of a map in a query string.
const PAIRS: &str = "must be name:value pairs, separated by commas";
/// Begins the pattern of the words of a choice; flags, a colon and the words follow.
const WORDS: &str = r"^\s*(?";
/// Ends it.
const WORDS_END: &str = r")?\s*$";
/// Longest message of another reader that is handed on, in bytes: it may repeat what the caller sent.
const FOREIGN_BYTES_MAX: usize = 200;

/// The schema of a request, compiled once, and the document it was compiled from.
struct Schema {
    document: Value,
    validator: Validator,
}

static SCHEMAS: LazyLock<Mutex<HashMap<TypeId, Arc<Schema>>>> = LazyLock::new(Mutex::default);

fn schema_of<T: JsonSchema + 'static, B: Beside>() -> Option<Arc<Schema>> {
    let mut schemas = SCHEMAS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(schema) = schemas.get(&TypeId::of::<(T, B)>()) {
        return Some(Arc::clone(schema));
    }
    let mut document = request_schema_of::<T, B>("request");
    if document.get("properties").is_none() {
        // A validator names the unknown fields only of an object that declares some, even none.
        document["properties"] = Value::Object(Map::new());
    }
    relax(&mut document);
    let validator = json_schema::options().should_validate_formats(true).build(&document);
    let validator =
        validator.inspect_err(|error| tracing::error!(%error, "failed to compile a schema")).ok()?;
    let schema = Arc::new(Schema { document, validator });
    schemas.insert(TypeId::of::<(T, B)>(), Arc::clone(&schema));
    Some(schema)
}

/// Replaces the words of a choice by the pattern of all texts that are read as one of them, or as none.
fn relax(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let words = fields.get("enum").and_then(Value::as_array);
            if let (Some(read), Some(words)) = (fields.get(READ), words) {
                let flag = if read == "any-case" { "i" } else { "" };
                let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
                let pattern = format!("{WORDS}{flag}:{}{WORDS_END}", words.join("|"));
                fields.remove("enum");
                fields.insert("pattern".to_owned(), pattern.into());
            }
            fields.values_mut().for_each(relax);
        }
        Value::Array(parts) => parts.iter_mut().for_each(relax),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The words of a choice in the pattern that [`relax`] made of them.
fn words_in(pattern: &str) -> Option<impl Iterator<Item = &str>> {
    let (_, words) = pattern.strip_prefix(WORDS)?.strip_suffix(WORDS_END)?.split_once(':')?;
    Some(words.split('|'))
}

/// True when the request has a field of this name, its own or beside it.
pub(super) fn declares<T: JsonSchema + 'static, B: Beside>(name: &str) -> bool {
    schema_of::<T, B>().is_some_and(|schema| schema.document["properties"].get(name).is_some())
}

/// All that is wrong with a request that was refused with `error`, or for undeclared fields.
pub(super) fn all<T, B>(
    outer: &[Outer<'_>],
    body: &[u8],
    known: &'static [&'static str],
    error: Option<&serde_json::Error>,
) -> Problem
where
    T: DeserializeOwned + JsonSchema + 'static,
    B: Beside,
{
    let document = match Document::read(body) {
        Ok(document) => document,
        Err(error) => return super::malformed(&error),
    };
    let Value::Object(mut fields) = document.value else {
        return Problem::invalid_field("", "must be an object");
    };
    fields.retain(|name, _| !known.contains(&name.as_str()));
    let mut found = Found { outer, faults: Vec::new(), cut: HashSet::new() };
    for pointer in &document.given_twice {
        found.add_unshown(pointer, GIVEN_TWICE);
    }
    let schema = schema_of::<T, B>();
    for (index, field) in outer.iter().enumerate() {
        found.add_misplaced(field, &outer[..index], declares::<T, B>(&field.name));
    }
    // Of several fields of one name, the first is read.
    let is_read = |(index, field): &(usize, &Outer<'_>)| {
        field.fault.is_none() && outer[..*index].iter().all(|before| before.name != field.name)
    };
    let read: Vec<_> = outer.iter().enumerate().filter(is_read).map(|(_, field)| field.clone()).collect();
    if let Some(schema) = schema {
        found.add_repeated(&read, &fields, &schema.document);
        let joined = found.joined(&read, fields, &schema.document);
        for error in schema.validator.iter_errors(&joined) {
            found.add_invalid(&error, &schema.document);
        }
        for (pointer, message) in faults_alone::<T, B>(&joined) {
            found.add_own(&pointer, &message);
        }
    }
    for pointer in &document.too_large {
        if !found.has_told(pointer) {
            found.add_unshown(pointer, TOO_LARGE);
        }
    }
    if let Some((pointer, message)) = own_fault::<T, B>(&read, body, known) {
        found.add_own(&pointer, &message);
    } else if let (Some(error), true) = (error, found.faults.is_empty()) {
        found.add("", in_plain_words(&without_place(error)));
    }
    found.into_problem()
}

/// The fields of a request that was read, which repeat one outside the body in another type: a text in the place of a number.
pub(super) fn of_repeated<T, B>(outer: &[Outer<'_>], body: &[u8]) -> Result<(), Problem>
where
    T: JsonSchema + 'static,
    B: Beside,
{
    let mut found = Found { outer, faults: Vec::new(), cut: HashSet::new() };
    if let (Some(schema), Ok(Value::Object(fields))) = (schema_of::<T, B>(), serde_json::from_slice(body)) {
        found.add_repeated(outer, &fields, &schema.document);
    }
    if found.faults.is_empty() { Ok(()) } else { Err(found.into_problem()) }
}

/// The `null`s of a request that was read although its schema has none there: they would have no effect.
pub(super) fn of_nulls<T, B>(
    outer: &[Outer<'_>],
    body: &[u8],
    known: &'static [&'static str],
) -> Result<(), Problem>
where
    T: JsonSchema + 'static,
    B: Beside,
{
    let mut found = Found { outer, faults: Vec::new(), cut: HashSet::new() };
    if let (Some(schema), Ok(Value::Object(mut fields))) = (schema_of::<T, B>(), serde_json::from_slice(body))
    {
        fields.retain(|name, _| !known.contains(&name.as_str()));
        let joined = found.joined(outer, fields, &schema.document);
        for error in schema.validator.iter_errors(&joined).filter(|error| error.instance().is_null()) {
            found.add_invalid(&error, &schema.document);
        }
    }
    if found.faults.is_empty() { Ok(()) } else { Err(found.into_problem()) }
}

/// The fault that stopped the reading, by the reader's own account.
fn own_fault<T: DeserializeOwned, B: Beside>(
    outer: &[Outer<'_>],
    body: &[u8],
    known: &'static [&'static str],
) -> Option<(String, String)> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut beside = BesideFields::new(outer, B::NAMES);
    let joined = Joined { outer, known, beside: &mut beside, json: &mut json };
    let error = match serde_path_to_error::deserialize::<_, T>(joined) {
        Ok(_) => serde_path_to_error::deserialize::<_, B>(beside).err()?,
        Err(error) => error,
    };
    let mut pointer = pointer(error.path());
    let message = without_place(error.inner());
    let quoted =
        |start: &str| message.strip_prefix(start).and_then(|rest| rest.split_once('`')).map(|(name, _)| name);
    for start in ["missing field `", DUPLICATE, "unknown field `", joined::CONTRADICTS] {
        if let Some(name) = quoted(start) {
            let end = format!("/{}", escaped(name));
            if !pointer.ends_with(&end) {
                pointer.push_str(&end);
            }
        }
    }
    Some((pointer, message))
}

/// The faults of single fields, and of single items of lists, by their reader's own account: what stops a reader hides
/// the faults after it, so each is read on its own.
fn faults_alone<T: DeserializeOwned, B: Beside>(joined: &Value) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    for (name, value) in joined.as_object().into_iter().flatten() {
        let read = |value| {
            if B::NAMES.contains(&name.as_str()) {
                fault_alone::<B>(name, value)
            } else {
                fault_alone::<T>(name, value)
            }
        };
        let Value::Array(items) = value else {
            faults.extend(read(value.clone()));
            continue;
        };
        let first = format!("/{}/0", escaped(name));
        for (index, item) in items.iter().enumerate() {
            let Some((pointer, message)) = read(Value::Array(vec![item.clone()])) else { continue };
            let below =
                pointer.strip_prefix(&first).map(|below| format!("/{}/{index}{below}", escaped(name)));
            faults.push((below.unwrap_or(pointer), message));
        }
    }
    faults
}

/// The fault of a field with this value, without the other fields.
fn fault_alone<R: DeserializeOwned>(name: &str, value: Value) -> Option<(String, String)> {
    let field = MapDeserializer::<_, serde_json::Error>::new(std::iter::once((name.to_owned(), value)));
    let error = serde_path_to_error::deserialize::<_, R>(field).err()?;
    let pointer = pointer(error.path());
    // The others are missing only here.
    (!pointer.is_empty()).then(|| (pointer, without_place(error.inner())))
}

struct Found<'a> {
    outer: &'a [Outer<'a>],
    /// The first ones.
    faults: Vec<Fault>,
    /// Places of the others.
    cut: HashSet<String>,
}

impl Found<'_> {
    /// The request as one object, with the text of outer fields turned into what the schema wants where it can be.
    fn joined(&mut self, read: &[Outer<'_>], mut fields: Map<String, Value>, document: &Value) -> Value {
        for outer in read {
            let schema = &document["properties"][&*outer.name];
            if kind_of(document, schema) == Some("object") {
                for name in text::names_given_twice(&outer.text) {
                    self.add(&format!("/{}/{}", escaped(&outer.name), escaped(name)), GIVEN_TWICE);
                }
            }
            let value = coerced(document, schema, &outer.text);
            fields.insert(outer.name.clone().into_owned(), value);
        }
        Value::Object(fields)
    }

    fn add_invalid(&mut self, error: &ValidationError<'_>, document: &Value) {
        let pointer = error.instance_path().to_string();
        match error.kind() {
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                for name in unexpected {
                    let is_header =
                        pointer.is_empty() && matches!(self.source(name), Some(Source::Header(_)));
                    let what = if is_header { NO_HEADER } else { "unknown field" };
                    self.add(&format!("{pointer}/{}", escaped(name)), what);
                }
            }
            Kind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let is_unreadable = |outer: &Outer<'_>| outer.name == name && outer.fault.is_some();
                if pointer.is_empty() && self.outer.iter().any(is_unreadable) {
                    return;
                }
                self.add(&format!("{pointer}/{}", escaped(name)), format!("{name} is required"));
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } if words_of(context).is_some() => {
                self.add_choice(&pointer, one_of(words_of(context).iter().flatten().copied()));
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => match closest(context, &pointer) {
                Some(errors) => errors.iter().for_each(|error| self.add_invalid(error, document)),
                None => self.add(&pointer, SHAPE),
            },
            Kind::Enum { .. } => self.add_choice(&pointer, in_words(error)),
            Kind::Pattern { pattern } => match words_in(pattern) {
                Some(words) => self.add_choice(&pointer, one_of(words)),
                None => self.add(&pointer, of_form(error, document)),
            },
            _ => {
                let message = in_words(error);
                let is_map_as_text = message == of_type("object") && self.shown(&pointer).starts_with('?');
                self.add(&pointer, if is_map_as_text { PAIRS.to_owned() } else { message });
            }
        }
    }

    /// Adds the words a choice knows, which say more than that they are texts.
    fn add_choice(&mut self, pointer: &str, words: String) {
        let shown = self.shown(pointer);
        self.faults.retain(|fault| fault.pointer != shown);
        self.add(pointer, words);
    }

    /// Adds the reader's own account, unless the schema has named the place, or a part of it, already.
    fn add_own(&mut self, pointer: &str, message: &str) {
        if message.starts_with(joined::CONTRADICTS) {
            return self.add_contradiction(pointer);
        }
        let is_told = self.has_told(pointer)
            || (message.starts_with(DUPLICATE)
                && self.faults.iter().any(|fault| fault.message == GIVEN_TWICE));
        if !is_told {
            self.add(pointer, in_plain_words(message));
        }
    }

    /// True when a fault at this place or below it has been found.
    fn has_told(&self, pointer: &str) -> bool {
        let shown = self.shown(pointer);
        let is_here = |told: &str| {
            told.strip_prefix(&*shown).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.faults.iter().map(|fault| &fault.pointer).chain(&self.cut).any(|told| is_here(told))
    }

    fn shown(&self, pointer: &str) -> String {
        shown(self.outer, pointer)
    }

    /// The place of a field outside the body.
    fn source(&self, name: &str) -> Option<Source> {
        self.outer.iter().find(|outer| outer.name == name).map(|outer| outer.source)
    }

    /// Adds what is wrong with a field outside the body by itself, and beside those `before` it.
    fn add_misplaced(&mut self, field: &Outer<'_>, before: &[Outer<'_>], is_declared: bool) {
        let place = field.place();
        if let Some(fault) = field.fault {
            let is_header = matches!(field.source, Source::Header(_));
            return self.add_unshown(&place, if is_header && !is_declared { NO_HEADER } else { fault });
        }
        let before: Vec<_> = before.iter().filter(|before| before.name == field.name).collect();
        let Some(first) = before.first() else { return };
        if first.source == Source::Path {
            self.add_unshown(&place, IN_PATH);
        } else if before.iter().any(|before| before.source == field.source) {
            self.add_unshown(&place, GIVEN_TWICE);
        } else if !field.repeats(first) {
            self.add_unshown(&place, format!("{CONTRADICTS}{}", first.source));
        }
    }

    /// Adds the fields of the body that contradict one outside it, or repeat it in another type. They are named where they
    /// stand in the body.
    fn add_repeated(&mut self, outer: &[Outer<'_>], fields: &Map<String, Value>, document: &Value) {
        for field in outer {
            let pointer = format!("/{}", escaped(&field.name));
            let kind = kind_of(document, &document["properties"][&*field.name]);
            let Some(value) = fields.get(&*field.name) else { continue };
            if !joined::repeats(value, &field.text) {
                self.add_contradiction(&pointer);
            } else if let (true, Some(kind @ ("integer" | "number" | "boolean"))) = (value.is_string(), kind)
            {
                self.add_unshown(&pointer, of_type(kind));
            }
        }
    }

    /// Adds that a field of the body contradicts the one outside it. It is named where it stands in the body.
    fn add_contradiction(&mut self, pointer: &str) {
        let source = self.source(pointer.trim_start_matches('/')).unwrap_or(Source::Path);
        self.add_unshown(pointer, format!("{CONTRADICTS}{source}"));
    }

    fn add(&mut self, pointer: &str, message: impl Into<String>) {
        self.add_unshown(&self.shown(pointer), message);
    }

    /// Adds a fault at a place of the body, which a field outside it may have too.
    fn add_unshown(&mut self, pointer: &str, message: impl Into<String>) {
        let fault = Fault { pointer: pointer.to_owned(), message: message.into() };
        if self.faults.contains(&fault) {
            return;
        }
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        } else {
            self.cut.insert(fault.pointer);
        }
    }

    /// A path that cannot name anything identifies nothing, unless more is wrong: then all of it is told.
    fn into_problem(self) -> Problem {
        let is_of_value = |message: &str| !message.starts_with(CONTRADICTS) && message != GIVEN_TWICE;
        let of_path = |fault: &Fault| {
            let named = |outer: &&Outer<'_>| {
                outer.source == Source::Path && fault.pointer.strip_prefix('/') == Some(&*outer.name)
            };
            self.outer.iter().find(named).filter(|_| is_of_value(&fault.message))
        };
        match self.faults.iter().map(of_path).collect::<Option<Vec<_>>>().as_deref() {
            Some([outer, ..]) => {
                let what = outer.name.strip_suffix("_id").unwrap_or(&outer.name);
                Problem::not_found(&what.replace('_', " "))
            }
            Some([]) | None => Problem::invalid_first(self.faults.len() + self.cut.len(), self.faults),
        }
    }
}

/// The words of a choice whose every branch is one word.
fn words_of<'a>(context: &'a [Vec<ValidationError<'static>>]) -> Option<Vec<&'a str>> {
    let word = |branch: &'a Vec<ValidationError<'static>>| {
        branch.iter().find_map(|error| match error.kind() {
            Kind::Constant { expected_value } => expected_value.as_str(),
            _ => None,
        })
    };
    context.iter().map(word).collect()
}

/// The branch of a choice that was meant: the one whose faults lie deepest. `null` is a branch nobody means.
fn closest<'a>(
    context: &'a [Vec<ValidationError<'static>>],
    pointer: &str,
) -> Option<&'a [ValidationError<'static>]> {
    let is_here = |error: &ValidationError<'_>| {
        error.instance_path().to_string() == pointer
            && matches!(error.kind(), Kind::Type { .. } | Kind::Constant { .. })
    };
    let deep = context.iter().find(|branch| !branch.is_empty() && !branch.iter().any(is_here));
    deep.or_else(|| context.iter().find(|branch| !branch.is_empty())).map(Vec::as_slice)
}

/// A text of another form than the one its schema gives an example of.
fn of_form(error: &ValidationError<'_>, document: &Value) -> String {
    let schema = error.schema_path().to_string();
    let schema = schema.strip_suffix("/pattern").and_then(|schema| document.pointer(schema));
    let example = schema.and_then(|schema| schema["examples"][0].as_str());
    example.map_or_else(|| SHAPE.to_owned(), |example| format!("must have a form such as {example}"))
}

/// The text as the JSON value its schema wants; as a text when it cannot be one.
fn coerced(document: &Value, schema: &Value, text: &str) -> Value {
    let as_text = || Value::from(text);
    match kind_of(document, schema) {
        Some("integer" | "number") => {
            serde_json::from_str::<serde_json::Number>(text).map_or_else(|_| as_text(), Value::Number)
        }
        Some("boolean") => text::flag(text).map_or_else(as_text, Value::Bool),
        Some("array") => {
            let items = text::items(text).map(|item| coerced(document, items_of(document, schema), item));
            Value::Array(items.collect())
        }
        Some("object") => {
            let pairs: Option<Map<_, _>> = text::items(text)
                .map(|pair| pair.split_once(':').map(|(name, value)| (name.to_owned(), value.into())))
                .collect();
            pairs.map_or_else(as_text, Value::Object)
        }
        _ => as_text(),
    }
}

/// The schema itself, through references and choices with `null`.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|to| document.pointer(to.trim_start_matches('#')));
    let meant = schema["anyOf"]
        .as_array()
        .and_then(|branches| branches.iter().find(|branch| branch["type"] != "null"));
    match target.or(meant) {
        Some(next) => resolved(document, next),
        None => schema,
    }
}

fn items_of<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    &resolved(document, schema)["items"]
}

fn kind_of<'a>(document: &'a Value, schema: &'a Value) -> Option<&'a str> {
    match &resolved(document, schema)["type"] {
        Value::String(kind) => Some(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        _ => None,
    }
}

fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned()
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.extend(["/", &index.to_string()]),
            Segment::Map { key } => pointer.extend(["/", &escaped(key)]),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// Turns a reader's message into the caller's language. Messages of our own types are plain already.
pub(crate) fn in_plain_words(message: &str) -> String {
    if message.starts_with("unknown field ") {
        return "unknown field".to_owned();
    }
    let quoted = |start: &str| message.strip_prefix(start).and_then(|rest| rest.strip_suffix('`'));
    if let Some(field) = quoted("missing field `") {
        return format!("{field} is required");
    }
    if message.starts_with(DUPLICATE) {
        return GIVEN_TWICE.to_owned();
    }
    if let Some((_, words)) =
        message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        // The words stand in backticks, so they are every other piece.
        return one_of(words.split('`').skip(1).step_by(2));
    }
    let is_of_reader = ["invalid type: ", "invalid value: ", "invalid length "]
        .iter()
        .any(|start| message.starts_with(start));
    match message.rsplit_once(", expected ") {
        Some((_, wanted)) if is_of_reader => shape(wanted).to_owned(),
        _ if message.starts_with("UUID parsing failed") => UUID.to_owned(),
        _ if is_of_time(message) => TIME.to_owned(),
        _ if is_of_reader
            || message.contains('`')
            || message.contains("::")
            || message.contains(" enum ") =>
        {
            SHAPE.to_owned()
        }
        _ => message[..message.floor_char_boundary(FOREIGN_BYTES_MAX)].to_owned(),
    }
}

fn shape(wanted: &str) -> &'static str {
    match wanted {
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => of_type("integer"),
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "must be a whole number, 0 or more",
        "f32" | "f64" => of_type("number"),
        "a string" | "a borrowed string" | "a character" => of_type("string"),
        "a boolean" => of_type("boolean"),
        "a sequence" => of_type("array"),
        "a map" | "an object" => of_type("object"),
        _ if wanted.starts_with("a nonzero u") => "must be a whole number, 1 or more",
        _ if wanted.contains("UUID") => UUID,
        _ if wanted.contains("date and time") => TIME,
        _ if wanted.starts_with("struct ") => of_type("object"),
        _ if wanted.starts_with("a tuple") || wanted.starts_with("an array") => of_type("array"),
        _ => SHAPE,
    }
}

/// True for the messages of the reader of times.
fn is_of_time(message: &str) -> bool {
    matches!(
        message,
        "input is out of range"
            | "no possible date and time matching input"
            | "input is not enough for unique date and time"
            | "input contains invalid characters"
            | "premature end of input"
            | "trailing input"
    )
}
