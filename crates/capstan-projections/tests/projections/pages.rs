//! Pages of lists under change: between two pages objects are created, changed and archived.

use std::collections::{BTreeMap, BTreeSet};

use capstan_contract::query::Page;
use capstan_domain::id::OutputId;
use capstan_domain::task::{Command, Task, command};
use capstan_projections::{Listing, OutputFilter, Projector, QueryError, RunFilter, TaskFilter};

use crate::oracle::ids;
use crate::place::{Place, config, reached};
use crate::story::{Chance, Story};

/// The objects seen on the pages of one list.
#[derive(Default)]
struct Walk {
    page: Page,
    seen: BTreeMap<String, u32>,
    is_over: bool,
}

impl Walk {
    fn take(&mut self, listing: Listing) {
        for id in ids(&listing.items) {
            *self.seen.entry(id).or_default() += 1;
        }
        self.page.cursor = listing.next_cursor;
        self.is_over = self.page.cursor.is_none();
    }

    /// No object came twice, and none that existed throughout is missing.
    fn check(&self, throughout: &BTreeSet<String>, what: &str) {
        let twice: Vec<_> = self.seen.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "{what} came twice: {twice:?}");
        let missing: Vec<_> = throughout.iter().filter(|id| !self.seen.contains_key(*id)).collect();
        assert!(missing.is_empty(), "{what} missing: {missing:?}");
    }
}

fn ids_of<I: ToString>(story: &Story, of: impl Fn(&Task) -> Vec<I>) -> BTreeSet<String> {
    let tasks = story.tasks.iter().map(|entry| entry.state.as_deref().unwrap());
    let tasks = tasks.filter(|task| task.accepted.workspace == "dev");
    tasks.flat_map(|task| of(task).into_iter().map(|id| id.to_string()).collect::<Vec<_>>()).collect()
}

fn shown_outputs(task: &Task) -> Vec<OutputId> {
    task.outputs.named().filter(|(_, output)| !output.record.is_archived).map(|(id, _)| id).collect()
}

#[tokio::test]
async fn no_page_misses_or_repeats_what_existed_throughout() {
    let place = Place::new().await;
    let read_models = &place.read_models;
    for seed in 50..54 {
        let read_models = if seed == 50 { read_models.clone() } else { place.emptied().await };
        let mut story = Story::begin(seed).await;
        for _ in 0..400 {
            story.step().await;
        }
        let log = story.shared();
        let projector = Projector::start(log, read_models.clone(), config("pages"));
        reached(&projector, &read_models, story.end().await).await;
        let tasks = ids_of(&story, |task| vec![task.id()]);
        let of_dev =
            story.tasks.iter().filter(|entry| entry.state.as_ref().unwrap().accepted.workspace == "dev");
        let runs: BTreeSet<_> =
            of_dev.flat_map(|entry| entry.runs.iter().map(|run| run.run_id.to_string())).collect();
        let outputs = ids_of(&story, shown_outputs);
        let mut chance = Chance::new(seed);
        let (mut of_tasks, mut of_runs, mut of_outputs) = (Walk::default(), Walk::default(), Walk::default());
        let unarchived = OutputFilter { archived: Some(false), ..OutputFilter::default() };
        let mut archived = 0;
        while !(of_tasks.is_over && of_runs.is_over && of_outputs.is_over) {
            let limit = Some(1 + chance.below(4) as u32);
            for walk in [&mut of_tasks, &mut of_runs, &mut of_outputs] {
                walk.page.limit = limit;
            }
            if !of_tasks.is_over {
                of_tasks.take(read_models.list("dev", &TaskFilter::default(), &of_tasks.page).await.unwrap());
            }
            if !of_runs.is_over {
                of_runs.take(read_models.list("dev", &RunFilter::default(), &of_runs.page).await.unwrap());
            }
            if !of_outputs.is_over {
                of_outputs.take(read_models.list("dev", &unarchived, &of_outputs.page).await.unwrap());
            }
            for _ in 0..chance.below(12) {
                story.step().await;
            }
            let start = chance.below(story.tasks.len() as u64) as usize;
            let mut indexes = (start..story.tasks.len()).chain(0..start);
            let outputs_of = |index: usize| shown_outputs(story.tasks[index].state.as_deref().unwrap());
            let with_output = indexes.find_map(|index| Some((index, *outputs_of(index).first()?)));
            if let Some((index, output_id)) = with_output {
                let command = command::ArchiveOutputs { output_ids: vec![output_id] };
                assert!(story.execute(index, Command::ArchiveOutputs(command)).await);
                archived += 1;
            }
            reached(&projector, &read_models, story.end().await).await;
        }
        projector.stop().await;
        of_tasks.check(&tasks, "tasks");
        of_runs.check(&runs, "runs");
        let still = ids_of(&story, shown_outputs);
        of_outputs.check(&outputs.intersection(&still).cloned().collect(), "outputs");
        assert!(archived > 2 && tasks.len() > 20, "the story is too dull: {archived} {}", tasks.len());
    }
}

#[tokio::test]
async fn a_cursor_is_refused_by_another_list_and_by_other_filters() {
    let place = Place::new().await;
    let mut story = Story::begin(60).await;
    for _ in 0..60 {
        story.step().await;
    }
    let read_models = &place.read_models;
    crate::place::project(&story.shared(), read_models, story.end().await).await;
    let first = Page { limit: Some(1), ..Page::default() };
    let listing = read_models.list("dev", &TaskFilter::default(), &first).await.unwrap();
    let next = Page { cursor: listing.next_cursor, ..Page::default() };
    assert!(next.cursor.is_some());
    assert!(read_models.list("dev", &TaskFilter::default(), &next).await.is_ok());
    let labelled = TaskFilter { label: Some("x".into()), ..TaskFilter::default() };
    for refused in [
        read_models.list("dev", &labelled, &next).await,
        read_models.list("other", &TaskFilter::default(), &next).await,
        read_models.list("dev", &RunFilter::default(), &next).await,
    ] {
        assert!(matches!(refused, Err(QueryError::Cursor(_))), "{refused:?}");
    }
}
