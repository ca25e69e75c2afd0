//! Logs of this process: to standard error, for people on a terminal, as JSON lines elsewhere.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Libraries whose debug logs contain the values of every statement or the headers of every request. These include
/// prompts and bearer tokens, so no setting may enable them.
const VERBOSE: [&str; 6] = ["tokio_postgres", "postgres", "hyper", "h2", "reqwest", "async_nats"];

/// Starts logging; `RUST_LOG` sets the filter.
pub(crate) fn init() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,async_nats=warn,tokio_postgres=warn,hyper=warn"));
    let is_safe = filter_fn(|metadata| {
        let library = metadata.target().split("::").next().unwrap_or_default();
        // The least severe level is the greatest.
        !VERBOSE.contains(&library) || *metadata.level() <= Level::INFO
    });
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if std::io::stderr().is_terminal() {
        lines.compact().boxed()
    } else {
        lines.json().flatten_event(true).boxed()
    };
    tracing_subscriber::registry().with(filter).with(lines.with_filter(is_safe)).init();
}
