//! The read models, one module for each folder of `projections/`.

pub(crate) mod agents;
mod answers;
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

use crate::model::Model;
use crate::rows::{ModelRows, Rows, column_names};

pub use answers::SHOWN;

/// The name and version of every read model, the stream snapshots first: the others lean on them.
pub const MODELS: &[(&str, i32)] = &[
    entry::<stream_snapshots::StreamSnapshots>(),
    entry::<workspaces::Workspaces>(),
    entry::<agents::Agents>(),
    entry::<channels::Channels>(),
    entry::<classes::Classes>(),
    entry::<spending::Spending>(),
    entry::<tokens::Tokens>(),
    entry::<tasks::Tasks>(),
    entry::<runs::Runs>(),
    entry::<outputs::Outputs>(),
    entry::<inputs::Inputs>(),
    entry::<blockers::Blockers>(),
    entry::<schedules::Schedules>(),
];

const fn entry<M: Model>() -> (&'static str, i32) {
    (M::NAME, M::VERSION)
}

/// Empty rows of every model but the stream snapshots.
pub(crate) fn all_rows() -> Vec<Box<dyn Rows>> {
    vec![
        Box::new(ModelRows::<workspaces::Workspaces>::default()),
        Box::new(ModelRows::<agents::Agents>::default()),
        Box::new(ModelRows::<channels::Channels>::default()),
        Box::new(ModelRows::<classes::Classes>::default()),
        Box::new(ModelRows::<spending::Spending>::default()),
        Box::new(ModelRows::<tokens::Tokens>::default()),
        Box::new(ModelRows::<tasks::Tasks>::default()),
        Box::new(ModelRows::<runs::Runs>::default()),
        Box::new(ModelRows::<outputs::Outputs>::default()),
        Box::new(ModelRows::<inputs::Inputs>::default()),
        Box::new(ModelRows::<blockers::Blockers>::default()),
        Box::new(ModelRows::<schedules::Schedules>::default()),
    ]
}

/// The table definition of a model.
pub(crate) fn schema(name: &str) -> Option<&'static str> {
    TABLES.iter().find(|table| table.name == name).map(|table| table.schema)
}

/// The columns of a model's table.
pub(crate) fn columns(name: &str) -> Vec<&'static str> {
    TABLES.iter().find(|table| table.name == name).map(|table| (table.columns)()).unwrap_or_default()
}

struct Table {
    name: &'static str,
    schema: &'static str,
    columns: fn() -> Vec<&'static str>,
}

const fn table<M: Model>() -> Table {
    Table { name: M::NAME, schema: M::SCHEMA, columns: column_names::<M> }
}

const TABLES: &[Table] = &[
    table::<stream_snapshots::StreamSnapshots>(),
    table::<workspaces::Workspaces>(),
    table::<agents::Agents>(),
    table::<channels::Channels>(),
    table::<classes::Classes>(),
    table::<spending::Spending>(),
    table::<tokens::Tokens>(),
    table::<tasks::Tasks>(),
    table::<runs::Runs>(),
    table::<outputs::Outputs>(),
    table::<inputs::Inputs>(),
    table::<blockers::Blockers>(),
    table::<schedules::Schedules>(),
];
