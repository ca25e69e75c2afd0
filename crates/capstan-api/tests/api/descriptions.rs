//! What the published descriptions say, held against what the server does.

use std::collections::BTreeSet;

use capstan_api::{Operation, Scope, Verb, operations};
use serde_json::Value;

use crate::harness::Api;

const ID: &str = "00000000-0000-4000-8000-000000000001";

/// A path of the operation in `dev`, about things that do not exist.
fn path(operation: &Operation) -> String {
    let path = operation.path.replace("{workspace}", "dev").replace("{agent_id}", "demo");
    let path = path.replace("{attempt_id}", &format!("dev.{ID}.1"));
    let names = operation.path_names();
    names.fold(path, |path, name| path.replace(&format!("{{{name}}}"), ID))
}

/// The parameters a refusal says the route takes.
fn taken(problem: &Value) -> Option<BTreeSet<String>> {
    let faults = problem["errors"].as_array()?;
    let fault = faults.iter().find(|fault| fault["pointer"] == "?no_such_parameter")?;
    let (_, known) = fault["message"].as_str()?.split_once("which takes ")?;
    Some(known.split(", ").filter(|name| *name != "none").map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_takes_the_parameters_it_declares_and_no_other() {
    let api = Api::start().await;
    let mut compared = 0;
    for operation in operations().iter().filter(|one| one.scope != Scope::Public) {
        let declared: BTreeSet<_> = operation.query().map(|parameter| parameter.name.to_owned()).collect();
        let path = format!("{}?no_such_parameter=1", path(operation));
        let body = if operation.method == Verb::Get { "" } else { "{}" };
        let answer = api.send(api.request(operation.method.as_str(), &path).body(body)).await;
        let problem = answer.expect(422);
        if operation.bus.is_some() || operation.scope == Scope::Worker {
            // Parameters are fields of a command like those of its body; all faults of the command are named.
            let faults = problem["errors"].as_array().unwrap();
            assert!(faults.iter().any(|fault| fault["pointer"] == "?no_such_parameter"), "{problem}");
            continue;
        }
        let Some(taken) = taken(&problem) else { panic!("{}: {problem}", operation.name) };
        assert_eq!(taken, declared, "{}", operation.name);
        compared += 1;
    }
    assert!(compared > 50, "only {compared} routes were asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_descriptions_are_served_and_name_every_route() {
    let api = Api::start().await;
    let openapi = api.get("/openapi.json").await.expect(200);
    for operation in operations() {
        let method = operation.method.as_str().to_lowercase();
        assert_eq!(openapi["paths"][operation.path][method]["operationId"], operation.name);
    }
    let asyncapi = api.get("/asyncapi.json").await.expect(200);
    for name in operations().iter().filter_map(Operation::rpc_name) {
        assert!(asyncapi["channels"][format!("rpc/{name}")].is_object(), "{name}");
    }
}
