//! Finds the streams with rows that Postgres refuses, after a COPY or an index of the rebuild has failed.
//!
//! The rows of all buckets are written to tables with keys and indexes, and what is refused is halved until single rows
//! are left. The streams of these rows are then folded onto other tables, as a live projector would: it finds the
//! first commit that is refused.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::RebuildError;
use super::fill::Fill;
use super::onto::Onto;
use crate::catalogue::{ReadModel, heads, model};
use crate::copy_in::CopyIn;
use crate::fold::Fold;
use crate::generation::{self, Schemas};
use crate::replay::bucket::{Oversized, decode, fold_buckets};
use crate::replay::progress::Meter;
use crate::replay::record::Record;
use crate::replay::tally::{Refusals, Tally};
use crate::replay::{Aside, ReplayError, ReplayModels, TakeRows};
use crate::rows::Rows;
use crate::session::Session;
use crate::store_error::{StoreError, refused_data};

/// The first refused commit of each stream that has one and is not known for it.
pub(super) async fn find(
    fill: &Fill<'_>,
    aside: &Arc<Aside>,
    known: &Arc<Refusals>,
) -> Result<Refusals, RebuildError> {
    let models = ReplayModels::new(fill.models);
    let check = Arc::new(Check {
        schema: tables(fill, &models.by_stream).await?,
        batch_bytes: fill.config.replay.batch_bytes(),
        session: tokio::sync::Mutex::new(fill.read_models.session().await?),
        runtime: Handle::current(),
        refused: Mutex::default(),
    });
    let rows: Arc<dyn TakeRows> = check.clone();
    let meter = Arc::new(Meter::new(None));
    fold_buckets(aside, &models, &fill.config.replay, Oversized::Defer, known, &rows, &meter).await?;
    let refused = std::mem::take(&mut *check.refused.lock().unwrap_or_else(PoisonError::into_inner));
    let streams = streams_of(aside, &refused, fill)?;
    let mut found = Refusals::new();
    if streams.is_empty() {
        return Ok(found);
    }
    let mut written: Vec<&'static ReadModel> = models.by_stream.clone();
    written.extend(heads().iter().filter(|needed| !models.takes(needed.name)));
    let schema = tables(fill, &written).await?;
    let schemas: Schemas = written.iter().map(|model| (model.name.to_owned(), schema.clone())).collect();
    let replay = &fill.config.replay;
    for (bucket, streams) in streams {
        let fold = Fold::for_models(|name| written.iter().any(|model| model.name == name));
        let mut onto = Onto::new(schemas.clone(), fold.of(aside.archived), replay);
        let mut tally = Tally::new(&[], Arc::default());
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut records = aside.spill.read(bucket, replay.batch_bytes());
        loop {
            let record = Record::take(&mut records).map_err(|source| replay.failed(source))?;
            let is_last = record.is_none();
            if let Some(record) = record.filter(|record| streams.contains(record.raw.stream)) {
                bytes += record.raw.payload.len();
                batch.push(decode(&record)?);
            }
            let is_full = batch.len() >= fill.config.batch_commits_max || bytes >= replay.batch_bytes();
            if is_last || is_full {
                onto.apply(fill.session, &batch, &mut tally).await?;
                (batch, bytes) = (Vec::new(), 0);
                for parking in tally.parking.drain(..) {
                    let (stream, at) = parking.reason();
                    found.entry(stream).or_insert(at);
                }
            }
            if is_last {
                break;
            }
        }
    }
    Ok(found)
}

/// Makes empty tables with keys and indexes in a schema of their own, which the end of the rebuild drops.
async fn tables(fill: &Fill<'_>, models: &[&'static ReadModel]) -> Result<String, RebuildError> {
    let client = fill.session.client();
    let schema = generation::next_schema(client).await?;
    generation::create_tables(client, &schema, models).await?;
    generation::create_indexes(client, &schema, models).await?;
    Ok(schema)
}

/// The streams of the commits with these numbers, by bucket and as in subjects.
fn streams_of(
    aside: &Aside,
    sequences: &HashSet<u64>,
    fill: &Fill<'_>,
) -> Result<HashMap<usize, HashSet<String>>, ReplayError> {
    let mut streams: HashMap<usize, HashSet<String>> = HashMap::new();
    for bucket in 0..aside.spill.buckets() {
        let mut records = aside.spill.read(bucket, fill.config.replay.batch_bytes());
        while let Some(Record { raw, .. }) =
            Record::take(&mut records).map_err(|source| fill.config.replay.failed(source))?
        {
            if sequences.contains(&raw.sequence) {
                streams.entry(bucket).or_default().insert(raw.stream.to_owned());
            }
        }
    }
    Ok(streams)
}

/// Tables with keys and indexes, and the rows they refused.
struct Check {
    schema: String,
    /// Bytes of rows that are written at once.
    batch_bytes: usize,
    session: tokio::sync::Mutex<Session>,
    runtime: Handle,
    /// Numbers of the commits the refused rows were last folded from.
    refused: Mutex<HashSet<u64>>,
}

impl TakeRows for Check {
    fn take(&self, rows: &dyn Rows) -> Result<(), ReplayError> {
        let Some(model) = model(rows.name()) else { return Ok(()) };
        for (index, (table, columns)) in model.tables().into_iter().enumerate() {
            let sql =
                format!("COPY {}.{table} ({}) FROM STDIN (FORMAT binary)", self.schema, columns.join(", "));
            let (mut encoded, mut bytes, mut written) = (Vec::new(), 0, Ok(()));
            let mut take = |row: Bytes, sequence| {
                bytes += row.len();
                encoded.push((row, sequence));
                if bytes >= self.batch_bytes {
                    written = self.runtime.block_on(self.write(&sql, &encoded));
                    (encoded, bytes) = (Vec::new(), 0);
                }
                written.is_ok()
            };
            if index == 0 {
                rows.encode(0, &mut take)?
            } else {
                rows.encode_aside(0, &mut take)?
            };
            if written.is_ok() {
                written = self.runtime.block_on(self.write(&sql, &encoded));
            }
            written.map_err(|source| StoreError::Postgres { model: model.name, source })?;
        }
        Ok(())
    }
}

impl Check {
    async fn write(&self, sql: &str, rows: &[(Bytes, u64)]) -> Result<(), tokio_postgres::Error> {
        let session = self.session.lock().await;
        let mut rounds = vec![rows];
        while let Some(rows) = rounds.pop() {
            match copy(&session, sql, rows).await {
                Ok(()) => continue,
                Err(error) if refused_data(&error).is_none() => return Err(error),
                Err(_) => {}
            }
            if let [(_, sequence)] = rows {
                self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(*sequence);
            } else {
                let (first, second) = rows.split_at(rows.len() / 2);
                rounds.extend([second, first]);
            }
        }
        Ok(())
    }
}

/// Writes all rows or none.
async fn copy(session: &Session, sql: &str, rows: &[(Bytes, u64)]) -> Result<(), tokio_postgres::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut copy = CopyIn::begin(session.client(), sql).await?;
    for (row, _) in rows {
        copy.send(row.clone()).await?;
    }
    copy.end().await
}
