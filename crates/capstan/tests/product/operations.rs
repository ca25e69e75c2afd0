//! Operating an installation: its settings, checks, and moving its log.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use capstan_envelope::{CommitHash, Position};
use capstan_testkit::configured_nats::ConfiguredNats;
use capstan_testkit::servers::TestServers;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::process::{CAPSTAN, PATIENCE, Product, eventually, http_client};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Runs the executable with this environment.
pub(crate) async fn capstan(arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Output> {
    let mut command = Command::new(CAPSTAN);
    Ok(command.args(arguments).envs(environment.iter().copied()).output().await?)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A `capstan serve` with the workspace `dev`, and where it listens.
async fn serve(environment: &[(&str, &str)]) -> anyhow::Result<(Child, String)> {
    serve_with(&["--workspace", "dev"], environment, Stdio::inherit()).await
}

/// A `capstan serve` and where it listens.
pub(crate) async fn serve_with(
    arguments: &[&str],
    environment: &[(&str, &str)],
    log_lines: Stdio,
) -> anyhow::Result<(Child, String)> {
    let mut child = Command::new(CAPSTAN)
        .args(["serve", "--http", "127.0.0.1:0"])
        .args(arguments)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(log_lines)
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("a piped stdout")?).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.context("serve is not ready")??;
    let line = line.context("serve ended")?;
    Ok((child, line.strip_prefix("ready ").context("an address")?.to_owned()))
}

#[tokio::test]
async fn serve_works_with_a_login_of_the_template_and_the_doctor_finds_nothing_wrong() -> anyhow::Result<()> {
    let nats = ConfiguredNats::start().await?;
    let servers = TestServers::start().await?;
    let (nats_url, database_url) = (nats.url("capstan", "word-a"), servers.fresh_database().await?);
    let environment = [
        ("NATS_URL", nats_url.as_str()),
        ("DATABASE_URL", &database_url),
        ("CAPSTAN_ADMIN_TOKEN", TOKEN),
        ("CAPSTAN_LIMITS__REQUESTS_PER_SECOND", "0.01"),
        ("CAPSTAN_LIMITS__REQUESTS_BURST", "2"),
    ];
    let before = capstan(&["doctor", "-o", "json"], &environment).await?;
    ensure!(before.status.success(), "{} {}", text(&before.stdout), text(&before.stderr));

    let (_serve, url) = serve(&environment).await?;
    let http = http_client()?;
    eventually("the engine, the log and the read models are ready", || async {
        Ok(http.get(format!("{url}/readyz")).send().await?.status() == 200)
    })
    .await?;
    let send =
        |path: &str, body: Value| http.post(format!("{url}{path}")).bearer_auth(TOKEN).json(&body).send();
    let agent = send("/v1/workspaces/dev/agents", json!({ "agent_key": "demo", "name": "Demo" })).await?;
    assert_eq!(agent.status(), 201);
    let task = send("/v1/workspaces/dev/tasks", json!({ "agent_id": "demo", "message": "x" })).await?;
    assert_eq!(task.status(), 202);
    let bus = async_nats::ConnectOptions::new()
        .user_and_password("dev-producer".into(), "word-b".into())
        .custom_inbox_prefix("_INBOX.dev-producer")
        .connect(nats.address())
        .await?;
    let asked = bus.request("capstan.rpc.dev.create-agent", r#"{"agent_key":"b","name":"B"}"#.into()).await?;
    let asked: Value = serde_json::from_slice(&asked.payload)?;
    assert_eq!(asked["agent"]["agent_key"], "b", "{asked}");

    // The rate of the settings holds.
    let issued = send("/v1/workspaces/dev/tokens", json!({ "name": "t", "scopes": ["read"] })).await?;
    let token = issued.json::<Value>().await?["secret"].as_str().context("a secret")?.to_owned();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let answer = http.get(format!("{url}/v1/workspaces/dev/tasks")).bearer_auth(&token).send().await?;
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);

    let doctor = capstan(&["doctor", "-o", "json"], &environment).await?;
    let found: Value = serde_json::from_slice(&doctor.stdout)?;
    assert_eq!((doctor.status.code(), &found["ok"]), (Some(0), &json!(true)), "{found}");
    let verdict = |check: &str| {
        let checks = found["checks"].as_array().cloned().unwrap_or_default();
        checks.iter().find(|one| one["check"] == check).map(|one| one["verdict"].clone())
    };
    for check in ["nats", "nats.version", "nats.jetstream", "nats.clock", "stream CAPSTAN_EVENTS", "postgres"]
    {
        assert_eq!(verdict(check), Some(json!("ok")), "{check}: {found}");
    }
    for check in
        ["postgres.version", "postgres.tables", "postgres.clock", "projection.lag", "projection.writer"]
    {
        assert_eq!(verdict(check), Some(json!("ok")), "{check}: {found}");
    }
    assert_eq!(verdict("nats.durability"), Some(json!("warning")), "nobody told how the server flushes");

    // The read models of another installation have fewer commits than this log; only the hash shows the difference.
    let (other_log, other_rows) = (servers.nats_url(), servers.fresh_database().await?);
    let (_other, other_url) = serve(&[
        ("NATS_URL", other_log.as_str()),
        ("DATABASE_URL", &other_rows),
        ("CAPSTAN_ADMIN_TOKEN", TOKEN),
    ])
    .await?;
    eventually("the other installation shows its workspace", || async {
        let workspace = http.get(format!("{other_url}/v1/workspaces/dev")).bearer_auth(TOKEN).send().await?;
        Ok(workspace.status() == 200)
    })
    .await?;
    let mixed = [("NATS_URL", nats_url.as_str()), ("DATABASE_URL", &other_rows)];
    let doctor = capstan(&["doctor", "-o", "json"], &mixed).await?;
    let found: Value = serde_json::from_slice(&doctor.stdout)?;
    let lag = found["checks"]
        .as_array()
        .and_then(|checks| checks.iter().find(|one| one["check"] == "projection.lag"));
    let lag = lag.context("the lag is checked")?;
    assert_eq!((doctor.status.code(), &lag["verdict"]), (Some(1), &json!("failed")), "{found}");
    assert!(lag["detail"].as_str().is_some_and(|detail| detail.contains("STORE_DIVERGED")), "{lag}");
    Ok(())
}

#[tokio::test]
async fn read_models_of_another_log_are_rebuilt_and_the_running_process_goes_on() -> anyhow::Result<()> {
    let (one, two) = (TestServers::start().await?, TestServers::start().await?);
    let (nats_url, other_url) = (one.nats_url(), two.nats_url());
    let (database, other_database) = (one.fresh_database().await?, two.fresh_database().await?);
    let http = http_client()?;
    let ready = async |url: &str| -> anyhow::Result<(u16, Value)> {
        let answer = http.get(format!("{url}/readyz")).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    };
    for (nats_url, database) in [(&nats_url, &database), (&other_url, &other_database)] {
        let (mut child, url) =
            serve(&[("NATS_URL", nats_url.as_str()), ("DATABASE_URL", database.as_str())]).await?;
        eventually("the rows show the workspace", || async {
            Ok(http.get(format!("{url}/v1/workspaces/dev")).send().await?.status() == 200)
        })
        .await?;
        child.kill().await?;
    }

    let folder = tempfile::tempdir()?;
    let log_lines = folder.path().join("lines");
    let mixed = [("NATS_URL", other_url.as_str()), ("DATABASE_URL", database.as_str())];
    let (_child, url) = serve_with(&[], &mixed, std::fs::File::create(&log_lines)?.into()).await?;
    eventually("readiness says why no engine leads", || async {
        let (status, found) = ready(&url).await?;
        let reason = found["checks"]["engine"]["reason"].as_str().unwrap_or_default();
        Ok(status == 503 && reason.contains("this process cannot") && reason.contains("STORE_DIVERGED"))
    })
    .await?;
    let lines = std::fs::read_to_string(&log_lines)?;
    let cause = "lead: follow the log: follow the log after commit";
    assert!(lines.contains("the engine cannot lead") && lines.contains(cause), "{lines}");

    let rebuilt = capstan(&["projection", "rebuild", "--all"], &mixed).await?;
    ensure!(rebuilt.status.success(), "{}", text(&rebuilt.stderr));
    eventually("the process is ready without a restart", || async { Ok(ready(&url).await?.0 == 200) })
        .await?;
    let agent = http.post(format!("{url}/v1/workspaces/dev/agents"));
    let agent = agent.json(&json!({ "agent_key": "demo", "name": "Demo" })).send().await?;
    assert_eq!(agent.status(), 201);
    let lines = std::fs::read_to_string(&log_lines)?;
    assert_eq!(lines.matches("the engine cannot lead").count(), 1, "told once: {lines}");
    Ok(())
}

#[tokio::test]
async fn a_tail_after_a_place_that_is_not_there_is_told_where_the_log_ends() -> anyhow::Result<()> {
    let servers = TestServers::start().await?;
    let nats_url = servers.nats_url();
    let environment = [("NATS_URL", nats_url.as_str())];
    let after = "0-30000-9f3ac21b";
    let refused = capstan(&["log", "tail", "--after", after], &environment).await?;
    let told = text(&refused.stderr);
    assert!(!refused.status.success() && told.contains(after) && told.contains("it ends at 0"), "{told}");
    let refused = capstan(&["log", "tail", "--stream", "bogus"], &environment).await?;
    let told = text(&refused.stderr);
    assert!(refused.status.code() == Some(2) && told.contains("WORKSPACE/CATEGORY/ID"), "{told}");
    Ok(())
}

#[tokio::test]
async fn the_doctor_says_everything_that_is_wrong() -> anyhow::Result<()> {
    let servers = TestServers::start().await?;
    let (nats_url, database_url) = (servers.nats_url(), servers.fresh_database().await?);
    let (sql, connection) = tokio_postgres::connect(&database_url, tokio_postgres::NoTls).await?;
    let connection = tokio::spawn(connection);
    sql.batch_execute(
        "CREATE SCHEMA capstan; CREATE TABLE capstan.migration (version integer PRIMARY KEY, applied_at timestamptz); \
         INSERT INTO capstan.migration VALUES (999, now()); CREATE TABLE capstan.model (name text, version integer, schema text); \
         CREATE TABLE capstan.parked (stream text); \
         CREATE TABLE capstan.checkpoint (name text, position bigint, hash text, store_epoch text, \
         store_created_at timestamptz, epoch bigint, owner text, lease_until timestamptz)",
    )
    .await?;
    drop(sql);
    connection.await??;
    let client = async_nats::connect(&nats_url).await?;
    let config = async_nats::jetstream::stream::Config {
        name: "CAPSTAN_EVENTS".into(),
        subjects: vec!["capstan.evt.>".into()],
        max_messages: 5,
        ..Default::default()
    };
    async_nats::jetstream::new(client).create_stream(config).await?;
    let environment = [("NATS_URL", nats_url.as_str()), ("DATABASE_URL", &database_url)];
    let doctor = capstan(&["doctor"], &environment).await?;
    let found = text(&doctor.stdout);
    assert_eq!(doctor.status.code(), Some(1), "{found}");
    for fault in [
        "deny_delete is false and must be true",
        "max_msgs is 5 and must be -1",
        "created by a newer Capstan (version 999)",
    ] {
        assert!(found.contains(fault), "{fault} is not in {found}");
    }

    let environment = [("NATS_URL", "nats://127.0.0.1:1"), ("DATABASE_URL", "postgres://127.0.0.1:1/none")];
    let doctor = capstan(&["doctor", "-o", "json"], &environment).await?;
    let found: Value = serde_json::from_slice(&doctor.stdout)?;
    let failed: Vec<_> =
        found["checks"].as_array().unwrap().iter().filter(|one| one["verdict"] == "failed").collect();
    let failed: Vec<_> = failed.iter().map(|one| one["check"].as_str().unwrap()).collect();
    assert_eq!((doctor.status.code(), failed), (Some(1), vec!["nats", "postgres"]));

    let environment =
        [("NATS_URL", "x"), ("DATABASE_URL", "x"), ("CAPSTAN_HTPP", "x"), ("CAPSTAN_REPLICAS", "2")];
    let doctor = capstan(&["doctor"], &environment).await?;
    let found = text(&doctor.stdout);
    assert!(found.contains("htpp: unknown setting") && found.contains("replicas: must be"), "{found}");
    assert_eq!(doctor.status.code(), Some(1));
    Ok(())
}

#[tokio::test]
async fn the_doctor_finds_a_running_dev_and_dead_letters_are_settled_by_hand() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "true"]).await?;
    let data_dir = product.data_dir.to_string_lossy().into_owned();
    let found: Value =
        serde_json::from_str(&product.command(&["doctor", "--data-dir", &data_dir, "-o", "json"]).await?)?;
    let checks = found["checks"].as_array().unwrap();
    let durability = checks.iter().find(|one| one["check"] == "nats.durability").unwrap();
    assert_eq!(durability["verdict"], "ok", "{durability}");

    let bus = async_nats::connect(product.servers()?["nats_url"].as_str().context("an address")?).await?;
    bus.publish("capstan.cmd.dev.accept-agent-command", "not json".into()).await?;
    bus.flush().await?;
    eventually("the dead letter is listed", || async {
        Ok(product.command(&["dlq", "list"]).await?.contains("malformed_request"))
    })
    .await?;
    let shown: Value =
        serde_json::from_str(&product.command(&["dlq", "show", "command-1", "-o", "json"]).await?)?;
    assert_eq!((&shown["payload"], &shown["kind"]), (&json!("not json"), &json!("command")));
    product.command(&["dlq", "retry", "command-1"]).await?;
    // It is as wrong as before, and comes back.
    eventually("it is set aside again", || async {
        Ok(product.command(&["dlq", "list"]).await?.contains("command-2"))
    })
    .await?;
    product.command(&["dlq", "discard", "command-2"]).await?;
    let list: Value = serde_json::from_str(&product.command(&["dlq", "list", "-o", "json"]).await?)?;
    assert_eq!(list["items"], json!([]));
    Ok(())
}

/// Exports that must be refused before anything is written, each with what is wrong and a part of the reason.
fn spoilt_exports(exported: &str) -> anyhow::Result<Vec<(&'static str, String, &'static str)>> {
    let lines: Vec<&str> = exported.lines().collect();
    let last_commit = lines.len() - 2;
    let with_line = |index: usize, change: &dyn Fn(&str) -> String| {
        let changed = lines.iter().enumerate();
        let changed = changed.map(|(at, line)| if at == index { change(line) } else { (*line).to_owned() });
        changed.map(|line| line + "\n").collect::<String>()
    };
    let field = |line: &str, name: &str| -> anyhow::Result<String> {
        Ok(serde_json::from_str::<Value>(line)?[name].to_string())
    };
    let position = field(lines[3], "position")?;
    let wrong_digits = format!("{}00000000\"", &position[..position.len() - 9]);
    // The last commit of a stream that has others before it.
    let later = (0..=last_commit)
        .rev()
        .find(|index| field(lines[*index], "previous").is_ok_and(|previous| previous != "0"))
        .context("a stream with two commits")?;
    let previous = format!("\"previous\":{}", field(lines[later], "previous")?);
    let without = |index: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != index);
        kept.map(|(_, line)| (*line).to_owned() + "\n").collect::<String>()
    };
    // A commit with a field of the future: its hash is right, and this version does not know what it says.
    let of_the_future = |line: &str| {
        let mut read: Value = serde_json::from_str(line).unwrap();
        let start = line.find("\"commit\":").unwrap() + "\"commit\":".len();
        let commit = line[start..line.len() - 1].replacen('{', "{\"mood\":\"good\",", 1);
        let stream = read["stream"].as_str().unwrap().replace('/', ".");
        let hash = CommitHash::of(&stream, commit.as_bytes());
        let position: Position = read["position"].as_str().unwrap().parse().unwrap();
        read["position"] = json!(Position::new(position.sequence(), hash));
        read["hash"] = json!(hash);
        read["commit"] = json!("COMMIT");
        read.to_string().replace("\"COMMIT\"", &commit)
    };
    Ok(vec![
        ("a text", exported.replacen("to be carried", "to be changed", 1), "it was changed"),
        (
            "digits of a position",
            with_line(3, &|line| line.replacen(&position, &wrong_digits, 1)),
            "its hash makes it",
        ),
        (
            "the commit before",
            with_line(later, &|line| line.replacen(&previous, "\"previous\":99999", 1)),
            "names 99999",
        ),
        (
            "no commit before",
            with_line(later, &|line| line.replacen(&previous, "\"previous\":0", 1)),
            "names 0",
        ),
        ("a missing line", without(2), "is missing between"),
        ("a missing end", without(last_commit + 1), "its last line is missing"),
        ("the last commit missing", without(last_commit), "but the lines before end after"),
        ("an empty file", String::new(), "its last line is missing"),
        ("an empty line", format!("{exported}\n"), "the end of the export"),
        (
            "a key that is none",
            exported.replacen("\"fingerprint_key\":\"", "\"fingerprint_key\":\"x", 1),
            "not a fingerprint key",
        ),
        ("two exports", exported.repeat(2), "the end of the export"),
        (
            "an unknown field",
            with_line(last_commit, &|line| line.replacen('{', "{\"colour\":\"red\",", 1)),
            "unknown field `colour`",
        ),
        ("a field of the future", with_line(last_commit, &of_the_future), "a newer one may have written it"),
    ])
}

#[tokio::test]
async fn an_import_by_a_user_without_the_permission_names_it() -> anyhow::Result<()> {
    let nats = ConfiguredNats::start().await?;
    let nats_url = nats.url("capstan", "word-a");
    let environment = [("NATS_URL", nats_url.as_str())];
    let exported = capstan(&["log", "export"], &environment).await?;
    ensure!(exported.status.success(), "{}", text(&exported.stderr));
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, &exported.stdout)?;
    let path = file.path().to_string_lossy();
    let arguments = ["log", "import", &*path];
    let import = tokio::time::timeout(Duration::from_secs(10), capstan(&arguments, &environment)).await?;
    let told = text(&import?.stderr);
    let needed = "the NATS user needs the permission to publish to $JS.API.STREAM.UPDATE.CAPSTAN_EVENTS";
    ensure!(told.contains(needed), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_log_is_carried_to_another_server_commit_by_commit() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "true"]).await?;
    let id =
        product.submit("to be carried: é, 1.50, \u{1f980}").await?["task"]["id"].as_str().unwrap().to_owned();
    product.task_in(&id, "done").await?;
    let data_dir = product.data_dir.to_string_lossy().into_owned();
    let exported = product.command(&["log", "export", "--data-dir", &data_dir]).await?;
    let folder = tempfile::tempdir()?;
    let (whole, broken) = (folder.path().join("log.jsonl"), folder.path().join("broken.jsonl"));
    std::fs::write(&whole, &exported)?;

    let servers = TestServers::start().await?;
    let nats_url = servers.nats_url();
    let environment = [("NATS_URL", nats_url.as_str())];
    let import = async |file: &std::path::Path| {
        capstan(&["log", "import", &file.to_string_lossy()], &environment).await
    };
    for (what, lines, reason) in spoilt_exports(&exported)? {
        std::fs::write(&broken, lines)?;
        let refused = import(&broken).await?;
        let told = text(&refused.stderr);
        assert!(!refused.status.success() && told.contains(reason), "{what}: {told}");
        let nothing = capstan(&["log", "export"], &environment).await?;
        let nothing: Value = serde_json::from_slice(&nothing.stdout)?;
        assert_eq!(nothing["end"]["commits"], 0, "{what}: something was written");
    }
    let imported = import(&whole).await?;
    ensure!(imported.status.success(), "{}", text(&imported.stderr));
    let again = import(&whole).await?;
    assert!(!again.status.success() && text(&again.stderr).contains("not empty"), "{}", text(&again.stderr));

    let carried = capstan(&["log", "export"], &environment).await?;
    let without_time = |lines: &str| -> Vec<Value> {
        let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let forget = |mut line: Value| {
            line.as_object_mut().unwrap().remove("recorded_at");
            line
        };
        lines.lines().map(read).map(forget).collect()
    };
    let lines = without_time(&exported);
    assert!(lines.len() > 5);
    assert_eq!(lines.last().unwrap()["end"]["commits"], json!(lines.len() - 1));
    // The same commits, and the same key of fingerprints, so that repeats are recognised.
    assert_eq!(without_time(&text(&carried.stdout)), lines);
    let verified = capstan(&["log", "verify"], &environment).await?;
    ensure!(verified.status.success(), "{}", text(&verified.stderr));
    Ok(())
}
