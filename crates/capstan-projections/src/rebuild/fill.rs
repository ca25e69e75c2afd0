//! Fills the tables of a new generation from the log that was put aside.

use std::sync::Arc;
use std::time::Duration;

use capstan_contract::causes::explain;

use super::RebuildError;
use super::copy::{Copy, Filling};
use super::index;
use super::onto::Onto;
use super::refused;
use crate::catalogue::ReadModel;
use crate::config::ProjectorConfig;
use crate::fold::Fold;
use crate::generation::{self, Schemas};
use crate::read_models::ReadModels;
use crate::replay::bucket::{Folded, Oversized, fold_buckets, next_batch};
use crate::replay::parked::ParkedAside;
use crate::replay::progress::{Meter, ReplayStep};
use crate::replay::spanning::fold_spanning;
use crate::replay::tally::{Refusals, Tally};
use crate::replay::{Aside, ReplayError, ReplayModels, TakeRows};
use crate::session::Session;

/// Maximum number of times the tables are filled again because rows were refused.
const REFILLS_MAX: u32 = 3;

/// Tables to fill.
pub(super) struct Fill<'a> {
    pub(super) read_models: &'a ReadModels,
    pub(super) session: &'a Session,
    /// The Postgres schema of the tables.
    pub(super) schema: &'a str,
    /// The schema of every model, those that are not filled included.
    pub(super) schemas: &'a Schemas,
    pub(super) models: &'a [&'static ReadModel],
    pub(super) config: &'a ProjectorConfig,
    pub(super) meter: &'a Arc<Meter>,
}

/// Filled tables.
pub(super) struct Filled {
    /// What became of the commits.
    pub(super) tally: Tally,
    /// Those that are parked.
    pub(super) parked: ParkedAside,
    /// Time since the beginning at which the last bucket was folded.
    pub(super) folded_at: Duration,
}

impl Fill<'_> {
    /// Fills the tables and creates their indexes; streams with a row that Postgres refuses are parked.
    pub(super) async fn run(&self, aside: &Arc<Aside>) -> Result<Filled, RebuildError> {
        let mut refusals = Arc::new(Refusals::new());
        for _ in 0..REFILLS_MAX {
            let error = match self.fill(aside, &refusals).await {
                Err(error) if error.is_refusal() => error,
                filled => return filled,
            };
            tracing::warn!(error = explain(&error), "a row is refused: its stream is looked for");
            let more = refused::find(self, aside, &refusals).await?;
            if more.is_empty() {
                return Err(error);
            }
            refusals = Arc::new(
                refusals.iter().map(|(stream, at)| (stream.clone(), at.clone())).chain(more).collect(),
            );
            generation::empty_schema(self.session.client(), self.schema).await?;
            generation::create_tables(self.session.client(), self.schema, self.models).await?;
        }
        self.fill(aside, &refusals).await
    }

    /// Fills all tables concurrently, then creates their indexes.
    async fn fill(&self, aside: &Arc<Aside>, refusals: &Arc<Refusals>) -> Result<Filled, RebuildError> {
        let models = ReplayModels::new(self.models);
        let replay = &self.config.replay;
        let tables = self.models.iter().map(|model| model.tables().len()).sum();
        self.meter.begin_folding(aside.spill.buckets(), tables);
        let (filling, copies) =
            Filling::begin(self.read_models, self.schema, self.models, replay, self.meter);
        let (spanning, by_stream): (Vec<Copy>, Vec<Copy>) =
            copies.into_iter().partition(|copy| copy.model.spans_streams);
        let rows: Arc<dyn TakeRows> = filling.clone();
        let folding =
            fold_buckets(aside, &models, replay, Oversized::Defer, refusals, &rows, self.meter).await;
        let mut folded = match folding {
            Err(ReplayError::NotTaken) => {
                drop((filling, rows));
                return Err(failure_of(by_stream).await);
            }
            folded => folded?,
        };
        let folded_at = self.meter.elapsed();
        filling.end(&models.by_stream).await;
        self.meter.begin(ReplayStep::Indexing);
        self.index(by_stream).await?;
        self.fold_deferred(aside, &models, &mut folded).await?;
        let Folded { tally, parked, spanning: spanned, .. } = folded;
        let (taker, all, config) = (Arc::clone(&rows), models.clone(), replay.clone());
        let folding = tokio::task::spawn_blocking(move || fold_spanning(&spanned, &all, &*taker, &config));
        match folding.await? {
            Err(ReplayError::NotTaken) => {
                drop((filling, rows));
                return Err(failure_of(spanning).await);
            }
            folded => folded?,
        }
        filling.end(&models.spanning).await;
        self.index(spanning).await?;
        Ok(Filled { tally, parked, folded_at })
    }

    /// Waits until the tables have their rows, and creates their keys and indexes.
    async fn index(&self, copies: Vec<Copy>) -> Result<(), RebuildError> {
        let mut tables = Vec::new();
        for copy in copies {
            let indexes = generation::indexes(copy.model);
            tables.extend(copy.done().await?.into_iter().zip(indexes));
        }
        // The largest take longest.
        tables.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let tables = tables.into_iter().map(|(_, table)| table).collect();
        // One more than processors: a statement waits for the disk now and then.
        let at_once = self.config.replay.workers() + 1;
        index::create(self.read_models, self.schema, tables, at_once, self.meter).await
    }

    /// Folds the streams that are too large for a worker onto the finished tables.
    async fn fold_deferred(
        &self,
        aside: &Aside,
        models: &ReplayModels,
        folded: &mut Folded,
    ) -> Result<(), RebuildError> {
        let replay = &self.config.replay;
        let Folded { tally: total, parked, deferred, spanning } = folded;
        for stream in 0..deferred.buckets() {
            let fold = Fold::for_models(|name| models.takes(name)).of(aside.archived);
            let mut onto = Onto::new(self.schemas.clone(), fold, replay);
            let mut tally = Tally::new(&models.spanning, Arc::default());
            let mut commits = deferred.read(stream, replay.batch_bytes());
            loop {
                let batch = next_batch(&mut commits, self.config.batch_commits_max, replay)?;
                if batch.is_empty() {
                    break;
                }
                onto.apply(self.session, &batch, &mut tally).await?;
                parked.put(tally.parking.drain(..))?;
                let put = tally.spanning.put_aside(spanning, &aside.parts);
                put.map_err(|source| replay.failed(source))?;
            }
            total.absorb(tally, parked)?;
        }
        Ok(())
    }
}

/// The error of the first COPY that failed. The others end because nothing feeds them any longer.
async fn failure_of(copies: Vec<Copy>) -> RebuildError {
    for copy in copies {
        match copy.done().await {
            Ok(_) | Err(RebuildError::Replay(ReplayError::NotTaken)) => {}
            Err(error) => return error,
        }
    }
    ReplayError::NotTaken.into()
}
