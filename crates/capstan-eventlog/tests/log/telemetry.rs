//! The output of running agents.

use bytes::Bytes;
use capstan_envelope::Workspace;
use capstan_eventlog::TelemetryLine;
use serde_json::json;
use uuid::Uuid;

use crate::server::{Server, api};
use crate::writer::PATIENCE;

fn lines(texts: &[&str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from(format!("{text:?}"))).collect()
}

fn texts(lines: &[TelemetryLine]) -> Vec<String> {
    lines.iter().map(|line| serde_json::from_slice(&line.data).unwrap()).collect()
}

async fn next(tail: &mut capstan_eventlog::TelemetryTail, count: usize) -> Vec<TelemetryLine> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(tokio::time::timeout(PATIENCE, tail.next()).await.expect("lines come in time").unwrap());
    }
    all
}

#[tokio::test]
async fn lines_are_read_back_in_order_and_in_pages() {
    let server = Server::start("always").await;
    let log = server.log().await;
    let workspace: Workspace = "dev".parse().unwrap();
    let (task, run, other) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let many: Vec<String> = (0..600).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    log.telemetry().append(&workspace, other, run, lines(&["foreign"])).await.unwrap();
    log.telemetry().append(&workspace, task, run, lines(&many)).await.unwrap();
    let first = log.telemetry().read(&workspace, task, 0, 400).await.unwrap();
    assert_eq!(texts(&first), many[..400]);
    assert_eq!((first[0].task, first[0].run), (task, run));
    let rest = log.telemetry().read(&workspace, task, first[399].sequence, 400).await.unwrap();
    assert_eq!(texts(&rest), many[400..]);
    assert_eq!(log.telemetry().read(&workspace, task, rest[199].sequence, 400).await.unwrap(), []);
    assert_eq!(texts(&log.telemetry().read(&workspace, None, 0, 2).await.unwrap()), ["foreign", "0"]);
}

#[tokio::test]
async fn lines_written_again_under_their_name_are_stored_once() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let workspace: Workspace = "dev".parse().unwrap();
    let (task, run) = (Uuid::from_u128(1), Uuid::from_u128(2));
    // More than are written before their acknowledgements are waited for.
    let many: Vec<String> = (0..600).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for name in ["a", "a", "b"] {
        log.telemetry().append_once(&workspace, task, run, lines(&many), Some(name)).await.unwrap();
    }
    let stored = log.telemetry().read(&workspace, task, 0, 2000).await.unwrap();
    assert_eq!(texts(&stored), [&many[..], &many[..]].concat());
}

#[tokio::test]
async fn a_tail_of_lines_continues_from_history_to_live() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let workspace: Workspace = "dev".parse().unwrap();
    let (task, run, other) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let telemetry = log.telemetry();
    telemetry.append(&workspace, task, run, lines(&["a", "b"])).await.unwrap();
    let mut of_task = telemetry.tail(&workspace, Some(task), 1).await.unwrap();
    let mut of_workspace = telemetry.tail(&workspace, None, 0).await.unwrap();
    telemetry.append(&workspace, other, run, lines(&["foreign"])).await.unwrap();
    telemetry.append(&workspace, task, run, lines(&["c"])).await.unwrap();
    assert_eq!(texts(&next(&mut of_task, 2).await), ["b", "c"]);
    assert_eq!(texts(&next(&mut of_workspace, 4).await), ["a", "b", "foreign", "c"]);
}

#[tokio::test]
async fn a_tail_of_lines_shrugs_off_lost_and_replaced_ones() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let workspace: Workspace = "dev".parse().unwrap();
    let (task, run) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let telemetry = log.telemetry();
    assert_eq!(telemetry.end().await.unwrap(), 0);
    telemetry.append(&workspace, task, run, lines(&["a"])).await.unwrap();
    let mut beyond = telemetry.tail(&workspace, Some(task), 1_000).await.unwrap();
    assert_eq!(beyond.position(), 1, "a tail from now on knows where that is before its first line");
    let client = server.client().await;
    telemetry.append(&workspace, task, run, lines(&["b"])).await.unwrap();
    assert_eq!(texts(&next(&mut beyond, 1).await), ["b"]);
    api(&client, "STREAM.PURGE.CAPSTAN_LOGS", &json!({})).await;
    assert_eq!(telemetry.end().await.unwrap(), 2, "the end stays where it was when lines age away");
    telemetry.append(&workspace, task, run, lines(&["c"])).await.unwrap();
    assert_eq!(texts(&next(&mut beyond, 1).await), ["c"]);
    let mut from_the_start = telemetry.tail(&workspace, Some(task), 0).await.unwrap();
    assert_eq!(texts(&next(&mut from_the_start, 1).await), ["c"]);
}
