//! The HTTP surface.

pub(crate) mod admission;
pub(crate) mod body;
pub(crate) mod command_request;
pub(crate) mod conventions;
pub(crate) mod fields;
pub(crate) mod frames;
pub(crate) mod headers;
pub(crate) mod responses;
pub(crate) mod routes;
pub(crate) mod serving;
mod websocket;
