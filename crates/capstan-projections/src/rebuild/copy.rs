//! Fills the empty tables: one COPY for each that gets rows, fed by all workers.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::RebuildError;
use crate::catalogue::{ReadModel, model};
use crate::copy_in::CopyIn;
use crate::read_models::ReadModels;
use crate::replay::config::ReplayConfig;
use crate::replay::progress::Meter;
use crate::replay::{ReplayError, TakeRows};
use crate::rows::Rows;
use crate::session::Session;
use crate::store_error::StoreError;

/// Pieces of rows that wait for each COPY.
const PIECES: usize = 2;

/// Bytes that one permit of the memory for encoded rows stands for.
const PERMIT: usize = 1024;

/// Something a COPY is fed.
enum Piece {
    /// Encoded rows, with their part of the memory for such.
    Rows(Bytes, OwnedSemaphorePermit),
    /// Without it, a COPY that is fed no longer is taken back.
    End,
}

/// The tables while they are filled.
pub(super) struct Filling {
    feeds: HashMap<&'static str, mpsc::Sender<Piece>>,
    /// Memory for encoded rows, of all tables together.
    room: Arc<Semaphore>,
    room_permits: usize,
    piece_bytes: usize,
    runtime: Handle,
    meter: Arc<Meter>,
}

/// The COPY into the tables of one model.
pub(super) struct Copy {
    pub(super) model: &'static ReadModel,
    task: AbortOnDropHandle<Result<Vec<u64>, RebuildError>>,
}

impl Copy {
    /// Waits until the tables have their rows; answers the bytes of each.
    pub(super) async fn done(self) -> Result<Vec<u64>, RebuildError> {
        self.task.await?
    }
}

impl Filling {
    /// Begins to fill the tables of `schema`.
    pub(super) fn begin(
        read_models: &ReadModels,
        schema: &str,
        models: &[&'static ReadModel],
        config: &ReplayConfig,
        meter: &Arc<Meter>,
    ) -> (Arc<Self>, Vec<Copy>) {
        let mut feeds = HashMap::new();
        let mut copies = Vec::new();
        for model in models.iter().copied() {
            let mut tables = Vec::new();
            for (table, columns) in model.tables() {
                let (feed, pieces) = mpsc::channel(PIECES);
                feeds.insert(table, feed);
                tables.push((table, columns, pieces));
            }
            let (read_models, schema) = (read_models.clone(), schema.to_owned());
            let task = tokio::spawn(async move {
                let fills = tables.into_iter().map(|(table, columns, pieces)| {
                    fill(&read_models, format!("{schema}.{table}"), columns, model.name, pieces)
                });
                try_join_all(fills).await
            });
            copies.push(Copy { model, task: AbortOnDropHandle::new(task) });
        }
        let room_permits = (config.encoded_bytes() / PERMIT).clamp(1, Semaphore::MAX_PERMITS);
        let filling = Self {
            feeds,
            room: Arc::new(Semaphore::new(room_permits)),
            room_permits,
            piece_bytes: config.piece_bytes(),
            runtime: Handle::current(),
            meter: Arc::clone(meter),
        };
        (Arc::new(filling), copies)
    }

    /// Feeds a COPY, once there is room; false when it takes no more.
    fn feed(&self, feed: &mpsc::Sender<Piece>, piece: Bytes) -> bool {
        let permits = (piece.len() / PERMIT + 1).min(self.room_permits) as u32;
        let room = self.runtime.block_on(Arc::clone(&self.room).acquire_many_owned(permits));
        room.is_ok_and(|room| feed.blocking_send(Piece::Rows(piece, room)).is_ok())
    }

    /// Ends the COPY into each of these tables.
    pub(super) async fn end(&self, models: &[&'static ReadModel]) {
        let tables = models.iter().flat_map(|model| model.tables());
        for feed in tables.filter_map(|(table, _)| self.feeds.get(table)) {
            // Fails only when the COPY has failed, which its task reports.
            let _ = feed.send(Piece::End).await;
        }
    }
}

impl TakeRows for Filling {
    fn take(&self, rows: &dyn Rows) -> Result<(), ReplayError> {
        let Some(feed) = self.feeds.get(rows.name()) else { return Ok(()) };
        let mut is_taken = true;
        let mut feed_with = |feed: &mpsc::Sender<Piece>, piece| {
            is_taken &= self.feed(feed, piece);
            is_taken
        };
        let aside = model(rows.name()).and_then(|model| (model.aside)());
        if let Some(feed) = aside.and_then(|(table, _)| self.feeds.get(table)) {
            rows.encode_aside(self.piece_bytes, &mut |piece, _| feed_with(feed, piece))?;
        }
        let copied = rows.encode(self.piece_bytes, &mut |piece, _| feed_with(feed, piece))?;
        self.meter.rows(copied);
        if is_taken { Ok(()) } else { Err(ReplayError::NotTaken) }
    }
}

/// Copies what it is fed into a table; answers its bytes. Without rows, it needs no connection.
async fn fill(
    read_models: &ReadModels,
    table: String,
    columns: Vec<&'static str>,
    model: &'static str,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<u64, RebuildError> {
    let failed = |source| StoreError::Postgres { model, source };
    let mut bytes = 0;
    let mut copying = None;
    loop {
        match pieces.recv().await {
            Some(Piece::Rows(rows, _room)) => {
                bytes += rows.len() as u64;
                let (_, copy) = match &mut copying {
                    Some(copying) => copying,
                    None => copying.insert(begin(read_models, &table, &columns).await.map_err(failed)?),
                };
                copy.send(rows).await.map_err(failed)?;
            }
            Some(Piece::End) => break,
            None => return Err(ReplayError::NotTaken.into()),
        }
    }
    if let Some((session, copy)) = copying {
        copy.end().await.map_err(failed)?;
        session.client().batch_execute("COMMIT").await.map_err(failed)?;
    }
    Ok(bytes)
}

async fn begin(
    read_models: &ReadModels,
    table: &str,
    columns: &[&str],
) -> Result<(Session, CopyIn), tokio_postgres::Error> {
    let session = read_models.session().await?;
    // In the transaction that made a table empty, Postgres takes the rows as seen by all: nothing has to come back to
    // them later, and a server with `wal_level = minimal` keeps them out of its write-ahead log.
    session.client().batch_execute(&format!("BEGIN; TRUNCATE {table}")).await?;
    let columns = columns.join(", ");
    let sql = format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary, FREEZE)");
    let copy = CopyIn::begin(session.client(), sql.as_str()).await?;
    Ok((session, copy))
}
