//! The urgency of a task.

choice! {
/// The urgency of a task.
#[derive(Default)]
pub enum Priority {
    /// Runs when nothing else waits, or when it has waited long enough.
    Low = "low",
    /// The default.
    #[default]
    Normal = "normal",
    /// Before normal.
    High = "high",
    /// Before everything else.
    Urgent = "urgent",
}
}
