//! The published descriptions, compared with the behaviour of the server.

use capstan_api::{Answer, Operation, Scope, Verb, operations};
use serde_json::Value;

use crate::harness::Api;

const ID: &str = "00000000-0000-4000-8000-000000000001";

/// A path of the operation in `dev`, about things that do not exist.
fn path(operation: &Operation) -> String {
    let path = operation.path.replace("{workspace}", "dev").replace("{agent_id}", "demo");
    let path = path.replace("{attempt_id}", &format!("dev.{ID}.1"));
    let path = path.replace("{dead_letter_id}", "command-1").replace("{version}", "1");
    let names = operation.path_names();
    names.fold(path, |path, name| path.replace(&format!("{{{name}}}"), ID))
}

/// The parameters in this place, a query string or headers, that the document declares for the operation.
fn declared(openapi: &Value, operation: &Operation, place: &str) -> Vec<String> {
    let shown = &openapi["paths"][operation.path][operation.method.as_str().to_lowercase()];
    let parameters = shown["parameters"].as_array().unwrap().iter().map(|parameter| {
        let shared =
            parameter["$ref"].as_str().map(|to| openapi.pointer(to.trim_start_matches('#')).unwrap());
        shared.unwrap_or(parameter)
    });
    let in_place = parameters.filter(|parameter| parameter["in"] == place);
    in_place.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_takes_the_parameters_it_declares_and_no_other() {
    let api = Api::start().await;
    let openapi = api.get("/openapi.json").await.expect(200);
    let (mut compared, mut parameters) = (0, 0);
    for operation in operations().iter().filter(|one| one.scope != Scope::Public) {
        let declared = declared(&openapi, operation, "query");
        let names = declared.iter().map(String::as_str).chain(["no_such_parameter"]);
        let query: Vec<_> = names.map(|name| format!("{name}=1")).collect();
        let path = format!("{}?{}", path(operation), query.join("&"));
        let body = if operation.method == Verb::Get { "" } else { "{}" };
        let answer = api.send(api.request(operation.method.as_str(), &path).body(body)).await;
        let problem = answer.expect(422);
        // Values may be wrong; no declared name is unknown. A route whose fields stand in the body declares none.
        let is_unknown = |message: &str| {
            message == "unknown field" || message.starts_with("this request takes no parameters")
        };
        let faults = problem["errors"].as_array().unwrap();
        let unknown: Vec<_> = faults
            .iter()
            .filter(|fault| fault["message"].as_str().is_some_and(is_unknown))
            .map(|fault| fault["pointer"].as_str().unwrap())
            .collect();
        assert_eq!(unknown, ["?no_such_parameter"], "{}: {problem}", operation.name);
        (compared, parameters) = (compared + 1, parameters + declared.len());
    }
    assert!(compared > 50 && parameters > 100, "only {compared} routes and {parameters} parameters");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_that_waits_for_a_position_in_a_header_declares_the_header() {
    let api = Api::start().await;
    let openapi = api.get("/openapi.json").await.expect(200);
    let mut waiting = 0;
    let takes_parameters = |one: &&Operation| one.method == Verb::Get && one.scope != Scope::Public;
    for operation in operations().iter().filter(takes_parameters).filter(|one| one.answer != Answer::Stream) {
        let declared = declared(&openapi, operation, "header");
        for header in ["Capstan-Min-Position", "Capstan-Position"] {
            let request =
                api.request(operation.method.as_str(), &path(operation)).header(header, "no position");
            let answer = api.send(request.body("")).await;
            let faults = answer.body["errors"].as_array().into_iter().flatten();
            let of_header: Vec<_> = faults.filter(|fault| fault["pointer"] == header).collect();
            assert_eq!(of_header.len(), 1, "{} {header} is ignored", operation.name);
            let is_read = of_header[0]["message"] != "this request does not take this header";
            assert_eq!(is_read, declared.iter().any(|name| name == header), "{} {header}", operation.name);
            waiting += usize::from(is_read);
        }
    }
    assert!(waiting > 50, "only {waiting} headers are read");
}

#[test]
fn the_values_of_a_parameter_have_a_name() {
    let openapi = &*crate::conformance::DOCUMENT;
    let in_paths =
        openapi["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let parameters = in_paths.flat_map(|operation| operation["parameters"].as_array().unwrap());
    let parameters: Vec<_> =
        parameters.chain(openapi["components"]["parameters"].as_object().unwrap().values()).collect();
    assert!(parameters.iter().all(|parameter| parameter["schema"].pointer("/enum").is_none()));
    assert!(parameters.iter().all(|parameter| parameter["schema"].pointer("/items/enum").is_none()));
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
