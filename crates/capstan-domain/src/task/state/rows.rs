//! The rows of a task's outputs, counted. The rows themselves are in the read models.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::stored::json_bytes;

/// The rows of an output: their number, and the bytes of those appended, as JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCount(pub u64, pub u64);

impl RowCount {
    /// The count after these rows were appended.
    pub(in crate::task) fn and(self, rows: &[Value]) -> Self {
        let Self(count, bytes) = self;
        Self(count.saturating_add(rows.len() as u64), bytes.saturating_add(json_bytes(rows) as u64))
    }
}

/// The rows of each output that has any, by its place among the outputs of the task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rows(pub(in crate::task) BTreeMap<u32, RowCount>);

impl Rows {
    /// The rows of the output in this place.
    pub fn of(&self, number: u32) -> RowCount {
        self.0.get(&number).copied().unwrap_or_default()
    }

    pub(in crate::task) fn produced(&mut self, number: u32, data: &Map<String, Value>) {
        let rows = rows_of(data);
        if !rows.is_empty() {
            self.0.insert(number, RowCount(rows.len() as u64, 0));
        }
    }

    pub(in crate::task) fn appended(&mut self, number: u32, rows: &[Value]) {
        let count = self.of(number).and(rows);
        self.0.insert(number, count);
    }
}

/// The rows an output was produced with: `data.rows`, where that is a list.
pub fn rows_of(data: &Map<String, Value>) -> &[Value] {
    data.get("rows").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
