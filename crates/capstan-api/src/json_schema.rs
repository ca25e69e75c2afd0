//! JSON Schema, for bodies of requests and for the answers a question accepts.

use jsonschema::{Draft, PatternOptions, ValidationOptions};

/// Options of a validator: it fetches nothing from outside the schema, and its patterns take linear time.
pub(crate) fn options() -> ValidationOptions<'static> {
    jsonschema::options().with_draft(Draft::Draft202012).with_pattern_options(PatternOptions::regex())
}
