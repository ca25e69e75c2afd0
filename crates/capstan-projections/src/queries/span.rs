//! A span of time, as a filter.

use chrono::{DateTime, Utc};

use crate::model::hour;
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
    /// Keeps rows that were last changed within the span. Only the hour of that has an index.
    pub(crate) fn updated_within(&mut self, span: Span) {
        // Nothing is changed before it is created.
        self.filter_some("created_at < ?", span.before);
        let before = self.begin_rest();
        self.within("updated_at", span);
        self.filter_some("updated_hour >= ?", span.after.map(hour));
        self.filter_some("updated_hour <= ?", span.before.map(hour));
        self.end_rest(before);
    }

    /// Keeps rows whose value in this column is within the span.
    pub(crate) fn within(&mut self, column: &str, span: Span) {
        self.filter_some(&format!("{column} > ?"), span.after);
        self.filter_some(&format!("{column} < ?"), span.before);
    }
}
