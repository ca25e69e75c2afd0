//! Live streams: every event, with an id to resume from.

use bytes::Bytes;
use capstan_client::{Client, ClientConfig, Error, Place, StreamOptions, SubscribeTaskLive};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::conformance;
use crate::harness::{Api, Lease, PATIENCE};

#[derive(Clone, Debug, PartialEq)]
struct Event {
    id: Option<String>,
    name: String,
    data: Value,
}

/// An open stream.
struct Reader {
    bytes: BoxStream<'static, reqwest::Result<Bytes>>,
    text: String,
}

impl Reader {
    async fn open(api: &Api, path: &str, last_event_id: Option<&str>) -> Self {
        let mut request = api.request("GET", path);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        Self { bytes: response.bytes_stream().boxed(), text: String::new() }
    }

    /// Reads events until one of this name came, or the stream ended.
    async fn until(&mut self, name: &str) -> Vec<Event> {
        let mut events = Vec::new();
        let reading = async {
            loop {
                while let Some(end) = self.text.find("\n\n") {
                    let block: String = self.text.drain(..end + 2).collect();
                    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                    let event = field("event: ").map(|event| Event {
                        id: field("id: ").map(str::to_owned),
                        name: event.to_owned(),
                        data: serde_json::from_str(field("data: ").unwrap()).unwrap(),
                    });
                    if let Some(Event { name, data, .. }) = &event {
                        assert_eq!((&data["event"], conformance::frame_faults(data)), (&json!(name), vec![]));
                    }
                    let is_last = event.as_ref().is_some_and(|event| event.name == name);
                    events.extend(event);
                    if is_last {
                        return;
                    }
                }
                match self.bytes.next().await {
                    Some(chunk) => self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap()),
                    None => return,
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the event comes");
        events
    }
}

/// Reads a stream up to the first event of this name.
async fn read_until(api: &Api, path: &str, last_event_id: Option<&str>, name: &str) -> Vec<Event> {
    Reader::open(api, path, last_event_id).await.until(name).await
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).filter(|name| *name != "caught_up").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_resumes_without_loss_or_repetition() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    api.report(&lease, "finish", json!({ "outcome": "ok" })).await.expect(200);
    let path = format!("/v1/workspaces/dev/tasks/{task}/stream");
    let whole = read_until(&api, &format!("{path}?after=0"), None, "end").await;
    assert_eq!(names(&whole).first(), Some(&"task-accepted"));
    assert_eq!(names(&whole)[names(&whole).len() - 2..], ["task-done", "end"]);
    let events: Vec<_> =
        whole.iter().filter(|event| event.data.get("event_version").is_some()).cloned().collect();
    assert!(events.len() >= 5 && events.iter().all(|event| event.id.is_some()), "{events:?}");
    for (index, event) in events.iter().enumerate() {
        let rest = read_until(&api, &path, event.id.as_deref(), "end").await;
        let rest: Vec<_> =
            rest.into_iter().filter(|event| event.data.get("event_version").is_some()).collect();
        assert_eq!(rest, events[index + 1..], "resumed after {:?}", event.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_stream_shows_what_happens_of_the_requested_types() {
    let api = Api::start().await;
    api.task("before").await;
    let path = format!("/v1/workspaces/dev/stream?types=task-accepted&after={}", api.head().await);
    let mut stream = Reader::open(&api, &path, None).await;
    assert_eq!(stream.until("caught_up").await.len(), 1, "nothing of the past is shown");
    let task = api.task("after").await;
    api.lease(&task).await;
    api.task("last").await;
    let mut events = stream.until("task-accepted").await;
    events.extend(stream.until("task-accepted").await);
    assert_eq!(names(&events), ["task-accepted", "task-accepted"]);
    let messages: Vec<_> = events.iter().map(|event| event.data["data"]["message"].clone()).collect();
    assert_eq!(messages, ["after", "last"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_comes_first_and_log_lines_come_along() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    api.report(&lease, "logs", json!({ "lines": [{ "stream": "stdout", "data": "hello" }] }))
        .await
        .expect(202);
    api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
    let path = format!("/v1/workspaces/dev/tasks/{task}/stream?snapshot=1&include=logs&log_after=0");
    let events = read_until(&api, &path, None, "log").await;
    assert_eq!((events[0].name.as_str(), &events[0].data["task"]["id"]), ("snapshot", &json!(task)));
    assert!(events.last().unwrap().data.to_string().contains("hello"), "{events:?}");
    let workspace = read_until(&api, "/v1/workspaces/dev/stream?snapshot=1", None, "caught_up").await;
    assert_eq!(workspace[0].data["tasks"][0]["id"], json!(task));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stream_shows_its_own_run_only() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    api.report(&lease, "finish", json!({ "outcome": "ok" })).await.expect(200);
    api.get_now("/v1/workspaces/dev/tasks").await.expect(200);
    let path = format!("/v1/workspaces/dev/runs/{}/stream?after=0", lease.run_id);
    let events = read_until(&api, &path, None, "end").await;
    let shown = names(&events);
    assert!(shown.contains(&"run-ended") && !shown.contains(&"task-accepted"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_finished_task_all_come_before_the_end() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    // More than are read at a time.
    let lines: Vec<_> =
        (0..700).map(|n| json!({ "stream": "stdout", "data": format!("line {n}") })).collect();
    api.report(&lease, "logs", json!({ "lines": lines })).await.expect(202);
    let path = format!("/v1/workspaces/dev/tasks/{task}/stream?include=logs");
    let mut follower = Reader::open(&api, &format!("{path}&log_after=0"), None).await;
    follower.until("log").await;
    api.report(&lease, "finish", json!({ "outcome": "ok" })).await.expect(200);
    let lines_of = |events: &[Event]| -> Vec<u64> {
        let lines = events.iter().filter(|event| event.name == "log");
        lines.map(|line| line.data["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(lines_of(&follower.until("end").await).len(), 699, "one was read before");
    for query in ["after=0", "after=0&log_after=0", "log_after=0"] {
        let events = read_until(&api, &format!("{path}&{query}"), None, "end").await;
        assert_eq!(events.last().unwrap().name, "end", "{query}");
        let lines = lines_of(&events);
        assert_eq!(lines.len(), 700, "{query}");
        let resumed = format!("{path}&{query}&log_after={}", lines[649]).replace("&log_after=0", "");
        assert_eq!(lines_of(&read_until(&api, &resumed, None, "end").await), lines[650..], "{resumed}");
    }
    let from_now_on = read_until(&api, &path, None, "end").await;
    assert_eq!(lines_of(&from_now_on).len(), 0, "nobody asked for what was before");
}

async fn log(api: &Api, lease: &Lease, lines: &[&str]) {
    let lines: Vec<_> = lines.iter().map(|line| json!({ "stream": "stdout", "data": line })).collect();
    api.report(lease, "logs", json!({ "lines": lines })).await.expect(202);
}

fn log_lines(events: &[Event]) -> Vec<&str> {
    let lines = events.iter().filter(|event| event.name == "log");
    lines.map(|line| line.data["data"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_reconnects_gets_the_lines_it_missed() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    let of_task = format!("/v1/workspaces/dev/tasks/{task}/stream?include=logs&after=0");
    let of_workspace = "/v1/workspaces/dev/stream?include=logs&after=0";
    let mut all = Reader::open(&api, &of_task, None).await;
    let mut whole = Reader::open(&api, of_workspace, None).await;
    log(&api, &lease, &["a", "b"]).await;
    let mut seen = all.until("log").await;
    let seen_of_workspace = whole.until("log").await;
    drop((all, whole));
    log(&api, &lease, &["c", "d"]).await;
    api.report(&lease, "finish", json!({ "outcome": "ok" })).await.expect(200);

    let last = seen.iter().rev().find_map(|event| event.id.clone());
    seen.extend(read_until(&api, &of_task, last.as_deref(), "end").await);
    assert_eq!(log_lines(&seen), ["a", "b", "c", "d"]);
    let events = seen.iter().filter(|event| event.data.get("event_version").is_some());
    let events: Vec<_> = events.map(|event| &event.name).collect();
    let whole = read_until(&api, &of_task, None, "end").await;
    let ids: Vec<_> = whole.iter().filter_map(|event| event.id.as_deref()).collect();
    assert!(ids.len() > 4 && ids.iter().all(|id| id.contains('~')), "{ids:?}");
    let whole = whole.iter().filter(|event| event.data.get("event_version").is_some());
    assert_eq!(events, whole.map(|event| &event.name).collect::<Vec<_>>());

    let last = seen_of_workspace.last().unwrap().id.as_deref();
    let mut rest = Reader::open(&api, of_workspace, last).await;
    for line in ["b", "c", "d"] {
        assert_eq!(log_lines(&rest.until("log").await), [line]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_that_cannot_know_the_missed_lines_says_so() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let path = format!("/v1/workspaces/dev/tasks/{task}/stream?include=logs");
    let head = api.head().await.to_string();
    let events = read_until(&api, &path, Some(&head), "caught_up").await;
    assert_eq!((events[0].name.as_str(), &events[0].data["reason"]), ("gap", &json!("log_lines_skipped")));
    let fresh = read_until(&api, &path, None, "caught_up").await;
    assert_eq!(fresh[0].name, "caught_up");
}

fn skipped(events: &[Event]) -> usize {
    events.iter().filter(|event| event.data["reason"] == "log_lines_skipped").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_beyond_the_last_line_is_a_gap_and_swallows_no_line() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    log(&api, &lease, &["before"]).await;
    let head = api.head().await;
    let path = format!("/v1/workspaces/dev/tasks/{task}/stream?include=logs");
    let mut streams = vec![
        Reader::open(&api, &format!("{path}&log_after=99999999"), None).await,
        Reader::open(&api, &format!("{path}&after={head}~99999999"), None).await,
        Reader::open(&api, &path, Some(&format!("{head}~99999999"))).await,
        Reader::open(&api, "/v1/workspaces/dev/stream?include=logs&log_after=99999999", None).await,
    ];
    for stream in &mut streams {
        assert_eq!(skipped(&stream.until("gap").await), 1);
    }
    log(&api, &lease, &["after"]).await;
    for stream in &mut streams {
        assert_eq!(log_lines(&stream.until("log").await), ["after"]);
    }
    api.report(&lease, "finish", json!({ "outcome": "ok" })).await.expect(200);
    let over = read_until(&api, &format!("{path}&log_after=99999999"), None, "end").await;
    assert_eq!((skipped(&over), log_lines(&over).len()), (1, 0));
    let within = read_until(&api, &format!("{path}&log_after=1"), None, "end").await;
    assert_eq!((skipped(&within), log_lines(&within)), (0, vec!["after"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_begin_anew_are_a_gap_to_those_who_watch() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    let path = format!("/v1/workspaces/dev/tasks/{task}/stream?include=logs&log_after=0");
    let mut stream = Reader::open(&api, &path, None).await;
    log(&api, &lease, &["a", "b", "c"]).await;
    while log_lines(&stream.until("log").await) != ["c"] {}
    let info = jetstream(&api, "STREAM.INFO.CAPSTAN_LOGS", &json!({})).await;
    jetstream(&api, "STREAM.DELETE.CAPSTAN_LOGS", &json!({})).await;
    jetstream(&api, "STREAM.CREATE.CAPSTAN_LOGS", &info["config"]).await;
    log(&api, &lease, &["anew"]).await;
    let told = stream.until("gap").await;
    assert_eq!((skipped(&told), log_lines(&told)), (1, vec![]));
    log(&api, &lease, &["after the gap"]).await;
    assert_eq!(log_lines(&stream.until("log").await), ["after the gap"]);
}

async fn jetstream(api: &Api, subject: &str, request: &Value) -> Value {
    let answer = api.nats.request(format!("$JS.API.{subject}"), request.to_string().into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer.get("error"), None, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_says_once_that_a_place_is_not_in_the_log() {
    let api = Api::start().await;
    let task = api.task("work").await.parse().unwrap();
    let client = Client::new(&ClientConfig::new(&api.base)).unwrap().with_workspace("dev");
    let after: Place = "0-1-ffffffff".parse().unwrap();
    let stream = SubscribeTaskLive { task_id: task };
    let mut events = client.follow(&stream, StreamOptions::after(after)).unwrap();
    let told = tokio::time::timeout(PATIENCE, events.next()).await.expect("it is told").unwrap().unwrap_err();
    assert!(matches!(&told, Error::Diverged { after } if after == "0-1-ffffffff"), "{told}");
    assert!(events.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stream_ends_with_its_run() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    let path = format!("/v1/workspaces/dev/runs/{}/stream?after=0", lease.run_id);
    api.get_now("/v1/workspaces/dev/tasks").await.expect(200);
    let mut follower = Reader::open(&api, &path, None).await;
    follower.until("caught_up").await;
    api.post(&format!("/v1/workspaces/dev/tasks/{task}/input"), json!({ "message": "more" }))
        .await
        .expect(202);
    api.report(&lease, "finish", json!({ "outcome": "ok" })).await.expect(200);
    assert!(names(&follower.until("end").await).contains(&"run-ended"));
    let shown = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
    assert_eq!(shown["state"], "queued", "the task has another run");
    let again = read_until(&api, &path, None, "end").await;
    assert!(names(&again).contains(&"run-ended"));
    let after_all = again.iter().rev().find_map(|event| event.id.clone());
    assert_eq!(names(&read_until(&api, &path, after_all.as_deref(), "end").await), ["end"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stream_has_the_lines_of_its_own_run_only() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    api.report(&lease, "logs", json!({ "lines": [{ "stream": "stdout", "data": "own" }] })).await.expect(202);
    let other = [bytes::Bytes::from_static(br#"{"kind":"log","data":"foreign"}"#)];
    let workspace = capstan_envelope::Workspace::new("dev").unwrap();
    let written =
        api.log.telemetry().append(&workspace, task.parse().unwrap(), uuid::Uuid::from_u128(9), other.into());
    written.await.unwrap();
    api.report(&lease, "finish", json!({ "outcome": "ok" })).await.expect(200);
    api.get_now("/v1/workspaces/dev/tasks").await.expect(200);
    let path = format!("/v1/workspaces/dev/runs/{}/stream?after=0&include=logs", lease.run_id);
    let events = read_until(&api, &path, None, "end").await;
    let lines: Vec<_> = events.iter().filter(|event| event.name == "log").collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].data["run_id"], lease.run_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_carries_the_same_frames() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let path = format!("/v1/workspaces/dev/tasks/{task}/stream?after=0");
    // The task may arrive at the live side only after the stream has caught up with it.
    let accepted = br#""event":"task-accepted","data":{"#;
    let (mut socket, received) = websocket(&api, &path, HANDSHAKE, accepted).await;
    let text = String::from_utf8_lossy(&received);
    assert!(text.starts_with("HTTP/1.1 101"), "{text}");
    // A ping, masked with zeros, is answered between frames.
    socket.write_all(&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    read_bytes_until(&mut socket, &[0x8a, 2, b'h', b'i']).await;
    let lease = api.lease(&task).await;
    api.report(&lease, "finish", json!({ "outcome": "ok" })).await.expect(200);
    let rest = read_bytes_until(&mut socket, &[0x88, 0]).await;
    let rest = String::from_utf8_lossy(&rest);
    for event in ["attempt-leased", "task-done", "end"] {
        assert!(rest.contains(&format!(r#""event":"{event}","#)), "{rest}");
    }
}

const HANDSHAKE: &str = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Asks for a WebSocket with these headers; the connection, and what came on it up to these bytes.
async fn websocket(api: &Api, path: &str, headers: &str, end: &[u8]) -> (TcpStream, Vec<u8>) {
    let address = api.base.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n{headers}\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let received = read_bytes_until(&mut socket, end).await;
    (socket, received)
}

async fn read_bytes_until(socket: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut received = Vec::new();
    let reading = async {
        while !received.windows(end.len()).any(|part| part == end) {
            let told = String::from_utf8_lossy(&received).into_owned();
            assert_ne!(socket.read_buf(&mut received).await.unwrap(), 0, "the server hung up after {told}");
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the bytes come");
    received
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_handshake_is_refused() {
    let api = Api::start().await;
    let old = HANDSHAKE.replace("13", "8");
    let keyless = "sec-websocket-version: 13\r\n";
    for (headers, fault) in [(old.as_str(), "Sec-WebSocket-Version"), (keyless, "Sec-WebSocket-Key")] {
        let (_, received) = websocket(&api, "/v1/workspaces/dev/stream", headers, fault.as_bytes()).await;
        let text = String::from_utf8_lossy(&received);
        assert!(text.starts_with("HTTP/1.1 400") && text.contains("malformed_request"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_message_of_a_client_closes_its_websocket() {
    let api = Api::start().await;
    let (mut socket, _) = websocket(&api, "/v1/workspaces/dev/stream", HANDSHAKE, b"caught_up").await;
    // A text of 4097 bytes, masked with zeros.
    let head = [&[0x81, 0xfe][..], &4097_u16.to_be_bytes(), &[0; 4]].concat();
    socket.write_all(&[head, vec![b'x'; 4097]].concat()).await.unwrap();
    let received = read_bytes_until(&mut socket, b"at most 4096 bytes").await;
    let code = 1009_u16.to_be_bytes();
    assert!(received.windows(2).any(|part| part == code), "{received:?}");
}
