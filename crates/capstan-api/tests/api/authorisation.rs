//! Every operation of the table, asked with the right token, a wrong one, a stranger's and none.

use capstan_api::{Operation, Scope, Verb, operations};
use serde_json::json;

use crate::harness::{ADMIN, Answer, Api, issue, with_token};

const ID: &str = "00000000-0000-4000-8000-000000000001";

/// A path of the operation in a workspace, about things that do not exist.
fn path(operation: &Operation, workspace: &str) -> String {
    let mut path = operation.path.replace("{workspace}", workspace);
    path = path.replace("{attempt_id}", &format!("{workspace}.{ID}.1")).replace("{name}", "none");
    while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
        path.replace_range(from..=to, ID);
    }
    path
}

/// Only the head of the answer is waited for: streams go on.
async fn status(api: &Api, operation: &Operation, workspace: &str, token: Option<&str>) -> u16 {
    let request = api.request(operation.method.as_str(), &path(operation, workspace));
    let is_about_attempt = operation.path.contains("{attempt_id}");
    let request = if is_about_attempt { request.header("capstan-lease-epoch", 1) } else { request };
    let request = request.body(if operation.method == Verb::Get { String::new() } else { "{}".to_owned() });
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    request.send().await.expect("an answer").status().as_u16()
}

fn wire(scope: Scope) -> &'static str {
    match scope {
        Scope::Read | Scope::Public => "read",
        Scope::Command => "command",
        Scope::Worker => "worker",
        Scope::Admin => "admin",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_asks_for_its_scope_and_its_workspace() {
    let api = Api::start_with(with_token(ADMIN)).await;
    for workspace in ["here", "elsewhere"] {
        let body = json!({ "workspace": workspace }).to_string();
        let request = api.request("POST", "/v1/workspaces").bearer_auth(ADMIN).body(body);
        let _: Answer = api.send(request).await;
    }
    let scopes = ["read", "command", "worker", "admin"];
    let mut tokens = Vec::new();
    for scope in scopes {
        tokens.push((scope, issue(&api, "here", &[scope]).await));
    }
    let stranger = issue(&api, "elsewhere", &["admin"]).await;
    let mut asked = 0;
    // What waits for an engine that is not there is asked side by side.
    let checks = operations().iter().filter(|operation| operation.scope != Scope::Public).map(|operation| {
        asked += 1;
        let (api, tokens, stranger) = (&api, &tokens, &stranger);
        async move {
            let name = operation.name;
            let is_of_installation = operation.scope == Scope::Admin && !operation.names_workspace();
            assert_eq!(status(api, operation, "here", None).await, 401, "{name} without a token");
            assert_eq!(
                status(api, operation, "here", Some("cap_x")).await,
                401,
                "{name} with no token at all"
            );
            let passes = |status: u16| !matches!(status, 401 | 403 | 405 | 500);
            assert!(passes(status(api, operation, "here", Some(ADMIN)).await), "{name} for the installation");
            for (scope, token) in tokens {
                let status = status(api, operation, "here", Some(token)).await;
                let may = !is_of_installation && [wire(operation.scope), "admin"].contains(scope);
                assert!(if may { passes(status) } else { status == 403 }, "{name} with {scope}: {status}");
            }
            let status = status(api, operation, "here", Some(stranger)).await;
            match (is_of_installation, operation.names_workspace()) {
                (true, _) => assert_eq!(status, 403, "{name} for a stranger"),
                (false, true) => assert_eq!(status, 404, "{name} for a stranger"),
                // A worker of any workspace may ask; the engine is told which ones it may serve.
                (false, false) => assert_eq!(operation.scope, Scope::Worker, "{name}"),
            }
        }
    });
    futures_util::future::join_all(checks).await;
    assert!(asked > 40, "only {asked} operations were asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_public_needs_no_token() {
    let api = Api::start_with(with_token(ADMIN)).await;
    for operation in operations().iter().filter(|operation| operation.scope == Scope::Public) {
        let status = status(&api, operation, "here", None).await;
        assert!(!matches!(status, 401 | 403 | 405 | 500), "{}: {status}", operation.name);
    }
}
