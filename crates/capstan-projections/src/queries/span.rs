//! A span of time, as a filter.

use chrono::{DateTime, Utc};

use crate::queries::select::Select;

/// A span of time; each end may be open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Exclusive lower end.
    pub after: Option<DateTime<Utc>>,
    /// Exclusive upper end.
    pub before: Option<DateTime<Utc>>,
}

impl Select {
    /// Keeps rows whose value in this column is within the span.
    pub(crate) fn within(&mut self, column: &str, span: Span) {
        self.filter_some(&format!("{column} > ?"), span.after);
        self.filter_some(&format!("{column} < ?"), span.before);
    }
}
