//! Commits that this version cannot read, as a newer one or another program may write them.

use capstan_client::{Client, ClientConfig, Error, EventStream, LiveEvent, StreamOptions, SubscribeTaskLive};
use capstan_envelope::{Actor, Commit, CommitHash, CommitId, EventRecord, Metadata, Position, StreamId};
use capstan_eventlog::EventLog;
use chrono::Utc;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Answer, Api, PATIENCE};

fn follow(api: &Api, task: &str) -> EventStream {
    let client = Client::new(&ClientConfig::new(&api.base)).unwrap().with_workspace("dev");
    let stream = SubscribeTaskLive { task_id: task.parse().unwrap() };
    client.follow(&stream, StreamOptions::after(Position::START)).unwrap()
}

async fn next(events: &mut EventStream) -> Result<LiveEvent, Error> {
    tokio::time::timeout(PATIENCE, events.next()).await.expect("it is told").expect("the stream goes on")
}

/// Reads up to an event of this name.
async fn until(events: &mut EventStream, name: &str) -> LiveEvent {
    loop {
        let event = next(events).await.unwrap();
        if event.event == name {
            return event;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_no_commit_ends_the_streams_that_need_it_and_no_others() {
    let api = Api::start().await;
    let (spoilt, sound) = (api.task("spoilt").await, api.task("sound").await);
    let (mut of_spoilt, mut of_sound) = (follow(&api, &spoilt), follow(&api, &sound));
    until(&mut of_spoilt, "caught_up").await;
    until(&mut of_sound, "caught_up").await;
    let subject = format!("capstan.evt.dev.task.{spoilt}");
    api.nats.request(subject, "no commit".into()).await.unwrap();

    for events in [&mut of_spoilt, &mut of_sound] {
        let gap = until(events, "gap").await;
        let data: serde_json::Value = gap.json().unwrap();
        assert_eq!(data["reason"], "log_unreadable", "{data}");
        assert!(gap.id.is_some(), "another stream goes on from here");
    }
    let told = loop {
        match next(&mut of_spoilt).await {
            Ok(event) => assert_ne!(event.event, "caught_up", "it cannot go on"),
            Err(told) => break told,
        }
    };
    assert!(matches!(told, Error::Unreadable { .. }), "{told}");
    assert!(of_spoilt.next().await.is_none());

    until(&mut of_sound, "caught_up").await;
    // The rows stop before the message, so the answer has none.
    api.post(&format!("/v1/workspaces/dev/tasks/{sound}/cancel"), json!({})).await.expect(202);
    until(&mut of_sound, "task-cancelled").await;

    // Beginning again does not help, and nothing says that it does.
    let mut again = follow(&api, &spoilt);
    let gap = until(&mut again, "gap").await;
    assert_eq!(gap.json::<serde_json::Value>().unwrap()["reason"], "log_unreadable");

    let hash = CommitHash::of(&format!("dev.task.{spoilt}"), b"no commit");
    let number = api.log.head().await.unwrap().sequence() - 1;
    let refused = api.post(&format!("/v1/workspaces/dev/tasks/{spoilt}/cancel"), json!({})).await;
    says_where(&refused, Position::new(number, hash));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_newer_version_is_named_with_its_place() {
    let api = Api::start().await;
    let task = api.task("of the future").await;
    let path = format!("/v1/workspaces/dev/tasks/{task}");
    let before = api.head().await;
    let stream: StreamId = format!("dev/task/{task}").parse().unwrap();
    let last = api.log.last(&stream).await.unwrap().unwrap();
    let commit_id = Uuid::from_u128(7);
    let commit = Commit {
        commit_id: CommitId(commit_id),
        stream,
        version: last.commit.version + 1,
        previous: last.position,
        previous_hash: last.hash,
        metadata: Metadata::new("teleport-task", Actor::System, commit_id, Utc::now()),
        events: vec![EventRecord {
            name: "task-teleported".to_owned(),
            version: 1,
            data: serde_json::value::to_raw_value(&json!({})).unwrap(),
        }],
    };
    let position = api.log.append(&commit).await.unwrap().position;
    says_where(&api.get(&format!("{path}?as_of={position}")).await, position);
    says_where(&api.post(&format!("{path}/cancel"), json!({})).await, position);
    assert_eq!(api.get(&format!("{path}?as_of={before}")).await.expect(200)["state"], "queued");
}

fn says_where(answer: &Answer, position: Position) {
    answer.expect_problem(500, "internal_error");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains(&position.to_string()) && detail.contains("newer"), "{detail}");
}
