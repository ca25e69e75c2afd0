//! Bytes ↔ meaning: the wire names, versions and shapes of events, commands, queries, live streams and worker answers, and
//! the subjects they travel on.
//!
//! Current event shapes live with their deciders in the domain; here they get their names ([`catalogue`]),
//! their codecs and, when a shape is retired, the upcasters that still read it ([`event_name`]). What is on the
//! wire is drawn as JSON Schemas in `schemas/`, whose README says how to add or retire an event.
#![warn(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod account;
pub mod admin;
pub mod beside;
pub mod catalogue;
pub mod causes;
pub mod command;
pub mod domain_event;
pub mod event_name;
mod field_order;
pub mod lease;
pub mod query;
pub mod request;
pub mod schema;
pub mod schema_files;
pub mod stream;
pub mod strict;
pub mod subject;

pub use capstan_domain::redaction;
pub use catalogue::{
    AgentCodec, CATALOGUE, ChannelCodec, ClassCodec, ScheduleCodec, SessionCodec, TaskCodec, TokenCodec,
    WorkspaceCodec,
};
pub use domain_event::{DomainEvent, decode_commit, verify_commit, whole_records};
pub use event_name::EventName;
