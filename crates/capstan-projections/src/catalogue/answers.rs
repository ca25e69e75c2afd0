//! How the rows look to callers, as JSON Schemas.

use capstan_contract::schema::{NamedSchema, answer_schema_of};

use super::agents::AgentRow;
use super::blockers::BlockerRow;
use super::channels::ChannelRow;
use super::classes::ClassRow;
use super::inputs::InputRow;
use super::outputs::OutputRow;
use super::runs::RunRow;
use super::schedules::ScheduleRow;
use super::tasks::TaskRow;
use super::tokens::TokenRow;
use super::workspaces::WorkspaceRow;

/// Every object the read models show, by the name answers give it.
pub static SHOWN: &[NamedSchema] = &[
    NamedSchema { name: "agent", schema: || answer_schema_of::<AgentRow>("agent") },
    NamedSchema { name: "blocker", schema: || answer_schema_of::<BlockerRow>("blocker") },
    NamedSchema { name: "channel", schema: || answer_schema_of::<ChannelRow>("channel") },
    NamedSchema { name: "class", schema: || answer_schema_of::<ClassRow>("class") },
    NamedSchema { name: "input", schema: || answer_schema_of::<InputRow>("input") },
    NamedSchema { name: "output", schema: || answer_schema_of::<OutputRow>("output") },
    NamedSchema { name: "run", schema: || answer_schema_of::<RunRow>("run") },
    NamedSchema { name: "schedule", schema: || answer_schema_of::<ScheduleRow>("schedule") },
    NamedSchema { name: "task", schema: || answer_schema_of::<TaskRow>("task") },
    NamedSchema { name: "token", schema: || answer_schema_of::<TokenRow>("token") },
    NamedSchema { name: "workspace", schema: || answer_schema_of::<WorkspaceRow>("workspace") },
];
