//! Words a caller types for a choice: case and surrounding blanks do not matter, an unknown word is a fault.

use crate::Faults;
use crate::task::event::{Decision, InputKind, Priority, QueueMode};

fn lowered(text: Option<&str>) -> String {
    text.map(str::trim).unwrap_or_default().to_lowercase()
}

/// Reads a priority; normal when blank.
pub(super) fn priority(text: Option<&str>, faults: &mut Faults) -> Priority {
    match lowered(text).as_str() {
        "" | "normal" => Priority::Normal,
        "low" => Priority::Low,
        "high" => Priority::High,
        "urgent" => Priority::Urgent,
        other => {
            faults.add(
                "/priority",
                format!("priority {other:?} is not supported (supported: low, normal, high, urgent)"),
            );
            Priority::Normal
        }
    }
}

/// Reads a queue mode; follow-up when blank.
pub(super) fn queue_mode(text: Option<&str>, faults: &mut Faults) -> QueueMode {
    match lowered(text).as_str() {
        "" | "followup" => QueueMode::Followup,
        "queue" => QueueMode::Queue,
        "steer" | "steer-backlog" => QueueMode::Steer,
        "interrupt" => QueueMode::Interrupt,
        other => {
            let supported = "queue, followup, steer, steer-backlog, interrupt";
            faults.add(
                "/queue_mode",
                format!("queue_mode {other:?} is not supported (supported: {supported})"),
            );
            QueueMode::Followup
        }
    }
}

/// Reads the kind of an input; none when blank.
pub(super) fn input_kind(text: Option<&str>, faults: &mut Faults) -> Option<InputKind> {
    match lowered(text).as_str() {
        "" => None,
        "approve_reject" => Some(InputKind::ApproveReject),
        "free_text" => Some(InputKind::FreeText),
        other => {
            faults.add(
                "/kind",
                format!("kind {other:?} is not supported (supported: approve_reject, free_text)"),
            );
            None
        }
    }
}

/// Reads a decision.
pub(super) fn decision(text: &str, pointer: &str, faults: &mut Faults) -> Option<Decision> {
    match lowered(Some(text)).as_str() {
        "approve" => Some(Decision::Approve),
        "reject" => Some(Decision::Reject),
        other => {
            faults.add(pointer, format!("invalid action {other:?} (approve or reject)"));
            None
        }
    }
}
