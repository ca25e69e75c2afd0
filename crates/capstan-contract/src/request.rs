//! The name, the method and the path of each typed request: the router, the published documents, NATS and the client take
//! them from here.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::ADMIN_REQUESTS;
use crate::beside::Beside;
use crate::command::body_schemas;
use crate::query::QUERIES;
use crate::schema::NamedSchema;
use crate::stream::STREAMS;

/// A request: a command, a query, a call of a worker or a live stream.
///
/// Over HTTP the fields that [`PATH`](Self::PATH) names stand in the path; the others stand in the query string of `GET`
/// and `DELETE`, else in the body. Over NATS all of them are the body.
pub trait Request: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The wire name, as in subjects, batches and metadata.
    const NAME: &'static str;
    /// The name of the operation in the published documents, which is that of the type.
    const OPERATION: &'static str;
    /// The HTTP method.
    const METHOD: Verb;
    /// The path, with its parameters as `{name}`.
    const PATH: &'static str;
    /// The fields beside those of the request.
    type Beside: Beside;
}

/// An HTTP method.
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
    /// The method's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// The parameters of a path, in order.
pub fn path_names(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

/// Every request and the JSON Schema of its fields.
pub fn schemas() -> impl Iterator<Item = &'static NamedSchema> {
    body_schemas().chain(QUERIES).chain(STREAMS).chain(ADMIN_REQUESTS)
}

/// True for a path that is not meant below the one of a workspace.
#[doc(hidden)]
pub const fn is_whole(path: &str) -> bool {
    matches!(path.as_bytes(), [b'/', b'v', b'1', b'/', ..])
}

/// Implements [`Request`] for a list of `Type(Beside) = "wire-name", Method "/path";`, and lists their JSON Schemas in the
/// static that is named first. A path that does not begin with `/v1/` is below `/v1/workspaces/{workspace}`.
///
/// After the path may follow `=> [statuses, Answer("schema"), Scope, "summary"]`, from which the api makes the route: the
/// statuses of success, the usual one first, the content of such a response, the scope that the caller needs, and one line
/// for the documents.
#[macro_export]
macro_rules! requests {
    (
        $(#[$doc:meta])* $visible:vis $schemas:ident:
        $($request:ident($beside:ident) = $name:literal, $method:ident $path:literal $(=> $shown:tt)?;)*
    ) => {
        $(impl $crate::request::Request for $request {
            const NAME: &'static str = $name;
            const OPERATION: &'static str = stringify!($request);
            const METHOD: $crate::request::Verb = $crate::request::Verb::$method;
            const PATH: &'static str = if $crate::request::is_whole($path) {
                $path
            } else {
                concat!("/v1/workspaces/{workspace}", $path)
            };
            type Beside = $beside;
        })*

        $(#[$doc])*
        $visible static $schemas: &[$crate::schema::NamedSchema] = &[$(
            $crate::schema::NamedSchema::of_request::<$request, $beside>($name),
        )*];
    };
}
