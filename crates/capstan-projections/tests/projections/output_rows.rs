//! The rows of outputs: the bytes an append writes, and their pages.

use capstan_domain::id::OutputId;
use capstan_domain::task::{Command, command};
use capstan_projections::{NumberedRow, Projector};
use serde_json::{Value, json};

use crate::place::{Place, config, project, reached};
use crate::story::Story;

/// Bytes of the output and the chunks that one commit wrote.
const WRITTEN: &str = "SELECT sum(bytes)::bigint FROM ( \
    SELECT pg_column_size(t.*) AS bytes FROM capstan.outputs t WHERE position = $1 \
    UNION ALL SELECT pg_column_size(t.*) FROM capstan.output_rows t WHERE position = $1) written";

/// A task of the story with an output that has no rows yet.
async fn with_output(story: &mut Story) -> (usize, OutputId) {
    let index = story.accept(|_| {}).await;
    let produce = Box::new(command::ProduceOutput {
        id: None,
        name: None,
        output_type: "table".into(),
        title: "What was found".into(),
        summary: None,
        uri: None,
        data: serde_json::Map::new(),
        metadata: serde_json::Map::new(),
        status: None,
    });
    let output_id = OutputId(story.uuid());
    let fingerprint = "fingerprint".into();
    let produce = Command::ProduceOutput { command: produce, fingerprint, output_id, attempt_id: None };
    assert!(story.execute(index, produce).await);
    (index, output_id)
}

async fn append(story: &mut Story, (index, output_id): (usize, OutputId), rows: Vec<Value>) {
    let command = command::AppendOutputRows { output_id, rows };
    assert!(story.execute(index, Command::AppendOutputRows { command, attempt_id: None }).await);
}

fn row(number: u64) -> Value {
    json!({ "number": format!("{number:05}"), "text": "x".repeat(100) })
}

#[tokio::test]
async fn an_append_writes_as_many_bytes_after_many_rows_as_after_few() {
    let place = Place::new().await;
    let mut story = Story::begin(70).await;
    let output = with_output(&mut story).await;
    let projector = Projector::start(story.shared(), place.read_models.clone(), config("rows"));
    let database = place.sql().await;
    let mut written = Vec::new();
    for number in 1..=200 {
        append(&mut story, output, vec![row(number)]).await;
        let end = story.end().await;
        reached(&projector, &place.read_models, end).await;
        let sum = database.query_one(WRITTEN, &[&(end.sequence() as i64)]).await.unwrap();
        // The rest of the row of a task has its keys, which are bounded as well.
        let state = serde_json::to_string(&story.tasks[output.0].state.as_ref().unwrap().progress).unwrap();
        written.push(sum.get::<_, i64>(0) + state.len() as i64);
    }
    projector.stop().await;
    // Until the rows an output shows itself are complete, its own row grows.
    let [first, middle, last] = [0, 99, 199].map(|append: usize| written[append]);
    assert!(middle < first + 4_096 + 512, "{written:?}");
    assert!(last <= middle + 32, "{written:?}");

    let workspace = story.tasks[output.0].stream.workspace().to_string();
    let shown = place.read_models.one(&workspace, &output.1).await.unwrap().unwrap();
    let shown: Value = serde_json::from_str(shown.doc.get()).unwrap();
    let rows = shown["data"]["rows"].as_array().unwrap();
    assert_eq!((shown["row_count"].as_u64(), &rows[..2]), (Some(200), &[row(1), row(2)][..]));
    assert!(shown["data"]["rows"].to_string().len() <= 4_096 + 1 && rows.len() > 20, "{shown}");
}

#[tokio::test]
async fn rows_are_read_in_pages_bounded_in_number_and_bytes_and_without_secrets() {
    let place = Place::new().await;
    let read_models = &place.read_models;
    let mut story = Story::begin(71).await;
    let output = with_output(&mut story).await;
    let empty = with_output(&mut story).await;
    let workspace = story.tasks[output.0].stream.workspace().to_string();
    let elsewhere = if workspace == "dev" { "other" } else { "dev" };
    let empty_in = story.tasks[empty.0].stream.workspace().to_string();
    // Chunks of 100, 100, 50, 1 and 100 rows.
    append(&mut story, output, (1..=250).map(row).collect()).await;
    append(&mut story, output, vec![row(251)]).await;
    append(&mut story, output, (252..=351).map(row).collect()).await;
    project(&story.shared(), read_models, story.end().await).await;
    let page = async |after, limit| {
        read_models.output_rows(&workspace, output.1, after, limit).await.unwrap().expect("the output")
    };
    let numbers = |rows: &[NumberedRow]| rows.iter().map(|row| row.number).collect::<Vec<_>>();
    for limit in [1, 30, 100, 249, 500] {
        let (mut seen, mut is_more) = (Vec::new(), true);
        while is_more {
            let next = page(seen.len() as u64, limit).await;
            assert!(next.rows.len() <= limit as usize && !next.rows.is_empty());
            for NumberedRow { number, row: shown } in &next.rows {
                assert_eq!(serde_json::from_str::<Value>(shown.get()).unwrap(), row(*number));
            }
            seen.extend(numbers(&next.rows));
            is_more = next.is_more;
        }
        assert_eq!(seen, (1..=351).collect::<Vec<u64>>(), "{limit}");
    }
    let beyond = page(351, 50).await;
    assert!(beyond.rows.is_empty() && !beyond.is_more);
    assert!(page(u64::MAX, 50).await.rows.is_empty());
    let none = read_models.output_rows(&empty_in, empty.1, 0, 50).await.unwrap().unwrap();
    assert!(none.rows.is_empty() && !none.is_more);
    assert!(read_models.output_rows(elsewhere, output.1, 0, 50).await.unwrap().is_none());

    // Two rows of 700,000 bytes are more than 1 MiB.
    let large = json!("y".repeat(700_000));
    append(&mut story, output, vec![large.clone()]).await;
    append(&mut story, output, vec![large, json!({ "api_key": "x", "name": "a" })]).await;
    project(&story.shared(), read_models, story.end().await).await;
    let first = page(351, 500).await;
    assert_eq!((numbers(&first.rows), first.is_more), (vec![352, 353], true));
    let second = page(353, 500).await;
    assert_eq!((numbers(&second.rows), second.is_more), (vec![354], false));
    assert_eq!(second.rows[0].row.get(), r#"{"api_key":"[redacted]","name":"a"}"#);
}
