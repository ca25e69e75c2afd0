//! The operations of the api, as data.
//!
//! One [`Operation`] describes one route. The router, the authorisation of every request, the NATS surface and the
//! published documents are made from the same values, so they cannot disagree. `http/routes/table.rs` makes them from the
//! lists of the contract.

use capstan_contract::request;
pub use capstan_contract::request::Verb;
use serde::Serialize;

/// One operation a caller may request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Operation {
    /// Stable name, as in `AcceptAgentCommand`.
    pub name: &'static str,
    /// HTTP method.
    pub method: Verb,
    /// Path, with its parameters as `{name}`.
    pub path: &'static str,
    /// Scope the caller needs.
    pub scope: Scope,
    /// Wire name of the command on NATS, for commands of callers.
    pub bus: Option<&'static str>,
    /// Description in one line.
    pub summary: &'static str,
    /// Wire name of the schema of the request: its body, or the fields of a query.
    pub body: Option<&'static str>,
    /// Content of a successful response.
    pub answer: Answer,
    /// Statuses of success, the usual one first.
    pub statuses: &'static [u16],
}

impl Operation {
    /// True when one workspace is named in the path, directly or by an attempt of it.
    pub fn names_workspace(&self) -> bool {
        self.path.contains("{workspace}") || self.path.contains("{attempt_id}")
    }

    /// The parameters of the path, in order.
    pub fn path_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        request::path_names(self.path)
    }

    /// True for calls of the worker protocol.
    pub fn is_worker_call(&self) -> bool {
        self.scope == Scope::Worker
    }

    /// True for the operation that executes many commands.
    pub fn is_batch(&self) -> bool {
        self.name == "ExecuteBatch"
    }

    /// True for commands of callers, alone or in a batch: a caller may prefer a reply without the entity.
    pub fn takes_preferences(&self) -> bool {
        self.bus.is_some() || self.is_batch()
    }

    /// The name on `capstan.rpc.<workspace>.<name>`, if the operation is served on NATS. Worker calls have a level of
    /// their own, so that a permission for all commands of a workspace does not include them.
    pub fn rpc_name(&self) -> Option<String> {
        match self.bus {
            Some(name) => Some(name.to_owned()),
            None if self.is_query() => self.body.map(str::to_owned),
            None if self.is_worker_call() => self.body.map(|name| format!("worker.{name}")),
            None => None,
        }
    }

    /// True for queries of one workspace with one response: they can wait for a position, and are served on NATS too.
    pub fn is_query(&self) -> bool {
        self.method == Verb::Get
            && self.path.contains("{workspace}")
            && !matches!(self.answer, Answer::Stream)
    }
}

/// The scope an operation needs. `admin` of a workspace implies all others of that workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// None: the route shows nothing of a workspace.
    Public,
    /// Queries of the workspace.
    Read,
    /// Commands of callers.
    Command,
    /// The worker protocol.
    Worker,
    /// Administration of the workspace; of the installation, when the path names no workspace.
    Admin,
}

/// The content of a successful response; the texts name schemas, or the media type of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "schema", rename_all = "snake_case")]
pub enum Answer {
    /// One entity of the read models, with its version and the position it was read at.
    Entity(&'static str),
    /// An object computed from the read models, with the position it was read at.
    View(&'static str),
    /// One object.
    Object(&'static str),
    /// One object, or null.
    Maybe(&'static str),
    /// A page of objects with `next_cursor` and `position`.
    List(&'static str),
    /// A receipt with the entity under this name; without one when the name is empty.
    Receipt(&'static str),
    /// A bare JSON array of objects.
    Array(&'static str),
    /// A live stream: server-sent events, or a WebSocket.
    Stream,
    /// Text of this media type.
    Text(&'static str),
}
