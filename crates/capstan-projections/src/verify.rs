//! Verifies the rows: folds the log independently and compares.
//!
//! The log is replayed in buckets (`replay.rs`). Neither its rows nor those of the tables are held: of both, only ids and
//! digests are put aside, split by id, and compared part by part.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use capstan_envelope::Position;
use capstan_eventlog::EventLog;
use futures_util::TryStreamExt;
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::catalogue::spending::AGENT_PREFIX;
use crate::catalogue::tasks::TaskRow;
use crate::catalogue::{MODELS, ReadModel};
use crate::checkpoint;
use crate::model::{Named as _, Sum};
use crate::read_models::ReadModels;
use crate::replay::bucket::{Oversized, fold_buckets};
use crate::replay::config::ReplayConfig;
use crate::replay::progress::Meter;
use crate::replay::spanning::fold_spanning;
use crate::replay::spill::{Spill, bucket_of, name_hash};
use crate::replay::{self, ReplayError, ReplayModels, TakeRows};
use crate::rows::Rows;
use crate::search;
use crate::session::Session;

/// Maximum number of ids reported for each model.
const IDS_MAX: usize = 20;
/// Bytes of ids and digests read at once.
const PIECE: usize = 256 * 1024;

/// Digest of a document.
type DocDigest = [u8; 32];

/// Result of a verification.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct VerifyReport {
    /// The compared position.
    pub position: Position,
    /// Number of rows compared.
    pub rows: u64,
    /// The models with differing rows; empty when all rows match.
    pub differences: Vec<ModelDifference>,
}

/// A difference between a model and the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModelDifference {
    /// Name of the model.
    pub model: String,
    /// Number of rows that differ, are missing or should not exist.
    pub count: usize,
    /// Ids of some of them, at most 20.
    pub ids: Vec<String>,
}

/// The reason a verification failed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Reading rows failed.
    #[error("read the rows to verify")]
    Postgres(#[from] tokio_postgres::Error),
    /// The log could not be folded.
    #[error("fold the log to verify")]
    Replay(#[from] ReplayError),
}

/// Folds the log up to the checkpoint and compares every row's document. Works on a live system: the tables are read
/// in one snapshot.
pub async fn verify(
    log: &Arc<dyn EventLog>,
    read_models: &ReadModels,
    config: &ReplayConfig,
) -> Result<VerifyReport, VerifyError> {
    let session = read_models.session().await?;
    session.client().batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let position = checkpoint::read(session.client()).await?.map_or(Position::START, |at| at.position);
    let meter = Arc::new(Meter::new(config.on_progress.clone()));
    let aside = Arc::new(replay::read(log, position, config, &meter).await?);
    let is_thinned = aside.archived.is_carried();
    meter.begin_folding(aside.spill.buckets(), MODELS.len());
    let all: Vec<&'static ReadModel> = MODELS.iter().collect();
    let models = ReplayModels::new(&all);
    let folded = Arc::new(Digests::new(config, aside.spill.buckets(), &meter));
    let rows: Arc<dyn TakeRows> = folded.clone();
    let result =
        fold_buckets(&aside, &models, config, Oversized::FoldAlone, &Arc::default(), &rows, &meter).await?;
    drop(aside);
    let (taker, spanning) = (Arc::clone(&rows), config.clone());
    tokio::task::spawn_blocking(move || fold_spanning(&result.spanning, &models, &*taker, &spanning))
        .await
        .map_err(ReplayError::from)??;
    drop(rows);
    let stored = Digests::new(config, folded.parts, &meter);
    let mut report = VerifyReport { position, rows: 0, differences: Vec::new() };
    let mut sums = Vec::new();
    for model in MODELS {
        report.rows += take_stored(&session, model, &stored).await?;
        sums.extend(differing_sums(&session, model).await?);
    }
    let unfound = search::differing(&session).await?;
    sums.extend(difference(TaskRow::NAME, unfound));
    session.client().batch_execute("COMMIT").await?;
    let config = config.clone();
    let compared = tokio::task::spawn_blocking(move || compare(&folded, &stored, &config, is_thinned)).await;
    report.differences = compared.map_err(ReplayError::from)??;
    report.differences.extend(sums);
    Ok(report)
}

/// Ids and digests of rows, split by id.
struct Digests {
    config: ReplayConfig,
    parts: usize,
    spill: Mutex<Spill>,
    meter: Arc<Meter>,
}

impl Digests {
    fn new(config: &ReplayConfig, parts: usize, meter: &Arc<Meter>) -> Self {
        let spill = Mutex::new(Spill::new(config.directory.clone(), config.buffer_bytes(), parts));
        Self { config: config.clone(), parts, spill, meter: Arc::clone(meter) }
    }

    fn put(&self, model: usize, rows: &[(String, DocDigest)]) -> Result<(), ReplayError> {
        let mut spill = self.spill.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, digest) in rows {
            let hash = name_hash(id);
            let part = bucket_of(hash, 0, self.parts);
            spill
                .push(part, hash, &[&[model as u8], digest, id.as_bytes()])
                .map_err(|source| self.config.failed(source))?;
        }
        Ok(())
    }
}

impl TakeRows for Digests {
    fn take(&self, rows: &dyn Rows) -> Result<(), ReplayError> {
        let Some(model) = MODELS.iter().position(|model| model.name == rows.name()) else { return Ok(()) };
        let mut digests = Vec::new();
        rows.each_document(&mut |id, doc| digests.push((id.to_owned(), Sha256::digest(doc).into())))?;
        self.meter.rows(digests.len() as u64);
        self.put(model, &digests)
    }
}

/// Takes the rows of a model's table; returns their number.
async fn take_stored(session: &Session, model: &ReadModel, stored: &Digests) -> Result<u64, VerifyError> {
    let Some(number) = MODELS.iter().position(|other| other.name == model.name) else { return Ok(0) };
    let sql = match (model.aside)() {
        None => format!("SELECT id::text, doc FROM capstan.{}", model.name),
        Some((aside, _)) => format!(
            "SELECT t.id::text, t.doc || coalesce(a.doc, '') FROM capstan.{} t \
             LEFT JOIN capstan.{aside} a ON a.id = t.id",
            model.name
        ),
    };
    let nothing: [&str; 0] = [];
    let mut rows = pin!(session.client().query_raw(&sql, nothing).await?.try_ready_chunks(1_000));
    let mut count = 0;
    loop {
        let chunk = match rows.try_next().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(count),
            Err(error) => return Err(error.1.into()),
        };
        let digests: Vec<(String, DocDigest)> =
            chunk.iter().map(|row| (row.get(0), Sha256::digest(row.get::<_, &str>(1)).into())).collect();
        count += digests.len() as u64;
        stored.put(number, &digests)?;
    }
}

/// The sums of a model that differ from its rows, by their values.
async fn differing_sums(
    session: &Session,
    model: &ReadModel,
) -> Result<Option<ModelDifference>, tokio_postgres::Error> {
    let mut ids = Vec::new();
    for Sum { table, of_rows, columns } in model.sums {
        let sql = "SELECT schema FROM capstan.model WHERE name = $1";
        let schema: String = session.client().query_one(sql, &[&model.name]).await?.get(0);
        let columns = columns.join(", ");
        let [kept, made] = [format!("capstan.{table}"), format!("{schema}.{of_rows}")]
            .map(|table| format!("SELECT {columns} FROM {table}"));
        let sql = format!(
            "SELECT '{table} ' || ROW({columns})::text FROM \
             (({kept} EXCEPT {made}) UNION ALL ({made} EXCEPT {kept})) d"
        );
        ids.extend(session.client().query(&sql, &[]).await?.iter().map(|row| row.get::<_, String>(0)));
    }
    Ok(difference(model.name, ids))
}

/// These differences of a model.
fn difference(model: &str, mut ids: Vec<String>) -> Option<ModelDifference> {
    let count = ids.len();
    ids.truncate(IDS_MAX);
    (count > 0).then(|| ModelDifference { model: model.to_owned(), count, ids })
}

/// True for a row whose commits may be archived: a part of a task that the log no longer has, or a sum over the tasks of a day. The
/// account of an agent is carried forward.
fn may_be_archived(id: &[u8], is_in_log: bool) -> bool {
    let Some((model, id)) = id.split_first() else { return false };
    match MODELS.get(usize::from(*model)) {
        Some(model) if model.is_carried => false,
        Some(model) if model.spans_streams => !id.starts_with(AGENT_PREFIX.as_bytes()),
        Some(_) => !is_in_log,
        None => false,
    }
}

/// The models with differing rows. `is_thinned`: the beginning of the log is archived, so tables may have more rows.
fn compare(
    folded: &Digests,
    stored: &Digests,
    config: &ReplayConfig,
    is_thinned: bool,
) -> Result<Vec<ModelDifference>, ReplayError> {
    let failed = |source| config.failed(source);
    let (ours, theirs) = (folded.spill.lock(), stored.spill.lock());
    let (ours, theirs) =
        (ours.unwrap_or_else(PoisonError::into_inner), theirs.unwrap_or_else(PoisonError::into_inner));
    let mut differences: Vec<(usize, BTreeSet<String>)> = vec![(0, BTreeSet::new()); MODELS.len()];
    let mut differs = |id: &[u8]| {
        let Some((model, id)) = id.split_first() else { return };
        let Some((count, ids)) = differences.get_mut(usize::from(*model)) else { return };
        *count += 1;
        ids.insert(String::from_utf8_lossy(id).into_owned());
        if ids.len() > IDS_MAX {
            ids.pop_last();
        }
    };
    for part in 0..folded.parts {
        let mut expected: HashMap<Vec<u8>, DocDigest> = HashMap::new();
        let mut records = ours.read(part, PIECE);
        while let Some((id, digest)) = records.take().map_err(failed)?.and_then(row) {
            expected.insert(id, digest);
        }
        let mut records = theirs.read(part, PIECE);
        while let Some((id, digest)) = records.take().map_err(failed)?.and_then(row) {
            let expected = expected.remove(&id);
            if expected != Some(digest) && !(is_thinned && may_be_archived(&id, expected.is_some())) {
                differs(&id);
            }
        }
        for id in expected.keys() {
            differs(id);
        }
    }
    let named = MODELS.iter().zip(differences).filter(|(_, (count, _))| *count > 0);
    let named = named.map(|(model, (count, ids))| ModelDifference {
        model: model.name.to_owned(),
        count,
        ids: ids.into_iter().collect(),
    });
    Ok(named.collect())
}

/// Model and id of a row, and the digest of its document.
fn row(record: &[u8]) -> Option<(Vec<u8>, DocDigest)> {
    let (model, rest) = record.split_first()?;
    let (digest, id) = rest.split_first_chunk::<32>()?;
    Some(([&[*model], id].concat(), *digest))
}
