//! The template of `docs/operations/nats-permissions.conf`, on a real nats-server: what it allows and denies.

use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use capstan_eventlog::{EventLog as _, JetStreamConfig, JetStreamLog};
use capstan_testkit::configured_nats::ConfiguredNats;
use capstan_testkit::eventually::eventually;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::harness::{ADMIN, Api, PATIENCE, with_token};

/// A user of the template; its own inbox prefix, and what the server told it it may not.
async fn user(nats: &ConfiguredNats, name: &str, password: &str) -> Client {
    ConnectOptions::new()
        .custom_inbox_prefix(format!("_INBOX.{name}"))
        .user_and_password(name.to_owned(), password.to_owned())
        .connect(nats.address())
        .await
        .unwrap_or_else(|error| panic!("{name} connects: {error}"))
}

/// Asks as a user; nothing when the server does not let it.
async fn ask(client: &Client, workspace: &str, command: &str, body: &Value) -> Option<Value> {
    let request = async_nats::Request::new().payload(body.to_string().into());
    let request = request.timeout(Some(Duration::from_secs(2)));
    let subject = format!("capstan.rpc.{workspace}.{command}");
    let reply = client.send_request(subject, request).await.ok()?;
    serde_json::from_slice(&reply.payload).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_the_template_says_and_nothing_else() {
    let nats = ConfiguredNats::start().await.unwrap();
    let api = Api::start_on(&nats.url("capstan", "word-a"), with_token(ADMIN)).await;
    for workspace in ["dev", "other"] {
        let body = json!({ "workspace": workspace }).to_string();
        let request = api.request("POST", "/v1/workspaces").bearer_auth(ADMIN).body(body);
        api.send(request).await.expect(201);
    }
    let producer = user(&nats, "dev-producer", "word-b").await;
    let (reader, admin) =
        (user(&nats, "dev-reader", "word-c").await, user(&nats, "dev-admin", "word-d").await);
    let (worker, operator) =
        (user(&nats, "dev-worker", "word-e").await, user(&nats, "operator", "word-f").await);
    let agent = json!({ "agent_key": "demo", "name": "Demo" });
    let made = eventually("a producer is answered", PATIENCE, async || {
        ask(&producer, "dev", "create-agent", &agent).await
    })
    .await;
    assert_eq!(made["agent"]["agent_key"], "demo", "{made}");

    // A durable command of the producer, heard by it and by the reader.
    let mut heard = reader.subscribe("capstan.cmd-result.dev.*").await.unwrap();
    reader.flush().await.unwrap();
    let task = json!({ "agent_id": "demo", "message": "m" }).to_string();
    let jetstream = async_nats::jetstream::new(producer.clone());
    jetstream.publish("capstan.cmd.dev.accept-agent-command", task.into()).await.unwrap().await.unwrap();
    let outcome = tokio::time::timeout(PATIENCE, heard.next()).await.expect("an outcome").unwrap();
    assert!(String::from_utf8_lossy(&outcome.payload).contains("receipt"));

    let token = json!({ "name": "t", "scopes": ["read"] });
    assert!(ask(&admin, "dev", "issue-token", &token).await.unwrap()["secret"].is_string());
    let workspace = json!({ "workspace": "third" });
    assert!(ask(&operator, "third", "create-workspace", &workspace).await.unwrap()["receipt"].is_object());

    // It reaches the handler: without an engine there is nobody to register with.
    let registration = json!({ "name": "w", "slots": 0 });
    let refused = ask(&worker, "dev", "worker.register-worker", &registration).await.unwrap();
    assert_eq!(refused["errors"][0]["pointer"], "/slots", "{refused}");

    for (who, client, workspace, command, body) in [
        ("a producer", &producer, "other", "create-agent", &agent),
        ("a producer", &producer, "dev", "issue-token", &token),
        ("a producer", &producer, "fourth", "create-workspace", &json!({ "workspace": "fourth" })),
        ("an admin", &admin, "other", "issue-token", &token),
        ("an admin", &admin, "dev", "create-workspace", &json!({ "workspace": "dev" })),
        ("a reader", &reader, "dev", "create-agent", &agent),
        ("a worker", &worker, "dev", "create-agent", &agent),
        ("a worker", &worker, "other", "worker.register-worker", &registration),
        ("a producer", &producer, "dev", "worker.register-worker", &registration),
        ("an admin", &admin, "dev", "worker.register-worker", &registration),
    ] {
        assert_eq!(ask(client, workspace, command, body).await, None, "{who} may {command} in {workspace}");
    }

    // Nobody but Capstan sees or writes the log, or hears what another is answered.
    let log_end = api.head().await;
    let (purge, update) = ("$JS.API.STREAM.PURGE.CAPSTAN_EVENTS", "$JS.API.STREAM.UPDATE.CAPSTAN_EVENTS");
    let others = ["capstan.evt.>", "_INBOX.>", "capstan.int.>"];
    let written = ["capstan.evt.dev.task.x", "capstan.int.engine.lease", purge, update];
    let capstan = user(&nats, "capstan", "word-a").await;
    for (name, client, published, subscribed) in [
        ("dev-producer", &producer, &written[..], &others[..]),
        ("dev-reader", &reader, &written[..], &others[..]),
        ("operator", &operator, &written[..], &others[..]),
        ("capstan", &capstan, &[purge, update][..], &[][..]),
    ] {
        for subject in published {
            client.publish(*subject, "{}".into()).await.unwrap();
        }
        for subject in subscribed {
            let _subscription = client.subscribe(*subject).await.unwrap();
        }
        client.flush().await.unwrap();
        for (kind, subjects) in [("Publish", published), ("Subscription", subscribed)] {
            for subject in subjects {
                // The wording around these differs between versions of the server.
                let words = [name, &format!("{kind} Violation"), &format!("Subject {subject:?}")];
                let said = |line: &str| words.iter().all(|word| line.contains(word));
                eventually(&words.join(" "), PATIENCE, async || nats.log().lines().any(said).then_some(()))
                    .await;
            }
        }
    }
    assert_eq!(api.head().await, log_end, "somebody wrote to the log");
    // Who archives opens the log as Capstan does, updates its stream (here with the key it has), appends, and purges: here everything
    // before the first message, which is nothing.
    let archiver = JetStreamLog::connect(JetStreamConfig::new(nats.url("archiver", "word-g"))).await.unwrap();
    assert_eq!(archiver.head().await.unwrap(), log_end);
    archiver.adopt_fingerprint_key(archiver.fingerprint_key()).await.unwrap();
    let archiver = user(&nats, "archiver", "word-g").await;
    let mut expecting = async_nats::HeaderMap::new();
    expecting.insert("Nats-Expected-Last-Sequence", "0");
    let appended = archiver
        .request_with_headers("capstan.evt.dev.task.x".to_owned(), expecting, "{}".into())
        .await
        .unwrap();
    let appended: Value = serde_json::from_slice(&appended.payload).unwrap();
    assert_eq!(appended["error"]["err_code"], 10071, "it may append, but not to this place: {appended}");
    let purged = archiver.request(purge, json!({ "seq": 1 }).to_string().into()).await.unwrap();
    let purged: Value = serde_json::from_slice(&purged.payload).unwrap();
    assert_eq!((&purged["success"], &purged["purged"]), (&json!(true), &json!(0)), "{purged}");
}
