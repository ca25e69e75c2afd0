//! Words a caller types for a choice: case and surrounding blanks do not matter, an unknown word is a fault.

use crate::Faults;
use crate::choice::{unsupported, word};
use crate::task::event::{Decision, InputKind, Priority, QueueMode};

/// The words of a priority.
const PRIORITIES: &[(&str, Priority)] = &[
    ("low", Priority::Low),
    ("normal", Priority::Normal),
    ("high", Priority::High),
    ("urgent", Priority::Urgent),
];
/// The words of a queue mode.
pub(crate) const QUEUE_MODES: &[(&str, QueueMode)] = &[
    ("queue", QueueMode::Queue),
    ("followup", QueueMode::Followup),
    ("steer", QueueMode::Steer),
    ("steer-backlog", QueueMode::Steer),
    ("interrupt", QueueMode::Interrupt),
];
/// The words of the kind of an input.
const INPUT_KINDS: &[(&str, InputKind)] =
    &[("approve_reject", InputKind::ApproveReject), ("free_text", InputKind::FreeText)];
/// The words of a decision.
const DECISIONS: &[(&str, Decision)] = &[("approve", Decision::Approve), ("reject", Decision::Reject)];

word! {
    /// A priority, in any case.
    pub(crate) PriorityWord, "any-case", is_inline: false, words(PRIORITIES)
}
word! {
    /// A queue mode, in any case.
    pub(crate) QueueModeWord, "any-case", is_inline: false, words(QUEUE_MODES)
}
word! {
    /// A kind of input, in any case.
    pub(crate) InputKindWord, "any-case", is_inline: false, words(INPUT_KINDS)
}
word! {
    /// A decision, in any case.
    pub(crate) DecisionWord, "any-case", is_inline: false, words(DECISIONS)
}

fn words<T>(choices: &'static [(&'static str, T)]) -> impl Iterator<Item = &'static str> {
    choices.iter().map(|(word, _)| *word)
}

fn known<T: Copy>(choices: &[(&str, T)], word: &str) -> Option<T> {
    choices.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning)
}

fn lowered(text: Option<&str>) -> String {
    text.map(str::trim).unwrap_or_default().to_lowercase()
}

/// Reads a priority; normal when blank.
pub(super) fn priority(text: Option<&str>, faults: &mut Faults) -> Priority {
    let word = lowered(text);
    if word.is_empty() {
        return Priority::Normal;
    }
    known(PRIORITIES, &word).unwrap_or_else(|| {
        faults.add("/priority", unsupported("priority", &word, words(PRIORITIES)));
        Priority::Normal
    })
}

/// Reads a queue mode; follow-up when blank.
pub(super) fn queue_mode(text: Option<&str>, faults: &mut Faults) -> QueueMode {
    let word = lowered(text);
    if word.is_empty() {
        return QueueMode::Followup;
    }
    known(QUEUE_MODES, &word).unwrap_or_else(|| {
        faults.add("/queue_mode", unsupported("queue_mode", &word, words(QUEUE_MODES)));
        QueueMode::Followup
    })
}

/// Reads the kind of an input; none when blank.
pub(super) fn input_kind(text: Option<&str>, faults: &mut Faults) -> Option<InputKind> {
    let word = lowered(text);
    let kind = known(INPUT_KINDS, &word);
    if kind.is_none() && !word.is_empty() {
        faults.add("/kind", unsupported("kind", &word, words(INPUT_KINDS)));
    }
    kind
}

/// Reads a decision.
pub(super) fn decision(text: &str, pointer: &str, faults: &mut Faults) -> Option<Decision> {
    let word = lowered(Some(text));
    let decision = known(DECISIONS, &word);
    if decision.is_none() {
        faults.add(pointer, format!("invalid action {word:?} (approve or reject)"));
    }
    decision
}
