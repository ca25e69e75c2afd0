//! Schedules as a user meets them, and ticks that a crash falls into.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{Product, eventually, signal};

async fn schedule_command(product: &Product, arguments: &[&str]) -> anyhow::Result<Value> {
    let all: Vec<&str> = ["schedule", "-o", "json"].into_iter().chain(arguments.iter().copied()).collect();
    Ok(serde_json::from_str(&product.command(&all).await?)?)
}

#[tokio::test]
async fn the_command_line_steers_a_schedule_through_its_life() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "true"]).await?;
    let made = schedule_command(
        &product,
        &[
            "create",
            "0 9 * * mon-fri",
            "write the report",
            "--timezone",
            "Europe/Berlin",
            "--skill",
            "skills/report",
        ],
    )
    .await?;
    let id = made["id"].as_str().with_context(|| made.to_string())?;
    assert_eq!((&made["active"], &made["skill_paths"]), (&json!(true), &json!(["skills/report"])));
    let next = schedule_command(&product, &["next", id, "-n", "2"]).await?;
    assert_eq!(next["items"][0]["run_at"], made["next_run_at"], "{next}");

    let task = schedule_command(&product, &["trigger", id]).await?;
    let task = product.task_in(task["id"].as_str().context("a task")?, "done").await?;
    assert_eq!(task["message"], "write the report");

    let paused = schedule_command(&product, &["pause", id, "--reason", "holidays"]).await?;
    assert_eq!((&paused["active"], &paused["paused"]["reason"]), (&json!(false), &json!("holidays")));
    assert_eq!(schedule_command(&product, &["resume", id]).await?["active"], true);
    let updated = schedule_command(&product, &["update", id, "--prompt", "two", "--overlap", "skip"]).await?;
    assert_eq!((&updated["prompt"], &updated["overlap"]), (&json!("two"), &json!("skip")));
    let listed = schedule_command(&product, &["list"]).await?;
    assert_eq!(listed["items"], json!([schedule_command(&product, &["get", id]).await?]));
    schedule_command(&product, &["delete", id]).await?;
    let position = product.log_position().await?;
    assert_eq!(
        product.get(&format!("schedules?min_position={position}&wait_ms=10000")).await?["items"],
        json!([])
    );
    Ok(())
}

/// The ticks that made a task, with the number of tasks each has, by schedule.
async fn ticks(product: &Product) -> anyhow::Result<BTreeMap<String, BTreeMap<String, usize>>> {
    let mut found = BTreeMap::<String, BTreeMap<String, usize>>::new();
    let mut cursor = String::new();
    loop {
        let page = product.get(&format!("tasks?limit=500{cursor}")).await?;
        for task in page["items"].as_array().context("items")? {
            let session = task["session_id"].as_str().context("a session")?;
            let (schedule, tick) = session.rsplit_once(':').context("a session of a tick")?;
            *found.entry(schedule.to_owned()).or_default().entry(tick.to_owned()).or_default() += 1;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(found),
        }
    }
}

#[tokio::test]
async fn killing_capstan_while_it_fires_loses_and_doubles_no_tick() -> anyhow::Result<()> {
    const SCHEDULES: usize = 60;
    let product = Product::start(&["--exec", "true", "--class-concurrency", "4"]).await?;
    let mut due = BTreeSet::new();
    let mut sessions = BTreeSet::new();
    for number in 0..SCHEDULES {
        let body = json!({ "agent_id": "demo", "cron_expr": "* * * * *", "prompt": format!("tick {number}"), "catch_up": "all" });
        let (status, answer) = product.send(Method::POST, "schedules", &body).await?;
        assert_eq!(status, 201, "{answer}");
        due.insert(answer["schedule"]["next_run_at"].as_str().context("a next tick")?.to_owned());
        sessions.insert(format!("schedule-session:{}", answer["schedule"]["id"].as_str().context("an id")?));
    }
    let first = chrono::DateTime::parse_from_rfc3339(due.first().context("a first tick")?)?;
    eventually("the first tick is due", || async { Ok(chrono::Utc::now() >= first) }).await?;
    eventually("some ticks have fired", || async { Ok(ticks(&product).await?.len() >= 3) }).await?;
    signal("KILL", product.pid()?).await?;
    let product = product.crash_and_restart().await?;
    let last = due.last().context("a first tick")?;
    let last = chrono::DateTime::parse_from_rfc3339(last)?.timestamp().to_string();
    eventually("every schedule has fired the ticks it owed", || async {
        let ticks = ticks(&product).await?;
        Ok(ticks.len() == SCHEDULES && ticks.values().all(|ticks| ticks.contains_key(&last)))
    })
    .await?;
    let ticks = ticks(&product).await?;
    assert_eq!(ticks.keys().cloned().collect::<BTreeSet<_>>(), sessions);
    for (schedule, ticks) in &ticks {
        let times: Vec<i64> = ticks.keys().map(|tick| tick.parse()).collect::<Result<_, _>>()?;
        assert!(ticks.values().all(|tasks| *tasks == 1), "{schedule} made a task twice: {ticks:?}");
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 60), "{schedule} lost a tick: {ticks:?}");
    }
    Ok(())
}
