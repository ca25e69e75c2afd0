//! A span of time to filter by.

use chrono::{DateTime, Utc};

use crate::queries::select::Select;

/// From when to when; both ends open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Later than this.
    pub after: Option<DateTime<Utc>>,
    /// Earlier than this.
    pub before: Option<DateTime<Utc>>,
}

impl Select {
    /// Keeps rows whose instant in this column lies in the span.
    pub(crate) fn within(&mut self, column: &str, span: Span) {
        self.filter_some(&format!("{column} > ?"), span.after);
        self.filter_some(&format!("{column} < ?"), span.before);
    }
}
