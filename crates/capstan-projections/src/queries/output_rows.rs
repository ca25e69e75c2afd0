//! The rows of an output, page by page.

use capstan_domain::id::OutputId;
use capstan_domain::redaction::redacted;
use capstan_envelope::Position;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::catalogue::output_rows::{chunk_key, first_row};
use crate::checkpoint;
use crate::queries::QueryError;
use crate::read_models::ReadModels;

/// Bytes of rows that end a page: it has at most one row more.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// From the chunk with the first row wanted ($3) to that with the last ($4), but none after the bytes of a page ($5).
/// Keys are compared byte by byte, and all rows of an output have keys from $6 on.
const SQL: &str = "SELECT c.position, c.hash, o.row_count, r.id, r.doc \
    FROM capstan.checkpoint c JOIN capstan.outputs o ON o.workspace = $1 AND o.id = $2 \
    LEFT JOIN (SELECT f.*, sum(octet_length(doc)) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before \
               FROM (SELECT id, doc FROM capstan.output_rows \
                     WHERE workspace = $1 AND id <= $4 AND id >= \
                         (SELECT max(id) FROM capstan.output_rows WHERE id <= $3 AND id >= $6)) f) r \
        ON coalesce(r.before, 0) < $5 \
    ORDER BY r.id";

/// One row of an output.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct NumberedRow {
    /// Its number among the rows of the output, from 1.
    pub number: u64,
    /// The row, any JSON value.
    #[schemars(with = "serde_json::Value")]
    pub row: Box<RawValue>,
}

/// A page of the rows of an output.
#[derive(Clone, Debug)]
pub struct OutputRows {
    /// The rows, in their order.
    pub rows: Vec<NumberedRow>,
    /// True when there are more after them.
    pub is_more: bool,
    /// The position of the read models at the time of the read.
    pub position: Position,
}

impl ReadModels {
    /// The rows of an output after the first `after` ones, at most `limit`; `None` when there is no such output. A page ends
    /// with the row that reaches 1 MiB.
    pub async fn output_rows(
        &self,
        workspace: &str,
        output_id: OutputId,
        after: u64,
        limit: u32,
    ) -> Result<Option<OutputRows>, QueryError> {
        let wanted = after.saturating_add(1);
        let keys = [wanted, after.saturating_add(u64::from(limit)), 0].map(|row| chunk_key(output_id, row));
        let [from, to, least] = &keys;
        let bytes_max = PAGE_BYTES_MAX as i64;
        let found = self.rows(SQL, &[&workspace, &output_id.0, from, to, &bytes_max, least]).await?;
        let Some(first) = found.first() else { return Ok(None) };
        let row_count = first.get::<_, i64>(2) as u64;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        'page: for chunk in &found {
            let (Some(key), Some(doc)) = (chunk.get::<_, Option<&str>>(3), chunk.get::<_, Option<&str>>(4))
            else {
                continue;
            };
            let chunk: Vec<&RawValue> = serde_json::from_str(doc)?;
            for (number, row) in (first_row(key).unwrap_or_default()..).zip(chunk) {
                if number < wanted {
                    continue;
                }
                if rows.len() >= limit as usize || bytes >= PAGE_BYTES_MAX {
                    break 'page;
                }
                bytes += row.get().len();
                rows.push(NumberedRow { number, row: redacted(row).into_owned() });
            }
        }
        let is_more = rows.last().is_some_and(|last| last.number < row_count);
        Ok(Some(OutputRows { rows, is_more, position: checkpoint::position(first) }))
    }
}
