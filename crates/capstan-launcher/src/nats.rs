//! nats-server: its configuration and its program.

pub(crate) mod find;

use std::path::Path;

use crate::config::Durability;

/// The settings of one run of nats-server.
pub(crate) struct NatsSettings<'a> {
    pub(crate) server_name: &'a str,
    pub(crate) port: u16,
    pub(crate) monitor_port: u16,
    pub(crate) store: &'a Path,
    pub(crate) durability: Durability,
}

impl NatsSettings<'_> {
    /// The text of the configuration file.
    pub(crate) fn text(&self) -> String {
        let Self { server_name, port, monitor_port, .. } = self;
        // A JSON string is also a string of this format, whatever the path contains.
        let store = serde_json::Value::from(self.store.to_string_lossy());
        let sync = self.durability.sync_interval();
        format!(
            "# Written by Capstan at every start; changes are lost.\n\
             server_name: \"{server_name}\"\n\
             listen: \"127.0.0.1:{port}\"\n\
             # Tools read the durability of the log here.\n\
             http: \"127.0.0.1:{monitor_port}\"\n\
             max_payload: 8388608\n\
             write_deadline: \"10s\"\n\
             jetstream {{\n  \
               store_dir: {store}\n  \
               sync_interval: \"{sync}\"\n\
             }}\n"
        )
    }
}
