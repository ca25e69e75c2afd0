//! The outputs the feed of a workspace leaves out: supporting ones, and emails that were not sent.

use serde_json::{Map, Value};

use crate::task::event::OutputStatus;
use crate::task::state::outputs::{draft, is_surface};

/// True when the feed leaves out an output of this type, content and status.
pub fn is_hidden(
    output_type: &str,
    data: &Map<String, Value>,
    metadata: &Map<String, Value>,
    status: OutputStatus,
) -> bool {
    let role = metadata.get("artifact_role").and_then(Value::as_str);
    let is_email = output_type == "email";
    matches!(role, Some("incidental" | "supporting"))
        || is_email
            && (status == OutputStatus::Pending
                || is_surface(metadata)
                || draft(output_type, data, metadata).is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_feed_shows_what_was_asked_for_and_what_was_sent() {
        let object = |value: Value| value.as_object().cloned().unwrap();
        let drafted = json!({"draft_id": "d"});
        let sent = json!({"draft_id": "d", "message_id": "m"});
        for (output_type, data, metadata, status, hidden) in [
            ("report", json!({}), json!({}), OutputStatus::Active, false),
            ("report", json!({}), json!({}), OutputStatus::Pending, false),
            ("report", json!({}), json!({"artifact_role": "primary"}), OutputStatus::Active, false),
            ("report", json!({}), json!({"artifact_role": "supporting"}), OutputStatus::Active, true),
            ("report", json!({}), json!({"artifact_role": "incidental"}), OutputStatus::Active, true),
            ("report", drafted.clone(), json!({}), OutputStatus::Active, false),
            ("email", json!({}), json!({}), OutputStatus::Active, false),
            ("email", sent.clone(), json!({}), OutputStatus::Active, false),
            ("email", sent, json!({}), OutputStatus::Pending, true),
            ("email", drafted, json!({}), OutputStatus::Active, true),
            ("email", json!({}), json!({"_approval_surface": true}), OutputStatus::Active, true),
        ] {
            let is = is_hidden(output_type, &object(data.clone()), &object(metadata.clone()), status);
            assert_eq!(is, hidden, "{output_type} {data} {metadata} {status:?}");
        }
    }
}
