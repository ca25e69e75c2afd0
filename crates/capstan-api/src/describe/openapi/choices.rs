//! Objects of many kinds, told apart by one field: the items of a batch and the frames of live streams.

use capstan_contract::CATALOGUE;
use capstan_contract::command::COMMANDS;
use capstan_envelope::CARRIED_FORWARD;
use capstan_live::LOG;
use serde_json::json;

use super::components::{Components, tag_of};
use crate::use_case::batch::ITEMS_MAX;

/// Adds the commands as items of a batch.
pub(super) fn add_batch(components: &mut Components) {
    let commands = COMMANDS.iter().map(|named| (named.name.to_owned(), components.get(named.name).clone()));
    let about = "A command of a batch: its wire name as `type`, and its fields.";
    components.add_choice("BatchItem", about, "type", "Item", commands.collect());
    let items = components.reference("BatchItem");
    components.insert("Batch".to_owned(), json!({ "type": "array", "maxItems": ITEMS_MAX, "items": items }));
}

/// Adds the frames of live streams: an event of the log each, a log line, or a control frame.
pub(super) fn add_frames(components: &mut Components) {
    let mut branches: Vec<_> =
        tag_of(components.get("control-frame")).into_iter().flat_map(|(_, frames)| frames).collect();
    for (name, shown) in [("snapshot", "snapshot"), (LOG, "log-entry")] {
        branches.push((name.to_owned(), components.get(shown).clone()));
    }
    for event in CATALOGUE {
        let name = format!("{}-data", event.name);
        components.add(&name, (event.whole_schema)(), "Stored");
        let frame = json!({
            "allOf": [components.reference("event-data")], "type": "object",
            "properties": { "data": components.reference(&name) },
        });
        branches.push((event.name.to_owned(), frame));
    }
    let carried = json!({ "allOf": [components.reference("event-data")], "type": "object" });
    branches.push((CARRIED_FORWARD.to_owned(), carried));
    let about = "The data of a frame of a live stream; `event` is the frame's name.";
    components.add_choice("LiveFrame", about, "event", "Frame", branches);
}
