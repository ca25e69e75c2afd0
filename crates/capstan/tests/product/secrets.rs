//! Secrets of callers and agents never appear in the process's own log, whatever the log level.

use std::fs;
use std::process::Stdio;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::process::{CAPSTAN, eventually, http_client, signal};

/// Made up, and found nowhere else.
const KEY: &str = "k3y-of-the-caller-4711";
const OPENAI: &str = "sk-madeup0123456789abcdef";
const BEARER: &str = "b3arer-of-the-tool-0815";

#[tokio::test]
async fn no_secret_is_logged_whatever_is_logged() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let (data, said, logged) =
        (folder.path().join("data"), folder.path().join("stdout"), folder.path().join("stderr"));
    // The agent says what it was given, and a secret of its own.
    let agent = folder.path().join("agent.sh");
    fs::write(&agent, format!("cat; echo '{{\"api_key\":\"{KEY}\",\"note\":\"{OPENAI}\"}}'\n"))?;
    let mut child = Command::new(CAPSTAN)
        .args(["dev", "--http", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .args(["--exec", &format!("sh {}", agent.display())])
        .env("RUST_LOG", "trace,tokio_postgres::query=trace,hyper::proto=trace")
        .stdin(Stdio::null())
        .stdout(fs::File::create(&said)?)
        .stderr(fs::File::create(&logged)?)
        .kill_on_drop(true)
        .spawn()?;
    let url_of =
        || fs::read_to_string(&said).unwrap_or_default().trim().strip_prefix("ready ").map(str::to_owned);
    eventually("capstan dev is ready", || async { Ok(url_of().is_some()) }).await?;
    let url = url_of().context("an address")?;
    let http = http_client()?;

    let secrets =
        json!({ "api_key": KEY, "note": OPENAI, "headers": { "Authorization": format!("Bearer {BEARER}") } });
    let agent =
        json!({ "agent_key": "keeper", "name": "Keeper", "config": { "runner": "process", "env": secrets } });
    let made = http.post(format!("{url}/v1/workspaces/dev/agents")).json(&agent).send().await?;
    assert_eq!(made.status(), 201, "{}", made.text().await?);
    let task = json!({ "agent_id": "keeper", "message": format!("use {OPENAI}"), "attachments": [secrets] });
    let accepted = http.post(format!("{url}/v1/workspaces/dev/tasks")).bearer_auth(BEARER).json(&task);
    // A token that is none is refused; the log must not show it.
    assert_eq!(accepted.send().await?.status(), 401);
    let accepted = http.post(format!("{url}/v1/workspaces/dev/tasks")).json(&task).send().await?;
    let accepted: Value = accepted.json().await?;
    let id = accepted["task"]["id"].as_str().with_context(|| accepted.to_string())?.to_owned();
    // Wrong in different ways, on both surfaces: refusals and dead letters are logged, what they carried is not.
    let wrong = json!({ "agent_id": "keeper", "message": 1, "attachments": [secrets], OPENAI: BEARER });
    http.post(format!("{url}/v1/workspaces/dev/tasks")).json(&wrong).send().await?;
    let run: Value = serde_json::from_slice(&fs::read(data.join("run.json"))?)?;
    let bus = async_nats::connect(run["nats_url"].as_str().context("an address")?).await?;
    for body in [wrong.to_string(), format!("{KEY} {OPENAI}"), task.to_string()] {
        bus.publish("capstan.cmd.dev.accept-agent-command", body.into()).await?;
    }
    bus.publish("capstan.cmd.dev.no-such-command", task.to_string().into()).await?;
    bus.flush().await?;
    eventually("everything is worked off", || async {
        let task: Value =
            http.get(format!("{url}/v1/workspaces/dev/tasks/{id}")).send().await?.json().await?;
        let dead: Value = http.get(format!("{url}/v1/admin/deadletters")).send().await?.json().await?;
        let logs: Value =
            http.get(format!("{url}/v1/workspaces/dev/tasks/{id}/logs")).send().await?.json().await?;
        let has_logs = logs["items"].as_array().is_some_and(|lines| !lines.is_empty());
        Ok(task["finished_at"].is_string() && dead["items"].as_array().map(Vec::len) >= Some(2) && has_logs)
    })
    .await?;
    signal("TERM", child.id().context("a running process")?).await?;
    assert!(child.wait().await?.success());

    let text = fs::read_to_string(&said)? + &fs::read_to_string(&logged)?;
    // The libraries' own debug lines are held back, so ours are few; but they are there.
    assert!(text.lines().count() > 20, "hardly anything was logged");
    assert!(text.contains(r#""level":"DEBUG""#), "the level asked for is not in force");
    for secret in [KEY, OPENAI, BEARER] {
        let found: Vec<_> = text.lines().filter(|line| line.contains(secret)).take(3).collect();
        assert!(found.is_empty(), "{secret} was logged: {found:#?}");
    }
    Ok(())
}
