//! Dead letters, shown to an operator and settled by hand.

use async_nats::{HeaderMap, jetstream};
use capstan_testkit::eventually::eventually;
use serde_json::{Value, json};

use crate::harness::{Api, PATIENCE};

const LIST: &str = "/v1/admin/deadletters";

async fn letters(api: &Api, count: usize) -> Vec<Value> {
    eventually("the dead letters are there", PATIENCE, async || {
        let list = api.get(LIST).await.expect(200)["items"].as_array().unwrap().clone();
        (list.len() == count).then_some(list)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_command_is_shown_without_secrets_and_discarded() {
    let api = Api::start().await;
    let jetstream = jetstream::new(api.nats.clone());
    for payload in [r#"{"api_key":"k3y","message":1}"#, "not json"] {
        jetstream.publish("capstan.cmd.dev.launch-rocket", payload.into()).await.unwrap().await.unwrap();
    }
    let list = letters(&api, 2).await;
    let (first, second) = (&list[0], &list[1]);
    let known = list.iter().find(|letter| letter["payload"].is_object()).unwrap();
    assert_eq!(known["payload"], json!({ "api_key": "[redacted]", "message": 1 }));
    assert_eq!((&known["code"], &known["kind"]), (&json!("not_found"), &json!("command")));
    assert_eq!(known["source"], "capstan.cmd.dev.launch-rocket");
    let page = api.get(&format!("{LIST}?limit=1")).await.expect(200);
    assert_eq!(page["items"], json!([first]));
    let next = format!("{LIST}?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    assert_eq!(api.get(&next).await.expect(200)["items"], json!([second]));

    let path = format!("{LIST}/{}", first["id"].as_str().unwrap());
    assert_eq!(api.get(&path).await.expect(200), *first);
    assert_eq!(api.post(&format!("{path}/discard"), json!({})).await.expect(200), json!({ "done": true }));
    api.get(&path).await.expect_problem(404, "not_found");
    api.post(&format!("{path}/discard"), json!({})).await.expect_problem(404, "not_found");
    assert_eq!(letters(&api, 1).await, std::slice::from_ref(second));
    for none in ["nonsense", "command-0"] {
        api.get(&format!("{LIST}/{none}")).await.expect_problem(404, "not_found");
    }
    for act in ["retry", "discard"] {
        api.post(&format!("{LIST}/command-0/{act}"), json!({})).await.expect_problem(404, "not_found");
    }
    api.get(&format!("{LIST}?cursor=nonsense")).await.expect_problem(422, "validation_failed");
    api.post(&format!("{path}/retry"), json!({ "x": 1 })).await.expect_problem(422, "validation_failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_command_is_carried_out_under_its_own_id_and_only_once() {
    let api = Api::start().await;
    let jetstream = jetstream::new(api.nats.clone());
    let id = "00000000-0000-4000-8000-0000000000aa";
    let body = json!({ "agent_key": "late", "name": "Late" }).to_string();
    let mut headers = HeaderMap::new();
    headers.insert("Capstan-Subject", "capstan.cmd.dev.create-agent");
    headers.insert("Capstan-Command-Id", id);
    headers.insert("Capstan-Error-Code", "log_unavailable");
    headers.insert("Capstan-Attempts", "20");
    headers.insert("Capstan-Original-Nats-Msg-Id", "of-then");
    for _ in 0..2 {
        // The same command set aside twice, as two processes would that both gave it up.
        let stored = jetstream
            .publish_with_headers("capstan.dlq.cmd.dev.create-agent", headers.clone(), body.clone().into())
            .await;
        stored.unwrap().await.unwrap();
    }
    for letter in letters(&api, 2).await {
        assert_eq!((&letter["command_id"], &letter["attempts"]), (&json!(id), &json!(20)));
        let path = format!("{LIST}/{}/retry", letter["id"].as_str().unwrap());
        assert_eq!(api.post(&path, json!({})).await.expect(200)["done"], true);
    }
    letters(&api, 0).await;
    let commands = jetstream.get_stream(api.topology.commands_stream()).await.unwrap();
    eventually("the queue is worked off", PATIENCE, async || {
        let state = commands.get_info().await.ok()?.state;
        (state.messages == 0 && state.last_sequence == 2).then_some(())
    })
    .await;
    let agents = api.get_now("/v1/workspaces/dev/agents").await.expect(200);
    let late =
        agents["items"].as_array().unwrap().iter().filter(|agent| agent["agent_key"] == "late").count();
    assert_eq!(late, 1, "{agents}");
    assert_eq!(
        api.get(LIST).await.expect(200)["items"],
        json!([]),
        "the second try was refused as something new"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_commit_is_listed_and_retried_but_never_discarded() {
    let api = Api::start().await;
    let task = api.task("to be parked").await;
    api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
    let (sql, connection) = tokio_postgres::connect(&api.database, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let schema: String =
        sql.query_one("SELECT schema FROM capstan.model WHERE name = 'tasks'", &[]).await.unwrap().get(0);
    // The projector remembers rows; losing its epoch, it reads them again.
    let spoil = format!(
        "CREATE TABLE kept AS SELECT id, doc FROM {schema}.tasks; UPDATE {schema}.tasks SET doc = '{{}}'; \
         UPDATE capstan.checkpoint SET epoch = epoch + 1"
    );
    sql.batch_execute(&spoil).await.unwrap();
    let say = api.request("POST", &format!("/v1/workspaces/dev/tasks/{task}/input"));
    let say = say.body(json!({ "message": "now" }).to_string()).build().unwrap();
    api.send_spoilt(say).await.expect(202);
    let letter = letters(&api, 1).await.remove(0);
    assert_eq!((&letter["kind"], &letter["source"]), (&json!("commit"), &json!(format!("dev/task/{task}"))));
    assert_eq!(letter["payload"]["command"], "submit-task-input");
    let path = format!("{LIST}/{}", letter["id"].as_str().unwrap());
    assert_eq!(api.get(&path).await.expect(200), letter);
    api.post(&format!("{path}/discard"), json!({})).await.expect_problem(409, "illegal_transition");
    let retried = api.post(&format!("{path}/retry"), json!({})).await.expect(200);
    assert_eq!(retried, json!({ "done": false, "still_parked": 1 }));
    let heal = format!("UPDATE {schema}.tasks SET doc = kept.doc FROM kept WHERE kept.id = tasks.id");
    assert_eq!(sql.execute(&heal, &[]).await.unwrap(), 1);
    let retried = api.post(&format!("{path}/retry"), json!({})).await.expect(200);
    assert_eq!(retried, json!({ "done": true, "still_parked": 0 }));
    letters(&api, 0).await;
    api.post(&format!("{path}/retry"), json!({})).await.expect_problem(404, "not_found");
    drop(sql);
    let _ = connection.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_compared_with_the_log_on_demand() {
    let api = Api::start().await;
    let task = api.task("compared").await;
    api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
    let verified = api.post("/v1/admin/projections/all/verify", json!({})).await.expect(200);
    assert_eq!((&verified["ok"], &verified["report"]["differences"]), (&json!(true), &json!([])));
    let (sql, connection) = tokio_postgres::connect(&api.database, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let schema: String =
        sql.query_one("SELECT schema FROM capstan.model WHERE name = 'tasks'", &[]).await.unwrap().get(0);
    sql.execute(&format!("DELETE FROM {schema}.tasks"), &[]).await.unwrap();
    let tasks = api.post("/v1/admin/projections/tasks/verify", json!({})).await.expect(200);
    assert_eq!((&tasks["ok"], &tasks["report"]["differences"][0]["ids"]), (&json!(false), &json!([task])));
    let agents = api.post("/v1/admin/projections/agents/verify", json!({})).await.expect(200);
    assert_eq!(agents["ok"], true, "{agents}");
    api.post("/v1/admin/projections/nonsense/verify", json!({})).await.expect_problem(404, "not_found");
    drop(sql);
    let _ = connection.await;
}
