//! The published documents that describe the api: `openapi.json` and `asyncapi.json`.

pub(crate) mod asyncapi;
pub(crate) mod openapi;
