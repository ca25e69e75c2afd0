//! The read models: one module for each folder of `projections/`, and one line each in `models!`.

pub(crate) mod agents;
pub(crate) mod applied_keys;
pub(crate) mod blockers;
pub(crate) mod channels;
pub(crate) mod classes;
pub(crate) mod inputs;
pub(crate) mod output_rows;
pub(crate) mod outputs;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod spending;
pub(crate) mod streams;
pub(crate) mod tasks;
pub(crate) mod tokens;
pub(crate) mod workspaces;

use capstan_contract::DomainEvent;
use capstan_contract::schema::NamedSchema;
use capstan_envelope::{Carried, StreamId};
use serde_json::value::RawValue;

use crate::events::Events;
use crate::model::{Answer, Model, Named, RowKey, Sum};
use crate::rows::{ModelRows, Rows, aside_columns, column_names};

/// A read model as the rest of the crate uses it.
#[derive(Debug)]
pub struct ReadModel {
    /// Name of the model, its table and its folder.
    pub name: &'static str,
    /// Version of its fold and table.
    pub version: i32,
    /// Name and schema of its rows in API answers; `None` when the API does not return them.
    pub answer: Option<NamedSchema>,
    /// True for the events it reads.
    pub reads: fn(&DomainEvent) -> bool,
    /// True when its rows take from several streams.
    pub(crate) spans_streams: bool,
    /// True when its rows follow from the heads of streams, see [`Model::FOLLOWS_HEADS`].
    pub(crate) follows_heads: bool,
    /// True when a commit that carries a stream forward carries its row too.
    pub(crate) is_carried: bool,
    /// The id of the row that a commit of a stream carries forward, and the Postgres type of the column.
    pub(crate) carried_id: fn(&StreamId, &Carried) -> Option<(String, &'static str)>,
    /// What a document of it shows that the state of the stream lacks, see [`Model::shown`].
    pub(crate) shown: fn(&str) -> serde_json::Result<Option<Box<RawValue>>>,
    /// The statements that create its table and indexes, see [`Model::SCHEMA`].
    pub(crate) schema: &'static str,
    /// The columns of its table.
    pub(crate) columns: fn() -> Vec<&'static str>,
    /// Name and columns of its second table, see [`crate::model::Aside`].
    pub(crate) aside: fn() -> Option<(&'static str, Vec<&'static str>)>,
    /// Tables of sums over its rows.
    pub(crate) sums: &'static [Sum],
    /// Tables that are filled behind its rows.
    pub(crate) trailing: &'static [&'static str],
    /// The way from a stored row to the object the API returns; `None` where the document is that object.
    pub(crate) answer_from: Option<Answer>,
    /// Makes an empty set of its rows.
    pub(crate) rows: fn() -> Box<dyn Rows>,
}

impl ReadModel {
    const fn new<M: Model>() -> Self {
        Self {
            name: M::NAME,
            version: M::VERSION,
            answer: M::ANSWER,
            reads: |event| M::Event::select(event).is_some(),
            spans_streams: M::SPANS_STREAMS,
            follows_heads: M::FOLLOWS_HEADS,
            is_carried: M::IS_CARRIED,
            carried_id: |stream, carried| {
                let key = M::carried_key(stream, carried)?;
                Some((key.to_string(), <M::Key as RowKey>::HOLDS.sql()))
            },
            shown: M::shown,
            schema: M::SCHEMA,
            columns: column_names::<M>,
            aside: aside_columns::<M>,
            sums: M::SUMS,
            trailing: M::TRAILING,
            answer_from: M::ANSWER_FROM,
            rows: || Box::new(ModelRows::<M>::default()),
        }
    }
}

/// Lists the read models. The modules are declared above, where rustfmt finds them.
macro_rules! models {
    ($($module:ident::$row:ident,)*) => {
        /// Every read model. Streams and tasks come first: they hold the heads of all streams and what the others need of a
        /// task.
        pub static MODELS: &[ReadModel] = &[$(ReadModel::new::<$module::$row>()),*];

        $(impl Named for $module::$row {
            const NAME: &'static str = stringify!($module);
            const SCHEMA: &'static str =
                include_str!(concat!("../../../projections/", stringify!($module), "/schema.sql"));
        })*
    };
}

models! {
    streams::StreamRow,
    tasks::TaskRow,
    applied_keys::AppliedKeyRow,
    workspaces::WorkspaceRow,
    agents::AgentRow,
    channels::ChannelRow,
    classes::ClassRow,
    spending::SpendingRow,
    tokens::TokenRow,
    runs::RunRow,
    outputs::OutputRow,
    output_rows::OutputRowsChunk,
    inputs::InputRow,
    blockers::BlockerRow,
    schedules::ScheduleRow,
}

impl ReadModel {
    /// Its tables, with their columns.
    pub(crate) fn tables(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        std::iter::once((self.name, (self.columns)())).chain((self.aside)()).collect()
    }
}

/// The models every fold needs: they hold the heads of all streams, and the acceptances of tasks.
pub(crate) fn heads() -> &'static [ReadModel] {
    &MODELS[..2]
}

/// The read model of this name.
pub(crate) fn model(name: &str) -> Option<&'static ReadModel> {
    MODELS.iter().find(|model| model.name == name)
}

/// The objects the API returns from read models, by name.
pub fn answers() -> Vec<&'static NamedSchema> {
    let mut answers: Vec<_> = MODELS.iter().filter_map(|model| model.answer.as_ref()).collect();
    answers.sort_unstable_by_key(|answer| answer.name);
    answers
}
