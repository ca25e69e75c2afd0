//! The API tokens of a workspace and their scopes.

use capstan_contract::catalogue::TokenCodec;
use capstan_contract::schema::NamedSchema;
use capstan_domain::id::TokenId;
use capstan_domain::token::{Event, Issued, Scope, State};
use capstan_envelope::{Carried, Codec as _, Recorded, StreamId};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::{Model, Stored, shown_in, shown_of};

/// A token as the API returns it: without the secret or its hash.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TokenRow {
    id: TokenId,
    workspace: String,
    name: String,
    scopes: Vec<Scope>,
    last_four: String,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    revoked_reason: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: u64,
}

/// What a token shows that its state lacks.
#[serde_with::skip_serializing_none]
#[derive(Serialize, Deserialize)]
struct Shown {
    revoked_reason: Option<String>,
    updated_at: DateTime<Utc>,
}

impl Model for TokenRow {
    const VERSION: i32 = 2;
    const COLUMNS: &'static [Column<Self>] = &[
        Column::changing("revoked", CellType::Flag, |row| Cell::Flag(Some(row.revoked_at.is_some()))),
        Column::fixed("created_at", CellType::Time, |row| Cell::Time(Some(row.created_at))),
    ];
    const ANSWER: Option<NamedSchema> = Some(NamedSchema::of_answer::<TokenRow>("token"));
    const IS_CARRIED: bool = true;
    type Event<'a> = &'a Event;
    type Key = Uuid;

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<Uuid>) {
        keys.push(match fact.event {
            Event::Issued(issued) => issued.token_id.0,
            Event::Revoked(revoked) => revoked.token_id.0,
        });
    }

    fn apply(row: Option<Self>, _: &Uuid, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        let row = match fact.event {
            Event::Issued(issued) => begin(issued),
            Event::Revoked(revoked) => TokenRow {
                revoked_at: Some(revoked.revoked_at),
                revoked_reason: revoked.reason.clone(),
                ..row?
            },
        };
        Some(TokenRow { updated_at: fact.occurred_at(), version: fact.version(), ..row })
    }

    fn carried_key(stream: &StreamId, _: &Carried) -> Option<Uuid> {
        stream.id().parse().ok().filter(|_| stream.category() == TokenCodec::CATEGORY)
    }

    fn shown(doc: &str) -> serde_json::Result<Option<Box<RawValue>>> {
        shown_of::<Shown>(doc).map(Some)
    }

    fn carried(recorded: &Recorded, carried: &Carried) -> serde_json::Result<Option<(String, Self)>> {
        let State { issued, revoked_at } = serde_json::from_str(carried.state.get())?;
        let Some((issued, shown)) = issued.zip(shown_in(carried)?) else { return Ok(None) };
        let Shown { revoked_reason, updated_at } = shown;
        let version = recorded.commit.version;
        let row = Self { revoked_at, revoked_reason, updated_at, version, ..begin(&issued) };
        Ok(Some((issued.workspace, row)))
    }

    fn read(_: &Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}

fn begin(issued: &Issued) -> TokenRow {
    TokenRow {
        id: issued.token_id,
        workspace: issued.workspace.clone(),
        name: issued.name.clone(),
        scopes: issued.scopes.clone(),
        last_four: issued.last_four.clone(),
        expires_at: issued.expires_at,
        revoked_at: None,
        revoked_reason: None,
        created_at: issued.issued_at,
        updated_at: issued.issued_at,
        version: 0,
    }
}
