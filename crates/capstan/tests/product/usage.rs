//! Exit codes and error texts of the command line.

use tokio::process::Command;

use crate::process::{CAPSTAN, Product};

/// Exit code and standard error.
async fn run(arguments: &str, environment: &[(&str, &str)]) -> anyhow::Result<(Option<i32>, String)> {
    let mut command = Command::new(CAPSTAN);
    let folder = tempfile::tempdir()?;
    let command = command.args(arguments.split(' ')).envs(environment.iter().copied());
    let output = command.current_dir(folder.path()).output().await?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[tokio::test]
async fn the_exit_code_tells_wrong_usage_from_servers_that_cannot_be_reached() -> anyhow::Result<()> {
    let nats = ("NATS_URL", "nats://127.0.0.1:1");
    let postgres = ("DATABASE_URL", "postgres://127.0.0.1:1/none");
    let roles =
        "capstan: failed to read the settings:\n  role: must be one of all, api, engine, projector (--role)";
    let cases = [
        ("serve --role king", None, 2, roles),
        ("serve", None, 2, "capstan: failed to read the settings:\n  nats_url: is required"),
        ("worker", None, 2, "error: the following required arguments were not provided"),
        ("worker --runner process", None, 2, "capstan: failed to use the runner"),
        ("dev --http 0.0.0.0:0", None, 2, "error: invalid value '0.0.0.0:0'"),
        ("task get nope", None, 2, "error: invalid value 'nope' for '<ID>': must be a UUID"),
        (
            "task list",
            Some(("CAPSTAN_URL", "foo")),
            2,
            "capstan: failed to use \"foo\" as the server's address",
        ),
        ("log verify", None, 2, "capstan: failed to find nats_url: it is not set"),
        (
            "projection list",
            Some(("DATABASE_URL", "foo")),
            2,
            "capstan: failed to read the database address: ",
        ),
        (
            "task list",
            Some(("CAPSTAN_URL", "http://127.0.0.1:1")),
            4,
            "capstan: failed to reach the server: ",
        ),
        ("log verify", Some(nats), 4, "capstan: failed to open the log: connect to NATS"),
        ("projection list", Some(postgres), 4, "capstan: failed to query the read models: "),
        ("projection digest", Some(postgres), 4, "capstan: failed to read the rows of a read model: "),
    ];
    for (arguments, variable, code, begin) in cases {
        let (found, text) = run(arguments, variable.as_slice()).await?;
        assert_eq!(found, Some(code), "{arguments}: {text}");
        assert!(text.contains(begin), "{arguments}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_has_an_exit_code_of_its_own_and_tells_a_fault_once() -> anyhow::Result<()> {
    let product = Product::start(&["--no-worker"]).await?;
    let server = [("CAPSTAN_URL", product.url.as_str())];
    let (code, text) = run("task submit hi --priority foo", &server).await?;
    let fault = "/priority: priority \"foo\" is not supported (supported: low, normal, high, urgent)";
    assert_eq!(code, Some(3), "{text}");
    assert_eq!(
        text.trim_end(),
        format!("capstan: failed to complete the request: validation_failed (422): {fault}")
    );
    let (code, text) = run("worker --exec true --slots 0", &server).await?;
    assert_eq!(code, Some(3), "{text}");
    Ok(())
}
