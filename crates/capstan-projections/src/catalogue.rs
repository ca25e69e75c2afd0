//! The read models: one module for each folder of `projections/`, and one line each in `models!`.

pub(crate) mod agents;
pub(crate) mod blockers;
pub(crate) mod channels;
pub(crate) mod classes;
pub(crate) mod inputs;
pub(crate) mod outputs;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod spending;
pub(crate) mod stream_snapshots;
pub(crate) mod tasks;
pub(crate) mod tokens;
pub(crate) mod workspaces;

use capstan_contract::DomainEvent;
use capstan_contract::schema::NamedSchema;

use crate::events::Events;
use crate::model::{Model, Named};
use crate::rows::{ModelRows, Rows, column_names};

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
    /// The statements that create its table and indexes, see [`Model::SCHEMA`].
    pub(crate) schema: &'static str,
    /// The columns of its table.
    pub(crate) columns: fn() -> Vec<&'static str>,
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
            schema: M::SCHEMA,
            columns: column_names::<M>,
            rows: || Box::new(ModelRows::<M>::default()),
        }
    }
}

/// Lists the read models. The modules are declared above, where rustfmt finds them.
macro_rules! models {
    ($($module:ident::$row:ident,)*) => {
        /// Every read model. The stream snapshots come first: the other models depend on them.
        pub static MODELS: &[ReadModel] = &[$(ReadModel::new::<$module::$row>()),*];

        $(impl Named for $module::$row {
            const NAME: &'static str = stringify!($module);
            const SCHEMA: &'static str =
                include_str!(concat!("../../../projections/", stringify!($module), "/schema.sql"));
        })*
    };
}

models! {
    stream_snapshots::SnapshotRow,
    workspaces::WorkspaceRow,
    agents::AgentRow,
    channels::ChannelRow,
    classes::ClassRow,
    spending::SpendingRow,
    tokens::TokenRow,
    tasks::TaskRow,
    runs::RunRow,
    outputs::OutputRow,
    inputs::InputRow,
    blockers::BlockerRow,
    schedules::ScheduleRow,
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
