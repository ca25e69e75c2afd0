//! The answer to a command that was taken.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use capstan_dispatch::{CommandContext, Decided, Dispatchable};
use capstan_domain::id::InputId;
use capstan_domain::task::event::InputOutcome;
use capstan_envelope::Position;
use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::auth::Secret;
use crate::http::conventions::{POSITION, header_text};
use crate::http::responses::Object;

/// The proof that a command is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Receipt {
    /// The command; the id of its commit.
    pub command_id: Uuid,
    /// Reads at this position show its effect.
    pub position: Position,
    /// The entity's version after it.
    pub version: u64,
    /// True when it had been executed before, and was not again.
    pub duplicate: bool,
}

/// What a command is answered with.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status, which the other ways carry along.
    pub status: StatusCode,
    /// The proof.
    pub receipt: Receipt,
    /// What becomes of an input.
    pub input: Option<(InputId, InputOutcome)>,
    /// True when a command became an input of its session's task.
    pub continued: bool,
    /// The entity as it is now, by its name; absent when the read models are too far behind to show it.
    pub entity: Option<(&'static str, Box<RawValue>)>,
    /// Version and position of the entity shown, where they are not those of the receipt.
    pub shown_at: Option<(u64, Position)>,
    /// What is told this once and kept nowhere.
    pub secret: Option<Secret>,
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_map(None)?;
        body.serialize_entry("receipt", &self.receipt)?;
        if self.continued {
            body.serialize_entry("continued", &true)?;
        }
        if let Some((input_id, outcome)) = &self.input {
            // A repeat does nothing; what the first one did is told beside it.
            if self.receipt.duplicate {
                body.serialize_entry("outcome", "duplicate")?;
                body.serialize_entry("first_outcome", outcome)?;
            } else {
                body.serialize_entry("outcome", outcome)?;
            }
            body.serialize_entry("input_id", input_id)?;
        }
        if let Some((name, json)) = &self.entity {
            body.serialize_entry(name, json)?;
        }
        if let Some(secret) = &self.secret {
            body.serialize_entry("secret", secret)?;
        }
        body.end()
    }
}

impl Reply {
    /// A command that was taken.
    pub(crate) fn new<D: Dispatchable>(
        status: StatusCode,
        context: &CommandContext,
        decided: &Decided<D>,
    ) -> Self {
        let receipt = Receipt {
            command_id: context.command_id,
            position: decided.position,
            version: decided.version,
            duplicate: decided.duplicate,
        };
        // A repeat creates nothing.
        let status = if decided.duplicate { StatusCode::OK } else { status };
        Self::of_receipt(status, receipt)
    }

    /// An answer that proves this and shows nothing yet.
    pub(crate) fn of_receipt(status: StatusCode, receipt: Receipt) -> Self {
        Self { status, receipt, input: None, continued: false, entity: None, shown_at: None, secret: None }
    }

    /// Shows the entity as the read models have it, which may be later than the command: always so for a repeat.
    #[must_use]
    pub(crate) fn showing_object(mut self, name: &'static str, object: Option<Object>) -> Self {
        if let Some(Object { json, version, position }) = object {
            self.entity = Some((name, json));
            self.shown_at = Some((version, position));
        }
        self
    }

    /// Shows something in the answer.
    #[must_use]
    pub(crate) fn showing(mut self, name: &'static str, value: &impl Serialize) -> Self {
        self.entity = serde_json::value::to_raw_value(value).ok().map(|json| (name, json));
        self
    }

    /// The body as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a reply is plain data")
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let (version, position) = self.shown_at.unwrap_or((self.receipt.version, self.receipt.position));
        let headers = [
            (header::CONTENT_TYPE, header::HeaderValue::from_static("application/json")),
            (POSITION, header_text(&position.max(self.receipt.position))),
            (header::ETAG, header_text(&format!("\"{version}\""))),
        ];
        let mut response = (self.status, headers, self.to_json()).into_response();
        if self.secret.is_some() {
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        }
        response
    }
}
