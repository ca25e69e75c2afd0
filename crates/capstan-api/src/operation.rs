//! What a caller may ask for, as data.
//!
//! One [`Operation`] describes one route: the router, the authorisation of every request and the published
//! descriptions of the surface are all made from the same value, so none of them can say something else. The values
//! themselves stand in `routes/table.rs`.

pub(crate) mod query_parameter;

use axum::http::Method;
use axum::routing::MethodFilter;
use serde::Serialize;

use query_parameter::QueryParameter;

/// One thing a caller may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Operation {
    /// Its stable name, as in `AcceptAgentCommand`.
    pub name: &'static str,
    /// How it is asked over HTTP.
    pub method: Verb,
    /// Where, with `{names}` for what varies.
    pub path: &'static str,
    /// What a caller must be allowed.
    pub scope: Scope,
    /// The wire name under which the same is asked on NATS, where it can be.
    pub bus: Option<&'static str>,
    /// What it does, in one line.
    pub summary: &'static str,
    /// The wire name of the schema of its body, where it takes one.
    pub body: Option<&'static str>,
    /// What a success is answered with.
    pub answer: Answer,
    /// Statuses of success, the usual one first.
    pub statuses: &'static [u16],
}

impl Operation {
    /// True when one workspace is named in the path, directly or by an attempt of it.
    pub fn names_workspace(&self) -> bool {
        self.path.contains("{workspace}") || self.path.contains("{attempt}")
    }

    /// What its path leaves open, in order.
    pub fn path_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
    }

    /// The query parameters it takes, besides those of every read.
    pub fn query(&self) -> impl Iterator<Item = &'static QueryParameter> + use<> {
        query_parameter::of(self.name)
    }

    /// True for reads of one workspace with one answer: they can be asked on the bus too.
    pub fn is_query(&self) -> bool {
        self.waits_for_position()
    }

    /// True for what workers say.
    pub fn is_worker_call(&self) -> bool {
        self.scope == Scope::Worker
    }

    /// The name under which it is asked on `capstan.rpc.<workspace>.<name>`, where it can be. What workers say has a
    /// level of its own: who may give every command of a workspace is not yet let in as a worker.
    pub fn rpc_name(&self) -> Option<String> {
        match self.bus {
            Some(name) => Some(name.to_owned()),
            None if self.is_query() => Some(kebab(self.name)),
            None if self.is_worker_call() => Some(format!("worker.{}", kebab(self.name))),
            None => None,
        }
    }

    /// True for reads of the read models: they can wait for a position.
    pub fn waits_for_position(&self) -> bool {
        self.method == Verb::Get
            && self.path.contains("{workspace}")
            && !matches!(self.answer, Answer::Stream)
    }
}

/// `GetTaskLogs` as `get-task-logs`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

/// What a caller must be allowed. `admin` of a workspace implies all others of that workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Nothing at all: the route tells nothing about anybody.
    Public,
    /// To look.
    Read,
    /// To give commands.
    Command,
    /// To lease attempts and report on them.
    Worker,
    /// To govern the workspace; where the path names none, the installation.
    Admin,
}

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "they are the methods of HTTP")]
pub enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// The method as HTTP libraries know it.
    pub fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }

    pub(crate) fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// What a success is answered with; the texts name schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "schema", rename_all = "snake_case")]
pub enum Answer {
    /// One object.
    Object(&'static str),
    /// One object, or null when there is none now.
    Maybe(&'static str),
    /// A page of objects with `next_cursor` and `position`.
    List(&'static str),
    /// A receipt with the entity under this name.
    Receipt(&'static str),
    /// A bare JSON array of objects.
    Array(&'static str),
    /// JSON of no fixed shape.
    Json,
    /// Events as they come: server-sent events, or a WebSocket.
    Stream,
    /// Text of this media type.
    Text(&'static str),
}
