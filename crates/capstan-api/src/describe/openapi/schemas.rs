//! The schemas that the documents may refer to.

use capstan_contract::lease::ANSWERS as LEASE_ANSWERS;
use capstan_contract::request;
use capstan_contract::schema::NamedSchema;

use super::components::Components;
use super::{choices, responses};
use crate::operation::Operation;

/// The schemas of bodies and queries, of the answers of these operations, of batches and of the frames of live streams.
pub(crate) fn all(operations: &[Operation], answers: &[NamedSchema]) -> Components {
    let mut components = Components::default();
    for named in LEASE_ANSWERS.iter().chain(capstan_projections::answers()).chain(answers) {
        components.add(named.name, named.schema(), "");
    }
    for named in request::schemas() {
        components.add(named.name, named.schema(), "Request");
    }
    responses::add(&mut components, operations);
    choices::add_batch(&mut components);
    choices::add_frames(&mut components);
    components.name_branches();
    components
}
